"""How GLASS is trained: examples, epochs, held-out images, and checkpoints that resume."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from anomalist.detectors.batches import FeatureBatches
from anomalist.models import below
from anomalist.detectors.glass_step import Iteration, Network, losses
from anomalist.files import atomic_path, scratch_array
from anomalist.metrics import auroc
from anomalist.synthesis import LocalSynthesis, Textures, pool_mask

if TYPE_CHECKING:
    from anomalist.detectors.glass import GLASS

Float32 = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
# An image with a defect, which of its patches are anomalous, and which of them are looked at.
Defect = tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], npt.NDArray[np.int64]]

_ITERATIONS = 2000  # of a training whose epochs aren't given
_MARGIN = 0.5  # a score that counts as right, in p_true and p_fake
# Streams of random numbers, each of its own for an epoch, so that a training can go on anywhere.
_ORDER, _NOISE, _VARIANTS, _DEFECT, _HELD_OUT, _WEIGHTS = range(6)


@dataclass(frozen=True)
class Examples:
    """Good images (N): pixels (N, H, W, 3), parts (N, H, W) and embeddings (N, h * w, D)."""

    pixels: npt.NDArray[np.uint8]
    parts: npt.NDArray[np.bool_] | None
    clean: Tensor


class Trainer:
    """Trains the network of a detector, from the start or from a checkpoint."""

    def __init__(self, detector: GLASS, examples: Examples, features: FeatureBatches) -> None:
        self._detector = detector
        self._examples = examples
        self._training = features.training
        self._progress = features.progress
        self._images = features.images
        self._backbone = detector.backbone_
        self._device = self._backbone.device
        self._synthesis = LocalSynthesis(
            textures=Textures(detector.textures),
            transform=detector.transform,
            grid=detector.grid,
            mean=detector.mean,
            std=detector.std,
            rand_aug=detector.rand_aug == 1,
        )
        self._settings = Iteration(
            detector.hypersphere_,
            detector.step,
            detector.mining,
            detector.p,
            detector.radius,
            half=detector.precision == "bfloat16" and _has_bfloat16(self._device),
        )
        order = self._rng(_HELD_OUT).permutation(len(examples.clean))
        held_out = 0
        if detector.selection == "held_out":
            held_out = min(max(round(detector.held_out * len(order)), 1), len(order) - 1)
        self._held_out, self._indices = np.split(order, [held_out])
        #: Patches of an image that an iteration takes.
        self._taken = max(1, round(detector.patches * examples.clean.shape[1]))
        network = detector.make_network(examples.clean.shape[-1])
        weights_seed = int(self._rng(_WEIGHTS).integers(2**31))
        network.initialise(torch.Generator().manual_seed(weights_seed))
        if detector.spread is not None:
            self._standardize(network, detector.spread)
        self._network = network.to(self._device)
        # The projection is affine: the mean projected feature is the mean feature projected.
        mean = torch.zeros_like(examples.clean[0])
        for part in self._in_batches(self._indices):
            mean += examples.clean[torch.from_numpy(part)].sum(dim=0) / len(self._indices)
        self._mean = network.standardized(mean.to(self._device))
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "body": torch.optim.AdamW(network.body.parameters(), lr=2 * detector.lr)
        }
        if detector.pre_proj:
            self._optimizers["projection"] = torch.optim.Adam(
                network.projection.parameters(), lr=detector.lr, weight_decay=1e-5
            )
        batches = len(self._in_batches(self._indices))
        self._batches = min(batches, -(-(detector.limit + 1) // detector.batch_size))
        self._epochs = detector.meta_epochs or -(-_ITERATIONS // self._batches)
        self._rates = {name: o.param_groups[0]["lr"] for name, o in self._optimizers.items()}
        self.losses: list[float] = []
        self.chosen = 0
        self.result: dict[str, Float32] = {}
        self._best = float("-inf")
        self._looks_since = 0

    def _in_batches(self, indices: Indices) -> list[Indices]:
        size = self._detector.batch_size
        return [indices[start : start + size] for start in range(0, len(indices), size)]

    def _standardize(self, network: Network, spread: float) -> None:
        """Bring every dimension of the good features to mean 0 and one standard deviation."""
        count = 0
        mean = square = np.zeros(self._examples.clean.shape[-1])
        for part in self._in_batches(self._indices):
            values = self._examples.clean[torch.from_numpy(part)].flatten(0, 1).numpy()
            total = count + len(values)
            offset = values.mean(axis=0, dtype=np.float64) - mean
            square = square + values.var(axis=0, dtype=np.float64) * len(values)
            square += offset**2 * count * len(values) / total
            mean = mean + offset * len(values) / total
            count = total
        deviation = np.sqrt(square / count)
        scale = np.divide(spread, deviation, out=np.zeros_like(mean), where=deviation > 0)
        network.shift.copy_(torch.from_numpy(mean.astype(np.float32)))
        network.scale.copy_(torch.from_numpy(scale.astype(np.float32)))

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self._detector.seed, *stream])

    def run(self) -> None:
        """Train to the end; then ``result``, ``chosen`` and ``losses`` are there."""
        detector = self._detector
        start = time.perf_counter() - self._resume()
        with ThreadPoolExecutor(2, thread_name_prefix="anomalist-synthesis") as pool:
            if detector.variants:
                self._make_variants(pool)
            self._make_held_out(pool)
            for epoch in range(len(self.losses), self._epochs):
                if self._exhausted():
                    break
                self._epoch(epoch, pool)
                done = epoch + 1
                if done % detector.eval_epochs == 0 or done == self._epochs:
                    self._look(done)
                    if self._training.after_epoch is not None:
                        paused = time.perf_counter()
                        detector.take(self._state())
                        self._training.after_epoch(done)
                        start += time.perf_counter() - paused
                self._keep(time.perf_counter() - start)

    def _exhausted(self) -> bool:
        patience = self._detector.patience
        return patience > 0 and self._looks_since >= patience

    def _epoch(self, epoch: int, pool: ThreadPoolExecutor) -> None:
        network = self._network
        network.train()
        with torch.no_grad():
            center = network.projection(self._mean)
        order = self._rng(_ORDER, epoch).permutation(self._indices)
        batches = self._in_batches(order)[: self._batches]
        images = sum(map(len, batches))
        total = 0.0
        seen = 0
        for i, (clean, augmented, labels, noise, where) in enumerate(
            self._made(epoch, batches, pool)
        ):
            found = losses(network, clean, augmented, labels, noise, center[where], self._settings)
            loss = found["true_loss"] + found["moved_loss"] + found["fake_loss"]
            share = (epoch + i / len(batches)) / self._epochs
            for name, optimizer in self._optimizers.items():
                optimizer.param_groups[0]["lr"] = self._rates[name] * self._slowed(share)
                optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in self._optimizers.values():
                optimizer.step()
            total += loss.item()
            seen += len(batches[i])
            if self._training.log is not None:
                self._training.log(epoch * len(batches) + i, _measured(loss, found, labels))
            if self._progress is not None:
                self._progress(epoch * images + seen, self._epochs * images)
        self.losses.append(total / len(batches))

    def _slowed(self, share: float) -> float:
        """The learning rate's factor after a share of the training."""
        cosine = self._detector.schedule == "cosine"
        return (1 + math.cos(math.pi * share)) / 2 if cosine else 1.0

    def _made(
        self, epoch: int, batches: list[Indices], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """What an iteration takes: clean and augmented patches, labels, noise, and locations.

        Defects and noise are made in threads, a batch ahead.
        """
        pending: deque[tuple[Indices, Future[Float32], list[Future[Defect]]]] = deque()
        dimension = self._examples.clean.shape[-1]
        for i, batch in enumerate([*batches, None]):
            if batch is not None:
                noise = self._rng(_NOISE, epoch, i).standard_normal
                shape = (len(batch) * self._taken, dimension)
                made = []
                if not self._detector.variants:
                    made = [pool.submit(self._defect, j, _DEFECT, epoch) for j in batch]
                pending.append((batch, pool.submit(noise, shape, np.float32), made))
                if len(pending) == 1:
                    continue
            batch, waiting, made = pending.popleft()
            if made:
                defects = self._described([task.result() for task in made])
            else:
                variants = self._rng(_VARIANTS, epoch, i).integers(
                    self._detector.variants, size=len(batch)
                )
                rows = batch * self._detector.variants + variants
                defects = tuple(array[rows] for array in self._variants)
            augmented, labels, where = (torch.from_numpy(array) for array in defects)
            clean = self._examples.clean[torch.from_numpy(batch)[:, None], where]
            yield (
                self._network.standardized(clean.to(self._device)).flatten(0, 1),
                self._network.standardized(augmented.to(self._device)).flatten(0, 1),
                labels.flatten().to(self._device),
                torch.from_numpy(waiting.result()).to(self._device) * self._detector.noise,
                where.flatten().to(self._device),
            )

    def _make_variants(self, pool: ThreadPoolExecutor) -> None:
        """Make the images with defects that all epochs take theirs from."""
        count, _, dimension = self._examples.clean.shape
        variants = self._detector.variants
        shape = (count * variants, self._taken)
        self._variants = (
            scratch_array((*shape, dimension), np.float32, self._detector.memory_limit_mb),
            np.empty(shape, np.bool_),
            np.empty(shape, np.int64),
        )
        for rows in self._in_batches(np.arange(count * variants)):
            made = [
                pool.submit(self._defect, row // variants, _DEFECT, row % variants) for row in rows
            ]
            described = self._described([task.result() for task in made])
            for array, part in zip(self._variants, described, strict=True):
                array[rows] = part

    def _described(
        self, made: list[Defect]
    ) -> tuple[Float32, npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Embeddings (n, taken, D) of images with defects, labels and locations (n, taken)."""
        images, labels, where = (np.stack(arrays) for arrays in zip(*made, strict=True))
        embeddings = self._detector.embed(self._backbone(images)).cpu().numpy()
        row = np.arange(len(made))[:, np.newaxis]
        return embeddings[row, where], labels[row, where], where

    def _defect(self, index: int, *stream: int) -> Defect:
        rng = self._rng(*stream, int(index))
        parts = self._examples.parts
        image, mask = self._synthesis(
            self._examples.pixels[index], rng, None if parts is None else parts[index]
        )
        patches = self._examples.clean.shape[1]
        where = np.arange(patches)
        if self._taken < patches:
            where = rng.permutation(patches)[: self._taken]
        return image, pool_mask(mask, self._detector.grid).ravel(), where

    def _look(self, epoch: int) -> None:
        """Take this epoch as the result if it is the best so far, where held-out images choose."""
        score = float(epoch)
        if self._detector.selection == "held_out":
            score = self._held_out_score()
        self._looks_since += 1
        if score > self._best:
            self._best, self._looks_since, self.chosen = score, 0, epoch
            self.result = self._state()

    def _make_held_out(self, pool: ThreadPoolExecutor) -> None:
        """Make the defects on held-out images that every look is taken at."""
        self._held_out_defects: list[tuple[Tensor, npt.NDArray[np.bool_]]] = []
        for batch in self._in_batches(self._held_out):
            made = [pool.submit(self._defect, index, _HELD_OUT) for index in batch]
            images, masks, _ = zip(*(task.result() for task in made), strict=True)
            embeddings = self._detector.embed(self._backbone(np.stack(images)))
            self._held_out_defects.append((embeddings, np.stack(masks)))

    def _held_out_score(self) -> float:
        """Image plus patch AUROC of held-out images against the same ones with defects."""
        self._network.eval()
        good: list[Float32] = []
        bad: list[Float32] = []
        batches = self._in_batches(self._held_out)
        for batch, (embeddings, _) in zip(batches, self._held_out_defects, strict=True):
            clean = self._examples.clean[torch.from_numpy(batch)].to(self._device)
            for target, values in ((good, clean), (bad, embeddings)):
                with torch.inference_mode():
                    scores = self._network(values.flatten(0, 1)).reshape(len(batch), -1)
                target.append(scores.cpu().numpy())
        clean_scores, bad_scores = np.concatenate(good), np.concatenate(bad)
        labels = np.concatenate([masks for _, masks in self._held_out_defects])
        images = np.concatenate([clean_scores.max(axis=1), bad_scores.max(axis=1)])
        patches = np.concatenate([clean_scores, bad_scores])
        truth = np.concatenate([np.zeros_like(clean_scores, np.bool_), labels])
        return auroc(images, np.arange(len(images)) >= len(clean_scores)) + auroc(
            patches.ravel(), truth.ravel()
        )

    def _state(self) -> dict[str, Float32]:
        return {
            name: tensor.cpu().numpy().copy() for name, tensor in self._network.state_dict().items()
        }

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must have been made with; it takes reading every image."""
        assert self._images is not None
        return {
            "parameters": self._detector.parameters(),
            "images": self._images.content_hash(),
            "weights_sha256": self._backbone.weights_sha256,
            "hypersphere": self._detector.hypersphere_,
        }

    def _keep(self, seconds: float) -> None:
        if self._training.checkpoint is None:
            return
        tensors = {f"network.{n}": t for n, t in self._network.state_dict().items()}
        tensors |= {f"result.{n}": torch.from_numpy(a) for n, a in self.result.items()}
        for name, optimizer in self._optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": value for key, value in values.items()}
        header = {
            "identity": self._identity,
            "losses": self.losses,
            "chosen": self.chosen,
            "best": self._best,
            "looks_since": self._looks_since,
            "seconds": seconds,
        }
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        with atomic_path(self._training.checkpoint) as temporary:
            safetensors.torch.save_file(tensors, temporary, {"training": json.dumps(header)})

    def _resume(self) -> float:
        """Take up a checkpoint, if there is one of this training; return the seconds it took."""
        path = self._training.checkpoint
        if path is None or not Path(path).is_file():
            return 0.0
        try:
            with safetensors.safe_open(path, "pt") as file:
                header = json.loads((file.metadata() or {})["training"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError, KeyError, ValueError):
            return 0.0
        if header["identity"] != self._identity:
            return 0.0
        self._network.load_state_dict(below("network.", tensors))
        self.result = {n: t.numpy() for n, t in below("result.", tensors).items()}
        for name, optimizer in self._optimizers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in below(f"{name}.", tensors).items():
                index, _, what = key.partition(".")
                state.setdefault(int(index), {})[what] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self.losses = header["losses"]
        self.chosen = header["chosen"]
        self._best = header["best"]
        self._looks_since = header["looks_since"]
        self._training.resumed_seconds = header["seconds"]
        return float(header["seconds"])


def _measured(loss: Tensor, found: Mapping[str, Tensor], labels: Tensor) -> dict[str, float]:
    """The loss, and the shares of normal and of anomalous patches that are told right."""
    fake = found["fake_scores"]
    normal = torch.cat([fake[~labels], found["true_scores"]])
    anomalous = torch.cat([fake[labels], found["moved_scores"]])
    return {
        "loss": loss.item(),
        "p_true": (normal < _MARGIN).float().mean().item(),
        "p_fake": (anomalous >= _MARGIN).float().mean().item(),
        "r": found["r"].item(),
    }


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
