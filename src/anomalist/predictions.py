"""Predictions: the one dataclass that travels from detectors to metrics, reports and the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data import ImageSet, Sample, Transform
from anomalist.data.names import plural
from anomalist.data.views import check_side
from anomalist.digits import shown
from anomalist.drawing import check_scale, plot, scale_of
from anomalist.errors import DataError, ParameterError
from anomalist.notebook import html_table

if TYPE_CHECKING:
    import pandas as pd

# Rows that a notebook shows.
_MOST_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a detector says of N images, with the truth beside it where it is known.

    Higher scores and map values mean "more anomalous". Both are raw: never clamped, squashed or
    rescaled, so that every metric sees what the detector gave.

    An index gives the predictions of one image; a slice, an index array or a boolean array gives
    those of several; iterating gives them one by one. As of an array, a slice shares its memory and
    an index array copies.

    Parameters
    ----------
    paths : sequence of str or Path, length N
        The image files, and what images in memory are called.
    scores : array of shape (N,)
        Image scores, finite.
    maps : array of shape (N, H, W)
        Anomaly maps at the resolution of the detector's input, finite.
    labels : array of shape (N,), optional
        True where the image is known to be anomalous.
    masks : array of shape (N, H, W), optional
        True where a pixel is known to be anomalous, at the resolution of ``maps``. Those of images
        that are anomalous but have no mask hold nothing, and `unmasked` tells them.
    defects : sequence of str, length N, optional
        Kind of defect of each image, ``"good"`` for a normal one.
    disagreement : array of shape (N,), optional
        Standard deviation of the scores that the members of an ensemble give, on their one scale.
    disagreement_maps : array of shape (N, H, W), optional
        The same of every pixel.
    images : ImageSet, optional
        The images, for those who draw them; by default the files of ``paths``. Images in memory
        stay there for as long as this does.
    transform : Transform, optional
        How the images came to the resolution of the detector's input, which tells where in an image
        its map lies. With it, pixels can be measured at the size of the images; what has none, such
        as predictions made by hand, is measured as it is.
    pooled : array of shape (N, C), optional
        Mean over each map of the backbone's features, of which an ensemble has its first member's.
    ignored : bool array of shape (N, H, W), optional
        True where a pixel counts for nothing: nothing is measured or drawn there.

    Raises
    ------
    DataError
        If shapes disagree, a score or a map value isn't a finite number, or ``images`` have other
        paths.

    Examples
    --------
    >>> import numpy as np
    >>> predictions = Predictions(["a.png", "b.png"], np.array([0.1, 0.9]), np.zeros((2, 4, 4)))
    >>> len(predictions), predictions.labels is None
    (2, True)
    >>> worst = predictions[predictions.scores > 0.5]
    >>> worst.paths, worst.maps.shape, predictions[0].scores
    (['b.png'], (1, 4, 4), array([0.1]))
    >>> len(Predictions.join([worst, *predictions]))
    3
    """

    paths: Sequence[str | Path]
    scores: npt.NDArray[np.floating[Any]]
    maps: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.bool_] | None = None
    masks: npt.NDArray[np.bool_] | None = None
    defects: Sequence[str] | None = None
    disagreement: npt.NDArray[np.floating[Any]] | None = None
    disagreement_maps: npt.NDArray[np.floating[Any]] | None = None
    images: ImageSet = field(default_factory=lambda: ImageSet([]))
    transform: Transform | None = None
    pooled: npt.NDArray[np.floating[Any]] | None = None
    ignored: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.paths)
        if self.scores.shape != (n,):
            raise DataError(f"{n} paths need scores of shape ({n},), not {self.scores.shape}")
        if self.maps.ndim != 3 or len(self.maps) != n:
            raise DataError(f"{n} paths need maps of shape ({n}, H, W), not {self.maps.shape}")
        for name, values in (("labels", self.labels), ("disagreement", self.disagreement)):
            if values is not None and values.shape != (n,):
                raise DataError(f"{n} paths need {name} of shape ({n},), not {values.shape}")
        for name, values in (
            ("masks", self.masks),
            ("disagreement", self.disagreement_maps),
            ("ignored pixels", self.ignored),
        ):
            if values is not None and values.shape != self.maps.shape:
                raise DataError(f"{name} have shape {values.shape}, maps {self.maps.shape}")
        if self.pooled is not None and (self.pooled.ndim != 2 or len(self.pooled) != n):
            raise DataError(f"{n} paths need pooled of shape ({n}, C), not {self.pooled.shape}")
        if len(self.images) == 0 and n:
            object.__setattr__(self, "images", ImageSet(Sample(Path(p)) for p in self.paths))
        if len(self.images) != n:
            raise DataError(f"{n} paths need {n} images, not {len(self.images)}")
        for path, image in zip(self.paths, self.images, strict=True):
            if Path(path) != image.path:
                raise DataError(f"{path} is the path of an image that is called {image.path}")
        if self.defects is not None and len(self.defects) != n:
            raise DataError(f"{n} paths need {n} defect kinds, not {len(self.defects)}")
        for i, path in enumerate(self.paths):
            if not (np.isfinite(self.scores[i]) and np.isfinite(self.maps[i]).all()):
                raise DataError(f"{path}: its score or its map isn't a finite number")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def counted(self) -> npt.NDArray[np.floating[Any]]:
        """All map values that count, in any shape."""
        return self.maps if self.ignored is None else self.maps[~self.ignored]

    def visible_map(self, index: int) -> npt.NDArray[np.floating[Any]]:
        """Return the map of an image, (H, W), for those who draw it: NaN where it is ignored."""
        values: npt.NDArray[np.floating[Any]] = self.maps[index]
        if self.ignored is not None:
            values = np.where(self.ignored[index], np.float32(np.nan), values)
        return values

    @property
    def unmasked(self) -> npt.NDArray[np.bool_]:
        """Array of shape (N,), True where an image is anomalous and nobody knows in which pixels.

        Examples
        --------
        >>> images = ImageSet([Sample("a.png", False), Sample("b.png", True)])
        >>> maps = np.zeros((2, 4, 4))
        >>> Predictions(images.paths, np.zeros(2), maps, images=images).unmasked
        array([False,  True])
        """
        without = [bool(sample.label) and sample.mask is None for sample in self.images]
        unmasked = np.array(without, np.bool_)
        if self.masks is not None:
            unmasked &= ~self.masks.any(axis=(1, 2))
        return unmasked

    def __getitem__(
        self, index: int | np.integer[Any] | slice | Sequence[int] | npt.NDArray[Any]
    ) -> Self:
        chosen: slice | npt.NDArray[np.intp]
        if isinstance(index, slice):
            chosen = index
        elif isinstance(index, int | np.integer):
            place = range(len(self))[index]
            chosen = slice(place, place + 1)
        else:
            # An empty list is one of floats for NumPy.
            chosen = np.arange(len(self))[np.asarray(index) if len(index) else []]

        def taken(values: Any) -> Any:
            if values is None or isinstance(values, Transform):
                return values
            if isinstance(values, np.ndarray | ImageSet):
                return values[chosen]
            return values[chosen] if isinstance(chosen, slice) else [values[i] for i in chosen]

        return type(self)(**{name: taken(values) for name, values in self._fields()})

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def plot(
        self,
        index: int,
        *,
        low: float | None = None,
        high: float | None = None,
        threshold: float | None = None,
        side: int = 384,
    ) -> Image.Image:
        """Draw an image and its heatmap side by side, as a notebook shows them.

        Parameters
        ----------
        index : int
            Which; negative ones count from the end.
        low, high : float, optional
            Map values of a typical good pixel and of the threshold, such as those of
            `~anomalist.inspection.Rule`; where they aren't given, the scale goes from the median to
            the maximum of all maps, so that pictures of the same predictions can be compared.
        threshold : float, optional
            Map value above which a pixel is outlined.
        side : int
            Most pixels of the longer side of the photograph.

        Returns
        -------
        PIL image

        Raises
        ------
        DataError
            If the image can't be read.
        ParameterError
            If only one of ``low`` and ``high`` is given, they make no scale, or ``side`` makes no
            sense.
        IndexError
            If there is no such image.

        Examples
        --------
        >>> frame = Sample("frame", image=np.zeros((240, 320), np.uint8))
        >>> found = Predictions(
        ...     ["frame"], np.ones(1), np.random.rand(1, 8, 8), images=ImageSet([frame])
        ... )
        >>> found.plot(0).width
        646
        """
        if (low is None) != (high is None):
            raise ParameterError("low and high make a scale together: give both or none")
        check_side("side", side)
        on_a_scale = low is not None
        if low is None or high is None:
            low, high = scale_of(self.counted)
        check_scale(low, high)
        one = self[index]
        kind = "" if one.defects is None else f"  {one.defects[0]}"
        return plot(
            one.images[0],
            one.visible_map(0),
            transform=self.transform or Transform(self.maps.shape[1:]),
            low=low,
            high=high,
            threshold=threshold,
            truth=None if one.masks is None else one.masks[0],
            on_a_scale=on_a_scale,
            title=f"{one.paths[0]}{kind}  score {shown(float(one.scores[0]))}",
            side=side,
        )

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Return the predictions of all images of several, in order.

        Parameters
        ----------
        parts : iterable of Predictions
            One or more.

        Raises
        ------
        DataError
            If there is none, some know what others don't, or their maps have several sizes.

        Examples
        --------
        >>> two = Predictions(["a.png", "b.png"], np.array([0.1, 0.9]), np.zeros((2, 4, 4)))
        >>> Predictions.join([two[1:], two[:1]]).paths
        ['b.png', 'a.png']
        """
        made = list(parts)
        if not made:
            raise DataError("there are no predictions to join")
        if len({part.maps.shape[1:] for part in made}) > 1:
            sizes = " and ".join(sorted({f"{w} x {h}" for _, h, w in (p.maps.shape for p in made)}))
            raise DataError(f"predictions can't be joined: their maps have {sizes} pixels")

        def joined(name: str, values: list[Any]) -> Any:
            if any(value is None for value in values):
                if all(value is None for value in values):
                    return None
                raise DataError(f"predictions can't be joined: only some have {name}")
            if name == "transform":
                if any(value != values[0] for value in values):
                    raise DataError("predictions can't be joined: their transforms differ")
                return values[0]
            if isinstance(values[0], np.ndarray):
                return np.concatenate(values)
            entries = [entry for value in values for entry in value]
            return ImageSet(entries, values[0].name) if name == "images" else entries

        columns = zip(*(part._fields() for part in made), strict=True)
        return cls(**{c[0][0]: joined(c[0][0], [values for _, values in c]) for c in columns})

    def to_frame(self) -> pd.DataFrame:
        """Return a row an image: its path and score, and of the truth what is known.

        Returns
        -------
        DataFrame
            ``path`` and ``score``, all digits of it; ``label``, ``defect`` and ``disagreement``
            where they are known.

        Examples
        --------
        >>> predictions = Predictions(["a.png", "b.png"], np.array([0.1, 0.9]), np.zeros((2, 4, 4)))
        >>> predictions.to_frame().sort_values("score", ascending=False).path.tolist()
        ['b.png', 'a.png']
        """
        import pandas as pd  # which takes a second to load

        columns = {
            "path": [str(path) for path in self.paths],
            "score": self.scores,
            "label": self.labels,
            "defect": self.defects,
            "disagreement": self.disagreement,
        }
        return pd.DataFrame(
            {name: values for name, values in columns.items() if values is not None}
        )

    def _repr_html_(self) -> str:
        """Show the most anomalous images, as notebooks ask for."""
        order = np.argsort(-self.scores, kind="stable")[:_MOST_SHOWN]
        height, width = self.maps.shape[1:]
        of = f", the {len(order)} most anomalous of which are" if len(order) < len(self) else ""
        caption = f"Predictions of {plural(len(self), 'image')}, maps of {width} x {height} pixels"
        header = ["path", "score", *(["truth"] if self.labels is not None else [])]
        rows = []
        for i in order:
            row = [str(self.paths[i]), shown(float(self.scores[i]))]
            if self.labels is not None:
                word = "anomalous" if self.labels[i] else "good"
                row.append(word if self.defects is None else self.defects[i])
            rows.append(row)
        return html_table(f"{caption}{of}", header, rows)

    def _fields(self) -> list[tuple[str, Any]]:
        return [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
