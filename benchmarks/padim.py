"""PaDiM beside anomalib's: same weights, layers, input and dimensions, one ruler, one run.

    python benchmarks/padim.py DATA --categories bottle,screw
    python benchmarks/padim.py --memory 209 --dimensions 550

Needs anomalib 2.7 (``pip install -e '.[peers]'``). Both see the same decoded images and the same
randomly drawn dimensions; scores and maps are compared raw, with this package's metrics. Backbone,
Gaussian fit and maps (distances, enlarging, smoothing) are timed apart, in processor time. Each
runs in a process of its own, whose peak memory is taken before the metrics.

``--memory`` fits so many random images at wide_resnet50_2's shapes instead (56 x 56 locations, 1792
channels), without a backbone, and prints this package's peak memory and processor time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from torch import Tensor

from anomalist import MVTecAD, Predictions, evaluate
from anomalist.data import Category, ImageSet, load_batches, load_masks
from anomalist.detectors import FeatureBatches
from anomalist.detectors.padim import PaDiM
from anomalist.features import Backbone, find_weights
from anomalist.report import to_markdown
from peak import peak_mb

LAYERS = ("blocks.1", "blocks.2", "blocks.4")


class Stopwatch:
    """Seconds of processor time, of all threads, by name: other work on the machine counts less."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    def stop(self, name: str) -> None:
        """Add the seconds since the last stop or restart to a name."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._start
        self._start = now

    def restart(self) -> None:
        """Count from now on."""
        self._start = time.perf_counter()


def decoded(images: ImageSet, detector: PaDiM) -> list[np.ndarray]:
    """Read all images before any is timed: decoding threads would take the cores."""
    return list(load_batches(images, detector.transform, detector.batch_size))


def ours(category: Category, detector: PaDiM, watch: Stopwatch) -> tuple[Tensor, Tensor]:
    detector.backbone_ = Backbone(detector.backbone, LAYERS)

    def features() -> Iterator[list[Tensor]]:
        for batch in decoded(category.train, detector):
            watch.restart()
            maps = detector.backbone_(batch)
            watch.stop("backbone")
            yield maps
            watch.stop("fit")

    detector._fit(FeatureBatches(features, len(category.train)))
    watch.stop("fit")
    scores, heat = [], []
    for batch in decoded(category.test, detector):
        watch.restart()
        with torch.inference_mode():
            maps = detector.backbone_(batch)
            watch.stop("backbone")
            batch_scores, patch_scores = detector._score(maps)
            scores.append(batch_scores)
            heat.append(detector._enlarge(patch_scores))
        watch.stop("maps")
    return torch.cat(scores), torch.cat(heat)


def anomalib(category: Category, detector: PaDiM, watch: Stopwatch) -> tuple[Tensor, Tensor]:
    from anomalib.models.image.padim.torch_model import PadimModel

    model = PadimModel(
        "tf_efficientnet_lite0", list(LAYERS), pre_trained=False, n_features=detector.dimensions
    )
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    weights = torch.load(find_weights("efficientnet_lite0").path, weights_only=True)
    state = dict(zip(names, weights.values(), strict=True))
    extractor = model.feature_extractor.feature_extractor
    extractor.load_state_dict({n: state[n] for n in extractor.state_dict()})
    rng = np.random.default_rng(detector.seed)
    drawn = rng.choice(model.n_features_original, detector.dimensions, replace=False)
    model.idx = torch.from_numpy(np.sort(drawn))
    model.eval()

    def features(batch: np.ndarray) -> dict[str, Tensor]:
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1
        maps: dict[str, Tensor] = model.feature_extractor(images)
        return maps

    scores, heat = [], []
    with torch.inference_mode():
        for batch in decoded(category.train, detector):
            watch.restart()
            maps = features(batch)
            watch.stop("backbone")
            model.memory_bank.append(model.generate_embedding(maps))
            watch.stop("fit")
        watch.restart()
        model.fit()
        watch.stop("fit")
        for batch in decoded(category.test, detector):
            watch.restart()
            maps = features(batch)
            watch.stop("backbone")
            batch_maps = model.anomaly_map_generator(
                embedding=model.generate_embedding(maps),
                mean=model.gaussian.mean,
                inv_covariance=model.gaussian.inv_covariance,
                image_size=batch.shape[1:3],
            )
            scores.append(batch_maps.amax(dim=(-2, -1)).reshape(-1))
            heat.append(batch_maps[:, 0])
            watch.stop("maps")
    return torch.cat(scores), torch.cat(heat)


CONTENDERS = {"anomalist": ours, "anomalib": anomalib}


def measure(contender: str, arguments: argparse.Namespace) -> dict[str, Any]:
    category = MVTecAD(arguments.data).category(arguments.categories)
    detector = PaDiM(
        dimensions=arguments.dimensions,
        image_size=arguments.image_size,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        device="cpu",
    )
    watch = Stopwatch()
    scores, heat = CONTENDERS[contender](category, detector, watch)
    peak = peak_mb()
    metrics = evaluate(
        Predictions(
            category.test.paths,
            scores.numpy(),
            heat.numpy(),
            category.test.labels,
            load_masks(category.test, detector.transform),
            category.test.defects,
        )
    ).as_dict()
    return {
        "category": category.name,
        "seed": arguments.seed,
        "detector": contender,
        "image AUROC": f"{metrics['image_AUROC']:.4f}",
        "pixel AUROC": f"{metrics['pixel_AUROC']:.4f}",
        "PRO": f"{metrics['pixel_PRO']:.4f}",
        "backbone s": f"{watch.seconds['backbone']:.1f}",
        "fit s": f"{watch.seconds['fit']:.2f}",
        "maps s": f"{watch.seconds['maps']:.2f}",
        "peak MB": round(peak),
    }


def memory(images: int, dimensions: int, batch_size: int) -> dict[str, Any]:
    detector = PaDiM(image_size=224, dimensions=dimensions, device="cpu")
    detector.backbone_ = Backbone(detector.backbone, LAYERS)
    generator = torch.Generator().manual_seed(0)
    shapes = ((256, 56), (512, 28), (1024, 14))
    spent = 0.0

    def draw(count: int) -> list[Tensor]:
        return [torch.rand(count, c, s, s, generator=generator) for c, s in shapes]

    def features() -> Iterator[list[Tensor]]:
        nonlocal spent
        for start in range(0, images, batch_size):
            began = time.perf_counter()
            maps = draw(min(batch_size, images - start))
            spent += time.perf_counter() - began
            yield maps

    before, start = peak_mb(), time.perf_counter()
    detector._fit(FeatureBatches(features, images))
    fit = time.perf_counter() - start - spent
    maps = draw(batch_size)
    start = time.perf_counter()
    detector._score(maps)
    return {
        "images": images,
        "dimensions": dimensions,
        "form": "low rank" if detector.factors_.ndim == 3 else "triangular",
        "fit s": f"{fit:.1f}",
        "ms an image": f"{(time.perf_counter() - start) / batch_size * 1e3:.0f}",
        "factors MB": round(detector.factors_.nbytes / 2**20),
        "peak before MB": round(before),
        "peak MB": round(peak_mb()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--categories", default="bottle,screw")
    parser.add_argument("--dimensions", type=int, default=100)
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, metavar="IMAGES")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        row = memory(arguments.memory, arguments.dimensions, arguments.batch_size)
        print(to_markdown(pd.DataFrame([row])))
        return
    if arguments.data is None:
        parser.error("DATA is needed, except with --memory")
    if arguments.contender:
        print(json.dumps(measure(arguments.contender, arguments)))
        return
    rows = []
    for name in arguments.categories.split(","):
        for contender in CONTENDERS:
            command = [
                *(sys.executable, __file__, str(arguments.data)),
                *("--categories", name, "--contender", contender),
                *("--dimensions", str(arguments.dimensions)),
                *("--image_size", str(arguments.image_size)),
                *("--batch_size", str(arguments.batch_size)),
                *("--seed", str(arguments.seed)),
            ]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(answer.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
