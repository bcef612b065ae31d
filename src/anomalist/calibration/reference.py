"""A few numbers of each photograph that was learnt from, to hold new ones against."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from anomalist.calibration.grouping import Int64, number_groups
from anomalist.data.ignoring import Sight
from anomalist.data.looks import Look
from anomalist.errors import DataError, ModelFileError
from anomalist.predictions import Predictions

Float64 = npt.NDArray[np.float64]

#: Numbers of a `~anomalist.data.looks.Look`, and of its `~anomalist.data.framing.Framing`.
LOOKS = ("brightness", "contrast", "sharpness", "red", "yellow", "colour")
FRAMING = ("across", "down", "extent", "upright", "tilt")
#: How far its mean features lie from those of the others; its score.
FEATURES, SCORE = "features", "score"
NAMES = (*LOOKS, *FRAMING, FEATURES, SCORE)

# What is kept of very many photographs: ranks among so many are fine enough.
_MOST = 2000
# From how many on the spread of features can be told.
_FEWEST = 10
# Features hardly differ where their variance is below this share of the mean one.
_DEAD = 1e-4
# Digits that are kept; differences further down are rounding.
_DIGITS = 6
# A copy is closer than half the distance that of the closest neighbours 5 % don't exceed.
_CLOSE, _OF_NEIGHBOURS, _OF_COPIES = 0.5, 0.05, 0.9
_LARGEST = 1e18


@dataclass(frozen=True, eq=False)
class Reference:
    """Numbers of each of n independent photographs that were learnt from.

    Every number is one that a photograph would also have had if it had been new: looks and framing
    are its own, scores are held out, and its features are compared with those of the others.

    Parameters
    ----------
    names : tuple of str
        Which of `NAMES` are known.
    rows : float64 array of shape (n, len(names))
        A photograph of each scene; of many scenes 2,000, spread evenly.
    center, spread : float64 array of shape (C,)
        Mean and standard deviation of the mean features; empty where they aren't among the names.
    near : float
        Below which distance of their `look_of`, two photographs show the same thing again.

    Examples
    --------
    >>> from anomalist.data import ImageSet, Sample, Transform
    >>> rng = np.random.default_rng(0)
    >>> images = ImageSet(
    ...     Sample(f"{i}.png", image=rng.integers(90, 110, (32, 32, 3), np.uint8)) for i in range(9)
    ... )
    >>> good = Predictions(
    ...     images.paths, rng.random(9), np.zeros((9, 32, 32)), images=images,
    ...     transform=Transform(32),
    ... )
    >>> reference = Reference.of(good)
    >>> reference.names[:2], reference.rows.shape, reference.center.shape
    (('brightness', 'contrast'), (9, 12), (0,))
    """

    names: tuple[str, ...]
    rows: Float64
    center: Float64
    spread: Float64
    near: float

    @classmethod
    def of(
        cls,
        good: Predictions,
        groups: Iterable[Hashable] | None = None,
        sight: Sight | None = None,
    ) -> Self | None:
        """Take the numbers of good photographs; None where the predictions have no transform.

        Parameters
        ----------
        good : Predictions
            Of photographs that the detector hadn't seen, or as if, with their images.
        groups : iterable of hashable, optional
            One a photograph, equal for those that aren't independent: the first of each is taken.
        sight : Transform or Filled, optional
            How the detector sees photographs; by default as their transform gives them.

        Raises
        ------
        DataError
            If an image can't be read any more.
        """
        if good.transform is None:
            return None
        scenes = number_groups(groups, len(good))
        chosen = np.unique(scenes, return_index=True)[1]
        looks = [sample.look(sight or good.transform) for sample in good.images]
        near = _near(np.stack([look_of(look) for look in looks]), scenes, chosen)
        if len(chosen) > _MOST:
            chosen = chosen[np.linspace(0, len(chosen) - 1, _MOST).round().astype(int)]
        columns = _columns(looks, good.scores)
        center = spread = np.empty(0)
        if good.pooled is not None and len(chosen) >= _FEWEST:
            pooled = good.pooled[chosen].astype(np.float64)
            center, spread = pooled.mean(axis=0), pooled.std(axis=0)
            columns[FEATURES] = np.empty(len(good))
            columns[FEATURES][chosen] = _left_out(pooled, center, spread)
        names = tuple(name for name in NAMES if name in columns)
        rows = np.stack([columns[name][chosen] for name in names], axis=1)
        return cls(names, _rounded(rows), _rounded(center), _rounded(spread), float(near))

    def ranges(self, names: Iterable[str]) -> dict[str, tuple[float, float]]:
        """Return the lowest and the highest of some numbers, by name."""
        columns = dict(zip(self.names, self.rows.T, strict=True))
        known = {name: columns[name] for name in names if name in columns}
        return {name: (float(c.min()), float(c.max())) for name, c in known.items()}

    def measure(
        self, predictions: Predictions, sight: Sight, places: Sequence[int] | None = None
    ) -> Float64:
        """Return the same numbers of photographs; NaN where one has none, as one that is gone.

        Parameters
        ----------
        predictions : Predictions
            The photographs.
        sight : Transform or Filled
            How the detector sees them.
        places : sequence of int, optional
            Which N of them; by default all.

        Returns
        -------
        float64 array of shape (N, len(names))
        """
        chosen = range(len(predictions)) if places is None else places
        rows = np.full((len(chosen), len(self.names)), np.nan)
        for row, i in zip(rows, chosen, strict=True):
            look = predictions.images[i].look
            try:
                columns = _columns([look(sight)], predictions.scores[i : i + 1])
            except DataError:
                continue
            if predictions.pooled is not None and len(self.center) == predictions.pooled.shape[1]:
                pooled = predictions.pooled[i].astype(np.float64)
                columns[FEATURES] = _apart(pooled[None], self.center, self.spread**2)
            for place, name in enumerate(self.names):
                if name in columns:
                    row[place] = columns[name][0]
        return _rounded(rows)

    def state(self) -> dict[str, Any]:
        """Return what a file must keep, as JSON values."""
        return {
            "names": list(self.names),
            "rows": self.rows.tolist(),
            "center": self.center.tolist(),
            "spread": self.spread.tolist(),
            "near": self.near,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Make it again from what `state` returned, of the right types.

        Raises
        ------
        ModelFileError
            If its numbers make no sense.
        """
        names = tuple(state["names"])
        widths = {len(row) for row in state["rows"]}
        if not set(names) <= set(NAMES) or len(set(names)) < len(names):
            raise ModelFileError("its reference garbles 'names'")
        if widths != {len(names)} or not names:
            raise ModelFileError("its reference garbles 'rows'")
        arrays = {key: np.array(state[key], np.float64) for key in ("rows", "center", "spread")}
        for key, array in arrays.items():
            if not (np.abs(array) <= _LARGEST).all():
                raise ModelFileError(f"its reference garbles {key!r}")
        center, spread = arrays["center"], arrays["spread"]
        if center.shape != spread.shape or (spread < 0).any():
            raise ModelFileError("its reference garbles 'spread'")
        if (FEATURES in names) != (len(center) > 0):
            raise ModelFileError("its reference garbles 'center'")
        if not 0 <= state["near"] <= _LARGEST:
            raise ModelFileError("its reference garbles 'near'")
        return cls(names, arrays["rows"], center, spread, float(state["near"]))


def look_of(look: Look) -> npt.NDArray[np.float32]:
    """Return what a small picture shows, light and contrast taken away, of shape (1024,)."""
    flat = look.thumbnail.ravel() - look.thumbnail.mean()
    shown: npt.NDArray[np.float32] = flat / max(float(flat.std()), 1.0)
    return shown


def _columns(looks: list[Look], scores: npt.NDArray[Any]) -> dict[str, Float64]:
    framings = [look.framing for look in looks]
    columns = {name: np.array([getattr(look, name) for look in looks]) for name in LOOKS}
    columns |= {name: np.array([getattr(f, name) for f in framings]) for name in FRAMING}
    return {**columns, SCORE: scores.astype(np.float64)}


def _apart(pooled: Float64, center: Float64, variance: Float64) -> Float64:
    """Root of the mean square distance from the center, in standard deviations."""
    least = _DEAD * variance.mean(axis=-1, keepdims=True)
    usual = np.maximum(variance, np.where(least > 0, least, 1.0))
    apart: Float64 = np.sqrt(((pooled - center) ** 2 / usual).mean(axis=1))
    return apart


def _left_out(pooled: Float64, center: Float64, spread: Float64) -> Float64:
    """The same of each, from center and spread of the others."""
    n = len(pooled)
    others = (n * center - pooled) / (n - 1)
    variance = n / (n - 1) * (spread**2 - (pooled - center) ** 2 / (n - 1))
    return _apart(pooled, others, np.maximum(variance, 0.0))


def _near(looks: npt.NDArray[np.float32], scenes: Int64, chosen: npt.NDArray[np.intp]) -> float:
    """Below which distance photographs are copies: of what is known to be, and of neighbours."""
    if len(chosen) < 2:
        return 0.0
    some = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), _MOST)).round().astype(int)]
    squares = (looks[some] ** 2).sum(axis=1)
    table = squares[:, None] + squares - 2 * looks[some] @ looks[some].T
    np.fill_diagonal(table, np.inf)
    apart = float(np.quantile(np.sqrt(np.maximum(table.min(axis=1), 0.0)), _OF_NEIGHBOURS))
    within = []
    previous: dict[int, int] = {}
    for place, scene in enumerate(scenes.tolist()):
        if scene in previous:
            within.append(float(np.linalg.norm(looks[place] - looks[previous[scene]])))
        previous[scene] = place
    copies = float(np.quantile(within, _OF_COPIES)) if within else 0.0
    return max(_CLOSE * apart, min(copies, apart))


def _rounded(values: Float64) -> Float64:
    """Values to six digits, as they are kept: what is alike stays alike."""
    safe = np.where(np.isfinite(values) & (values != 0), np.abs(values), 1.0)
    scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(safe)))
    rounded: Float64 = np.where(np.isfinite(values), np.round(values * scale) / scale, values)
    return rounded
