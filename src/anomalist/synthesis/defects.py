"""Made defects of many kinds and sizes on good photographs: to choose by, where no real one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.data import ImageSet, Sample
from anomalist.errors import DataError, ParameterError
from anomalist.synthesis.canvas import Canvas, Samples
from anomalist.synthesis.kinds import KINDS, ON_SURFACE

DECIDING = ("cut_paste", "scratch", "stain", "missing", "dent", "blur")
"""The kinds by which detectors and their settings are chosen."""

CHECKING = ("turned_piece", "crack", "pits", "discoloured", "blended_piece", "perlin_texture")
"""The kinds by which a choice is checked: none of them has a part in it."""

# A change of less than so much of the brightest value isn't seen.
_VISIBLE = 0.02
_MEAN_CHANGE = 0.04
_LEAST_PIXELS = 4
_TRIES = 12


def draw_defect(
    kind: str,
    image: Samples,
    rng: np.random.Generator,
    foreground: npt.NDArray[np.bool_] | None = None,
) -> tuple[Samples, npt.NDArray[np.bool_]]:
    """Put a defect on a good photograph.

    Its place, size, shape and strength are drawn: from tiny to as large as half of the part, from
    faint to bold. One that can hardly be seen where it fell is drawn again.

    Parameters
    ----------
    kind : str
        One of `DECIDING` or `CHECKING`.
    image : uint8 or uint16 array of shape (H, W), (H, W, 1) or (H, W, 3)
        The photograph; left as it is.
    rng : numpy.random.Generator
        What everything is drawn from.
    foreground : bool array of shape (H, W), optional
        Where the part is, on which defects are; by default as `foreground_mask` finds it.

    Returns
    -------
    image : array like the photograph
    mask : bool array of shape (H, W)
        Where it shows a defect: never nowhere.

    Raises
    ------
    ParameterError
        If there is no such kind, or the foreground is of another size.

    Examples
    --------
    >>> good = np.full((64, 64, 3), 128, np.uint8)
    >>> image, mask = draw_defect("scratch", good, np.random.default_rng(0))
    >>> bool((image[mask] != 128).any()), bool((image[~mask] == 128).mean() > 0.9)
    (True, True)
    """
    check_kinds((kind,))
    if foreground is not None and foreground.shape != image.shape[:2]:
        raise ParameterError(
            f"a foreground of shape {foreground.shape} isn't one for an image of {image.shape[:2]}"
        )
    canvas = Canvas(image if image.ndim == 3 else image[..., None], foreground)
    made, mask = _visible(kind, canvas, rng)
    return made.reshape(image.shape), mask


def _visible(
    kind: str, canvas: Canvas, rng: np.random.Generator
) -> tuple[Samples, npt.NDArray[np.bool_]]:
    """Draw until a defect is seen, and take the plainest where none is."""
    plainest = -1.0
    for _ in range(_TRIES):
        window, colours, opacity = KINDS[kind](canvas, rng)
        if kind in ON_SURFACE:
            opacity = opacity * window.of(canvas.foreground)
        there = canvas.colours(window)
        shown = canvas.put(window, there + (colours - there) * opacity[..., None])
        before = window.of(canvas.samples).astype(np.float32)
        change = np.abs(shown - before).max(axis=2) / np.float32(canvas.peak)
        changed = change > _VISIBLE
        plain = float(change[changed].mean()) if changed.sum() >= _LEAST_PIXELS else 0.0
        if plain > plainest:
            plainest, best = plain, (window, shown, changed, opacity > 0)
        if plain >= _MEAN_CHANGE:
            break
    window, shown, changed, touched = best
    made, mask = canvas.samples.copy(), np.zeros(canvas.shape, np.bool_)
    window.of(made)[...] = shown
    window.of(mask)[...] = _closed(changed) & touched
    if not mask.any():
        mask[canvas.place(rng)] = True
    return made, mask


def _closed(changed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What changed and the gaps in it: a defect is a region, though some of it looks as before."""
    reach = max(2, min(changed.shape) // 16)
    if not changed.any():
        return changed
    padded = np.pad(changed, reach + 2)
    near = ndimage.distance_transform_edt(~padded) <= reach
    filled = ndimage.binary_fill_holes(ndimage.distance_transform_edt(near) > reach)
    closed: npt.NDArray[np.bool_] = filled | padded
    return closed[reach + 2 : -reach - 2, reach + 2 : -reach - 2]


@dataclass(frozen=True)
class DrawnDefect:
    """A made defect as a change of a sample, see :class:`~anomalist.data.changed.Change`.

    Parameters
    ----------
    kind : str
        Of defect.
    seed : int
        Another seed draws another one on the same photograph.
    good : Sample
        The photograph.
    """

    kind: str
    seed: int
    good: Sample
    # The mask of the last drawing, as packed bits; replaced as a whole, so that threads need no
    # lock.
    _kept: list[tuple[tuple[int, int], npt.NDArray[np.uint8]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    @property
    def key(self) -> str:
        """All that decides what it does."""
        return f"made defect {self.kind} {self.seed}"

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return samples with the defect."""
        made, mask = draw_defect(self.kind, samples, rng)
        self._kept[:] = [(mask.shape, np.packbits(mask))]
        return made

    def mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return where the defect is, for which the photograph is read if it hasn't been."""
        if not self._kept:
            self.good.changed(self).read()
        shape, bits = self._kept[0]
        drawn = np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape)
        return drawn.astype(np.bool_)


def make_defects(
    images: ImageSet, *, seed: int = 0, kinds: Sequence[str] = DECIDING, each: int = 1
) -> ImageSet:
    """Return good photographs with made defects, labelled, with masks and kinds.

    They are drawn when they are read, from the photograph's content, the kind and the seed, and
    nothing is kept of them but where the defect is. The kinds go round, so that each comes equally
    often, whichever the photographs.

    Parameters
    ----------
    images : ImageSet
        N good photographs.
    seed : int
        Another seed draws others.
    kinds : sequence of str
        Which kinds of defects.
    each : int
        How many photographs with a defect are made of each good one, of kinds that differ for as
        long as there are others.

    Returns
    -------
    ImageSet
        N times ``each`` samples.

    Raises
    ------
    DataError
        If an image is labelled anomalous, or its size can't be read.
    ParameterError
        If there is no such kind, or none, or ``each`` is less than 1.

    Examples
    --------
    >>> good = ImageSet([Sample("frame", image=np.full((64, 64), 128, np.uint8))])
    >>> made = make_defects(good, kinds=("stain", "missing"), each=2)
    >>> made.defects, made.labels, bool(made[0].read_mask().any())
    (['stain', 'missing'], array([ True,  True]), True)
    """
    check_kinds(kinds)
    if each < 1:
        raise ParameterError(f"each must be at least 1, not {each}")
    made = []
    for turn in range(each):
        for place, good in enumerate(images):
            if good.label:
                raise DataError(f"{good.path} is labelled anomalous: defects are made on good ones")
            kind = kinds[(place + turn) % len(kinds)]
            nothing = np.broadcast_to(np.False_, good.size())
            drawn = good.changed(DrawnDefect(kind, seed + turn // len(kinds), good))
            made.append(drawn.marked(True, kind, nothing))
    return ImageSet(made, images.name)


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse kinds of defects that can't be made.

    Raises
    ------
    ParameterError
        It lists those that can.
    """
    if not kinds:
        raise ParameterError(f"name at least one kind of defect of: {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in KINDS:
            raise ParameterError(f"no made defect {kind!r}; there are {', '.join(KINDS)}")
