"""Search of a structured bank: boxes, and then rows, that lie too far are passed over."""

from __future__ import annotations

import numpy as np

from anomalist.neighbors.axes import Float32, Float64, Int64, PrincipalAxes
from anomalist.neighbors.leaves import leaf_order
from anomalist.neighbors.nearest import BOX_DIMS, LEAF_ROWS, ROW_DIMS, search_boxes
from anomalist.neighbors.threads import PIECE, in_threads

GROUP_LEAVES = 32


class Boxes:
    """A bank's rows in boxes along the leading principal axes, two levels of them.

    Parameters
    ----------
    bank : float32 array of shape (m, d)
        Finite, at least one row. It is kept.

    Attributes
    ----------
    mean : float64 array of shape (d,)
    norms : float64 array of shape (m,)
        The rows' distances from ``mean``.
    radius : float
        The largest of them.
    """

    def __init__(self, bank: Float32) -> None:
        self._bank = bank
        size, self._dimensions = bank.shape
        self._axes = PrincipalAxes(bank, ROW_DIMS)
        self.mean = self._axes.mean
        parts = in_threads(lambda part: self._axes.shorten(bank[part]), size)
        rows = np.concatenate([short for short, _ in parts])
        self.norms: Float64 = np.concatenate([norms for _, norms in parts])
        self.radius = float(self.norms.max())
        near = _nearer(rows)
        self._order: Int64 = leaf_order(near, LEAF_ROWS, GROUP_LEAVES * LEAF_ROWS)
        self._rows = rows[self._order]

        leaves = -(-size // LEAF_ROWS)
        per_group = min(GROUP_LEAVES, leaves)
        groups = -(-leaves // per_group)
        shape = (groups, per_group, LEAF_ROWS, BOX_DIMS)
        lows = np.full((groups * per_group * LEAF_ROWS, BOX_DIMS), np.inf, np.float32)
        highs = -lows
        lows[:size] = highs[:size] = near[self._order]
        leaf_lows = lows.reshape(shape).min(axis=2).transpose(0, 2, 1)
        leaf_highs = highs.reshape(shape).max(axis=2).transpose(0, 2, 1)
        self._bounds = tuple(
            np.ascontiguousarray(bounds)
            for bounds in (
                leaf_lows.min(axis=2).T[np.newaxis],
                leaf_highs.max(axis=2).T[np.newaxis],
                leaf_lows,
                leaf_highs,
            )
        )

    def search(
        self, queries: Float32, squares: Float64, indices: Int64, piece: int = PIECE
    ) -> tuple[int, int]:
        """Fill in the nearest of every query; tell how many rows were bounded and measured."""
        # Coordinates err by a rounding to float32, and the rest's length by the root of float64's
        # rounding in the squares whose difference it is.
        error = 2.0**-22 + 2 * np.sqrt(self._dimensions * 2.0**-52)

        def work(part: slice) -> tuple[int, int]:
            rows, norms = self._axes.shorten(queries[part])
            counts: tuple[int, int] = search_boxes(
                queries[part],
                _nearer(rows),
                rows,
                (norms + self.radius) * error,
                self._bank,
                self._rows,
                self._order,
                *self._bounds,
                squares[part],
                indices[part],
            )
            return counts

        counts = in_threads(work, len(queries), piece)
        return sum(bounded for bounded, _ in counts), sum(measured for _, measured in counts)


def _nearer(rows: Float32) -> Float32:
    """Shorten short vectors further: what the last axes hold goes to the length of the rest."""
    near = rows[:, :BOX_DIMS].copy()
    rest = rows[:, BOX_DIMS - 1 :]
    near[:, -1] = np.sqrt(np.einsum("ij,ij->i", rest, rest, dtype=np.float64))
    return near
