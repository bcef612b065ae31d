"""PaDiM: the Mahalanobis distance to a Gaussian of good embeddings at every location."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.calibration import all_differ
from anomalist.data import ImageSet
from anomalist.detectors.base import Detector
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.padim_gaussians import (
    LowRank,
    Rows,
    Scatter,
    Triangular,
    bands,
    packed_size,
)
from anomalist.detectors.padim_left_out import leave_each_of_few_out, leave_groups_out
from anomalist.detectors.shards import Shard
from anomalist.errors import ParameterError
from anomalist.features import FeatureStore, Progress
from anomalist.files import scratch_array
from anomalist.models import Layout
from anomalist.predictions import Predictions
from anomalist.training import Training

Float32 = npt.NDArray[np.float32]

_IN_MEMORY_MB = 1024
"""Embeddings of all images that are held at once to leave out each; beyond, a file holds them."""


_MOST_TILED_MB = 4096
"""Gaussians of locations of tiled photographs, which are many; beyond, a fit is refused."""


@dataclass(kw_only=True, eq=False)
class PaDiM(Detector):
    """Mahalanobis distance of each location to its own Gaussian (Defard et al., ICPR 2021).

    An embedding joins the feature maps of several layers, deeper ones repeated to the resolution of
    the first, and keeps some of its dimensions, drawn at random (section 3.1). The good embeddings
    of a location give it a mean and a covariance, with a multiple of the identity added (section
    3.2, equation 1). A location scores its Mahalanobis distance (section 3.3, equation 2); an image
    scores the maximum of its smoothed map.

    Fitting is one pass. With D dimensions and N images the model keeps 4 bytes times the smaller of
    N * D and about D * D / 2 a location. Where N * D is the smaller, fitting takes no more; else
    up to max(32768, 128 * D) numbers a location wait beside, whatever the number of images.

    Parameters
    ----------
    dimensions : int, optional
        Number of dimensions drawn by the seed, or all where there are fewer or none is given. The
        paper takes 100 of resnet18's 448, and 550 of wide_resnet50_2's 1792.
    regularization : float
        Multiple of the identity added to covariances, epsilon in equation 1; positive.
    sigma : float
        Standard deviation, in pixels, of the Gaussian that smooths the map.

    Attributes
    ----------
    channels_ : int64 array of shape (D,)
        The dimensions that were drawn, ascending, counted through all layers.
    means_ : float32 array of shape (h * w, D)
        Mean embedding of a location.
    factors_ : float32 array of shape (h * w, N, D) or (h * w, T)
        Turns deviations from the mean into vectors whose length is the Mahalanobis distance: where
        images are few, the matrix H of (I - H'H) / sqrt(regularization); else the inverse of the
        covariance's Cholesky factor, its zeros mostly left out.

    Examples
    --------
    >>> PaDiM(dimensions=50).dimensions
    50
    """

    name: ClassVar[str] = "padim"
    shardable: ClassVar[bool] = True
    fitted: ClassVar[tuple[str, ...]] = ("channels_", "means_", "factors_")
    default_layers: ClassVar[tuple[str, ...] | None] = ("stride4", "stride8", "stride16")

    dimensions: int | None = 100
    regularization: float = 0.01
    sigma: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions is not None and self.dimensions < 1:
            raise ParameterError(f"dimensions must be at least 1, not {self.dimensions}")
        if not (self.regularization > 0 and math.isfinite(self.regularization)):
            raise ParameterError(f"regularization must be positive, not {self.regularization}")

    @property
    def seeded(self) -> bool:
        """Whether dimensions are drawn."""
        return self.dimensions is not None

    def _fit(self, features: FeatureBatches) -> None:
        gaussians = self._gaussians(features, Shard(0, 1, len(features)))
        self.means_, self.factors_ = gaussians.finish()
        self._restore()

    def _summarise(self, features: FeatureBatches, shard: Shard) -> Rows | Scatter:
        """Sum up a shard's embeddings, or keep them where they take less."""
        return self._gaussians(features, shard).summary(shard.places)

    def _join(self, summaries: Iterator[Any], shards: list[Shard]) -> None:
        """Add up the sums of the shards."""
        maps = self.preparation.shapes(self.backbone_, self.transform.output_size)
        self._draw(sum(channels for channels, _, _ in maps))
        images = shards[0].images
        kind: type[LowRank | Triangular] = LowRank if self._are_few(images) else Triangular
        joined = kind.join(summaries, images, self.regularization)
        self.means_, self.factors_ = joined.finish()
        self._restore()

    def _gaussians(self, features: FeatureBatches, shard: Shard) -> LowRank | Triangular:
        """Take all embeddings of a shard."""
        gaussians: LowRank | Triangular | None = None
        for maps in features:
            if gaussians is None:
                self._draw(sum(layer.shape[1] for layer in maps))
                shape = (math.prod(maps[0].shape[-2:]), len(shard), len(self.channels_))
                self._check_locations(shape[0], shard.images)
                if self._are_few(shard.images):
                    gaussians = LowRank(shape, self.regularization)
                else:
                    gaussians = Triangular(shape, self.regularization, shard.images)
            gaussians.add(self._embed(maps).cpu().numpy())
        assert gaussians is not None
        return gaussians

    def _check_locations(self, locations: int, images: int) -> None:
        """Refuse Gaussians of more locations of tiles than memory should hold."""
        dimensions = len(self.channels_)
        megabytes = 4 * locations * min(images * dimensions, packed_size(dimensions)) / 2**20
        if self._cuts and megabytes > _MOST_TILED_MB:
            raise ParameterError(
                f"padim would keep Gaussians of {locations} locations, {megabytes / 1024:.1f} GB:"
                " raise tile_size, lower image_size or dimensions, or take deeper layers;"
                " patchcore keeps one bank for all locations"
            )

    def _draw(self, available: int) -> None:
        """Draw some of the dimensions by the seed."""
        drawn = min(self.dimensions or available, available)
        rng = np.random.default_rng(self.seed)
        self.channels_ = np.sort(rng.choice(available, drawn, replace=False))

    def _are_few(self, images: int) -> bool:
        """Whether embeddings of so many images take less than sums."""
        return images * len(self.channels_) < packed_size(len(self.channels_))

    def _held_out(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training,
    ) -> Predictions:
        """Score the images that it was fitted to, each by the Gaussians of all of other groups.

        Taking an image out of a mean and a covariance changes its own Mahalanobis distance in a way
        that has a closed form (the Sherman-Morrison formula): one more fit serves all, or, where
        images are fewer than dimensions or come in groups, a location's embeddings do.

        Raises
        ------
        DataError
            If there are fewer than 2 images or groups.
        """
        n = len(images)
        if groups.max() == 0:  # refused there
            return super()._held_out(images, groups, store, progress, training)
        store = FeatureStore() if store is None else store  # two passes follow
        if self.views > 1:
            rows = self._embedded(self.learnt_from(images), store)
            own = groups.repeat(self.views)
            found = leave_groups_out(rows, own, self.regularization)[:, :: self.views]
            return self._found(found, images, store, progress)
        if not all_differ(groups):
            found = leave_groups_out(self._embedded(images, store), groups, self.regularization)
            return self._found(found, images, store, progress)
        if n - 2 < len(self.channels_):
            found = leave_each_of_few_out(self._embedded(images, store), self.regularization)
            return self._found(found, images, store, progress)
        # A covariance of one image less is (n - 1) / (n - 2) times this one but for that image, and
        # so must epsilon be, to be itself again.
        scaled = replace(self, regularization=self.regularization * (n - 2) / (n - 1))
        scaled.fit(images, store=store)

        def left_out(features: list[Tensor]) -> tuple[Tensor, Tensor]:
            squared = scaled._distances(features).square()
            others = squared * (n - 2) / (n - 1)
            # What is left of 1 can't be less than nothing but for rounding.
            share = (1 - others * n / ((n - 1) * (n - 2))).clamp_min(torch.finfo(torch.float32).eps)
            return self._scores((others / share).sqrt() * n / (n - 1), features)

        return self._predicted(images, left_out, store, progress)

    def _embedded(self, images: ImageSet, store: FeatureStore | None) -> Float32:
        """The embeddings of all images, (h * w, N, D), in memory or in a file."""
        rows: Float32 | None = None
        done = 0
        for maps in self._features(images, store):
            embeddings = self._embed(maps).cpu().numpy()
            if rows is None:
                shape = (len(embeddings), len(images), embeddings.shape[2])
                rows = scratch_array(shape, np.float32, _IN_MEMORY_MB)
            rows[:, done : done + embeddings.shape[1]] = embeddings
            done += embeddings.shape[1]
        assert rows is not None
        return rows

    def _found(
        self,
        distances: Float32,
        images: ImageSet,
        store: FeatureStore | None,
        progress: Progress | None,
    ) -> Predictions:
        """Predictions of known distances (h * w, N) of the images."""
        found = torch.from_numpy(distances).to(self.backbone_.device)
        done = 0

        def left_out(features: list[Tensor]) -> tuple[Tensor, Tensor]:
            nonlocal done
            start, done = done, done + len(features[0])
            return self._scores(found[:, start:done], features)

        return self._predicted(images, left_out, store, progress)

    @property
    def held_out_method(self) -> str:
        """How :meth:`calibrate` sees to it that an image wasn't seen, in words."""
        return "each scored by the Gaussians of all others"

    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        available = sum(channels for channels, _, _ in maps)
        drawn = min(self.dimensions or available, available)
        _, height, width = maps[0]
        few = getattr(self.factors_, "ndim", 0) == 3
        factors = ("n", drawn) if few else (packed_size(drawn),)
        return {
            "channels_": Layout(np.int64, (drawn,), minimum=0, below=available),
            "means_": Layout(np.float32, (height * width, drawn)),
            "factors_": Layout(np.float32, (height * width, *factors)),
        }

    def _restore(self) -> None:
        if (np.diff(self.channels_) <= 0).any():
            raise ParameterError("channels_ doesn't ascend")
        self._means = torch.from_numpy(self.means_).to(self.backbone_.device)
        self._factors = torch.from_numpy(self.factors_).to(self.backbone_.device)

    def _embed(self, maps: list[Tensor]) -> Tensor:
        """The drawn dimensions at every location: (h * w, B, D)."""
        height, width = maps[0].shape[-2:]
        chosen, channels = [], self.channels_
        for layer in maps:
            count = layer.shape[1]
            own = torch.from_numpy(channels[(channels >= 0) & (channels < count)])
            vectors = layer.permute(2, 3, 0, 1).index_select(3, own.to(layer.device))
            for axis, size in enumerate((height, width)):
                nearest = torch.arange(size, device=layer.device) * vectors.shape[axis] // size
                vectors = vectors.index_select(axis, nearest)
            chosen.append(vectors)
            channels = channels - count
        return torch.cat(chosen, dim=3).flatten(0, 1)

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self._scores(self._distances(features), features)

    def _distances(self, features: list[Tensor]) -> Tensor:
        """Mahalanobis distance of each location of each image, (h * w, B)."""
        return self._whiten(self._embed(features) - self._means[:, None])

    def _scores(self, distances: Tensor, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        patch_scores = distances.T.reshape(-1, *features[0].shape[-2:])
        return self._enlarge(patch_scores).amax(dim=(1, 2)), patch_scores

    def _whiten(self, deviations: Tensor) -> Tensor:
        """Mahalanobis lengths (h * w, B) of deviations from the mean (h * w, B, D)."""
        if self._factors.ndim == 3:
            within = torch.bmm(deviations, self._factors.mT)
            whitened = torch.baddbmm(deviations, within, self._factors, alpha=-1)
            lengths: Tensor = whitened.norm(dim=2) / math.sqrt(self.regularization)
            return lengths
        squared = deviations.new_zeros(deviations.shape[:2])
        for rows, columns, part in bands(deviations.shape[2]):
            band = self._factors[:, part].view(-1, rows.stop - rows.start, columns)
            squared += torch.bmm(deviations[:, :, :columns], band.mT).square().sum(dim=2)
        return squared.sqrt()

    def _enlarge(self, patch_scores: Tensor) -> Tensor:
        return self._in_view(patch_scores, self.sigma)
