"""What the evaluation server of MVTec AD 2 is sent: a detector's maps of its private images."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import anomalist
from anomalist.benchmark.archive import Entry, check_archive, scale_of, write_archive
from anomalist.benchmark.configuration import config_hash
from anomalist.benchmark.official import binary_threshold
from anomalist.data import Dataset, ImageSet, MVTecAD2
from anomalist.data.mvtec_ad_2 import PRIVATE_COUNTS, PRIVATE_SPLITS
from anomalist.data.names import plural
from anomalist.detectors import Detector, load
from anomalist.digits import shown
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore, unite_backbones
from anomalist.files import atomic_path, check_writable, held_alone, write_text
from anomalist.metrics.grids import Grid
from anomalist.metrics.pixels import Marked, Pixels
from anomalist.training import Training

#: Called with the name of a stage, how much of it is done, and the total.
OnStage = Callable[[str, int, int], None]

#: How the names of images end in each folder.
_ENDINGS = {"test_private": "_regular", "test_private_mixed": "_mixed"}
# Maps are in memory for so many images at a time.
_AT_ONCE = 32
_TOLD = 5


@dataclass(frozen=True)
class Submission:
    """An archive that was written and read again.

    Parameters
    ----------
    path : Path
        The file.
    detector : str
        What made the maps.
    images : int
        Private images in it; each has a map and a binary map.
    scale : int
        The power of two by which all maps were multiplied to fit float16.
    thresholds : dict
        By object, the map value above which a pixel is anomalous, before scaling.
    anomalous : dict
        By object, the share of images with any such pixel: what the server takes for anomalous.
    notes : tuple of str
        What a reader must know.
    """

    path: Path
    detector: str
    images: int
    scale: int
    thresholds: dict[str, float]
    anomalous: dict[str, float]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**dataclasses.asdict(self), "path": str(self.path), "notes": list(self.notes)}

    def __str__(self) -> str:
        lines = [f"{'object':<12}  {'threshold':>10}  images taken for anomalous"]
        lines += [
            f"{name:<12}  {shown(value):>10}  {100 * self.anomalous[name]:.1f}%"
            for name, value in self.thresholds.items()
        ]
        lines.append(
            f"maps are multiplied by 2**{self.scale} and rounded to float16; the binary ones are of"
            " those before"
        )
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)


def submit(
    dataset: Dataset,
    detector: Detector,
    out: str | Path,
    *,
    incomplete: bool = False,
    store: FeatureStore | None = None,
    progress: OnStage | None = None,
) -> Submission:
    """Write what the evaluation server of MVTec AD 2 takes, of a detector fitted to each object.

    Each object's detector learns from its good images of ``train`` and ``validation``, and is
    calibrated on them, each image scored as if it hadn't been seen. Of every image of
    ``test_private`` and ``test_private_mixed`` the archive has the map at the image's size, 2-D
    float16 in a TIFF, and what is anomalous in a PNG of 0 and 255: what is above the mean plus
    three standard deviations of the good maps. The archive is read again before it is put in its
    place, whole or not at all.

    What was made of an object is kept in a folder beside the archive until that is there; the same
    call, after it was stopped at any moment, goes on from there to the same bytes.

    Parameters
    ----------
    dataset : Dataset
        MVTec AD 2.
    detector : Detector
        Unfitted, with its seed set.
    out : str or Path
        The archive, ``.tar.gz``.
    incomplete : bool
        Whether to write it although objects or images are missing, which the server refuses.
    store : FeatureStore, optional
        Keeps feature maps between fit and calibration.
    progress : callable, optional
        Called with a stage, how much of it is done, and the total.

    Raises
    ------
    DataError
        If the data set is another one, or incomplete, or an image can't be read.
    ParameterError
        If the archive has another suffix, or lies in the data set.
    ResultsError
        If what was written isn't what it should be, or another process writes it.

    References
    ----------
    Heckler-Kram et al., "The MVTec AD 2 Dataset", arXiv:2503.21622 (2025).

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> from anomalist.data import open_dataset
    >>> submit(open_dataset("data/mvtec_ad_2"), PatchCore(), "archive.tar.gz")  # doctest: +SKIP
    """
    out = Path(out)
    if not out.name.endswith((".tar.gz", ".tgz")):
        raise ParameterError(f"{out} must end in .tar.gz, which the server takes")
    if not isinstance(dataset, MVTecAD2):
        raise DataError(
            f"{dataset.root} isn't MVTec AD 2, with train/good, validation/good and test_public in"
            " each object, whose server alone takes such an archive"
        )
    private = {name: dataset.private(name) for name in dataset.categories}
    notes = _check_complete(private, incomplete)
    entries = [
        Entry(name, split, sample.path.stem, sample.size())
        for name, splits in private.items()
        for split, images in splits.items()
        for sample in images
    ]
    if len({(e.map_name) for e in entries}) < len(entries):
        raise DataError(f"{dataset.root} has two private images of one name: keep one of them")
    check_writable(out)
    staged = out.with_name(f"{out.name}.unfinished")
    check_writable(staged / "lock")
    with held_alone(staged / "lock"):
        made = {
            name: _Object(staged / name, dataset, name, private[name], detector).made(
                store, progress
            )
            for name in private
            if any(len(images) for images in private[name].values())
        }
        scale = scale_of(max(one.highest for one in made.values()))
        alarms = dict.fromkeys(made, 0)

        def values_of(entry: Entry) -> tuple[npt.NDArray[np.floating], float]:
            one = made[entry.category]
            values = one.map(entry)
            alarms[entry.category] += bool((values > one.threshold).any())
            return values, one.threshold

        # Not beside the archive, where one that was killed would leave gigabytes.
        path = staged / "archive.tar.gz"
        write_archive(path, entries, values_of, scale, _of(progress, "write", len(entries)))
        check_archive(path, entries, _of(progress, "check", 2 * len(entries)))
        path.replace(out)
        shutil.rmtree(staged)
    counts = {name: sum(map(len, splits.values())) for name, splits in private.items()}
    return Submission(
        out,
        detector.label,
        len(entries),
        scale,
        {name: one.threshold for name, one in made.items()},
        {name: alarms[name] / counts[name] for name in made},
        (*notes, *(note for one in made.values() for note in one.notes)),
    )


def _of(progress: OnStage | None, stage: str, total: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(stage, done, total)


def _check_complete(private: dict[str, dict[str, ImageSet]], incomplete: bool) -> list[str]:
    """Refuse, or tell of, what the server would miss or not know."""
    wrong = [f"{name} is missing" for name in PRIVATE_COUNTS if name not in private]
    for name, splits in private.items():
        for split in PRIVATE_SPLITS:
            images, expected = splits[split], PRIVATE_COUNTS[name]
            if len(images) != expected:
                wrong.append(f"{name}/{split} has {plural(len(images), 'image')} of {expected}")
            odd = [s.path for s in images if not _is_named(s.path, split)]
            if odd:
                like = f"000{_ENDINGS[split]}.png"
                wrong.append(f"{odd[0]} isn't named as the others are, such as {like}")
    if not any(len(images) for splits in private.values() for images in splits.values()):
        raise DataError(
            f"there is no private image, in {' or '.join(PRIVATE_SPLITS)}: of these alone the"
            " server measures maps"
        )
    if not wrong:
        return []
    shown = "; ".join(wrong[:_TOLD]) + (f"; and {len(wrong) - _TOLD} more" * (len(wrong) > _TOLD))
    if not incomplete:
        raise DataError(
            f"the data set isn't whole, and the server refuses such an archive: {shown}; write it"
            " anyway with --incomplete"
        )
    return [f"the server refuses this archive, since the data set isn't whole: {shown}"]


def _is_named(path: Path, split: str) -> bool:
    number = path.stem.removesuffix(_ENDINGS[split])
    return path.stem.endswith(_ENDINGS[split]) and len(number) == 3 and number.isdigit()


@dataclass(frozen=True, eq=False)
class _Made:
    """The maps of an object's private images, at the size of the detector's input, in files."""

    folder: Path
    detector: Detector
    threshold: float
    highest: float
    notes: tuple[str, ...]

    def map(self, entry: Entry) -> npt.NDArray[np.floating]:
        """Return a map at the size of its image, as it is when pixels are measured there."""
        values = np.load(_staged(self.folder, entry.split, entry.name), allow_pickle=False)
        grid = Grid.of(self.detector.transform, entry.size, values.shape)
        return Pixels([values], [Marked(None)], [grid]).whole(0)


def _staged(folder: Path, split: str, name: str) -> Path:
    return folder / split / f"{name}.npy"


class _Object:
    """One object: what is missing of it is made."""

    def __init__(
        self,
        folder: Path,
        dataset: MVTecAD2,
        name: str,
        private: dict[str, ImageSet],
        detector: Detector,
    ) -> None:
        self._folder, self._name, self._private = folder, name, private
        self._unfitted = detector
        self._good = dataset.category(name).train
        self._model = folder / "model.anomalist"
        images = ImageSet([sample for images in private.values() for sample in images])
        self._identity = {
            "configuration": config_hash(detector),
            "seed": detector.seed,
            "good": self._good.content_hash(),
            "private": images.content_hash(),
            "version": anomalist.__version__,
        }

    def made(self, store: FeatureStore | None, progress: OnStage | None) -> _Made:
        """Return its maps, which are there or are made now."""
        self._drop_others()
        notes: list[str] = []
        if self._model.is_file():
            detector = load(self._model, device=self._unfitted.device)
        else:
            detector, notes = self._fitted(store, progress)
            detector.save(self._model)
        assert detector.calibration_ is not None
        todo = [
            (split, [s for s in images if not _staged(self._folder, split, s.path.stem).is_file()])
            for split, images in self._private.items()
        ]
        total = sum(len(samples) for _, samples in todo)
        done = 0
        for split, samples in todo:
            for start in range(0, len(samples), _AT_ONCE):
                part = ImageSet(samples[start : start + _AT_ONCE])
                predictions = detector.predict(part)
                for sample, values in zip(part, predictions.maps, strict=True):
                    with (
                        atomic_path(_staged(self._folder, split, sample.path.stem)) as path,
                        path.open("wb") as file,
                    ):
                        np.save(file, values)
                done += len(part)
                if progress is not None:
                    progress(f"{self._name}: predict", done, total)
        return _Made(
            self._folder,
            detector,
            binary_threshold(detector.calibration_),
            max(map(_highest, self._files()), default=0.0),
            tuple(f"{self._name}: {note}" for note in dict.fromkeys(notes)),
        )

    def _drop_others(self) -> None:
        """Begin anew where what is there was made with other settings, images or version."""
        told = self._folder / "made.json"
        try:
            known = json.loads(told.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = None
        if known != self._identity:
            if self._folder.is_dir():
                shutil.rmtree(self._folder)
            write_text(told, json.dumps(self._identity) + "\n")

    def _fitted(
        self, store: FeatureStore | None, progress: OnStage | None
    ) -> tuple[Detector, list[str]]:
        detector = dataclasses.replace(self._unfitted)
        kept = FeatureStore() if store is None else store
        shared = unite_backbones(part.make_backbone() for part in detector.components())
        for backbone in shared:
            kept.adopt(backbone)
        training = Training(checkpoint=self._folder / "training")

        def of(stage: str) -> Callable[[int, int], None] | None:
            if progress is None:
                return None
            return lambda done, total: progress(f"{self._name}: {stage}", done, total)

        detector.fit(self._good, store=kept, progress=of("fit"), training=training)
        detector.calibrate(self._good, store=kept, progress=of("calibrate"), training=training)
        return detector, training.notes

    def _files(self) -> Iterator[Path]:
        for split, images in self._private.items():
            for sample in images:
                yield _staged(self._folder, split, sample.path.stem)


def _highest(path: Path) -> float:
    return float(np.abs(np.load(path, allow_pickle=False)).max())
