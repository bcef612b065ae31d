"""Why GLASS errs: what its two kinds of anomalies teach, on the part and beside it.

    python benchmarks/glass_causes.py data/mvtec_ad --category screw --features FOLDER

Small trainings that differ in one thing each, of the same good photographs and the same local
anomalies (LAS), with the package's own step: EfficientNet-Lite0, strides 8 and 16, 256 pixels,
a few hundred steps. A quarter of the good photographs is held out; on some of them are made defects
of the kinds that choices are made by (`anomalist.synthesis.DECIDING`), none of which GLASS learns
from. Columns:

- ``beyond r``: share of the part's patches that lie beyond r, the radius of the hypersphere, where
  the shell of global anomaly synthesis (GAS) moves no point away from them;
- ``GAS, part`` and ``GAS, rest``: AUROC by which the network tells GAS's points from the good ones
  that they were made of, at the end of the training: 0.5 is chance;
- ``made``: image AUROC of held-out good photographs against made defects, mean over the kinds, and
  ``made, patches`` that of patches;
- ``test`` and ``test, patches``: the same of the test set, looked at to explain, not to choose.

``--features`` names a folder of a feature store, which a later run takes up.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from anomalist import GLASS, MVTecAD
from anomalist.data import ImageSet, load_batches, load_masks
from anomalist.detectors.glass_step import Iteration, Network, has_bfloat16, losses
from anomalist.features import Backbone, FeatureStore
from anomalist.metrics import auroc
from anomalist.report import to_markdown
from anomalist.synthesis import (
    DECIDING,
    LocalSynthesis,
    Textures,
    foreground_mask,
    make_defects,
    pool_mask,
)
from anomalist.training import cosine

PATCHES = 768  # of a step
LAST = 20  # steps that the columns of GAS are taken from
SETTINGS: dict[str, dict[str, Any]] = {
    "GAS, hypersphere": {},
    "GAS, weight 0.1": {"gas": 0.1},
    "GAS, manifold": {"hypersphere": False},
    "no GAS": {"gas": 0.0},
    "no GAS, half of the patches on the part": {"gas": 0.0, "on_part": 0.5},
    "GAS, half of the patches on the part": {"on_part": 0.5},
}


class Data:
    """Embeddings, as float16, of what the trainings take and are judged by."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        category = MVTecAD(arguments.data).category(arguments.category)
        self.detector = GLASS(image_size=256, device="cpu")
        self.detector.backbone_ = Backbone(
            "efficientnet_lite0", ["stride8", "stride16"], device="cpu"
        )
        self.grid = self.detector.grid
        self.store = FeatureStore(folder=arguments.features, disk_limit_mb=40_000)
        order = np.random.default_rng(0).permutation(len(category.train))
        kept = len(order) // 4
        held = category.train[order[:kept][: arguments.held_out]]
        learnt = category.train[order[kept:][: arguments.images]]
        self.good = self._embed(held)
        some = held[: -(-len(held) // 4)]
        self.made = {}
        for kind in DECIDING:
            defects = make_defects(some, kinds=(kind,))
            self.made[kind] = self._embed(defects), self._masks(defects)
        self.test = self._embed(category.test), self._masks(category.test)
        self.labels = np.array(category.test.labels, np.bool_)
        self.clean = self._embed(learnt)
        pixels = np.concatenate([*load_batches(learnt, self.detector.transform, 8)])
        parts = [foreground_mask(image) for image in pixels]
        self.part = np.stack([self._pooled(part) for part in parts])
        self.synthesis = LocalSynthesis(
            textures=Textures(), transform=self.detector.transform, grid=self.grid
        )
        made = [self._local(pixels, parts, variant) for variant in range(arguments.variants)]
        self.augmented, self.labelled = (np.stack(arrays) for arrays in zip(*made, strict=True))

    def _pooled(self, mask: np.ndarray) -> np.ndarray:
        return pool_mask(mask, self.grid).ravel()

    def _masks(self, images: ImageSet) -> np.ndarray:
        return np.stack([self._pooled(m) for m in load_masks(images, self.detector.transform)])

    def _embed(self, images: ImageSet) -> np.ndarray:
        maps = self.detector._features(images, self.store)
        return np.concatenate([self.detector.embed(m).half().numpy() for m in maps])

    def _local(
        self, pixels: np.ndarray, parts: list[np.ndarray], variant: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """One image with a local anomaly of each good one, and which patches show it."""
        found, labels = [], []
        for start in range(0, len(pixels), 8):
            numbers = range(start, min(start + 8, len(pixels)))
            made = [
                self.synthesis(pixels[i], np.random.default_rng([variant, i]), parts[i])
                for i in numbers
            ]
            maps = self.detector.backbone_(np.stack([image for image, _ in made]))
            found.append(self.detector.embed(maps).half().numpy())
            labels += [self._pooled(mask) for _, mask in made]
        return np.concatenate(found), np.stack(labels)


def trained(
    data: Data, steps: int, seed: int, on_part: float = 0.0, **changes: Any
) -> tuple[Network, dict[str, float]]:
    """Train a network, and tell what the last steps showed."""
    values = {"hypersphere": True, "step": 5, "mining": 1, "p": 0.5, "radius": 0.75}
    half = has_bfloat16(torch.device("cpu"))
    settings = Iteration(**{**values, "gas": 1.0, "half": half, **changes})
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    images, patches, dimension = data.clean.shape
    network = Network(dimension, pre_proj=1, dsc_layers=2, dsc_hidden=256)
    network.initialise(generator)
    values_of = data.clean.reshape(-1, dimension)
    some = values_of[rng.integers(len(values_of), size=60_000)].astype(np.float64)
    network.standardize(some.mean(axis=0), some.std(axis=0), 0.1)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(network.body.parameters(), lr=6e-4),
        torch.optim.Adam(network.projection.parameters(), lr=3e-4, weight_decay=1e-5),
    ]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    mean = network.standardized(torch.from_numpy(data.clean.mean(axis=0, dtype=np.float32)))
    places = [np.flatnonzero(part) for part in data.part]
    seen: dict[str, list[float]] = {"beyond r": [], "GAS, part": [], "GAS, rest": []}
    for step in range(steps):
        image = rng.integers(images, size=PATCHES)
        where = rng.integers(patches, size=PATCHES)
        for i in range(round(on_part * PATCHES)):
            where[i] = rng.choice(places[image[i]])
        variant = rng.integers(len(data.augmented), size=PATCHES)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * cosine(step / steps)
            optimizer.zero_grad()
        clean, augmented = (
            network.standardized(torch.from_numpy(array.astype(np.float32)))
            for array in (data.clean[image, where], data.augmented[variant, image, where])
        )
        noise = 0.015 * torch.randn(clean.shape, generator=generator)
        with torch.no_grad():
            center = network.projection(mean)[where]
        labels = torch.from_numpy(data.labelled[variant, image, where])
        found = losses(network, clean, augmented, labels, noise, center, settings)
        (found["true_loss"] + found["moved_loss"] + found["fake_loss"]).backward()
        for optimizer in optimizers:
            optimizer.step()
        if step >= steps - LAST:
            on = torch.from_numpy(data.part[image, where])
            told(network, clean, center, found, on, seen)
    return network.eval(), {name: float(np.mean(of)) for name, of in seen.items() if of}


def told(
    network: Network,
    clean: Tensor,
    center: Tensor,
    found: dict[str, Tensor],
    on: Tensor,
    seen: dict[str, list[float]],
) -> None:
    """Note how far good patches lie from the centre, and how well GAS's are told from them."""
    with torch.no_grad():
        distance = (network.projection(clean) - center).norm(dim=1)
    if on.any():
        seen["beyond r"].append((distance[on] > found["r"]).float().mean().item())
    for name, these in (("GAS, part", on), ("GAS, rest", ~on)):
        if len(found["moved_scores"]) and these.any():
            scores = torch.cat([found["true_scores"][these], found["moved_scores"][these]])
            labels = np.arange(len(scores)) >= len(scores) // 2
            seen[name].append(auroc(scores.numpy(), labels))


def judged(data: Data, network: Network) -> dict[str, float]:
    """AUROC of images and patches: made defects, and the test set."""

    def score(embeddings: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            batches = [
                network(torch.from_numpy(batch.astype(np.float32)).flatten(0, 1))
                for batch in np.array_split(embeddings, -(-len(embeddings) // 16))
            ]
        return torch.cat(batches).reshape(len(embeddings), -1).numpy()

    def of_images(good: np.ndarray, bad: np.ndarray) -> float:
        tops = np.concatenate([good.max(axis=1), bad.max(axis=1)])
        return auroc(tops, np.arange(len(tops)) >= len(good))

    good = score(data.good)
    images, of_patches = [], []
    for embeddings, masks in data.made.values():
        bad = score(embeddings)
        images.append(of_images(good, bad))
        both = np.concatenate([good[: len(bad)], bad])
        truth = np.concatenate([np.zeros_like(masks), masks])
        of_patches.append(auroc(both.ravel(), truth.ravel()))
    test = score(data.test[0])
    return {
        "made": float(np.mean(images)),
        "made, patches": float(np.mean(of_patches)),
        "test": of_images(test[~data.labels], test[data.labels]),
        "test, patches": auroc(test.ravel(), data.test[1].ravel()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--category", default="screw")
    parser.add_argument("--features", help="a feature store's folder")
    parser.add_argument("--images", type=int, default=160, help="good ones that are learnt from")
    parser.add_argument("--held_out", type=int, default=60, help="good ones, at most")
    parser.add_argument("--variants", type=int, default=2, help="local anomalies an image")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--settings", default=";".join(SETTINGS), help="some, with ; between")
    parser.add_argument("--out", type=Path, default=Path("glass_causes.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = Data(arguments)
    rows = []
    for name in arguments.settings.split(";"):
        for seed in map(int, arguments.seeds.split(",")):
            start = time.perf_counter()
            network, seen = trained(data, arguments.steps, seed, **SETTINGS[name])
            row = {"category": arguments.category, "training": name, "seed": seed} | {
                column: f"{value:.3f}" for column, value in (seen | judged(data, network)).items()
            }
            rows.append(row)
            print(row, f"{time.perf_counter() - start:.0f} s", flush=True)
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    print(to_markdown(pd.DataFrame(rows).fillna("–")))


if __name__ == "__main__":
    main()
