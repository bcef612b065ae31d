"""What a fit gives: a model in its file, what it promises, and what a person should look at."""

from __future__ import annotations

import dataclasses
import glob
import io
import os
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

import anomalist
from anomalist.calibration import (
    find_outliers,
    number_groups,
    threshold,
)
from anomalist.choosing import Choice
from anomalist.data import DEPTHS, ImageSet, Sample, gather_remarks
from anomalist.data.walking import LEAST_NORMAL
from anomalist.detectors import Detector, Ensemble
from anomalist.detectors.input_size import choose_tiles
from anomalist.digits import shown
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore, Progress, pick_device
from anomalist.files import absolute, atomic_path, check_writable
from anomalist.inspection.copies import NearCopies
from anomalist.inspection.findings import Rule
from anomalist.inspection.measuring import Measured, measure
from anomalist.inspection.parts import Parts, check_outside, short_hashes
from anomalist.origins import origin_of
from anomalist.predictions import Predictions
from anomalist.report import contact_sheet

#: Called with the name of a stage, the number of images done and the total.
OnStage = Callable[[str, int, int], None]
_SHOWN = 8
_COLUMNS = 4
_SIDE = 320
_THUMBNAILS = 6
_THUMBNAIL_SIDE = 96
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
    choice : Choice or None
        How the detector was chosen, where it chose itself.
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
    choice: Choice | None = None

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
            "choice": None if self.choice is None else self.choice.as_dict(),
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
    threshold, without : float
        The threshold, and what it would be from the held-out scores of the others as they are,
        without fitting anew.
    """

    paths: tuple[Path, ...]
    scores: tuple[float, ...]
    threshold: float
    without: float

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
        assert rule.threshold is not None
        return cls(
            paths=tuple(Path(held_out.paths[i]) for i in places.tolist()),
            scores=tuple(float(held_out.scores[i]) for i in places.tolist()),
            threshold=rule.threshold,
            without=without,
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
        if self.without == self.threshold:
            return (
                f"{named}: held-out {scores} far above all others', which doesn't change the"
                f" threshold; {look}"
            )
        without = shown(self.without, beside=self.threshold)
        rest = f"without {it}, and without fitting anew, it would be {without}"
        if self.threshold < min(self.scores):
            return f"{named}: held-out {scores} far above all others'; {rest}; {look}"
        threshold = shown(self.threshold, beside=self.without)
        return (
            f"threshold {threshold} is set by {named}, whose {scores} {far} far above the"
            f" others; {rest}; {look}"
        )


def finish(
    detector: Detector,
    parts: Parts,
    out: Path,
    *,
    alpha: float,
    share: float,
    held_out: Predictions | None,
    calibrating: Predictions | None,
    notes: Iterable[str],
    store: FeatureStore,
    choice: Choice | None = None,
    progress: OnStage | None = None,
) -> FitResult:
    """Save a detector that is fitted, calibrated and summarised; draw, and measure it.

    Parameters
    ----------
    detector : Detector
        With its ``summary_``.
    parts : Parts
        Of which those to test on measure it.
    out : Path
        The model file.
    alpha : float
        The false-alarm rate of its threshold.
    share : float
        Of the images that was held out of the fit.
    held_out, calibrating : Predictions or None
        Of images that it hadn't seen, or as if; of those of them that gave the threshold.
    notes : iterable of str
        What a person should know.
    store : FeatureStore
        Keeps feature maps.
    choice : Choice, optional
        How the detector was chosen, where it chose itself.
    progress : callable, optional
        Called with a stage, the number of images done and the total.

    Raises
    ------
    DataError
        If an image to test on can't be read.
    OSError
        If the file can't be written.
    """
    detector.save(out)
    for leftover in (*unfinished_training(out), choosing_of(out)):
        leftover.unlink(missing_ok=True)
    rule = Rule.of(detector, alpha=alpha)
    sheet, least_normal = None, list[tuple[Path, float]]()
    odd = None
    if held_out is not None and calibrating is not None:
        calibration = detector.calibration_
        odd = Odd.of(calibrating, rule, None if calibration is None else calibration.groups)
        order = np.argsort(-held_out.scores, kind="stable")[:_SHOWN].tolist()
        least_normal = [(Path(held_out.paths[i]), float(held_out.scores[i])) for i in order]
        sheet = sheet_of(out)
        _draw(held_out[order], detector, rule, sheet, odd)
    measured = None
    if len(parts.test):
        try:
            predictions = detector.predict(
                parts.test, store=store, progress=of_stage(progress, "test")
            )
        except DataError as error:
            raise DataError(f"{error}; the model is in {out}, but wasn't measured") from error
        read = tuple(reading_notes(detector, parts.test))
        copies = NearCopies.of_model(detector, parts.test)
        measured = measure(predictions, detector, alpha, read, near_copies=copies)
    return FitResult(
        *(detector, out, rule, sheet, least_normal, measured, share, odd, tuple(notes)),
        held_out=held_out,
        choice=choice,
    )


def summary_of(
    parts: Parts,
    alpha: float,
    *,
    scenes: int,
    data_hash: str,
    known: list[str],
    looks: dict[str, list[float]],
    choice: Choice | None = None,
) -> dict[str, Any]:
    """Return what a model tells of its fit.

    Parameters
    ----------
    parts : Parts
        What it was fitted to and calibrated on.
    alpha : float
        The false-alarm rate of its threshold.
    scenes : int
        How many independent ones the images show.
    data_hash : str
        Hash of all images.
    known : list of str
        Short hashes of images that it knows.
    looks : dict
        The range of each number of how they look.
    choice : Choice, optional
        How the detector was chosen, where it chose itself.
    """
    return {
        **({} if choice is None else {"choice": choice.as_dict()}),
        "alpha": alpha,
        "name": parts.name,
        "images": len(parts.train),
        "left_out": len(parts.excluded),
        "sizes": [[width, height, count] for (height, width), count in parts.sizes.items()],
        "data_hash": data_hash,
        "known_images": known,
        "left_out_images": short_hashes(map(Sample, parts.excluded)),
        "folders": [
            origin_of(root) or absolute(root)
            for root in (parts.root, parts.added_root)
            if root is not None
        ],
        "version": anomalist.__version__,
        "scenes": scenes,
        "looks": looks,
    }


def thumbnails_of(images: ImageSet, bit_depth: int) -> list[bytes]:
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


def check_model_file(out: Path, parts: Parts) -> None:
    """Tell before any work that the model can't be written, or would mix with the images."""
    for root in (parts.root, parts.added_root):
        if root is not None:
            check_outside(out, root)
    if out.is_dir():
        raise ParameterError(f"{out} is a folder: name the file to write, such as part.anomalist")
    kept = training_of(out)
    for path in (out, sheet_of(out), kept.with_name(f"{kept.name}.fold00")):
        check_writable(path)


def check_memory(detector: Detector, input_size: tuple[int, int], images: int) -> None:
    """Refuse a batch that can't fit, which the system would answer by ending the program."""
    if pick_device(detector.device).type != "cpu" or not hasattr(os, "sysconf"):
        return
    tiles = choose_tiles(detector, input_size)
    height, width = input_size if tiles is None else tiles.tile
    batch = min(detector.batch_size, images * (1 if tiles is None else len(tiles)))
    least = batch * height * width * _BYTES_A_PIXEL
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if least > there:
        what = "images" if tiles is None else "tiles"
        raise ParameterError(
            f"a batch of {batch} {what} of {width} x {height} pixels takes more than"
            f" {least / 1e9:.0f} GB of memory, and this machine has {there / 1e9:.0f} GB: lower"
            " image_size or batch_size"
        )


def depth_note(detector: Detector, deep: int) -> list[str]:
    """Say what is white in so many images of 16 bits, where that was settled from the images."""
    bits = detector.bit_depth_
    if bits == DEPTHS[-1] or not deep or detector.bit_depth is not None:
        return []
    use = "image uses" if deep == 1 else "images use"
    return [
        f"{deep} {use} 1/{2 ** (16 - bits)} of the 16-bit range: {2**bits - 1} ({bits} bits) is"
        " white in all images of this model; --bit_depth says otherwise"
    ]


def ignored_note(detector: Detector) -> list[str]:
    """Say how much of the photographs is ignored, where any is."""
    ignored = detector.preparation.ignored
    if ignored is None:
        return []
    of = "each photograph" if detector.preparation.registration is None else "what is looked at"
    return [
        f"{ignored.share:.1%} of {of} is ignored: not learnt from, not scored, outlined in pictures"
    ]


def aligned_note(detector: Detector) -> list[str]:
    """Say what is looked at where the part is, if it is looked for."""
    parts = detector.members_ if isinstance(detector, Ensemble) else [detector]
    found = [part.preparation.registration for part in parts]
    told = [
        f"align shows the part alone, {one.share:.0%} of a photograph at {one.frame[1]} x"
        f" {one.frame[0]} pixels: what lies elsewhere isn't looked at"
        for one in found
        if one is not None
    ]
    return list(dict.fromkeys(told))


def reading_notes(detector: Detector, images: ImageSet) -> list[str]:
    """Return what reading the images told, as the detector reads them."""
    return gather_remarks(images, bit_depth=detector.transform.bit_depth)


def sheet_of(out: Path) -> Path:
    """Return the picture of what looks least normal, beside a model."""
    return out.with_name(f"{out.stem}{LEAST_NORMAL}")


def unfinished_training(out: Path) -> list[Path]:
    """Return the files that a training for a model has left, which was stopped."""
    return list(out.parent.glob(f"{glob.escape(training_of(out).name)}*"))


def choosing_of(out: Path) -> Path:
    """Return the file that keeps what was judged for a model."""
    return out.with_name(f".{out.name}.choosing")


def training_of(out: Path) -> Path:
    """Return the checkpoint of a model's training."""
    # A long training survives being stopped beside the model that it is for.
    return out.with_name(f".{out.name}.training")


def of_stage(progress: OnStage | None, stage: str) -> Progress | None:
    """Return the progress of one stage."""
    return None if progress is None else lambda done, total: progress(stage, done, total)


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
