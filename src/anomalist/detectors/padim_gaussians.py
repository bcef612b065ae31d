"""Gaussians at every location of feature maps, from images as they come, here or elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack  # type: ignore[import-untyped]

from anomalist.detectors.padim_left_out import blocks, in_threads
from anomalist.errors import ParameterError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_BAND = 32
"""Rows of a triangular factor that are kept, and multiplied, as one; model files rely on it."""
_WAITING = 2**15
"""Numbers a location that wait before they are folded into the factors."""
_WAITING_IMAGES = 128
"""Images that wait at least: a fold costs as much as many images, however few they are."""


class Rows(NamedTuple):
    """Embeddings of some of the images of a fit.

    Parameters
    ----------
    embeddings : float32 array of shape (locations, n, D)
        Theirs.
    places : int64 array of shape (n,)
        Where the images stand among all.
    """

    embeddings: Float32
    places: npt.NDArray[np.int64]


class Scatter(NamedTuple):
    """What is left of some of the images of a fit: sums to which those of others can be added.

    Parameters
    ----------
    images : int
        How many they are.
    means : float64 array of shape (locations, D)
        Their mean embeddings.
    factors : float32 array of shape (locations, T)
        Cholesky factors of the sums of squared deviations from them, with the images' share of the
        regularization added.
    """

    images: int
    means: Float64
    factors: Float32


class LowRank:
    """Gaussians of fewer images than dimensions: the covariance is never formed.

    With the singular values s of the centred embeddings over sqrt(N - 1) and their right singular
    vectors V, the symmetric root of the inverse is (I - V' diag(1 - sqrt(e / (s^2 + e))) V) /
    sqrt(e), e the regularization.
    """

    def __init__(self, shape: tuple[int, int, int], regularization: float) -> None:
        self._rows = np.empty(shape, np.float32)
        self._regularization = regularization
        self._seen = 0

    @classmethod
    def join(cls, summaries: Iterable[Rows], images: int, regularization: float) -> LowRank:
        """Take the embeddings of so many images, of each in its place."""
        joined: LowRank | None = None
        for embeddings, places in summaries:
            if joined is None:
                shape = (len(embeddings), images, embeddings.shape[2])
                joined = cls(shape, regularization)
            joined._rows[:, places] = embeddings
        assert joined is not None
        return joined

    def add(self, embeddings: Float32) -> None:
        """Take the embeddings (locations, B, D) of a batch."""
        stop = self._seen + embeddings.shape[1]
        self._rows[:, self._seen : stop] = embeddings
        self._seen = stop

    def summary(self, places: npt.NDArray[np.int64]) -> Rows:
        """Return what was taken, of images that stand in these places among all."""
        return Rows(self._rows, places)

    def finish(self) -> tuple[Float32, Float32]:
        """Return the means, and the factors in the place of the embeddings."""
        locations, images, dimensions = self._rows.shape
        means = np.empty((locations, dimensions), np.float32)

        def factorise(block: slice) -> None:
            rows = self._rows[block].astype(np.float64)
            mean = rows.mean(axis=1)
            means[block] = mean
            rows -= mean[:, None]
            rows /= math.sqrt(max(images - 1, 1))
            variances, vectors = np.linalg.eigh(rows @ rows.mT)
            growth = np.sqrt(1 + variances.clip(0) / self._regularization)
            # 1 - 1 / growth over the variance, written so that no variance is divided by.
            weights = 1 / np.sqrt(self._regularization * growth * (1 + growth))
            self._rows[block] = weights[:, :, None] * (vectors.mT @ rows)

        in_threads(factorise, blocks(locations, images * dimensions))
        return means, self._rows


class Triangular:
    """Gaussians of many images: Cholesky factors of scatter matrices, grown block by block.

    Of the images of a shard each brings its share of the regularization, so that the sum over
    shards has it whole, and every shard's scatter has a Cholesky factor.

    Parameters
    ----------
    shape : (int, int, int)
        Locations, images and dimensions.
    regularization : float
        Multiple of the identity that is added to covariances.
    images : int, optional
        How many images all shards have, where these are but some of them.
    """

    def __init__(
        self, shape: tuple[int, int, int], regularization: float, images: int | None = None
    ) -> None:
        locations, own, dimensions = shape
        waiting = min(own, max(_WAITING // dimensions, _WAITING_IMAGES))
        self._waiting = np.empty((locations, waiting, dimensions), np.float32)
        self._factors = np.empty((locations, packed_size(dimensions)), np.float32)
        self._means = np.zeros((locations, dimensions))
        of = own if images is None else images
        self._degrees = max(of - 1, 1)
        self._ridge = regularization * self._degrees * (own / of)
        self._regularization = regularization
        self._folded = self._filled = 0

    @classmethod
    def join(cls, summaries: Iterable[Scatter], images: int, regularization: float) -> Triangular:
        """Add up the sums of so many images, in their order, which decides the rounding."""
        joined: Triangular | None = None
        for summary in summaries:
            if joined is None:
                locations, dimensions = summary.means.shape
                joined = cls((locations, 0, dimensions), regularization, images)
            joined._take(summary)
        assert joined is not None
        return joined

    def add(self, embeddings: Float32) -> None:
        """Take the embeddings (locations, B, D) of a batch."""
        while embeddings.shape[1]:
            if self._filled == self._waiting.shape[1]:
                self._fold()
            taken = embeddings[:, : self._waiting.shape[1] - self._filled]
            stop = self._filled + taken.shape[1]
            self._waiting[:, self._filled : stop] = taken
            self._filled = stop
            embeddings = embeddings[:, taken.shape[1] :]

    def summary(self, places: npt.NDArray[np.int64]) -> Scatter:
        """Return what is left of the images that were taken, which stand in these places."""
        self._fold()
        return Scatter(len(places), self._means, self._factors)

    def finish(self) -> tuple[Float32, Float32]:
        """Return the means, and the inverse Cholesky factors of the covariances."""
        if self._filled:
            self._fold(last=True)
        else:
            locations, dimensions = self._means.shape
            in_threads(self._invert_block, blocks(locations, dimensions * dimensions))
        return self._means.astype(np.float32), self._factors

    def _fold(self, last: bool = False) -> None:
        """Add the waiting images to means and factors; invert these at last."""
        locations, dimensions = self._means.shape
        parts = blocks(locations, max(self._filled, dimensions) * dimensions)
        in_threads(lambda block: self._fold_block(block, last), parts)
        self._folded += self._filled
        self._filled = 0

    def _fold_block(self, block: slice, last: bool) -> None:
        rows = self._waiting[block, : self._filled].astype(np.float64)
        mean = rows.mean(axis=1)
        rows -= mean[:, None]
        scatter: Float64 = rows.mT @ rows
        if not self._folded:
            diagonal = np.arange(len(scatter[0]))
            scatter[:, diagonal, diagonal] += self._ridge
        self._grow_block(block, self._filled, mean, scatter, last)

    def _take(self, summary: Scatter) -> None:
        """Add the sums of other images."""

        def take(block: slice) -> None:
            lower = _unpacked(summary.factors[block], self._means.shape[1])
            self._grow_block(block, summary.images, summary.means[block], lower @ lower.mT)

        locations, dimensions = self._means.shape
        in_threads(take, blocks(locations, dimensions * dimensions))
        self._folded += summary.images

    def _grow_block(
        self, block: slice, images: int, mean: Float64, scatter: Float64, last: bool = False
    ) -> None:
        """Add images of which mean and scatter are known."""
        share = images / (self._folded + images)
        shift = mean - self._means[block]
        self._means[block] += share * shift
        if self._folded:
            # Two groups' scatter is the sum of theirs and that between their means.
            scatter += self._folded * share * shift[:, :, None] * shift[:, None]
            before = _unpacked(self._factors[block], self._means.shape[1])
            scatter += before @ before.mT
        try:
            lower = np.linalg.cholesky(scatter)
        except np.linalg.LinAlgError:
            raise ParameterError(
                f"regularization {self._regularization} is too small to invert the covariances"
                " of these features: choose a larger one"
            ) from None
        if last:
            self._invert(lower)
        self._pack(lower, block)

    def _invert_block(self, block: slice) -> None:
        lower = _unpacked(self._factors[block], self._means.shape[1])
        self._invert(lower)
        self._pack(lower, block)

    def _invert(self, lower: npt.NDArray[np.floating[Any]]) -> None:
        for factor in lower:
            # LAPACK sees the transpose, an upper triangle, and inverts it where it lies.
            lapack.dtrtri(factor.T, overwrite_c=1)
        lower *= math.sqrt(self._degrees)

    def _pack(self, lower: npt.NDArray[np.floating[Any]], block: slice) -> None:
        for rows, columns, part in bands(lower.shape[1]):
            self._factors[block, part] = lower[:, rows, :columns].reshape(len(lower), -1)


def bands(dimensions: int) -> Iterator[tuple[slice, int, slice]]:
    """Bands of a lower triangle: their rows, the number of columns, and where they are packed."""
    offset = 0
    for start in range(0, dimensions, _BAND):
        stop = min(start + _BAND, dimensions)
        size = (stop - start) * stop
        yield slice(start, stop), stop, slice(offset, offset + size)
        offset += size


def packed_size(dimensions: int) -> int:
    """Return how many numbers a packed triangle has."""
    return sum((rows.stop - rows.start) * columns for rows, columns, _ in bands(dimensions))


def _unpacked(packed: Float32, dimensions: int) -> Float64:
    lower = np.zeros((len(packed), dimensions, dimensions))
    for rows, columns, part in bands(dimensions):
        lower[:, rows, :columns] = packed[:, part].reshape(len(packed), -1, columns)
    return lower
