"""PatchCore: the distance to the nearest of a coreset of good patches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

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
from anomalist.neighbors import CoresetSummary, Index, StreamingCoreset, summary_size

# Folds by which fewer independent images than these are held out.
_FOLDS_OF_FEW, _MANY = 10, 100
# Patches of a bank of tiles, whose search else took far longer than the tiles' pass.
_MOST_OF_TILES = 10_000


@dataclass(kw_only=True, eq=False)
class PatchCore(Detector):
    """Distance of each patch to the nearest of a coreset of good patches (Roth et al., CVPR 2022).

    Patch embeddings are feature maps averaged over a neighbourhood, deeper layers upsampled
    (section 3.1). The bank keeps a coreset of them, picked by the exact farthest-first traversal
    (section 3.2, algorithm 1). A patch scores its distance to the bank; an image scores that of
    its farthest patch, re-weighted by how rare the patch's neighbourhood in the bank is (section
    3.3, equation 7). Of more patches than the memory may hold the coreset is picked by
    merge-and-reduce; :class:`~anomalist.neighbors.StreamingCoreset` tells what then holds.

    Parameters
    ----------
    image_size : int, (int, int) or "auto"
        As all detectors take it. More pixels find more small defects than a larger network does.
    coreset_ratio : float
        Share of the patches that the bank keeps, above 0 and at most 1; of tiles 10,000 patches
        at most.
    coreset_size : int, optional
        Number of patches that the bank keeps, instead of a share.
    projection_dim : int, optional
        Pick the coreset in a random projection to so many dimensions (section 3.2); the bank keeps
        whole embeddings.
    num_neighbors : int
        Bank patches that re-weight the image score, b in equation 7; 1 leaves the plain maximum.
    neighbourhood : int
        Side of the neighbourhood over which features are averaged, p in section 3.1; odd.
    sigma : float
        Standard deviation, in pixels, of the Gaussian that smooths the map.
    memory_limit_mb : int
        Ceiling, in MB, of the memory for patches while fitting. Beyond it the coreset is picked by
        merge-and-reduce.

    Attributes
    ----------
    bank_ : float32 array of shape (n, C)
        The coreset.
    bank_images_ : int64 array of shape (n,)
        Which of the good images, in their order, each comes from.
    coverage_radius_ : float
        No good patch seen while fitting lies farther from the bank (in the projection, if any).

    Examples
    --------
    >>> PatchCore(coreset_ratio=0.01).coreset_ratio
    0.01
    """

    name: ClassVar[str] = "patchcore"
    shardable: ClassVar[bool] = True
    fitted: ClassVar[tuple[str, ...]] = ("bank_", "bank_images_", "coverage_radius_")

    image_size: int | tuple[int, int] | Literal["auto"] = 384
    coreset_ratio: float = 0.05
    coreset_size: int | None = None
    projection_dim: int | None = None
    num_neighbors: int = 9
    neighbourhood: int = 3
    sigma: float = 4.0
    memory_limit_mb: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.coreset_ratio <= 1:
            raise ParameterError(
                f"coreset_ratio must be above 0 and at most 1, not {self.coreset_ratio}"
            )
        for name in ("coreset_size", "projection_dim", "num_neighbors", "memory_limit_mb"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} must be at least 1, not {value}")

    def _fit(self, features: FeatureBatches) -> None:
        picked = self._picked(features, Shard(0, 1, len(features)), self._size)
        self._keep(picked._replace(arrivals=features.owners[picked.arrivals]))

    def _check_shards(self, shards: list[Shard], maps: list[tuple[int, int, int]]) -> None:
        channels, patches = sum(of_layer for of_layer, _, _ in maps), math.prod(maps[0][1:])
        sizes = [self._summary_size(shard, patches) for shard in shards]
        self._stream(max(sizes), len(shards[0]) * patches).check_ceiling(channels)
        self._stream(self._size(shards[0], patches), sum(sizes)).check_ceiling(channels)

    def _summarise(self, features: FeatureBatches, shard: Shard) -> CoresetSummary:
        """Pick of a shard's patches what stands for them, twice its share of the bank."""
        picked = self._picked(features, shard, self._summary_size)
        return picked._replace(arrivals=shard.places[picked.arrivals])

    def _join(self, summaries: Iterator[CoresetSummary], shards: list[Shard]) -> None:
        """Pick the bank of what stands for the shards' patches."""
        maps = self.preparation.shapes(self.backbone_, self.transform.output_size)
        patches = math.prod(maps[0][1:])
        size = self._size(shards[0], patches)
        total = sum(self._summary_size(shard, patches) for shard in shards)
        stream = self._stream(size, total)
        for summary in summaries:
            stream.merge(summary)
        self._keep(stream.finish())

    def _size(self, shard: Shard, patches: int) -> int:
        """Embeddings that the bank keeps of all images, with so many patches each."""
        if self.coreset_size is not None:
            return self.coreset_size
        share = max(1, int(shard.images * patches * self.coreset_ratio))
        return min(share, _MOST_OF_TILES) if self._cuts else share

    def _summary_size(self, shard: Shard, patches: int) -> int:
        size = self._size(shard, patches)
        return summary_size(size, len(shard) * patches, shard.images * patches)

    def _stream(self, size: int, total: int) -> StreamingCoreset:
        return StreamingCoreset(
            size,
            total,
            memory_limit_mb=self.memory_limit_mb,
            projection_dim=self.projection_dim,
            seed=self.seed,
        )

    def _picked(
        self, features: FeatureBatches, shard: Shard, size: Callable[[Shard, int], int]
    ) -> CoresetSummary:
        """A coreset of a shard's patches, with the image that each comes from."""
        stream = None
        for maps in features:
            patches = patch_embeddings(maps, self.neighbourhood)
            if stream is None:
                an_image = patches.shape[1] * patches.shape[2]
                stream = self._stream(size(shard, an_image), len(features) * an_image)
            stream.add(patches.flatten(0, 2).cpu().numpy())
        assert stream is not None
        coreset = stream.finish()
        return coreset._replace(arrivals=coreset.arrivals // an_image)

    def _keep(self, coreset: CoresetSummary) -> None:
        self.bank_ = coreset.embeddings
        self.bank_images_ = coreset.arrivals
        self.coverage_radius_ = coreset.radius
        self._restore()

    def _named_images(self, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        named = np.union1d(kept, self.bank_images_)
        self.bank_images_ = np.searchsorted(named, self.bank_images_).astype(np.int64)
        return named

    def count_folds(self, groups: int) -> int:
        """Return more folds where images are few: each that is missing shows then, and costs less.

        Ignoring the bank's patches of the image itself would cost no fit, but a coreset's patches
        lie apart: those of an image are by choice farther from all others than a new one's.
        """
        return _FOLDS_OF_FEW if groups < _MANY else self.folds

    @property
    def held_out_method(self) -> str:
        """How :meth:`calibrate` sees to it that an image wasn't seen, in words."""
        folds = f"{_FOLDS_OF_FEW} folds, {self.folds} of {_MANY} images or more"
        return f"{folds}, each scored by a copy fitted on the others"

    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        channels = sum(of_layer for of_layer, _, _ in maps)
        return {
            "bank_": Layout(np.float32, ("n", channels)),
            "bank_images_": Layout(np.int64, ("n",), minimum=0, below=len(self.images_)),
            "coverage_radius_": float,
        }

    def _restore(self) -> None:
        self._bank = torch.from_numpy(self.bank_).to(self.backbone_.device)
        self._index = Index(self._bank)

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        patches = patch_embeddings(features, self.neighbourhood)
        batch, height, width, _ = patches.shape
        distances, nearest = self._index.query(patches.flatten(0, 2), 1)
        by_image = distances.reshape(batch, -1)
        scores, farthest = by_image.max(dim=1)
        if self.num_neighbors > 1 and len(self.bank_) > 1:
            image = torch.arange(batch, device=patches.device)
            queries = patches.flatten(1, 2)[image, farthest]
            scores = scores * self._rarity(queries, nearest.reshape(batch, -1)[image, farthest])
        return scores, by_image.reshape(batch, height, width)

    def _rarity(self, patches: Tensor, nearest: Tensor) -> Tensor:
        """The weight of equation 7: 1 - softmax of the distances to the neighbourhood of m*."""
        closest = self._bank[nearest]
        _, neighbours = self._index.query(closest, min(self.num_neighbors, len(self.bank_)))
        around = (self._bank[neighbours] - patches[:, None]).norm(dim=2)
        to_nearest = (closest - patches).norm(dim=1)
        # One logarithm of the sum: exponentials of distances would overflow.
        weight: Tensor = 1 - (to_nearest - around.logsumexp(dim=1)).exp()
        return weight

    def _enlarge(self, patch_scores: Tensor) -> Tensor:
        return self._in_view(patch_scores, self.sigma)
