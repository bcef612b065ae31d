"""What GLASS learns from: good images, and images with defects that it makes of them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.data import ImageSet, Transform, load_batches
from anomalist.detectors.glass_step import Network
from anomalist.features import Preparation
from anomalist.files import scratch_array
from anomalist.synthesis import LocalSynthesis, foreground_mask, pool_mask
from anomalist.training import stream

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
UInt8 = npt.NDArray[np.uint8]

# Streams of random numbers; 0 is that of the order of the images.
NOISE, VARIANTS, DEFECT, HELD_OUT, WEIGHTS = range(1, 6)


@dataclass(frozen=True)
class GoodImages:
    """Good images (N): pixels (N, H, W, 3), parts (N, H, W) and embeddings (N, h * w, D)."""

    pixels: UInt8
    parts: Bool | None
    clean: Tensor

    @classmethod
    def of(
        cls,
        images: ImageSet,
        embeddings: Iterable[Tensor],
        transform: Transform,
        preparation: Preparation,
        *,
        with_parts: bool,
        batch_size: int,
        memory_limit_mb: float,
    ) -> GoodImages:
        """Read images, find their parts, and put down their embeddings, which come in batches."""
        pixels = scratch_array(
            (len(images), *transform.output_size, 3), np.uint8, memory_limit_mb / 8
        )
        done = 0
        for batch in load_batches(
            images, transform, batch_size, registration=preparation.registration
        ):
            pixels[done : done + len(batch)] = preparation.pixels(batch)
            done += len(batch)
        clean: Float32 | None = None
        done = 0
        for patches in embeddings:
            if clean is None:
                clean = scratch_array(
                    (len(images), *patches.shape[1:]), np.float32, memory_limit_mb
                )
            clean[done : done + len(patches)] = patches.cpu().numpy()
            done += len(patches)
        assert clean is not None
        parts = np.stack([foreground_mask(image) for image in pixels]) if with_parts else None
        if preparation.ignored is not None:
            # What is ignored is filled: a defect there would be labelled, but never seen.
            counts = np.broadcast_to(~preparation.ignored.mask, pixels.shape[:3])
            parts = counts if parts is None else _where_any(parts & counts, counts)
        return cls(pixels, parts, torch.from_numpy(clean))

    def moments(self, indices: Indices, batch_size: int) -> tuple[Float64, Float64]:
        """Mean and standard deviation of every dimension of the patches of some images."""
        count = 0
        mean = square = np.zeros(self.clean.shape[-1])
        for part in in_batches(indices, batch_size):
            values = self.clean[torch.from_numpy(part)].flatten(0, 1).numpy()
            total = count + len(values)
            offset = values.mean(axis=0, dtype=np.float64) - mean
            square = square + values.var(axis=0, dtype=np.float64) * len(values)
            square += offset**2 * count * len(values) / total
            mean = mean + offset * len(values) / total
            count = total
        return mean, np.sqrt(square / count)

    def mean(self, indices: Indices, batch_size: int) -> Tensor:
        """Mean embeddings (h * w, D) of some images."""
        mean = torch.zeros_like(self.clean[0])
        for part in in_batches(indices, batch_size):
            mean += self.clean[torch.from_numpy(part)].sum(dim=0) / len(indices)
        return mean

    def beyond(
        self, indices: Indices, network: Network, mean: Tensor, radius: float, grid: tuple[int, int]
    ) -> float:
        """Share of the parts' patches that the hypersphere doesn't enclose.

        They lie farther from the mean (h * w, D) of their location, in standardized features, than
        the quantile ``radius`` of all patches.
        """
        assert self.parts is not None
        distances = np.stack(
            [
                (network.standardized(self.clean[i].to(mean.device)) - mean).norm(dim=1).cpu()
                for i in indices.tolist()
            ]
        )
        on_part = np.stack([pool_mask(part, grid).ravel() for part in self.parts[indices]])
        return float((distances[on_part] > np.quantile(distances, radius)).mean())


@dataclass(frozen=True)
class Patches:
    """What a step takes, n patches.

    Embeddings (n, D) in a good image and in the same one with a defect, which of the latter are
    anomalous (n,), noise (n, D), and the patches' locations (n,).
    """

    clean: Tensor
    augmented: Tensor
    labels: Tensor
    noise: Tensor
    where: Tensor


@dataclass(frozen=True)
class Defects:
    """Images with defects: embeddings (n, m, D), labels and locations (n, m) of their patches."""

    embeddings: Float32
    labels: Bool
    where: npt.NDArray[np.int64]


class Examples:
    """Makes defects on good images, ahead of the steps that learn from them.

    Parameters
    ----------
    good : GoodImages
        What the defects are made on.
    synthesis : LocalSynthesis
        Makes them.
    embed : callable
        Gives patch embeddings (n, h * w, D) of images (n, H, W, 3).
    seed : int
        Of everything random.
    taken : int
        Patches of each image that a step takes, drawn for each image with a defect. Where there are
        fewer in an image, they count again.
    on_part : float
        Least share of those that lie on the part, where parts are known and large enough.
    variants : int
        Images with defects that are made of each good one, once; 0 makes new ones in every epoch.
    noise : float
        Standard deviation of the noise.
    batch_size : int
        Images that pass the backbone at once.
    memory_limit_mb : float
        Beyond it, what is kept waits in a temporary file.
    pool : Executor
        Where defects and noise are made.
    """

    def __init__(
        self,
        good: GoodImages,
        synthesis: LocalSynthesis,
        embed: Callable[[UInt8], Tensor],
        *,
        seed: int,
        taken: int,
        on_part: float,
        variants: int,
        noise: float,
        batch_size: int,
        memory_limit_mb: float,
        pool: Executor,
    ) -> None:
        self.good = good
        self._synthesis = synthesis
        self._embed = embed
        self._seed = seed
        self._taken = taken
        self._on_part = on_part
        self._count = variants
        self._noise = noise
        self._batch_size = batch_size
        self._memory_limit_mb = memory_limit_mb
        self._pool = pool

    def patches(
        self, epoch: int, batches: Sequence[Indices], device: torch.device
    ) -> Iterator[Patches]:
        """Give what the steps of an epoch take; the next batch is made meanwhile."""
        pending: deque[tuple[Indices, Future[Float32], list[Future[_Defect]]]] = deque()
        dimension = self.good.clean.shape[-1]
        for i, batch in enumerate([*batches, None]):
            if batch is not None:
                draw = stream(self._seed, NOISE, epoch, i).standard_normal
                shape = (len(batch) * self._taken, dimension)
                made = []
                if not self._count:
                    made = [self._pool.submit(self._defect, j, DEFECT, epoch) for j in batch]
                pending.append((batch, self._pool.submit(draw, shape, np.float32), made))
                if len(pending) == 1:
                    continue
            batch, waiting, made = pending.popleft()
            if made:
                defects = self._described([task.result() for task in made])
            else:
                defects = self._drawn(batch, stream(self._seed, VARIANTS, epoch, i))
            where = torch.from_numpy(defects.where)
            clean = self.good.clean[torch.from_numpy(batch)[:, None], where]
            yield Patches(
                clean.to(device).flatten(0, 1),
                torch.from_numpy(defects.embeddings).to(device).flatten(0, 1),
                torch.from_numpy(defects.labels).flatten().to(device),
                torch.from_numpy(waiting.result()).to(device) * self._noise,
                where.flatten().to(device),
            )

    def whole(self, indices: Indices) -> list[tuple[Tensor, Bool]]:
        """Give all patches of one image with a defect for each good one, in batches.

        Their embeddings (n, h * w, D), and which are anomalous (n, h * w).
        """
        found = []
        for batch in in_batches(indices, self._batch_size):
            made = [self._pool.submit(self._defect, index, HELD_OUT) for index in batch]
            images, labels, _ = zip(*(task.result() for task in made), strict=True)
            found.append((self._embed(np.stack(images)), np.stack(labels)))
        return found

    def _drawn(self, batch: Indices, rng: np.random.Generator) -> Defects:
        """One of the variants of each image."""
        rows = batch * self._count + rng.integers(self._count, size=len(batch))
        kept = self._variants
        return Defects(kept.embeddings[rows], kept.labels[rows], kept.where[rows])

    @cached_property
    def _variants(self) -> Defects:
        """The images with defects that all epochs take theirs from."""
        count, _, dimension = self.good.clean.shape
        shape = (count * self._count, self._taken)
        kept = Defects(
            scratch_array((*shape, dimension), np.float32, self._memory_limit_mb),
            np.empty(shape, np.bool_),
            np.empty(shape, np.int64),
        )
        for rows in in_batches(np.arange(shape[0]), self._batch_size):
            made = [
                self._pool.submit(self._defect, row // self._count, DEFECT, row % self._count)
                for row in rows
            ]
            some = self._described([task.result() for task in made])
            kept.embeddings[rows] = some.embeddings
            kept.labels[rows] = some.labels
            kept.where[rows] = some.where
        return kept

    def _described(self, made: list[_Defect]) -> Defects:
        images, labels, where = (np.stack(arrays) for arrays in zip(*made, strict=True))
        embeddings = self._embed(images).cpu().numpy()
        row = np.arange(len(made))[:, np.newaxis]
        return Defects(embeddings[row, where], labels[row, where], where)

    def _defect(self, index: int, *place: int) -> _Defect:
        rng = stream(self._seed, *place, int(index))
        part = None if self.good.parts is None else self.good.parts[index]
        image, mask = self._synthesis(self.good.pixels[index], rng, part)
        labels = pool_mask(mask, self._synthesis.grid).ravel()
        return image, labels, self._places(part, rng)

    def _places(self, part: Bool | None, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw which patches of an image are taken."""
        patches = self.good.clean.shape[1]
        where = np.arange(patches)
        if self._taken < patches:
            where = rng.permutation(patches)
        taken, rest = np.resize(where, self._taken), where[self._taken :]
        if part is not None and self._on_part:
            on_part = pool_mask(part, self._synthesis.grid).ravel()
            lacking = math.ceil(self._on_part * self._taken) - np.count_nonzero(on_part[taken])
            # In the order that they were drawn in, those on the part take the place of others.
            others, left = np.flatnonzero(~on_part[taken]), rest[on_part[rest]]
            moved = max(min(lacking, len(left)), 0)
            taken[others[:moved]] = left[:moved]
        return taken


# An image with a defect, which of its patches are anomalous, and which of them are taken.
_Defect = tuple[UInt8, Bool, npt.NDArray[np.int64]]


def _where_any(masks: Bool, others: Bool) -> Bool:
    """The masks (N, H, W), and those of others where they are empty."""
    return np.where(masks.any(axis=(1, 2), keepdims=True), masks, others)


def in_batches(indices: Indices, size: int) -> list[Indices]:
    """Cut indices into batches, the last of what is left."""
    return [indices[start : start + size] for start in range(0, len(indices), size)]
