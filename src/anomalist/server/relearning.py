"""A candidate: learnt from what a model was fitted to, and from what people confirmed as good."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anomalist.data import ImageSet, Sample, Understanding, list_images
from anomalist.data.names import existing, plural
from anomalist.detectors import Detector
from anomalist.detectors.grouping import group_images
from anomalist.errors import DataError, WeightsError
from anomalist.inspection import FitResult, Parts, fit_parts
from anomalist.inspection.fit_result import OnStage
from anomalist.inspection.fitting import CalibrateOn
from anomalist.inspection.parts import short_hash

_TELL_EVERY = 50


def training_images(
    detector: Detector, folders: Sequence[str], *, progress: OnStage | None = None
) -> ImageSet:
    """Find the images that a detector was fitted to and calibrated on, by their content.

    Parameters
    ----------
    detector : Detector
        Fitted, loaded from its file.
    folders : sequence of str
        Where to look, at any depth; without any, where the model's file says that they lay.
    progress : callable, optional
        Called with a stage, the number found and the total.

    Returns
    -------
    ImageSet
        In the order of their paths, folder by folder.

    Raises
    ------
    DataError
        If one isn't there, or the model doesn't say which they are.
    """
    summary = detector.summary_
    fitted = Counter(digest.tobytes().hex() for digest in detector.images_)
    wanted, short = +fitted, Counter[str]()
    if sum(fitted.values()) < summary.get("images", 0):  # others were held out to calibrate
        if summary.get("left_out", 0) and "left_out_images" not in summary:
            raise DataError(
                "the model's file is of an early version, which doesn't tell images that calibrate"
                " it from those that were left out: fit it anew with anomalist fit"
            )
        known = set(summary["known_images"]) - set(summary.get("left_out_images", ()))
        short = Counter(known - set(map(short_hash, fitted)))
    total = len(wanted) + len(short)
    where = list(folders) or list(summary.get("folders", ()))
    if not where:
        raise DataError(
            "the model's file doesn't say where the images lie that it was fitted to: start the"
            " server with --training FOLDER"
        )
    found, there = list[Sample](), set[str]()
    for folder in map(existing, where):
        if not folder.is_dir():
            continue
        for path in list_images(folder, recursive=True):
            try:
                digest = Sample(path).sha256()
            except DataError:
                continue
            counter, key = (wanted, digest) if digest in fitted else (short, short_hash(digest))
            if counter[key] > 0:
                counter[key] -= 1
                there.add(digest)
                found.append(Sample(path))
                if progress is not None and len(found) % _TELL_EVERY == 0:
                    progress("find", len(there), total)
            if not (+wanted or +short):
                return ImageSet(found, summary.get("name", ""))
    if len(there) < total:
        raise DataError(
            f"{total - len(there)} of the {plural(total, 'image')} that the model was fitted to"
            f" aren't in {', '.join(where)}: start the server with --training FOLDER, where they"
            " lie now"
        )
    return ImageSet(found, summary.get("name", ""))


def relearn(
    detector: Detector,
    training: ImageSet,
    confirmed: ImageSet,
    out: Path,
    *,
    calibrate_on: CalibrateOn = "others",
    progress: OnStage | None = None,
) -> FitResult:
    """Fit a detector's settings to its own images and to confirmed ones, and calibrate it.

    Confirmed ones are chosen: people look at alarms first. Counted among those that calibrate, they
    would say that good parts look odder than they do, and raise the threshold; so, by default, they
    are learnt and the others calibrate.

    Parameters
    ----------
    detector : Detector
        The model that was fitted to the training images alone; it isn't changed.
    training, confirmed : ImageSet
        Its own images, see `training_images`, and good ones beside them.
    out : Path
        The model file to write.
    calibrate_on : {"others", "added", "all"}
        Which give the threshold: the training images, the confirmed ones, for where people judged
        all that came, or all.
    progress : callable, optional
        Called with a stage, the number of images done and the total.

    Raises
    ------
    DataError
        If an image can't be read, or the threshold came from other photographs, see
        `check_threshold`.
    WeightsError
        If the backbone's weights can't be had, or are others than the model's.
    """
    check_threshold(detector, calibrate_on)
    new = dataclasses.replace(detector)
    for part, known in zip(new.components(), detector.components(), strict=True):
        if part.make_backbone().weights_sha256 != known.backbone_.weights_sha256:
            raise WeightsError(
                f"the weights of {part.backbone} on this machine are others than those that the"
                " model was fitted with: fit it anew with anomalist fit"
            )
    images = ImageSet([*training, *confirmed], training.name)
    sizes = Counter(sample.size() for sample in images)
    root = existing(next(iter(detector.summary_.get("folders", ())), training[0].path.parent))
    empty = ImageSet([])
    parts = Parts(
        name=training.name or root.name,
        root=root,
        train=images,
        test=empty,
        excluded=(),
        sizes=dict(sizes.most_common()),
        notes=(),
        understanding=Understanding(root.name, root, False, images, empty, (), {}, (), ()),
        added=len(confirmed),
    )
    calibration = detector.calibration_
    apart = calibration is not None and calibration.scenes == len(calibration.scores)
    own = group_images(training, "none" if apart else "auto").groups
    of_confirmed = group_images(confirmed, "auto").groups + own.max() + 1
    held_out = detector.summary_.get("images", len(detector.images_)) - len(detector.images_)
    return fit_parts(
        new,
        parts,
        out,
        alpha=detector.alpha_,
        groups=np.concatenate([own, of_confirmed]).tolist(),
        split=held_out / len(training) if held_out > 0 else 0.0,
        calibrate_on=calibrate_on,
        progress=progress,
    )


def check_threshold(detector: Detector, calibrate_on: CalibrateOn) -> None:
    """Refuse to take a threshold from training images where people took it from newer ones.

    Raises
    ------
    DataError
        It says what can be done instead.
    """
    summary = detector.summary_
    known = summary.get("images", 0) + summary.get("left_out", 0)
    if calibrate_on == "others" and len(summary.get("known_images", ())) > known:
        raise DataError(
            "the model's threshold comes from newer photographs (anomalist calibrate), which are no"
            " part of it: a candidate would go back to the threshold of those that it was fitted"
            " to. Judge all that comes for a while and refit with calibrate_on added, or fit anew"
            " with anomalist fit --add FOLDER"
        )
