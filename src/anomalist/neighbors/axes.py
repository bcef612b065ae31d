"""A map to few dimensions that never lengthens a distance.

Patch embeddings are strongly structured: a few principal axes hold most of their spread. A vector's
coordinates along them, and the length of what they leave out, are a short vector whose distances
to others of its kind bound the true ones from below, closely where the structure is strong. The
coreset and the search skip by such bounds most of what they would have to measure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anomalist.compiling import njit

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

SAMPLE = 2048  # vectors that the axes are taken from: any axes are right, good ones are fast
OVERSAMPLING = 16  # axes beyond those wanted, by which subspace iteration finds these well
ROUNDS = 2  # of subspace iteration


class PrincipalAxes:
    """The leading principal axes of vectors, and the map to coordinates along them.

    Parameters
    ----------
    vectors : float32 array of shape (n, d)
        Finite, at least one. The axes are taken from some of them, at even distances.
    length : int
        Length of the short vectors: ``length - 1`` coordinates, and the length of the rest. Where
        d is smaller, coordinates beyond it are 0.

    Attributes
    ----------
    mean : float64 array of shape (d,)
        What the map takes as the origin.

    Examples
    --------
    >>> vectors = np.float32([[0, 0, 0], [4, 0, 3], [8, 0, 0]])
    >>> short, norms = PrincipalAxes(vectors, 2).shorten(vectors)
    >>> np.linalg.norm(short[2] - short[0]), np.linalg.norm(short[1] - short[0]) <= 5
    (np.float32(8.0), np.True_)
    """

    def __init__(self, vectors: Float32, length: int) -> None:
        chosen = np.linspace(0, len(vectors) - 1, min(len(vectors), SAMPLE)).astype(np.int64)
        sample = vectors[chosen]
        self.mean: Float64 = sample.mean(axis=0, dtype=np.float64)
        centred = sample - self.mean
        dimensions = sample.shape[1]
        wanted = min(dimensions, length + OVERSAMPLING)
        axes = np.random.default_rng(0).standard_normal((dimensions, wanted))
        for _ in range(ROUNDS):
            axes, _ = np.linalg.qr(centred.T @ (centred @ axes))
        coordinates = centred @ axes
        _, rotation = np.linalg.eigh(coordinates.T @ coordinates)
        leading = (axes @ rotation)[:, ::-1][:, : length - 1]
        self._axes = np.pad(leading, ((0, 0), (0, length - leading.shape[1])))

    def shorten(
        self, vectors: Float32, rows: Int64 | None = None, *, length: int = 0, scale: float = 1.0
    ) -> tuple[Float32, Float64]:
        """Return short vectors, and the vectors' distances from the mean.

        Parameters
        ----------
        vectors : float32 array of shape (n, d)
            Finite.
        rows : int64 array of shape (m,), optional
            Which of them; all by default.
        length : int
            Fewer coordinates than there are axes; all by default.
        scale : float
            A factor for the short vectors, so that float32 holds them.

        Returns
        -------
        short : float32 array of shape (m, length)
        norms : float64 array of shape (m,)
            Not scaled.
        """
        axes = self._axes
        if length:
            axes = np.pad(axes[:, : length - 1], ((0, 0), (0, 1)))
        if rows is None:
            rows = np.arange(len(vectors))
        vectors = vectors.view()
        vectors.flags.writeable = False  # so that one compiled kernel serves all
        short = np.empty((len(rows), axes.shape[1]), np.float32)
        norms = np.empty(len(rows))
        _shorten(vectors, rows, self.mean, axes, scale, short, norms)
        return short, norms


# Summation may be reordered, to use vector registers.
@njit(fastmath={"reassoc", "contract", "nsz", "nnan", "ninf"})
def _shorten(vectors, rows, mean, axes, scale, short, norms):  # type: ignore[no-untyped-def]
    length = axes.shape[1]
    parts = np.empty(length)
    whole = vectors.shape[1] // 4 * 4
    for i in range(len(rows)):
        row = vectors[rows[i]]
        parts[:] = 0.0
        square = 0.0
        for j in range(0, whole, 4):
            x0, x1, x2, x3 = (
                row[j] - mean[j],
                row[j + 1] - mean[j + 1],
                row[j + 2] - mean[j + 2],
                row[j + 3] - mean[j + 3],
            )
            a0, a1, a2, a3 = axes[j], axes[j + 1], axes[j + 2], axes[j + 3]
            square += x0 * x0 + x1 * x1 + x2 * x2 + x3 * x3
            for k in range(length):
                parts[k] += x0 * a0[k] + x1 * a1[k] + x2 * a2[k] + x3 * a3[k]
        for j in range(whole, len(row)):
            x0 = row[j] - mean[j]
            square += x0 * x0
            for k in range(length):
                parts[k] += x0 * axes[j, k]
        rest = square
        for k in range(length - 1):
            short[i, k] = parts[k] * scale
            rest -= parts[k] * parts[k]
        short[i, length - 1] = np.sqrt(max(rest, 0.0)) * scale
        norms[i] = np.sqrt(square)
