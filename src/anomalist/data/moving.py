"""Pictures are moved: turned, mirrored, shifted, enlarged; beyond an edge they are mirrored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.editing import Samples


@dataclass(frozen=True)
class Affine:
    """Where what is shown at (x, y) comes from: (xx x + xy y + x0, yx x + yy y + y0).

    Coordinates are pixels, counted from the outer edge of the first one.
    """

    xx: float
    xy: float
    x0: float
    yx: float
    yy: float
    y0: float

    @classmethod
    def about(
        cls,
        size: tuple[int, int],
        matrix: tuple[float, float, float, float],
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> Self:
        """Make one that moves a picture about its centre.

        Parameters
        ----------
        size : (int, int)
            Height and width of the picture.
        matrix : (float, float, float, float)
            xx, xy, yx and yy.
        shift : (float, float)
            By how many pixels to the right and down the centre comes from elsewhere.

        Examples
        --------
        >>> quarter = Affine.about((10, 20), (0.0, -1.0, 1.0, 0.0))
        >>> quarter(10.0, 5.0), quarter(15.0, 5.0)
        ((10.0, 5.0), (10.0, 10.0))
        """
        xx, xy, yx, yy = matrix
        x, y = size[1] / 2, size[0] / 2
        return cls(xx, xy, x + shift[0] - xx * x - xy * y, yx, yy, y + shift[1] - yx * x - yy * y)

    def __call__(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return where points come from."""
        return self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0

    def after(self, first: Affine) -> Affine:
        """Return where points come from that another one has moved before.

        Examples
        --------
        >>> quarter = Affine.about((10, 20), (0.0, -1.0, 1.0, 0.0))
        >>> quarter.after(quarter)(15.0, 5.0)
        (5.0, 5.0)
        """
        x0, y0 = self(first.x0, first.y0)
        return Affine(
            self.xx * first.xx + self.xy * first.yx,
            self.xx * first.xy + self.xy * first.yy,
            x0,
            self.yx * first.xx + self.yy * first.yx,
            self.yx * first.xy + self.yy * first.yy,
            y0,
        )

    def inverse(self) -> Affine:
        """Return where what is shown there goes to.

        Examples
        --------
        >>> quarter = Affine.about((10, 20), (0.0, -1.0, 1.0, 0.0))
        >>> quarter.inverse()(*quarter(15.0, 5.0))
        (15.0, 5.0)
        """
        area = self.xx * self.yy - self.xy * self.yx
        xx, xy, yx, yy = self.yy / area, -self.xy / area, -self.yx / area, self.xx / area
        return Affine(xx, xy, -xx * self.x0 - xy * self.y0, yx, yy, -yx * self.x0 - yy * self.y0)


def scaling(across: float, down: float) -> Affine:
    """Return where points come from of which the source is so many times as wide and as high."""
    return Affine(across, 0.0, 0.0, 0.0, down, 0.0)


def moved_plane(
    plane: npt.NDArray[Any],
    affine: Affine,
    resampling: Image.Resampling,
    size: tuple[int, int] | None = None,
) -> npt.NDArray[Any]:
    """Move one channel, or RGB; beyond its edges it goes on the other way round.

    Parameters
    ----------
    plane : uint8 or float32 array of shape (H, W), or uint8 array of shape (H, W, 3)
    affine : Affine
        Where each point comes from.
    resampling : PIL.Image.Resampling
        Filter.
    size : (int, int), optional
        Height and width of what comes out; by default as it is.

    Returns
    -------
    array of shape (h, w), or (h, w, 3)
        Of the same type.

    Examples
    --------
    >>> plane = np.array([[1, 2], [3, 4]], np.uint8)
    >>> quarter = Affine.about((2, 2), (0.0, -1.0, 1.0, 0.0))
    >>> moved_plane(plane, quarter, Image.Resampling.NEAREST)
    array([[2, 4],
           [1, 3]], dtype=uint8)
    """
    source_height, source_width = plane.shape[:2]
    height, width = (source_height, source_width) if size is None else size
    # Corners tell how far beyond the edges it is asked for.
    x, y = affine(np.array([0, width, 0, width]), np.array([0, 0, height, height]))
    left, top = (math.ceil(max(-float(side.min()), 0)) + 1 for side in (x, y))
    right = math.ceil(max(float(x.max()) - source_width, 0)) + 1
    below = math.ceil(max(float(y.max()) - source_height, 0)) + 1
    edges = ((top, below), (left, right), (0, 0))
    wide = np.pad(plane, edges[: plane.ndim], "symmetric")
    placed = Image.fromarray(wide).transform(
        (width, height),
        Image.Transform.AFFINE,
        (affine.xx, affine.xy, affine.x0 + left, affine.yx, affine.yy, affine.y0 + top),
        resampling,
    )
    return np.asarray(placed)


def moved_samples(
    samples: Samples, affine: Affine, white: int, resampling: Image.Resampling
) -> Samples:
    """Move the samples of a photograph, see `moved_plane`.

    Parameters
    ----------
    samples : uint8 or uint16 array of shape (H, W, C)
        Left as they are.
    affine : Affine
        Where each point comes from.
    white : int
        The highest value.
    resampling : PIL.Image.Resampling
        Filter.

    Returns
    -------
    array of shape (H, W, C)
        Of the same type.
    """
    planes = [
        moved_plane(samples[..., c].astype(np.float32), affine, resampling)
        for c in range(samples.shape[2])
    ]
    moved: Samples = np.rint(np.clip(np.stack(planes, axis=2), 0, white)).astype(samples.dtype)
    return moved
