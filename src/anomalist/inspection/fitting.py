"""From a folder of photographs of good parts to a calibrated model in a file."""

from __future__ import annotations

import dataclasses
import glob
import io
import os
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

import anomalist
from anomalist.calibration import (
    DEFAULT_ALPHA,
    check_split,
    count_held_out,
    fewest_images,
    find_outliers,
    finite_or_none,
    number_groups,
    threshold,
)
from anomalist.conditions import learnt_looks
from anomalist.data import DEPTHS, ImageSet, Sample, Transform, gather_remarks
from anomalist.data.walking import LEAST_NORMAL
from anomalist.detectors import Detector
from anomalist.detectors.grouping import Grouping, calibrate_grouped, check_groups, group_images
from anomalist.errors import DataError, ParameterError
from anomalist.features import Backbone, FeatureStore, Progress, pick_device, unite_backbones
from anomalist.files import absolute, atomic_path, check_writable
from anomalist.inspection.copies import NearCopies, kept_pictures
from anomalist.inspection.findings import Rule
from anomalist.inspection.measuring import Measured, measure
from anomalist.inspection.parts import Parts, check_outside, known_images, short_hashes
from anomalist.predictions import Predictions
from anomalist.report import contact_sheet
from anomalist.training import Training

#: Called with the name of a stage, the number of images done and the total.
OnStage = Callable[[str, int, int], None]
#: Of which images the threshold comes, where some were added.
CalibrateOn = Literal["added", "others", "all"]

_SHOWN = 8
_COLUMNS = 4
_SIDE = 320
_THUMBNAILS = 6
_THUMBNAIL_SIDE = 96
# What fitting, calibrating and drawing take beside the backbone, in shares of it.
_BESIDE_BACKBONE = 2.0
# Three channels of floating-point numbers, and a first layer's 32 of half the side: less is none.
_BYTES_A_PIXEL = 44


@dataclass(frozen=True, eq=False)
class FitResult:
    """A model in its file, and what a person should look at.

    Parameters
    ----------
    detector : Detector
        Fitted and, with two images or more, calibrated.
    path : Path
        The model file.
    rule : Rule
        The threshold and what it promises.
    sheet : Path or None
        Picture of the least normal images that were learnt from.
    least_normal : list of (Path, float)
        These images and their held-out scores, the highest first.
    measured : Measured or None
        How it does on the images that were held out, where there are any.
    split : float
        The share of the images that was held out of the fit to calibrate.
    odd : Odd or None
        Images whose held-out scores lie far above all others', where there are any.
    notes : tuple of str
        What a person should know of the images and of the training.
    held_out : Predictions or None
        Of images learnt from, each as if it hadn't been seen, or of those held out of the fit.
    """

    detector: Detector
    path: Path
    rule: Rule
    sheet: Path | None
    least_normal: list[tuple[Path, float]]
    measured: Measured | None
    split: float = 0.0
    odd: Odd | None = None
    notes: tuple[str, ...] = ()
    held_out: Predictions | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return all that is printed as JSON values."""
        training = self.detector.summary_
        return {
            "model": str(self.path),
            "bytes": self.path.stat().st_size,
            "detector": self.detector.label,
            "images": training["images"],
            "scenes": training["scenes"],
            "looks": training["looks"],
            "split": self.split,
            "rule": self.rule.as_dict(),
            "sheet": None if self.sheet is None else str(self.sheet),
            "least_normal": [{"path": str(p), "score": score} for p, score in self.least_normal],
            "odd": None if self.odd is None else self.odd.as_dict(),
            "measured": None if self.measured is None else self.measured.as_dict(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Odd:
    """Images learnt from whose held-out scores lie far above all others'.

    Parameters
    ----------
    paths : tuple of Path
        The highest score first.
    scores : tuple of float
        Theirs.
    threshold, without : float or None
        The threshold, and what it would be from the held-out scores of the others as they are,
        without fitting anew; None where images are too few for one.
    needed : int
        How many images a threshold takes.
    others : int
        How many the others are.
    """

    paths: tuple[Path, ...]
    scores: tuple[float, ...]
    threshold: float | None
    without: float | None
    needed: int
    others: int

    @classmethod
    def of(
        cls, held_out: Predictions, rule: Rule, groups: Iterable[Hashable] | None = None
    ) -> Self | None:
        """Find them among held-out predictions, of which some aren't independent; None without."""
        places = find_outliers(held_out.scores)
        if len(places) == 0:
            return None
        rest = np.delete(held_out.scores, places)
        kept = np.delete(number_groups(groups, len(held_out)), places)
        without = threshold(rest, rule.alpha, groups=kept)
        return cls(
            paths=tuple(Path(held_out.paths[i]) for i in places.tolist()),
            scores=tuple(float(held_out.scores[i]) for i in places.tolist()),
            threshold=rule.threshold,
            without=finite_or_none(without),
            needed=fewest_images(rule.alpha),
            others=len(rest),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        paths, scores = list(map(str, self.paths)), list(self.scores)
        return {**dataclasses.asdict(self), "paths": paths, "scores": scores}

    def describe(self) -> str:
        """Say in a sentence which they are, and what they do to the threshold."""
        named = ", ".join(map(str, self.paths))
        one = len(self.paths) == 1
        it = "it" if one else "them"
        look = f"look at {it}, --exclude leaves {it} out"
        far = "lies" if one else "lie"
        scores = "score" if one else "scores"
        if self.threshold is None:
            return f"{named}: held-out {scores} far above all others'; {look}"
        if self.without is None:
            rest = (
                f"without {it}, {self.others} images are too few for a threshold, which takes"
                f" {self.needed}"
            )
        elif self.without == self.threshold:
            return (
                f"{named}: held-out {scores} far above all others', which doesn't change the"
                f" threshold; {look}"
            )
        else:
            rest = f"without {it}, and without fitting anew, it would be {self.without:.6g}"
        if self.threshold < min(self.scores):
            return f"{named}: held-out {scores} far above all others'; {rest}; {look}"
        return (
            f"threshold {self.threshold:.6g} is set by {named}, whose {scores} {far} far above the"
            f" others; {rest}; {look}"
        )


def fit_parts(
    detector: Detector,
    parts: Parts,
    out: str | Path,
    *,
    alpha: float = DEFAULT_ALPHA,
    groups: str | Sequence[Hashable] = "auto",
    split: float | None = None,
    calibrate_on: CalibrateOn = "added",
    progress: OnStage | None = None,
    estimate: Callable[[float], None] | None = None,
) -> FitResult:
    """Fit and calibrate a detector, save it, and show what of the training looks least normal.

    Beside the model, ``<its name>_least_normal.png`` shows the images with the highest held-out
    scores, which are often mislabelled ones. A training that was stopped goes on where it was.

    Parameters
    ----------
    detector : Detector
        Unfitted.
    parts : Parts
        What :func:`open_parts` found.
    out : str or Path
        The model file.
    alpha : float
        The false-alarm rate that the threshold is to have.
    groups : str or sequence of hashable
        Which images aren't independent, such as shots of one part: ``auto``, ``none``,
        ``by-folder``, ``by-name PATTERN``, or the group of each, see
        `~anomalist.detectors.grouping.group_images`.
    split : float, optional
        Share of the images that is held out of the fit to calibrate, so that what the threshold
        promises holds for certain; 0 for none. By default 0.3 for detectors that train and
        ensembles of them, where that many give a threshold, and none for others. A training whose
        images are then too few for a threshold says so in the notes.
    calibrate_on : {"added", "others", "all"}
        Where images were added, which of them give the threshold. ``added`` is for newer ones, as
        they came: what comes next is like them, and enough of them take the threshold over.
        ``others`` is for ones that were chosen, such as false alarms, which would raise it: they
        are learnt, and none is held out of the fit. ``all`` counts all alike.
    progress : callable, optional
        Called with a stage, the number of images done and the total.
    estimate : callable, optional
        Called once, with roughly how many seconds it will take, trainings not counted.

    Raises
    ------
    DataError
        If an image can't be read, or there is but one, or one scene, to split.
    ParameterError
        If ``alpha`` isn't between 0 and 1, ``split`` is no share, ``out`` lies among the images, or
        ``groups`` can't be.
    OSError
        If the file can't be written.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import PatchCore
    >>> from anomalist.data import make_sample_set
    >>> from anomalist.inspection import open_parts
    >>> folder = Path(tempfile.mkdtemp())
    >>> root = make_sample_set(
    ...     folder / "data", image_size=64, train=4, good=2, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> result = fit_parts(PatchCore(image_size=64), open_parts(root), folder / "key.anomalist")
    >>> result.rule.missing, result.sheet.name
    (15, 'key_least_normal.png')
    """
    fewest_images(alpha)
    check_groups(groups)
    check_split(split or 0.0)
    out = Path(out)
    for root in (parts.root, parts.added_root):
        if root is not None:
            _check_writable(out, root)
    _check_memory(detector, len(parts.train))
    grouping = group_images(parts.train, groups, progress=_of_stage(progress, "scenes"))
    share = detector.usual_split(grouping.scenes, alpha) if split is None else split
    learnt, learnt_groups = parts.train, grouping.apart
    chosen = parts.added > 0 and calibrate_on == "others"
    if share:
        held_out_of, dealt = _deal(detector, parts, share, grouping.apart, chosen)
        learnt, learnt_groups = parts.train[np.flatnonzero(~held_out_of)], dealt[~held_out_of]
    folds = not share or detector.components() != [detector]
    if len(learnt) > 1 and folds:
        for member in detector.components():
            member.check_calibrates(len(learnt))
    store = FeatureStore()
    shared = unite_backbones(member.make_backbone() for member in detector.components())
    for backbone in shared:
        store.adopt(backbone)
    if estimate is not None:
        estimate(_seconds(detector, parts, store, shared))
    kept = _training_of(out)
    training = Training(checkpoint=kept)
    detector.fit(
        learnt,
        groups=learnt_groups,
        store=store,
        progress=_of_stage(progress, "fit"),
        training=training,
    )
    held_out = None
    if share and chosen:
        held_out = detector.calibrate(
            parts.train[np.flatnonzero(held_out_of)],
            seen=False,
            groups=dealt[held_out_of],
            store=store,
            progress=_of_stage(progress, "calibrate"),
        )
    elif len(parts.train) > 1:
        held_out = calibrate_grouped(
            detector,
            parts.train,
            grouping,
            split=share,
            store=store,
            progress=_of_stage(progress, "calibrate"),
            training=training,
        )
    calibrating, told = held_out, list[str]()
    if held_out is not None and parts.added and calibrate_on != "all":
        calibrating, text = _by_some(detector, held_out, parts, alpha, calibrate_on)
        told.append(text)
    detector.summary_ = _summary(parts, alpha, detector.transform, grouping)
    detector.thumbnails_ = _thumbnails(parts.train, detector.bit_depth_)
    detector.pictures_ = kept_pictures(parts.train, detector.bit_depth_)
    detector.save(out)
    for leftover in unfinished_training(out):
        leftover.unlink()
    rule = Rule.of(detector, alpha=alpha)
    sheet, least_normal = None, list[tuple[Path, float]]()
    odd = None
    if held_out is not None and calibrating is not None:
        calibration = detector.calibration_
        odd = Odd.of(calibrating, rule, None if calibration is None else calibration.groups)
        order = np.argsort(-held_out.scores, kind="stable")[:_SHOWN].tolist()
        least_normal = [(Path(held_out.paths[i]), float(held_out.scores[i])) for i in order]
        sheet = _sheet_of(out)
        _draw(held_out[order], detector, rule, sheet, odd)
    measured = None
    if len(parts.test):
        try:
            predictions = detector.predict(
                parts.test, store=store, progress=_of_stage(progress, "test")
            )
        except DataError as error:
            raise DataError(f"{error}; the model is in {out}, but wasn't measured") from error
        read = tuple(reading_notes(detector, parts.test))
        copies = NearCopies.of_model(detector, parts.test)
        measured = measure(predictions, detector, alpha, read, near_copies=copies)
    notes = (
        *grouping.notes,
        *told,
        *_depth_note(detector, parts.train),
        *reading_notes(detector, parts.train),
        *dict.fromkeys(training.notes),
        *_split_note(rule, share, len(learnt), len(parts.train)),
    )
    return FitResult(
        detector, out, rule, sheet, least_normal, measured, share, odd, notes, held_out
    )


def _deal(
    detector: Detector,
    parts: Parts,
    share: float,
    groups: npt.NDArray[np.int64] | None,
    chosen: bool,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Deal images, where those added were chosen only the others; see `Detector.deal`."""
    if not chosen:
        return detector.deal(parts.train, share, groups)
    n, others = len(parts.train), len(parts.train) - parts.added
    numbers = np.arange(n) if groups is None else groups
    held_out_of, _ = detector.deal(parts.train[:others], share, numbers[:others])
    # None of a scene on both sides.
    held_out_of = np.concatenate([held_out_of, np.zeros(parts.added, np.bool_)])
    learnt = np.isin(numbers, numbers[others:])
    return held_out_of & ~learnt, number_groups(numbers, n)


def _split_note(rule: Rule, share: float, learnt: int, images: int) -> list[str]:
    """Say how many images were held out of the fit, and what to do where they are too few."""
    if not share:
        return []
    told = f"fitted to {learnt} of {images} images, the other {images - learnt} calibrate"
    if not rule.missing:
        return [f"{told}: --split 0 fits to all, and promises less"]
    needed = images
    while count_held_out(needed, share) < fewest_images(rule.alpha):
        needed += 1
    return [
        f"{told}, too few for a threshold, which takes {fewest_images(rule.alpha)}: give"
        f" {needed} images, or --split 0, which calibrates on all that it is fitted to"
    ]


def _by_some(
    detector: Detector,
    held_out: Predictions,
    parts: Parts,
    alpha: float,
    calibrate_on: CalibrateOn,
) -> tuple[Predictions, str]:
    """Take the threshold from the images that were added, or from the others.

    What comes next is like those that were added as they came; those that were chosen tell nothing
    of how often others are like them.
    """
    needed = fewest_images(alpha)
    calibration = detector.calibration_
    assert calibration is not None
    added = {sample.path for sample in parts.train[-parts.added :]}
    is_added = np.array([sample.path in added for sample in held_out.images], np.bool_)
    by_added = calibrate_on == "added"
    places = np.flatnonzero(is_added == by_added)
    which = "of the images added" if by_added else "of the images that weren't added"
    if len(places) < needed:
        return held_out, (
            f"{which} {len(places)} calibrate, and a threshold of their own takes"
            f" {needed}: it is from all {len(held_out)}, and what it promises is for photographs"
            " like all of them"
        )
    if len(places) < len(held_out):
        method = f"{calibration.method}; of those {'added' if by_added else 'not added'}"
        detector.calibrate_by(
            held_out[places],
            method=method,
            groups=calibration.groups[places],
            retrained=calibration.retrained,
        )
    those = "images added" if by_added else "images that weren't added"
    return held_out[places], (
        f"the threshold is from the held-out scores of {len(places)} {those}, and what it"
        " promises is for photographs like those"
    )


def reading_notes(detector: Detector, images: ImageSet) -> list[str]:
    """Return what reading the images told, as the detector reads them."""
    return gather_remarks(images, bit_depth=detector.transform.bit_depth)


def _depth_note(detector: Detector, images: ImageSet) -> list[str]:
    """Say what is white, where that was settled from the images."""
    bits = detector.bit_depth_
    deep = sum(sample.peak() > 0 for sample in images)
    if bits == DEPTHS[-1] or not deep or detector.bit_depth is not None:
        return []
    use = "image uses" if deep == 1 else "images use"
    return [
        f"{deep} {use} 1/{2 ** (16 - bits)} of the 16-bit range: {2**bits - 1} ({bits} bits) is"
        " white in all images of this model; --bit_depth says otherwise"
    ]


def _check_writable(out: Path, root: Path) -> None:
    """Tell before any work that the model can't be written, or would mix with the images."""
    check_outside(out, root)
    if out.is_dir():
        raise ParameterError(f"{out} is a folder: name the file to write, such as part.anomalist")
    kept = _training_of(out)
    for path in (out, _sheet_of(out), kept.with_name(f"{kept.name}.fold00")):
        check_writable(path)


def _check_memory(detector: Detector, images: int) -> None:
    """Refuse a batch that can't fit, which the system would answer by ending the program."""
    if pick_device(detector.device).type != "cpu" or not hasattr(os, "sysconf"):
        return
    height, width = detector.transform.output_size
    batch = min(detector.batch_size, images)
    least = batch * height * width * _BYTES_A_PIXEL
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if least > there:
        raise ParameterError(
            f"a batch of {batch} images of {width} x {height} pixels takes more than"
            f" {least / 1e9:.0f} GB of memory, and this machine has {there / 1e9:.0f} GB: lower"
            " image_size or batch_size"
        )


def _sheet_of(out: Path) -> Path:
    return out.with_name(f"{out.stem}{LEAST_NORMAL}")


def unfinished_training(out: Path) -> list[Path]:
    """Return the files that a training for a model has left, which was stopped."""
    return list(out.parent.glob(f"{glob.escape(_training_of(out).name)}*"))


def _training_of(out: Path) -> Path:
    # A long training survives being stopped beside the model that it is for.
    return out.with_name(f".{out.name}.training")


def _seconds(
    detector: Detector, parts: Parts, store: FeatureStore, backbones: list[Backbone]
) -> float:
    """Roughly how long it will take, from the second batch, which no start-up slows."""
    total = 0.0
    for backbone in backbones:
        step = detector.batch_size
        for start in (0, step if len(parts.train) > step else 0):
            batch = parts.train[start : start + step]
            begin = time.perf_counter()
            list(store.features(backbone, batch, detector.transform, step))
            spent = (time.perf_counter() - begin) / len(batch)
            total = max(total, spent) if start == 0 else spent
    return total * (len(parts.train) + len(parts.test)) * (1 + _BESIDE_BACKBONE)


def _of_stage(progress: OnStage | None, stage: str) -> Progress | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)


def _summary(
    parts: Parts, alpha: float, transform: Transform, grouping: Grouping
) -> dict[str, Any]:
    return {
        "alpha": alpha,
        "name": parts.name,
        "images": len(parts.train),
        "left_out": len(parts.excluded),
        "sizes": [[width, height, count] for (height, width), count in parts.sizes.items()],
        "data_hash": parts.train.content_hash(),
        "known_images": known_images(parts),
        "left_out_images": short_hashes(map(Sample, parts.excluded)),
        "folders": [absolute(root) for root in (parts.root, parts.added_root) if root is not None],
        "version": anomalist.__version__,
        "scenes": grouping.scenes,
        "looks": learnt_looks(parts.train, transform),
    }


def _thumbnails(images: ImageSet, bit_depth: int) -> list[bytes]:
    """JPEG files of some images, spread evenly over all."""
    places = np.unique(np.linspace(0, len(images) - 1, _THUMBNAILS).round().astype(int))
    made = []
    for i in places.tolist():
        image = images[i].read(bit_depth)
        image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=80)
        made.append(stream.getvalue())
    return made


def _draw(
    predictions: Predictions, detector: Detector, rule: Rule, target: Path, odd: Odd | None
) -> None:
    assert rule.low is not None
    assert rule.high is not None
    sheet: Image.Image = contact_sheet(
        predictions,
        detector.transform,
        low=rule.low,
        high=rule.high,
        threshold=rule.pixel_threshold,
        columns=_COLUMNS,
        side=_SIDE,
        marked={} if odd is None else dict.fromkeys(odd.paths, "far above all others"),
    )
    with atomic_path(target) as temporary:
        sheet.save(temporary)
