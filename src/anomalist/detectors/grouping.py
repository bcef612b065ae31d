"""Which photographs aren't independent, and calibration that knows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomalist.calibration import all_differ, join_groups, number_groups
from anomalist.data import ImageSet, Transform, bit_depth_of, load_batches
from anomalist.data.names import images as counted
from anomalist.data.names import plural
from anomalist.data.naming_scenes import in_order_of_names, scenes_by_folder, scenes_by_name
from anomalist.data.runs import find_runs
from anomalist.data.scenes import find_scenes
from anomalist.detectors.base import Detector
from anomalist.errors import ParameterError
from anomalist.features import Backbone, FeatureStore, Progress
from anomalist.predictions import Predictions
from anomalist.training import Training

_BY_NAME = "by-name"
_SHOWN = "by what they show"
# The network that comes with the package, at a size at which parts are still told apart.
_BACKBONE = "efficientnet_lite0"
_LAYERS = ("stride4", "stride8", "stride16", "stride32")
_SIDE = 128
_BATCH = 16
# From what share of the images on scenes count as being as many as images.
_ALL_SCENES = 0.95


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which of some photographs show one scene.

    Parameters
    ----------
    groups : int64 array of shape (n,)
        The scene of each, numbered from 0.
    notes : tuple of str
        What a person should know of it.
    """

    groups: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @property
    def scenes(self) -> int:
        """How many independent scenes there are."""
        return int(self.groups.max(initial=-1)) + 1

    @property
    def apart(self) -> npt.NDArray[np.int64] | None:
        """The groups, for what scores each without the others; None where all are of one."""
        return self.groups if self.scenes > 1 else None


@dataclass(frozen=True, eq=False)
class Seen:
    """What some photographs show.

    Parameters
    ----------
    images : ImageSet
        N photographs.
    features : float32 array of shape (N, d)
        Maps of a backbone, averaged over the image.
    thumbnails : float32 array of shape (N, 32, 32)
        Small grey pictures.
    """

    images: ImageSet
    features: npt.NDArray[np.float32]
    thumbnails: npt.NDArray[np.float32]

    def __getitem__(self, places: npt.NDArray[np.intp]) -> Seen:
        return Seen(self.images[places], self.features[places], self.thumbnails[places])

    def groups(self) -> npt.NDArray[np.int64]:
        """Groups by near copies, and by runs in the order of names."""
        n = len(self.images)
        order = in_order_of_names(self.images)
        runs = np.empty(n, np.int64)
        runs[order] = find_runs(self.features[order])
        joined = join_groups(find_scenes(self.thumbnails).astype(np.int64), runs)
        # A few alike are among any photographs, and change nothing.
        return np.arange(n) if joined.max() + 1 > _ALL_SCENES * n else joined


def check_groups(groups: str | Sequence[Hashable]) -> None:
    """Refuse a way to find groups that isn't known.

    Raises
    ------
    ParameterError
        It lists those that are.
    """
    if isinstance(groups, str) and groups not in ("auto", "none", "by-folder"):
        if groups.split(None, 1)[:1] != [_BY_NAME]:
            raise ParameterError(
                f"groups must be auto, none, by-folder or by-name PATTERN, not {groups!r}"
            )
        if not groups.removeprefix(_BY_NAME).strip():
            raise ParameterError(
                "by-name takes a pattern that finds the scene in a name: by-name 'part(\\d+)'"
            )


def group_images(
    images: ImageSet,
    groups: str | Sequence[Hashable],
    *,
    progress: Progress | None = None,
) -> Grouping:
    r"""Find out which photographs show one scene: shots of one part, or frames of one run.

    Parameters
    ----------
    images : ImageSet
        N good images.
    groups : str or sequence of hashable
        ``auto`` takes what the data set says (`Sample.group`), or else what photographs show:
        `~anomalist.data.scenes.find_scenes` and, in the order of names,
        `~anomalist.data.runs.find_runs`. ``none`` takes each for a scene of its own, ``by-folder``
        those of a folder for one, and ``by-name PATTERN`` those in whose names a regular expression
        finds the same, such as ``by-name part(\d+)``. A sequence says the group of each.
    progress : callable, optional
        Called with the number of images looked at and the total, where they are looked at.

    Returns
    -------
    Grouping

    Raises
    ------
    ParameterError
        If ``groups`` is none of these, or finds nothing or one scene for all by folder or name.
    DataError
        If groups aren't one an image, or an image can't be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from anomalist.data import Sample
    >>> images = ImageSet([Sample(Path(f"part{i // 2}_{i}.png")) for i in range(4)])
    >>> group_images(images, "by-name part\\d+").groups.tolist()
    [0, 0, 1, 1]
    """
    check_groups(groups)
    n = len(images)
    if not isinstance(groups, str):
        return _told(number_groups(groups, n), "as given")
    if groups == "none" or n < 2:
        return Grouping(np.arange(n))
    if groups == "auto":
        known = [sample.group for sample in images]
        if any(group is not None for group in known):
            named = [i if group is None else group for i, group in enumerate(known)]
            return _told(number_groups(named, n), "as the data set says")
        return _told(look_at(images, progress).groups(), _SHOWN)
    if groups == "by-folder":
        return _told(number_groups(scenes_by_folder(images), n), "by folder")
    scenes, unnamed = scenes_by_name(images, groups.split(None, 1)[1])
    grouping = _told(number_groups(scenes, n), "by name")
    if not unnamed:
        return grouping
    told = (
        f"by-name finds nothing in {len(unnamed)} of {n} names, such as {unnamed[0]}: each counts"
        " as a scene of its own"
    )
    return dataclasses.replace(grouping, notes=(*grouping.notes, told))


def calibrate_grouped(
    detector: Detector,
    images: ImageSet,
    grouping: Grouping,
    *,
    split: float = 0.0,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
    training: Training | None = None,
) -> Predictions:
    """Calibrate a detector on its good images, scene by scene.

    Where all are of one scene, nothing of another could score them: each is then scored without
    itself alone, and the calibration says that it is of one scene.

    Parameters
    ----------
    detector, images, split, store, progress, training
        As for :meth:`~anomalist.detectors.Detector.calibrate`.
    grouping : Grouping
        Of the images.

    Returns
    -------
    Predictions
        Of the images, or with a split of those held out, by a detector that hadn't seen them.
    """
    held_out = detector.calibrate(
        images,
        groups=grouping.apart,
        split=split,
        store=store,
        progress=progress,
        training=training,
    )
    if grouping.apart is None and detector.calibration_ is not None:
        detector.calibration_ = dataclasses.replace(
            detector.calibration_, groups=np.zeros(len(held_out), np.int64)
        )
    return held_out


def _told(groups: npt.NDArray[np.int64], how: str) -> Grouping:
    if all_differ(groups):
        return Grouping(groups)
    scenes = plural(int(groups.max()) + 1, "independent scene")
    about, otherwise = ("about ", "; --groups says otherwise") if how == _SHOWN else ("", "")
    told = f"{counted(len(groups))} to learn from, {about}{scenes} {how}: the promise is for those"
    told += otherwise
    return Grouping(groups, (told,))


def look_at(images: ImageSet, progress: Progress | None = None) -> Seen:
    """Look at photographs, in the same way whatever is fitted to them."""
    transform = Transform(_SIDE, bit_depth=bit_depth_of(images))
    backbone = Backbone(_BACKBONE, _LAYERS)
    features, thumbnails = [], []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        for pixels in load_batches(batch, transform, _BATCH):
            pooled = [layer.mean(dim=(2, 3)).numpy() for layer in backbone(pixels)]
            features.append(np.concatenate(pooled, axis=1))
        thumbnails += [sample.look(transform).thumbnail for sample in batch]
        if progress is not None:
            progress(start + len(batch), len(images))
    return Seen(images, np.concatenate(features), np.stack(thumbnails))
