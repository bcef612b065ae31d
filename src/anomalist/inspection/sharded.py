"""A fit to more images than one machine should read: shard by shard, and put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from anomalist.calibration import DEFAULT_ALPHA, fewest_images, number_groups
from anomalist.data import ImageSet, Sample
from anomalist.data.names import images as counted
from anomalist.data.names import plural
from anomalist.detectors import Detector
from anomalist.detectors.good_images import check_good, check_shown
from anomalist.detectors.grouping import Grouping, check_groups, group_images
from anomalist.detectors.shards import Shard, deal_shards, spread_evenly
from anomalist.errors import ParameterError
from anomalist.features import FeatureStore
from anomalist.inspection.fit_result import (
    FitResult,
    OnStage,
    check_memory,
    check_model_file,
    depth_note,
    finish,
    ignored_note,
    of_stage,
    summary_of,
    thumbnails_of,
)
from anomalist.inspection.parts import Parts, short_hash, short_hashes, sizes_note
from anomalist.inspection.shard_work import Home, OnShard, Runner, one_by_one

#: Images that calibrate where nobody says how many, if they are at most a share of all.
CALIBRATE_IMAGES, CALIBRATE_SHARE = 1000, 0.3
# Images that are looked at first where none calibrates.
_LOOKED_AT = 100


def fit_shards(
    detector: Detector,
    parts: Parts,
    out: str | Path,
    *,
    shards: int,
    run: Runner = one_by_one,
    alpha: float = DEFAULT_ALPHA,
    groups: str | Sequence[Hashable] = "auto",
    calibrate_images: int | None = None,
    progress: OnStage | None = None,
) -> FitResult:
    """Fit a detector shard by shard, calibrate it on some images that are held out, and save it.

    Every shard is read and summed up on its own, on one machine after the other or on many at once,
    and the sums are put together in the order of the shards: the model depends on how many shards
    there are, but not on who does which. PaDiM and DFM learn what they would of all images at once,
    but for rounding. PatchCore's bank covers all patches within ``coverage_radius_``, see
    `~anomalist.neighbors.StreamingCoreset`. Of other images than those that calibrate nothing is
    kept but a hash, and that of 131,072 at most.

    Parameters
    ----------
    detector : Detector
        Unfitted; its ``memory_limit_mb`` is for each shard, and for what puts them together.
    parts : Parts
        What :func:`open_parts` found, which needn't have read the images.
    out : str or Path
        The model file.
    shards : int
        Into how many shards the images are dealt.
    run : callable, optional
        Does the work of the shards; by default this process does, one after the other.
    alpha : float
        The false-alarm rate that the threshold is to have.
    groups : str or sequence of hashable
        Which images aren't independent, see `~anomalist.detectors.grouping.group_images`: none of a
        group that calibrates is learnt from. Where ``auto`` would have to look at all, only those
        that calibrate are looked at.
    calibrate_images : int, optional
        How many images are drawn by the seed and held out of the fit to calibrate. By default
        1,000, or three in ten where that is less.
    progress : callable, optional
        Called with a stage, the number of images done and the total.

    Raises
    ------
    DataError
        If an image can't be read.
    ParameterError
        If the detector can't be fitted so, ``alpha`` isn't between 0 and 1, images are too few for
        so many shards, ``out`` lies among them, or ``groups`` can't be.
    OSError
        If the file can't be written.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import PaDiM
    >>> from anomalist.data import make_sample_set
    >>> from anomalist.inspection import open_parts
    >>> folder = Path(tempfile.mkdtemp())
    >>> root = make_sample_set(
    ...     folder / "data", image_size=64, train=12, good=2, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> parts = open_parts(root, read=False)
    >>> result = fit_shards(PaDiM(image_size=64), parts, folder / "key.anomalist", shards=2)
    >>> result.detector.summary_["shards"], len(result.held_out)
    (2, 3)
    """
    fewest_images(alpha)
    check_groups(groups)
    out = Path(out)
    check_model_file(out, parts)
    check_good(parts.train)
    grouping = _Scenes.of(parts.train, groups)
    held_out = draw(grouping.groups, calibrate_images, detector.seed)
    learnt = parts.train[np.flatnonzero(~held_out)]
    sample = parts.train[np.flatnonzero(held_out)]
    dealt = deal_shards(len(learnt), shards)
    looked_at = sample if len(sample) else learnt[spread_evenly(len(learnt), _LOOKED_AT)]
    settled = detector.settle(looked_at)
    check_memory(detector, settled.input_size, len(parts.train))
    detector.check_shards(dealt, settled.input_size)
    check_shown(looked_at, settled.bit_depth)
    home = Home.of(learnt)
    works = [home.work(detector, shard, settled) for shard in dealt]
    results = run(works, _counted(dealt, progress))
    detector.join(home.summaries(results, works), dealt, settled=settled)
    kept = detector.keep_digests(home.digests)
    notes = list(grouping.notes)
    predictions = None
    store = FeatureStore(memory_limit_mb=0)
    unlike, told = home.unlike(sample)
    notes += told
    if len(unlike):
        scenes = Grouping(number_groups(grouping.groups[held_out][unlike], len(unlike)))
        if not grouping.found:
            scenes = group_images(sample[unlike], "auto")
            notes += scenes.notes
        predictions = detector.calibrate(
            sample[unlike],
            seen=False,
            groups=scenes.groups,
            store=store,
            progress=of_stage(progress, "calibrate"),
        )
        assert detector.calibration_ is not None
        method = f"{len(unlike)} of {len(parts.train)} images, drawn at random, held out of the fit"
        detector.calibration_ = dataclasses.replace(detector.calibration_, method=method)
    for image in sample:
        home.told.sizes[image.size()] += 1
    parts = dataclasses.replace(parts, sizes=dict(home.told.sizes.most_common()))
    left_out = map(Sample, parts.excluded)
    hashes = {short_hash(digest.tobytes().hex()) for digest in home.digests[kept]}
    all_digests = np.empty((len(parts.train), 32), np.uint8)
    all_digests[~held_out], all_digests[held_out] = home.digests, sample.digests()
    detector.summary_ = {
        **summary_of(
            parts,
            alpha,
            scenes=grouping.scenes,
            data_hash=parts.train.content_hash(all_digests),
            known=sorted({*hashes, *short_hashes([*sample, *left_out])}),
            looks=home.told.looks,
        ),
        "shards": shards,
        **({} if predictions is None else {"drawn_of": len(parts.train)}),
    }
    detector.thumbnails_ = thumbnails_of(learnt, settled.bit_depth)
    detector.pictures_ = home.pictures
    notes += [
        f"fitted to {counted(len(learnt))} of {len(parts.train)}, in {plural(shards, 'shard')};"
        f" {len(unlike)} others, drawn by the seed, calibrate",
        *sizes_note(parts.sizes),
        *home.notes(parts.test),
        *depth_note(detector, home.told.deep),
        *ignored_note(detector),
        *home.told.remarks.lines(),
    ]
    return finish(
        detector,
        parts,
        out,
        alpha=alpha,
        share=len(sample) / len(parts.train),
        held_out=predictions,
        calibrating=predictions,
        notes=notes,
        store=store,
        progress=progress,
    )


def draw(groups: npt.NDArray[np.int64], images: int | None, seed: int) -> npt.NDArray[np.bool_]:
    """Draw images that are held out to calibrate, whole groups of them.

    Parameters
    ----------
    groups : int64 array of shape (n,)
        Of all images, numbered from 0.
    images : int, optional
        How many are wanted, at least; by default 1,000, or three in ten where that is less.
    seed : int
        Of the draw.

    Returns
    -------
    bool array of shape (n,)

    Raises
    ------
    ParameterError
        If fewer than none are wanted, or so many that none would be left to learn from.

    Examples
    --------
    >>> draw(np.arange(10), None, seed=0).sum(), draw(np.array([0, 0, 1, 1]), 1, seed=0).sum()
    (np.int64(3), np.int64(2))
    """
    n = len(groups)
    wanted = min(CALIBRATE_IMAGES, int(CALIBRATE_SHARE * n)) if images is None else images
    if wanted < 0:
        raise ParameterError(f"calibrate_images must be 0, for none, or more, not {wanted}")
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    # Groups are drawn until there are as many images.
    count = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1 if wanted else 0
    if count >= len(sizes):
        raise ParameterError(
            f"calibrate_images={wanted} leaves none of {counted(n)} to learn from: draw fewer"
        )
    held_out = np.zeros(len(sizes), np.bool_)
    held_out[order[:count]] = True
    return held_out[groups]


@dataclass(frozen=True, eq=False)
class _Scenes:
    """Which images aren't independent, and whether that was found out at all."""

    groups: npt.NDArray[np.int64]
    found: bool
    notes: tuple[str, ...]

    @classmethod
    def of(cls, images: ImageSet, groups: str | Sequence[Hashable]) -> Self:
        if groups == "auto" and all(sample.group is None for sample in images):
            return cls(np.arange(len(images)), False, ())
        grouping = group_images(images, groups)
        return cls(grouping.groups, True, grouping.notes)

    @property
    def scenes(self) -> int:
        return int(self.groups.max()) + 1


def _counted(shards: list[Shard], progress: OnStage | None) -> OnShard | None:
    """Add up what is done of the shards."""
    if progress is None:
        return None
    done = [0] * len(shards)

    def count(index: int, images: int) -> None:
        done[index] = images
        progress("fit", sum(done), shards[0].images)

    return count
