"""Predictions: the one dataclass that travels from detectors to metrics, reports and the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a detector says of N images, with the truth beside it where it is known.

    Higher scores and map values mean "more anomalous". Both are raw: never clamped, squashed or
    rescaled, so that every metric sees what the detector gave.

    Parameters
    ----------
    paths : sequence of str or Path, length N
        The image files.
    scores : array of shape (N,)
        Image scores, finite.
    maps : array of shape (N, H, W)
        Anomaly maps at the resolution of the detector's input, finite.
    labels : array of shape (N,), optional
        True where the image is known to be anomalous.
    masks : array of shape (N, H, W), optional
        True where a pixel is known to be anomalous, at the resolution of ``maps``.
    defects : sequence of str, length N, optional
        Kind of defect of each image, ``"good"`` for a normal one.
    disagreement : array of shape (N,), optional
        Standard deviation of the scores that the members of an ensemble give, on their one scale.
    disagreement_maps : array of shape (N, H, W), optional
        The same of every pixel.

    Raises
    ------
    DataError
        If shapes disagree, or a score or a map value isn't a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> predictions = Predictions(["a.png", "b.png"], np.array([0.1, 0.9]), np.zeros((2, 4, 4)))
    >>> len(predictions), predictions.labels is None
    (2, True)
    """

    paths: Sequence[str | Path]
    scores: npt.NDArray[np.floating[Any]]
    maps: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.bool_] | None = None
    masks: npt.NDArray[np.bool_] | None = None
    defects: Sequence[str] | None = None
    disagreement: npt.NDArray[np.floating[Any]] | None = None
    disagreement_maps: npt.NDArray[np.floating[Any]] | None = None

    def __post_init__(self) -> None:
        n = len(self.paths)
        if self.scores.shape != (n,):
            raise DataError(f"{n} paths need scores of shape ({n},), not {self.scores.shape}")
        if self.maps.ndim != 3 or len(self.maps) != n:
            raise DataError(f"{n} paths need maps of shape ({n}, H, W), not {self.maps.shape}")
        for name, values in (("labels", self.labels), ("disagreement", self.disagreement)):
            if values is not None and values.shape != (n,):
                raise DataError(f"{n} paths need {name} of shape ({n},), not {values.shape}")
        for name, values in (("masks", self.masks), ("disagreement", self.disagreement_maps)):
            if values is not None and values.shape != self.maps.shape:
                raise DataError(f"{name} have shape {values.shape}, maps {self.maps.shape}")
        if self.defects is not None and len(self.defects) != n:
            raise DataError(f"{n} paths need {n} defect kinds, not {len(self.defects)}")
        for i, path in enumerate(self.paths):
            if not (np.isfinite(self.scores[i]) and np.isfinite(self.maps[i]).all()):
                raise DataError(f"{path}: its score or its map isn't a finite number")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Predictions:
        chosen = np.arange(len(self))[index]
        chosen = chosen.reshape(-1)

        def of(v: Any) -> Any:
            if v is None: return None
            return v[chosen] if isinstance(v, np.ndarray) else [v[i] for i in chosen]
        import dataclasses
        return Predictions(**{f.name: of(getattr(self, f.name)) for f in dataclasses.fields(self)})

    @classmethod
    def join(cls, parts: Sequence[Predictions]) -> Predictions:
        import dataclasses
        def of(name: str) -> Any:
            v = [getattr(p, name) for p in parts]
            if v[0] is None: return None
            return np.concatenate(v) if isinstance(v[0], np.ndarray) else [x for y in v for x in y]
        return cls(**{f.name: of(f.name) for f in dataclasses.fields(cls)})
