"""CFA: features adapted to lie close around the centroids of good patches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn import Parameter

from anomalist.detectors.base import Detector
from anomalist.detectors.batches import FeatureBatches
from anomalist.errors import ParameterError
from anomalist.features import patch_embeddings
from anomalist.files import scratch_array
from anomalist.models import Layout
from anomalist.neighbors import Index, nearest_neighbors
from anomalist.training import Learner, Schedule, Step, train

Float32 = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_MAX_CLUSTERING_ROUNDS = 300


@dataclass(kw_only=True, eq=False)
class CFA(Detector):
    """Distance of adapted patches to the nearest centroids of good ones (Lee et al. 2022).

    Patch embeddings of several scales pass a descriptor, an affine map that sees where in the image
    a patch lies (a 1 x 1 coordinate convolution). The memory bank holds one centroid a location:
    the mean good patch, described by the untrained descriptor. The centroids stay; training moves
    the described patches into the hyperspheres around their K nearest centroids (``L_att``) and out
    of those around the next J (``L_rep``). A patch scores its distance to the nearest centroid,
    weighted by how much nearer that is than the other K - 1; an image scores the maximum of its
    map. Following the reference code, not the paper's algorithm 1, the centroids are plain means
    and the radius is learned. The result is that of the last epoch; nothing is selected.

    Parameters
    ----------
    gamma_c : int
        Locations a centroid: 1 keeps a centroid for every location, above that k-means merges them.
    gamma_d : int
        Channels of the patch embeddings for each channel of the described ones.
    num_nearest_neighbors : int
        Nearest centroids that attract a patch and weight its score, K.
    num_hard_negative_features : int
        Next nearest centroids, which repel a patch, J.
    radius : float
        Radius of the hyperspheres, r, at the start of training, which learns it.
    nu : float
        Divides the loss. AdamW's steps hardly depend on it.
    alpha : float
        Repulsion acts on squared distances below ``r**2 - alpha`` only.
    epochs : int
        Passes over the training images; 0 leaves the descriptor as it was drawn.
    lr : float
        Learning rate of AdamW (with AMSGrad).
    weight_decay : float
        Weight decay of AdamW.
    train_batch_size : int
        Images a training step; an epoch's last step takes what is left.
    neighbourhood : int
        Side of the neighbourhood over which features are averaged; odd.
    sigma : float
        Standard deviation, in pixels, of the Gaussian that smooths the map.
    memory_limit_mb : int
        Ceiling, in MB, of the memory for patch embeddings while fitting. Beyond it they wait in a
        temporary file; the result is the same.

    Attributes
    ----------
    descriptor_ : float32 array of shape (D, C + 3)
        The trained descriptor; it multiplies a patch's C channels, its row and column (from -1 to
        1 across the image) and 1.
    centroids_ : float32 array of shape (M, D)
        The memory bank.
    radius_ : float
        The learned radius.
    losses_ : float32 array of shape (epochs,)
        Mean loss of every epoch's steps.

    References
    ----------
    Lee, Lee and Song: CFA: Coupled-hypersphere-based Feature Adaptation for Target-Oriented
    Anomaly Localization. IEEE Access, 2022. arXiv 2206.04325.

    Examples
    --------
    >>> CFA(epochs=5).default_layers
    ('stride4', 'stride8', 'stride16')
    """

    name: ClassVar[str] = "cfa"
    trained: ClassVar[bool] = True
    # Each fold is a training: two, on half of the images, cost as much as one on all.
    folds: ClassVar[int] = 2
    fitted: ClassVar[tuple[str, ...]] = ("descriptor_", "centroids_", "radius_", "losses_")
    default_layers: ClassVar[tuple[str, ...]] = ("stride4", "stride8", "stride16")

    gamma_c: int = 1
    gamma_d: int = 1
    num_nearest_neighbors: int = 3
    num_hard_negative_features: int = 3
    radius: float = 1e-5
    nu: float = 1e-3
    alpha: float = 0.1
    epochs: int = 30
    lr: float = 1e-3
    weight_decay: float = 5e-4
    train_batch_size: int = 4
    neighbourhood: int = 3
    sigma: float = 4.0
    memory_limit_mb: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "gamma_c",
            "gamma_d",
            "num_nearest_neighbors",
            "num_hard_negative_features",
            "train_batch_size",
            "memory_limit_mb",
        ):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("nu", "lr"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("radius", "alpha", "epochs", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ParameterError(f"{name} must not be negative, not {getattr(self, name)}")

    def _fit(self, features: FeatureBatches) -> None:
        features.training.check()
        patches, mean = self._gather(features)
        rng = np.random.default_rng(self.seed)
        descriptor = self._untrained(mean.shape[1], rng).to(mean.device)
        # The descriptor is affine: the mean of described patches is the mean patch described.
        bank = self._merged(mean @ descriptor.T, rng)
        self._index = Index(bank)
        self.centroids_ = bank.cpu().numpy()
        train(
            self,
            _Learner(self, self._index, bank, patches, descriptor, rng),
            Schedule(
                examples=np.arange(len(patches)),
                batch_size=self.train_batch_size,
                epochs=self.epochs,
            ),
            images=features.images,
            training=features.training,
            progress=features.progress,
        )

    def _take(self, descriptor: Tensor, radius: Tensor, losses: Sequence[float]) -> None:
        """Score from now on with this descriptor."""
        self._descriptor = descriptor.detach().clone()
        self.descriptor_ = self._descriptor.cpu().numpy()
        self.radius_ = radius.item()
        self.losses_ = np.array(losses, np.float32)

    def _gather(self, features: FeatureBatches) -> tuple[Tensor, Tensor]:
        """All patches (N, h * w, C + 3), in memory or in a file, and their mean over images."""
        kept: Float32 | None = None
        done = 0
        for maps in features:
            batch = self._patches(maps)
            if kept is None:
                shape = (len(features), *batch.shape[1:])
                kept = scratch_array(shape, np.float32, self.memory_limit_mb)
                total = torch.zeros_like(batch[0])
            kept[done : done + len(batch)] = batch.cpu().numpy()
            done += len(batch)
            total += batch.sum(dim=0)
        assert kept is not None
        return torch.from_numpy(kept), total / done

    def _patches(self, maps: list[Tensor]) -> Tensor:
        """Patch embeddings (B, h * w, C + 3) of feature maps: channels, row, column and 1."""
        embeddings = patch_embeddings(maps, self.neighbourhood)
        batch, height, width, _ = embeddings.shape
        rows = torch.linspace(-1, 1, height, device=embeddings.device)
        columns = torch.linspace(-1, 1, width, device=embeddings.device)
        where = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
        where = F.pad(where, (0, 1), value=1.0).expand(batch, -1, -1, -1)
        return torch.cat([embeddings, where], dim=-1).flatten(1, 2)

    def _untrained(self, inputs: int, rng: np.random.Generator) -> Tensor:
        """Draw a descriptor as layers of PyTorch are drawn; its last column is the bias."""
        channels = inputs - 3
        outputs = channels // self.gamma_d
        if outputs == 0:
            raise ParameterError(
                f"gamma_d={self.gamma_d} leaves nothing of {channels} channels: lower it"
            )
        bound = 1 / math.sqrt(inputs - 1)
        return torch.from_numpy(rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32))

    def _merged(self, centroids: Tensor, rng: np.random.Generator) -> Tensor:
        """The bank: the centroids, or fewer by k-means."""
        count = len(centroids) // self.gamma_c
        needed = self.num_nearest_neighbors + self.num_hard_negative_features
        if count < needed:
            raise ParameterError(
                f"{len(centroids)} locations with gamma_c={self.gamma_c} give {count} centroids,"
                f" but num_nearest_neighbors and num_hard_negative_features ask for {needed}:"
                f" lower them or gamma_c, or enlarge image_size"
            )
        if self.gamma_c == 1:
            return centroids
        return torch.from_numpy(k_means(centroids.cpu().numpy(), count, rng)).to(centroids.device)

    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        _, height, width = maps[0]
        channels = sum(of_layer for of_layer, _, _ in maps)
        described = channels // self.gamma_d
        count = height * width // self.gamma_c
        if described < 1 or count < self.num_nearest_neighbors:
            raise ParameterError("gamma_c, gamma_d and num_nearest_neighbors leave no centroids")
        return {
            "descriptor_": Layout(np.float32, (described, channels + 3)),
            "centroids_": Layout(np.float32, (count, described)),
            "radius_": float,
            "losses_": Layout(np.float32, (self.epochs,)),
        }

    def _restore(self) -> None:
        device = self.backbone_.device
        self._descriptor = torch.from_numpy(self.descriptor_).to(device)
        self._index = Index(torch.from_numpy(self.centroids_).to(device))

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        described = self._patches(features) @ self._descriptor.T
        distances, _ = self._index.query(described.flatten(0, 1), self.num_nearest_neighbors)
        certainty = (-distances).softmax(dim=1)[:, 0]
        height, width = features[0].shape[-2:]
        patch_scores = (certainty * distances[:, 0]).reshape(-1, height, width)
        return self._enlarge(patch_scores).amax(dim=(1, 2)), patch_scores

    def _enlarge(self, patch_scores: Tensor) -> Tensor:
        return self._in_view(patch_scores, self.sigma)


class _Learner(Learner[Tensor]):
    """Adapts a descriptor and a radius to a bank of centroids that stand still."""

    def __init__(
        self,
        detector: CFA,
        index: Index,
        bank: Tensor,
        patches: Tensor,
        descriptor: Tensor,
        rng: np.random.Generator,
    ) -> None:
        self._detector, self._index, self._bank, self._patches = detector, index, bank, patches
        self._descriptor = Parameter(descriptor)
        self._radius = Parameter(torch.tensor(detector.radius, device=bank.device))
        self._rng = rng
        optimizer = torch.optim.AdamW(
            [self._descriptor, self._radius],
            lr=detector.lr,
            weight_decay=detector.weight_decay,
            amsgrad=True,
        )
        super().__init__({"all": optimizer}, detector.seed)

    def order(self, epoch: int, examples: Indices) -> Indices:
        """Order the images by the generator that has drawn the descriptor, and goes on."""
        return self._rng.permutation(examples)

    def batches(self, epoch: int, numbers: Sequence[Indices]) -> Iterator[Tensor]:
        """Give the patches (n, C + 3) of the images of a batch."""
        for images in numbers:
            patches = self._patches[torch.from_numpy(images)]
            yield patches.flatten(0, 1).to(self._bank.device)

    @torch.no_grad()
    def step(self, batch: Tensor) -> Step:
        """Write out the gradients of the coupled-hypersphere loss over nu."""
        detector = self._detector
        described = batch @ self._descriptor.T
        # Of all distances the loss sees the smallest alone, so these are found without a gradient,
        # and the gradient is written out for them: bank and patches would otherwise meet in a
        # matrix of millions of distances, kept for the way back.
        attracting = detector.num_nearest_neighbors
        distances, nearest = self._index.query(
            described, attracting + detector.num_hard_negative_features
        )
        loss, slopes = soft_boundary(distances.square(), self._radius, attracting, detector.alpha)
        slopes /= detector.nu
        offsets = slopes.sum(dim=1, keepdim=True) * described
        offsets -= _weighted_rows(slopes, nearest, self._bank)
        self._descriptor.grad = 2 * offsets.T @ batch
        self._radius.grad = -2 * self._radius * slopes.sum()
        return Step(
            loss / detector.nu,
            lambda: {"loss": loss.item() / detector.nu, "radius": self._radius.item()},
        )

    def state(self) -> dict[str, Any]:
        """Return the descriptor, the radius, and where the generator stands."""
        return {
            "descriptor": self._descriptor,
            "radius": self._radius,
            "generator": self._rng.bit_generator.state,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        with torch.no_grad():
            self._descriptor.copy_(state["descriptor"])
            self._radius.copy_(state["radius"])
        self._rng.bit_generator.state = state["generator"]

    def publish(self, epoch: int, losses: Sequence[float]) -> None:
        """Let the detector score with the present descriptor."""
        self._detector._take(self._descriptor, self._radius, losses)


def soft_boundary(
    squared: Tensor, radius: Tensor, num_nearest_neighbors: int, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return the coupled-hypersphere loss, ``L_att + L_rep`` with nu = 1, and its derivative.

    Parameters
    ----------
    squared : Tensor of shape (n, K + J)
        Squared distances of patches to their nearest centroids, ascending.
    radius : Tensor
        Radius r of the hyperspheres, a scalar.
    num_nearest_neighbors : int
        How many of the centroids attract, K.
    alpha : float
        Margin below ``radius**2`` where repulsion begins.

    Returns
    -------
    loss : Tensor
        A scalar.
    slopes : Tensor of shape (n, K + J)
        The loss's derivative by each squared distance; by ``radius**2`` it is minus their sum.

    Examples
    --------
    >>> loss, slopes = soft_boundary(torch.tensor([[1.0, 4.0, 5.0]]), torch.tensor(2.5), 1, 0.25)
    >>> loss, slopes
    (tensor(1.5000), tensor([[ 0.0000, -0.5000, -0.5000]]))
    """
    outside = squared[:, :num_nearest_neighbors] - radius.square()
    inside = radius.square() - alpha - squared[:, num_nearest_neighbors:]
    loss = outside.clamp(min=0).mean() + inside.clamp(min=0).mean()
    slopes = [(outside > 0) / outside.numel(), -((inside > 0) / inside.numel())]
    return loss, torch.cat(slopes, dim=1)


def k_means(points: Float32, count: int, rng: np.random.Generator) -> Float32:
    """Cluster points by Lloyd's algorithm, from points drawn at random, until nothing moves.

    Parameters
    ----------
    points : float32 array of shape (n, d)
        What to cluster.
    count : int
        Number of clusters, at most n.
    rng : Generator
        Draws the points to start from.

    Returns
    -------
    float32 array of shape (count, d)
        The clusters' means; of a cluster that lost all its points, its last.

    Examples
    --------
    >>> points = np.float32([[0], [1], [8], [9]])
    >>> np.sort(k_means(points, 2, np.random.default_rng(0)), axis=0).ravel()
    array([0.5, 8.5], dtype=float32)
    """
    centers = points[rng.choice(len(points), count, replace=False)]
    previous: npt.NDArray[np.int64] | None = None
    for _ in range(_MAX_CLUSTERING_ROUNDS):
        _, nearest = nearest_neighbors(points, centers, 1)
        labels = nearest[:, 0]
        if previous is not None and np.array_equal(labels, previous):
            break
        previous = labels
        sums = np.zeros(centers.shape)
        np.add.at(sums, labels, points)
        sizes = np.bincount(labels, minlength=count)
        centers[sizes > 0] = sums[sizes > 0] / sizes[sizes > 0, np.newaxis]
    return centers


def _weighted_rows(weights: Tensor, rows: Tensor, bank: Tensor) -> Tensor:
    """Sum the rows (n, k) of a bank (M, D) with weights (n, k) to (n, D)."""
    if bank.is_cpu:  # fast, and never holds (n, k, D)
        return F.embedding_bag(rows, bank, per_sample_weights=weights, mode="sum")
    return (weights[:, None] @ bank[rows])[:, 0]
