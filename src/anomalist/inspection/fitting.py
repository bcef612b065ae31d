"""From a folder of photographs of good parts to a calibrated model in a file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from anomalist.calibration import (
    DEFAULT_ALPHA,
    check_split,
    count_held_out,
    fewest_images,
    number_groups,
)
from anomalist.choosing import Auto
from anomalist.conditions import learnt_looks
from anomalist.detectors import Detector
from anomalist.detectors.grouping import calibrate_grouped, check_groups, group_images
from anomalist.features import Backbone, FeatureStore, unite_backbones
from anomalist.inspection.copies import kept_pictures
from anomalist.inspection.findings import Rule
from anomalist.inspection.fit_result import (
    FitResult,
    OnStage,
    aligned_note,
    check_memory,
    check_model_file,
    choosing_of,
    depth_note,
    finish,
    ignored_note,
    of_stage,
    reading_notes,
    summary_of,
    thumbnails_of,
    training_of,
)
from anomalist.inspection.parts import Parts, known_images
from anomalist.predictions import Predictions
from anomalist.training import Training

#: Of which images the threshold comes, where some were added.
CalibrateOn = Literal["added", "others", "all"]

# What fitting, calibrating and drawing take beside the backbone, in shares of it.
_BESIDE_BACKBONE = 2.0


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
        Unfitted; or an `~anomalist.choosing.Auto`, which chooses it first.
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
        images are then too few to guarantee ``alpha`` says so in the notes.
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
    check_model_file(out, parts)
    grouping = group_images(parts.train, groups, progress=of_stage(progress, "scenes"))
    store = FeatureStore()
    choice = None
    if isinstance(detector, Auto):
        choice = detector.choose(
            parts.train,
            groups=grouping.apart,
            store=store,
            kept=choosing_of(out),
            progress=of_stage(progress, "choose"),
        )
        detector = choice.detector
    check_memory(detector, detector.input_size_of(parts.train), len(parts.train))
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
    shared = unite_backbones(member.make_backbone() for member in detector.components())
    for backbone in shared:
        store.adopt(backbone)
    if estimate is not None:
        estimate(_seconds(detector, parts, store, shared))
    kept = training_of(out)
    training = Training(checkpoint=kept)
    detector.fit(
        learnt,
        groups=learnt_groups,
        store=store,
        progress=of_stage(progress, "fit"),
        training=training,
    )
    held_out = None
    if share and chosen:
        held_out = detector.calibrate(
            parts.train[np.flatnonzero(held_out_of)],
            seen=False,
            groups=dealt[held_out_of],
            store=store,
            progress=of_stage(progress, "calibrate"),
        )
    elif len(parts.train) > 1:
        held_out = calibrate_grouped(
            detector,
            parts.train,
            grouping,
            split=share,
            store=store,
            progress=of_stage(progress, "calibrate"),
            training=training,
        )
    calibrating, told = held_out, list[str]()
    if held_out is not None and parts.added and calibrate_on != "all":
        calibrating, text = _by_some(detector, held_out, parts, alpha, calibrate_on)
        told.append(text)
    detector.summary_ = summary_of(
        parts,
        alpha,
        scenes=grouping.scenes,
        data_hash=parts.train.content_hash(),
        known=known_images(parts),
        looks=learnt_looks(parts.train, detector.sight),
        choice=choice,
    )
    detector.thumbnails_ = thumbnails_of(parts.train, detector.bit_depth_)
    detector.pictures_ = kept_pictures(parts.train, detector.bit_depth_)
    notes = (
        *grouping.notes,
        *told,
        *depth_note(detector, sum(sample.peak() > 0 for sample in parts.train)),
        *aligned_note(detector),
        *ignored_note(detector),
        *reading_notes(detector, parts.train),
        *dict.fromkeys(training.notes),
        *_split_note(Rule.of(detector, alpha=alpha), share, len(learnt), len(parts.train)),
    )
    return finish(
        detector,
        parts,
        out,
        alpha=alpha,
        share=share,
        held_out=held_out,
        calibrating=calibrating,
        notes=notes,
        store=store,
        choice=choice,
        progress=progress,
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
        f"{told}, too few to guarantee a false-alarm rate of {100 * rule.alpha:.3g}%, which takes"
        f" {fewest_images(rule.alpha)}: give {needed} images, or --split 0, which calibrates on all"
        " that it is fitted to"
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


def _seconds(
    detector: Detector, parts: Parts, store: FeatureStore, backbones: list[Backbone]
) -> float:
    """Roughly how long it will take, from the second batch, which no start-up slows."""
    total = 0.0
    plans = [member.planned(parts.train) for member in detector.components()]
    transform, preparation = max(plans, key=lambda plan: math.prod(plan[0].output_size))
    for backbone in backbones:
        step = preparation.photographs_at_once(detector.batch_size)
        for start in (0, step if len(parts.train) > step else 0):
            batch = parts.train[start : start + step]
            begin = time.perf_counter()
            list(store.features(backbone, batch, transform, step, preparation=preparation))
            spent = (time.perf_counter() - begin) / len(batch)
            total = max(total, spent) if start == 0 else spent
    return total * (len(parts.train) + len(parts.test)) * (1 + _BESIDE_BACKBONE)
