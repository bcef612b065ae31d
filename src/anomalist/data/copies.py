"""Near copies across two sets: the same photograph again, or another shot of the same scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft  # type: ignore[import-untyped]
from scipy.special import ndtri  # type: ignore[import-untyped]

from anomalist.data.imageset import ImageSet
from anomalist.data.loader import load_batches
from anomalist.data.scenes import find_scenes
from anomalist.data.transforms import Transform
from anomalist.errors import DataError

#: Side in pixels of the grey pictures that are compared.
SIDE = 128
#: How often one or more of the photographs of a set may be found that are no copies.
LEVEL = 0.01

# Cycles a picture that are compared: what is coarser is light, what is finer is noise.
_COARSE, _FINE = 8.0, 40.0
# Of the side, what fades at each border, and how far a copy may be shifted.
_FADE, _SHIFT = 0.15, 0.06
_REACH = round(_SHIFT * SIDE)
_PARTS = np.linspace(-0.75, 0.75, 13)
_CANDIDATES = 3
_REFINED = 2
_LEAST = 0.9
# Below so many photographs to learn from, what is usual isn't known.
_FEWEST, _LEAST_OF_FEW = 20, 0.97
_JUDGED = 200
_BATCH = 64

Float32 = npt.NDArray[np.float32]
Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Copy:
    """A photograph of one set that shows what one of another does.

    Parameters
    ----------
    test, train : int
        Their places in the two sets; within one, that of the other is ``train``.
    likeness : float
        Their correlation in what they don't have in common with all others, 1 at most.
    mirrored : bool
        Whether one is the other's mirror image.
    """

    test: int
    train: int
    likeness: float
    mirrored: bool = False


def pictures_of(images: ImageSet, bit_depth: int = 16) -> Pictures:
    """Return small grey pictures of photographs, as `find_copies` compares them.

    Parameters
    ----------
    images : ImageSet
        N images; each is read.
    bit_depth : int
        As `read_image` takes it.

    Returns
    -------
    uint8 array of shape (N, 128, 128)

    Raises
    ------
    DataError
        If one can't be read.
    """
    transform = Transform((SIDE, SIDE), bit_depth=bit_depth)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    batches = [
        (batch @ weights).round().astype(np.uint8)
        for batch in load_batches(images, transform, _BATCH)
    ]
    return np.concatenate(batches) if batches else np.empty((0, SIDE, SIDE), np.uint8)


def find_copies(train: ImageSet | Pictures, test: ImageSet | Pictures) -> list[Copy]:
    """Find the photographs of one set that are near copies of one of another.

    Found is the same photograph saved again, with another size, brightness, contrast or sharpness,
    shifted by up to 6 % of the picture or mirrored, and, where parts differ in more than noise,
    another shot of the same part in nearly the same place. Not found are other crops, and other
    shots of a part that has moved by more.

    Compared is the correlation of what two pictures have of their own: details between 8 and 40
    cycles a picture, at the best shift, with the mean of all other pictures held constant (the
    partial correlation), so that all parts of a kind being alike counts for nothing. How far up it
    goes between photographs that are no copies is learnt from those of the first set: of each, the
    highest with any of another scene (`find_scenes`). In Fisher's transform these are taken for
    normal above their median, and found is what exceeds them with a chance of 0.01 in a whole
    set, and 0.9. Of fewer than 20 photographs what is usual isn't known, and found is what exceeds
    0.97.

    Parameters
    ----------
    train, test : ImageSet, or uint8 array of shape (N, 128, 128)
        Photographs, or what `pictures_of` returned for them.

    Returns
    -------
    list of Copy
        One for each photograph of the second set that is a copy, in their order.

    Raises
    ------
    DataError
        If a photograph can't be read, or a shape is another.

    References
    ----------
    Fisher, "On the 'probable error' of a coefficient of correlation deduced from a small sample",
    Metron 1 (1921). Guizar-Sicairos et al., "Efficient subpixel image registration algorithms",
    Optics Letters 33 (2008), on shifts of a part of a pixel.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> parts = rng.integers(0, 255, (40, 32, 32), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    >>> noisy = np.clip(parts[7] * 0.8 + rng.normal(0, 4, (128, 128)), 0, 255).astype(np.uint8)
    >>> [(c.test, c.train) for c in find_copies(parts[:30], np.stack([parts[35], noisy]))]
    [(1, 7)]
    """
    return CopyFinder(train, test).across()


class CopyFinder:
    """Finds near copies across two sets and within the second, as `find_copies` says.

    Parameters
    ----------
    train, test : ImageSet, or uint8 array of shape (N, 128, 128)
        Photographs, or what `pictures_of` returned for them.

    Raises
    ------
    DataError
        If a photograph can't be read, or a shape is another.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> parts = rng.integers(0, 255, (40, 32, 32), np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    >>> finder = CopyFinder(parts[:30], np.stack([parts[35], parts[36], parts[35][:, ::-1]]))
    >>> finder.across(), [(c.test, c.train, c.mirrored) for c in finder.within()]
    ([], [(2, 0, True)])
    """

    def __init__(self, train: ImageSet | Pictures, test: ImageSet | Pictures) -> None:
        learnt, new = (
            _checked(p) if isinstance(p, np.ndarray) else pictures_of(p) for p in (train, test)
        )
        self._least: float | None = None
        self._known, self._learnt, self._new = learnt, _Details.of(learnt), _Details.of(new)
        self._total = sum(_windowed(d.band).sum(axis=0) for d in (self._learnt, self._new))

    def across(self) -> list[Copy]:
        """Return the photographs of the second set that are copies of one of the first."""
        if not len(self._learnt.band) or not len(self._new.band):
            return []
        return self._found(*_nearest(self._learnt, self._new, self._total, mirror=True))

    def within(self) -> list[Copy]:
        """Return those of the second set that are copies of one before them in it."""
        count = len(self._new.band)
        if count < 2:
            return []
        before = np.tri(count, k=-1, dtype=np.bool_)
        return self._found(
            *_nearest(self._new, self._new, self._total, allowed=before, mirror=True)
        )

    def _found(
        self,
        best: npt.NDArray[np.float64],
        places: npt.NDArray[np.intp],
        mirrored: npt.NDArray[np.bool_],
    ) -> list[Copy]:
        if self._least is None:
            self._least = _usual(self._learnt, self._total, self._known, len(self._new.band))
        return [
            Copy(i, int(place), float(likeness), bool(flipped))
            for i, (likeness, place, flipped) in enumerate(zip(best, places, mirrored, strict=True))
            if likeness >= self._least
        ]


def describe_copies(
    copies: Sequence[Copy], tested: ImageSet, learnt: ImageSet | None = None
) -> str | None:
    """Say how many photographs are near copies, and which; None where there is none.

    Parameters
    ----------
    copies : sequence of Copy
        What `find_copies` found.
    tested : ImageSet
        The second set.
    learnt : ImageSet, optional
        The first, where its names are known.

    Examples
    --------
    >>> from anomalist.data import Sample
    >>> images = ImageSet([Sample("a.png"), Sample("b.png")])
    >>> describe_copies([Copy(0, 1, 0.994)], images, images)
    '1 of 2 images to test on is a near copy of one learnt from, such as a.png of b.png (likeness
     0.99): what is measured on it says little of new parts'
    """
    if not copies:
        return None
    first, count = max(copies, key=lambda copy: copy.likeness), len(copies)
    of = "" if learnt is None else f" of {learnt[first.train].path}"
    are, them = ("is a near copy", "it") if count == 1 else ("are near copies", "them")
    mirrored = ", mirrored" if first.mirrored else ""
    return (
        f"{count} of {len(tested)} images to test on {are} of {'one' if count == 1 else 'ones'}"
        f" learnt from, such as {tested[first.test].path}{of} (likeness {first.likeness:.2f}"
        f"{mirrored}): what is measured on {them} says little of new parts"
    )


def describe_repeats(copies: Sequence[Copy], tested: ImageSet) -> str | None:
    """Say how many photographs of a set are near copies of others in it; None where there is none.

    Parameters
    ----------
    copies : sequence of Copy
        What `CopyFinder.within` found.
    tested : ImageSet
        The set.

    Examples
    --------
    >>> from anomalist.data import Sample
    >>> images = ImageSet([Sample("a.png"), Sample("b.png")])
    >>> describe_repeats([Copy(1, 0, 0.994)], images)
    '1 of 2 images to test on is a near copy of another, such as b.png of a.png (likeness 0.99):
     what shows the same counts more than once'
    """
    if not copies:
        return None
    first, count = max(copies, key=lambda copy: copy.likeness), len(copies)
    mirrored = ", mirrored" if first.mirrored else ""
    return (
        f"{count} of {len(tested)} images to test on"
        f" {'is a near copy of another' if count == 1 else 'are near copies of others'}, such as"
        f" {tested[first.test].path} of {tested[first.train].path} (likeness"
        f" {first.likeness:.2f}{mirrored}): what shows the same counts more than once"
    )


def _checked(pictures: Pictures) -> Pictures:
    if pictures.shape[1:] != (SIDE, SIDE) or pictures.dtype != np.uint8:
        raise DataError(
            f"pictures must be uint8 of shape (n, {SIDE}, {SIDE}), not {pictures.dtype.name} of"
            f" {pictures.shape}"
        )
    return pictures


@dataclass(frozen=True, eq=False)
class _Details:
    """Pictures without what is too coarse and too fine, and the strengths of their waves.

    Parameters
    ----------
    band : float32 array of shape (N, 128, 128)
    spectra, mirrored : float32 array of shape (N, K)
        Amplitudes, which no shift changes, of the pictures and of their mirror images.
    """

    band: Float32
    spectra: Float32
    mirrored: Float32

    @classmethod
    def of(cls, pictures: Pictures) -> _Details:
        rows = fft.fftfreq(SIDE)[:, None] * SIDE
        columns = fft.rfftfreq(SIDE)[None] * SIDE
        square = rows**2 + columns**2
        kept = (1 - np.exp(-square / (2 * _COARSE**2))) * np.exp(-square / (2 * _FINE**2))
        band = np.empty(pictures.shape, np.float32)
        waves = np.empty((len(pictures), SIDE, SIDE // 2 + 1), np.float32)
        for start in range(0, len(pictures), _BATCH):
            part = slice(start, start + _BATCH)
            grey = pictures[part].astype(np.float32)
            grey -= grey.mean(axis=(1, 2), keepdims=True)
            band[part] = fft.irfft2(fft.rfft2(grey) * kept, (SIDE, SIDE))
            waves[part] = np.abs(fft.rfft2(_windowed(band[part])))
        near = (np.abs(rows) <= _FINE) & (columns <= _FINE)
        backwards = waves[:, -np.arange(SIDE)]
        return cls(band, np.log1p(waves[:, near]), np.log1p(backwards[:, near]))


def _window() -> Float32:
    fade = round(_FADE * SIDE)
    side = np.ones(SIDE, np.float32)
    rise = np.sin(np.linspace(0, np.pi / 2, fade + 1)[1:]) ** 2
    side[:fade], side[-fade:] = rise, rise[::-1]
    return np.outer(side, side)


_WINDOW = _window()


def _windowed(band: Float32) -> Float32:
    """Pictures that fade at their borders, of mean 0 and length 1."""
    faded = band * _WINDOW
    return _unit(faded - faded.mean(axis=(-2, -1), keepdims=True))


def _unit(pictures: Float32) -> Float32:
    lengths = np.sqrt((pictures**2).sum(axis=(-2, -1), keepdims=True))
    unit: Float32 = pictures / np.maximum(lengths, 1e-3)
    return unit


def _usual(learnt: _Details, total: Float32, pictures: Pictures, tested: int) -> float:
    """The likeness that photographs which are no copies hardly exceed."""
    n = len(pictures)
    if n < _FEWEST:
        return _LEAST_OF_FEW
    small = pictures.reshape(n, 32, SIDE // 32, 32, SIDE // 32).mean(axis=(2, 4))
    scenes = find_scenes(small)
    judged = np.unique(np.linspace(0, n - 1, _JUDGED).round().astype(np.intp))
    some = _Details(learnt.band[judged], learnt.spectra[judged], learnt.mirrored[judged])
    apart = scenes[judged][:, None] != scenes[None]
    best, _, _ = _nearest(learnt, some, total, allowed=apart)
    best = best[apart.any(axis=1)]
    if len(best) < _FEWEST:
        return _LEAST_OF_FEW
    middle, high = np.quantile(np.arctanh(np.clip(best, -0.999999, 0.999999)), [0.5, 0.95])
    deviation = (high - middle) / ndtri(0.95)
    return float(max(np.tanh(middle + deviation * ndtri(1 - LEVEL / tested)), _LEAST))


def _nearest(
    learnt: _Details,
    new: _Details,
    total: Float32,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
    mirror: bool = False,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Of each new picture the likeness of the one that is most like it, which, and how."""
    usual = learnt.spectra.mean(axis=0)
    known = _lengths_one(learnt.spectra - usual)
    alike = [_lengths_one(new.spectra - usual) @ known.T]
    if mirror:
        alike.append(_lengths_one(new.mirrored - usual) @ known.T)
    if allowed is not None:
        for rows in alike:
            rows[~allowed] = -np.inf
    best = np.full(len(new.band), -1.0)
    places = np.zeros(len(new.band), np.intp)
    flipped = np.zeros(len(new.band), np.bool_)
    for i, band in enumerate(new.band):
        tried = []
        others = total - _windowed(band)
        for rows, whole in zip(alike, (band, band[::-1]), strict=False):
            candidates = np.argsort(-rows[i], kind="stable")[:_CANDIDATES]
            candidates = candidates[np.isfinite(rows[i, candidates])]
            # A half turn leaves the strengths of waves as they are: with it, all four are tried.
            for turned in (whole, whole[::-1, ::-1]) if mirror else (whole,):
                pair = _Pairs(turned, learnt.band[candidates], others)
                tried += [
                    (rough, pair, k, candidates[k], turned is not band)
                    for k, rough in enumerate(pair.roughly())
                ]
        tried.sort(key=lambda entry: -entry[0])
        for _, pair, k, place, is_flipped in tried[:_REFINED]:
            likeness = pair.likeness(k)
            if likeness > best[i]:
                best[i], places[i], flipped[i] = likeness, place, is_flipped
    return best, places, flipped


def _lengths_one(rows: Float32) -> Float32:
    one: Float32 = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return one


class _Pairs:
    """A picture and some others, at the shifts at which they are most alike.

    Held constant is the mean of all pictures but the two.

    Parameters
    ----------
    band : float32 array of shape (128, 128)
    others : float32 array of shape (K, 128, 128)
    total : float32 array of shape (128, 128)
        Sum of all but the first.
    """

    def __init__(self, band: Float32, others: Float32, total: Float32) -> None:
        self.band = band
        self.known = _windowed(others)
        self.common = _unit(total - self.known)
        self.of_others = (self.known * self.common).sum(axis=(1, 2))
        wave = fft.rfft2(_windowed(band)).conj()
        self.waves = wave * fft.rfft2(self.known)
        self.with_common = wave * fft.rfft2(self.common)

    def roughly(self) -> list[float]:
        """Find the best shifts in whole pixels, and return the partial correlations there."""
        reach = np.arange(-_REACH, _REACH + 1)
        near = slice(None), reach[:, None], reach
        partial = _partial(
            fft.irfft2(self.waves, (SIDE, SIDE))[near],
            fft.irfft2(self.with_common, (SIDE, SIDE))[near],
            self.of_others[:, None, None],
        )
        self.shifts = []
        for values in partial:
            y, x = np.unravel_index(int(values.argmax()), values.shape)
            self.shifts.append((reach[y], reach[x]))
        return [float(values.max()) for values in partial]

    def likeness(self, k: int) -> float:
        """Return the partial correlation with one of the others, at the best part of a pixel."""
        down, right = (shift + _PARTS for shift in self.shifts[k])
        partial = _partial(
            _at(self.waves[k], down, right),
            _at(self.with_common[k], down, right),
            self.of_others[k],
        )
        y, x = np.unravel_index(int(partial.argmax()), partial.shape)
        # Shifted back, it fades at the borders where the other does.
        moved = _windowed(_moved(self.band, down[y], right[x]))
        of_common, there = (moved * self.common[k]).sum(), (moved * self.known[k]).sum()
        return float(_partial(there, of_common, self.of_others[k]))


def _partial(correlation: Any, one: Any, two: Any) -> Any:
    """What is left of a correlation of two with what is common to them held constant."""
    rest = np.sqrt(np.maximum((1.0 - one**2) * (1.0 - two**2), 1e-4))
    return (correlation - one * two) / rest


def _at(product: Any, down: Any, right: Any) -> Any:
    """Correlations at any shifts, in parts of pixels, of the product of two spectra."""
    rows, columns = fft.fftfreq(SIDE), fft.rfftfreq(SIDE)
    twice = np.where((columns == 0) | (columns == 0.5), 1.0, 2.0)
    of_rows = np.exp(2j * np.pi * np.outer(down, rows))
    of_columns = twice[:, None] * np.exp(2j * np.pi * np.outer(columns, right))
    return (of_rows @ product @ of_columns).real / SIDE**2


def _moved(band: Float32, down: float, right: float) -> Float32:
    """A picture shifted by parts of pixels, what leaves it coming in at the other side."""
    rows, columns = fft.fftfreq(SIDE)[:, None], fft.rfftfreq(SIDE)[None]
    turn = np.exp(-2j * np.pi * (rows * down + columns * right))
    moved: Float32 = fft.irfft2(fft.rfft2(band) * turn, (SIDE, SIDE)).astype(np.float32)
    return moved
