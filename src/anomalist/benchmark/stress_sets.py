"""What is learnt from and tested on in a case of a stress test; samples are changed when read."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomalist.benchmark.stress_cases import CONDITIONS, Case
from anomalist.benchmark.stress_changes import CHANGES, Samples
from anomalist.data import Category, ImageSet, Transform
from anomalist.data.names import plural
from anomalist.synthesis import LocalSynthesis, Textures, foreground_mask

# A threshold of 5 % takes 19 images: contamination of fewer would be measured without one.
_FEWEST = 20
_PATCH = 8


@dataclass(frozen=True)
class MadeDefect:
    """A made defect on the part that a photograph shows: a drawn pattern blended into it.

    Local synthesis of GLASS (Chen et al., ECCV 2024) at the photograph's own size, drawn from its
    content; see :class:`~anomalist.synthesis.LocalSynthesis`.
    """

    key: str = "stress made defect"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return samples with a defect, see :class:`~anomalist.data.changed.Change`."""
        height, width, channels = samples.shape
        scaled = samples.astype(np.float32) * np.float32(255 / white)
        eight = np.broadcast_to(np.rint(scaled).astype(np.uint8), (height, width, 3))
        grid = -(-height // _PATCH), -(-width // _PATCH)
        synthesis = LocalSynthesis(
            textures=Textures(), transform=Transform((height, width)), grid=grid
        )
        made, mask = synthesis(eight, rng, foreground_mask(np.ascontiguousarray(eight)))
        shown = made.mean(axis=2, keepdims=True) if channels == 1 else made
        defect = np.rint(shown * (white / 255)).astype(samples.dtype)
        return np.where(mask[..., None], defect, samples)

    def mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the mask as it is."""
        return mask


def disturbed(category: Category, case: Case, seed: int) -> tuple[Category, tuple[str, ...]]:
    """Return the images of a case, and what is to be known of them.

    Parameters
    ----------
    category : Category
        The undisturbed one.
    case : Case
        What is done to it.
    seed : int
        Of the draw of what is learnt from; draws of one seed are nested: fewer shots are among
        more, and a smaller contamination is part of a larger one.
    """
    if case.condition == "shots":
        order = np.random.default_rng(seed).permutation(len(category.train))
        train = category.train[np.sort(order[: int(case.level)])]
        return dataclasses.replace(category, train=train), ()
    if case.condition == "contamination":
        return _contaminated(category, case.level, seed)
    change = CHANGES[case.condition](case.level)

    def all_of(images: ImageSet) -> ImageSet:
        return ImageSet([sample.changed(change) for sample in images], images.name)

    train = all_of(category.train) if case.where == "all" else category.train
    return Category(category.name, train, all_of(category.test)), ()


def _contaminated(category: Category, level: float, seed: int) -> tuple[Category, tuple[str, ...]]:
    """Replace good images to learn from by defects, and measure the same test set at every level.

    Every second defective test image of each kind is kept to be moved, at level 0 too, and so many
    images are learnt from at every level as these are enough for at the highest.
    """
    train, test = category.train, category.test
    moved, measured = _split(test)
    highest = CONDITIONS["contamination"].high
    total = min(len(train), int(len(moved) / highest))
    rng = np.random.default_rng(seed)
    chosen = train[rng.permutation(len(train))]
    if total >= _FEWEST:
        defects = [
            dataclasses.replace(sample, label=False, defect="good", mask=None)
            for sample in moved[rng.permutation(len(moved))]
        ]
        test, kind = measured, "test defects moved in"
    else:
        total = len(train)
        defects = [sample.changed(MadeDefect()) for sample in chosen[::-1]]
        kind = "made defects"
    count = round(level * total)
    learnt = [*chosen[: total - count], *defects[:count]]
    note = f"{plural(total, 'image')} learnt from, {count} of them with {kind}"
    return Category(category.name, ImageSet(learnt, train.name), test), (note,)


def _split(test: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Take every second defective image of each kind out."""
    of_kind: defaultdict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(test):
        if sample.label:
            of_kind[sample.defect].append(i)
    taken = np.zeros(len(test), np.bool_)
    for places in of_kind.values():
        taken[places[1::2]] = True
    return test[taken], test[~taken]
