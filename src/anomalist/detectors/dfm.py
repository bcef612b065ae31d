"""DFM: how far an image's deep features lie from the subspace, or the Gaussian, of good ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log, pi, sqrt
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.detectors.base import Detector
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.shards import Shard
from anomalist.errors import ParameterError
from anomalist.features import patch_embeddings
from anomalist.models import Layout

Array = npt.NDArray[np.float64]

_LEAST = float(np.finfo(np.float32).tiny)


@dataclass(kw_only=True, eq=False)
class DFM(Detector):
    """Principal components of whole images, deep feature modeling (Ahuja et al., 2019).

    The feature map of a layer is averaged over windows and flattened to one vector an image. The
    principal components of good images' vectors span a subspace. An image scores the squared
    distance of its vector x to that subspace, the feature reconstruction error
    ``|x - m - V'V(x - m)|^2`` (Ndiour et al., BMVC 2023), or the negative log-likelihood of
    ``V(x - m)`` under a Gaussian with the components' variances (Ahuja et al., arXiv 1909.11786),
    which sees only what happens inside the subspace. The map is the reconstruction error of each
    window, summed over channels, with either score: the likelihood has no parts by place.

    Parameters
    ----------
    pooling_kernel_size : int
        Side in locations of the windows over which features are averaged; 1 keeps every location.
        A side that it doesn't divide is cut into more, equal windows, and one of two locations or
        more into at least two, so that the map covers the image.
    pca_level : float
        Share of the variance of good images that the components explain, above 0 and at most 1.
    score_type : str
        Score of an image: ``fre``, the reconstruction error, or ``nll``, the negative
        log-likelihood in nats. Images that don't vary, such as a single one, have no Gaussian: the
        score then is the reconstruction error.
    memory_limit_mb : int
        Ceiling, in MB, of the memory for the images' vectors while fitting; 32 bytes a value are
        reckoned. While it holds them all, or twice as many as a vector has values, components are
        exact; beyond that the directions of least variance are dropped as images come.

    Attributes
    ----------
    mean_ : float32 array of shape (D,)
        Mean vector of good images, m.
    components_ : float32 array of shape (k, D)
        Principal components, V, the strongest first.
    variances_ : float32 array of shape (k,)
        Variance of good images along each component, of maximum likelihood.

    Examples
    --------
    >>> DFM(pooling_kernel_size=2, score_type="nll").pca_level
    0.97
    """

    name: ClassVar[str] = "dfm"
    shardable: ClassVar[bool] = True
    fitted: ClassVar[tuple[str, ...]] = ("mean_", "components_", "variances_")
    default_layers: ClassVar[tuple[str, ...] | None] = ("stride16",)

    pooling_kernel_size: int = 4
    pca_level: float = 0.97
    score_type: Literal["fre", "nll"] = "fre"
    memory_limit_mb: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pooling_kernel_size", "memory_limit_mb"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 < self.pca_level <= 1:
            raise ParameterError(f"pca_level must be above 0 and at most 1, not {self.pca_level}")
        if self.score_type not in ("fre", "nll"):
            raise ParameterError(f"score_type must be fre or nll, not {self.score_type!r}")

    @property
    def seeded(self) -> bool:
        """Nothing in it is random."""
        return False

    def _fit(self, features: FeatureBatches) -> None:
        self._keep(self._analysed(features))

    def _check_shards(self, shards: list[Shard], maps: list[tuple[int, int, int]]) -> None:
        _StreamingPCA(shards[0].images, self._values(maps), self.memory_limit_mb)

    def _summarise(self, features: FeatureBatches, shard: Shard) -> Components:
        """Find the components of a shard's vectors, all of them."""
        return self._analysed(features).summary()

    def _join(self, summaries: Iterator[Components], shards: list[Shard]) -> None:
        """Find those of all vectors."""
        pca = None
        for summary in summaries:
            if pca is None:
                images, values = shards[0].images, len(summary.mean)
                pca = _StreamingPCA(images, values, self.memory_limit_mb)
            pca.merge(summary)
        assert pca is not None
        self._keep(pca)

    def _analysed(self, features: FeatureBatches) -> _StreamingPCA:
        pca = None
        for maps in features:
            vectors = self._pooled(maps).flatten(1).cpu().numpy()
            if pca is None:
                pca = _StreamingPCA(len(features), vectors.shape[1], self.memory_limit_mb)
            pca.add(vectors)
        assert pca is not None
        return pca

    def _keep(self, pca: _StreamingPCA) -> None:
        mean, components, variances = pca.finish(self.pca_level)
        self.mean_ = mean.astype(np.float32)
        self.components_ = components.astype(np.float32)
        self.variances_ = variances.astype(np.float32)
        self._restore()

    def _values(self, maps: list[tuple[int, int, int]]) -> int:
        """Values of an image's vector, of feature maps of shapes (C, h, w)."""
        _, height, width = maps[0]
        channels = sum(of_layer for of_layer, _, _ in maps)
        rows, columns = (_windows(side, self.pooling_kernel_size) for side in (height, width))
        return channels * rows * columns

    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        values = self._values(maps)
        return {
            "mean_": Layout(np.float32, (values,)),
            "components_": Layout(np.float32, ("k", values)),
            "variances_": Layout(np.float32, ("k",), minimum=_LEAST),
        }

    def _restore(self) -> None:
        device = self.backbone_.device
        self._mean = torch.from_numpy(self.mean_).to(device)
        self._components = torch.from_numpy(self.components_).to(device)
        self._variances = torch.from_numpy(self.variances_).to(device)

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        pooled = self._pooled(features)
        deviations = pooled.flatten(1) - self._mean
        coordinates = deviations @ self._components.T
        residuals = deviations - coordinates @ self._components
        errors = residuals.square().reshape(pooled.shape).sum(dim=1)
        if self.score_type == "fre" or len(self.variances_) == 0:
            return errors.sum(dim=(1, 2)), errors
        squares = coordinates.square() / self._variances + self._variances.log() + log(2 * pi)
        return squares.sum(dim=1) / 2, errors

    def _pooled(self, features: list[Tensor]) -> Tensor:
        """Average feature maps over windows, to (B, C, rows, columns)."""
        maps = patch_embeddings(features, neighbourhood=1).permute(0, 3, 1, 2)
        rows, columns = (
            _averages(side, self.pooling_kernel_size).to(maps.device) for side in maps.shape[2:]
        )
        return rows @ maps @ columns.T


def _windows(side: int, window: int) -> int:
    return max(ceil(side / window), min(side, 2))


def _averages(side: int, window: int) -> Tensor:
    """The (windows, side) matrix that averages a side over equal windows, by the parts it cuts."""
    windows = _windows(side, window)
    # Of side x windows equal slices, each location holds ``windows`` and each window ``side``.
    slices = np.eye(windows, dtype=np.float32).repeat(side, axis=1)
    return torch.from_numpy(slices.reshape(windows, side, windows).sum(axis=2) / np.float32(side))


class Components(NamedTuple):
    """What is left of some of the vectors of a fit, to which that of others can be added.

    Parameters
    ----------
    images : int
        How many they are.
    mean : float64 array of shape (D,)
        Theirs.
    total : float
        The sum of their squared deviations from it.
    rows : float64 array of shape (r, D)
        Directions in which they deviate, each as long as the root of the sum of squares along it.
    """

    images: int
    mean: Array
    total: float
    rows: Array


class _StreamingPCA:
    """Principal components of vectors as they come (Ross et al., IJCV 2008), in float64."""

    def __init__(self, count: int, dim: int, memory_limit_mb: int) -> None:
        # A row, its direction, and their inner products with all others where it's long enough.
        capacity = memory_limit_mb * 2**20 // (32 * dim)
        if capacity < min(count, 8):
            raise ParameterError(
                f"memory_limit_mb={memory_limit_mb} has no room for {min(count, 8)} images' vectors"
                f" of {dim} values: raise it, or pooling_kernel_size"
            )
        # Twice the rank that vectors can have keeps every direction there is.
        self._rows = np.empty((min(count, capacity, 2 * dim + 2) + 1, dim))
        self._kept = self._filled = 0
        self._count = 0
        self._mean = np.zeros(dim)
        self._total = 0.0

    def add(self, vectors: npt.NDArray[np.float32]) -> None:
        """Take vectors (B, D), first making room by what drops the least variance."""
        for vector in vectors:
            if self._filled == len(self._rows) - 1:
                self._shrink(*self._absorb())
            self._rows[self._filled] = vector
            self._filled += 1

    def summary(self) -> Components:
        """Return what is left of the vectors: all, unless variance had to be dropped."""
        scatter, directions = self._absorb()
        rows = np.sqrt(scatter)[:, None] * directions
        return Components(self._count, self._mean, self._total, rows)

    def merge(self, summary: Components) -> None:
        """Take what is left of vectors elsewhere; none of its own may wait."""
        between = self._move(summary.images, summary.mean)
        self._total += summary.total + float(np.vdot(between, between))
        for row in (*summary.rows, between):
            if self._filled == len(self._rows) - 1:
                self._shrink(*self._decompose(self._filled))
            self._rows[self._filled] = row
            self._filled += 1
        self._kept = self._filled

    def finish(self, level: float) -> tuple[Array, Array, Array]:
        """Mean, the components that explain the level's share, and their variances."""
        scatter, directions = self._absorb()
        explained = np.cumsum(scatter) / self._total
        k = np.searchsorted(explained, level, side="right") + 1
        return self._mean, directions[:k], scatter[:k] / self._count

    def _absorb(self) -> tuple[Array, Array]:
        """Join the new rows with the kept ones: eigenvalues and -vectors of the whole scatter."""
        block = self._rows[self._kept : self._filled]
        if not len(block):
            return self._decompose(self._filled)
        mean = block.mean(axis=0)
        block -= mean
        self._rows[self._filled] = self._move(len(block), mean)
        joined = self._rows[self._kept : self._filled + 1]
        self._total += float(np.vdot(joined, joined))
        return self._decompose(self._filled + 1)

    def _move(self, new: int, mean: Array) -> Array:
        """Take new vectors into count and mean; return the row of what is between the means."""
        before = self._count
        between: Array = sqrt(before * new / (before + new)) * (mean - self._mean)
        self._mean += (mean - self._mean) * (new / (before + new))
        self._count += new
        return between

    def _decompose(self, rows: int) -> tuple[Array, Array]:
        scatter, directions = _eigen(self._rows[:rows])
        # Features are float32: what is below their rounding is no variance.
        squares = self._count * (self._mean @ self._mean) + self._total
        rank = np.count_nonzero(scatter > np.finfo(np.float32).eps ** 2 * squares)
        return scatter[:rank], directions[:rank]

    def _shrink(self, scatter: Array, directions: Array) -> None:
        """Keep the strongest directions in half of the room."""
        self._kept = self._filled = min(len(scatter), len(self._rows) // 2)
        kept = slice(self._kept)
        self._rows[kept] = np.sqrt(scatter[kept, None]) * directions[kept]


def _eigen(rows: Array) -> tuple[Array, Array]:
    """Eigenvalues of rows.T @ rows, the largest first, and eigenvectors, by the shorter side."""
    if len(rows) > rows.shape[1]:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        return values[::-1], vectors.T[::-1]
    values, vectors = np.linalg.eigh(rows @ rows.T)
    directions = vectors.T[::-1] @ rows
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return values[::-1], np.divide(directions, norms, out=directions, where=norms > 0)
