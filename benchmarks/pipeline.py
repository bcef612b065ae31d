"""PatchCore's fit, predict and metrics as multiples of the bare backbone pass.

    python benchmarks/pipeline.py DATA --category bottle

The bare pass is timm's network, cut after the deepest layer that is used, over the same images,
decoded before. Every part is timed in turn, several rounds; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch

from anomalist import MVTecAD, PatchCore, Predictions, evaluate
from anomalist.data import load_batches, load_masks
from anomalist.detectors import FeatureBatches
from anomalist.features import Backbone, find_weights
from anomalist.report import to_markdown


def bare_network(device: str) -> torch.nn.Module:
    network = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3))
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    weights = torch.load(find_weights("efficientnet_lite0").path, weights_only=True)
    state = dict(zip(names, weights.values(), strict=True))
    network.load_state_dict({n: state[n] for n in network.state_dict()})
    return network.eval().to(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--coreset_ratio", type=float, default=0.1)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    category = MVTecAD(arguments.data).category(arguments.category)
    detector = PatchCore(
        image_size=256, coreset_ratio=arguments.coreset_ratio, batch_size=arguments.batch_size
    )
    start = time.perf_counter()
    batches = {
        id(images): list(load_batches(images, detector.transform, detector.batch_size))
        for images in (category.train, category.test)
    }
    masks = load_masks(category.test, detector.transform)
    decoding = time.perf_counter() - start
    everything = [batch for half in batches.values() for batch in half]
    network = bare_network("cpu")

    def bare() -> None:
        with torch.inference_mode():
            for batch in everything:
                network(torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1)

    def ours() -> None:
        backbone = Backbone(detector.backbone)
        for batch in everything:
            backbone(batch)

    times: dict[str, list[float]] = {}

    def timed(name: str, run: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = run()
        times.setdefault(name, []).append(time.perf_counter() - start)
        return result

    for _ in range(arguments.rounds):
        timed("timm, bare pass", bare)
        timed("anomalist, bare pass", ours)
        detector.backbone_ = Backbone(detector.backbone)
        timed(
            "fit",
            lambda: detector._fit(
                FeatureBatches(
                    lambda: (detector.backbone_(b) for b in batches[id(category.train)]),
                    len(category.train),
                )
            ),
        )

        def predict() -> Predictions:
            scores, maps = [], []
            for batch in batches[id(category.test)]:
                batch_scores, patch_scores = detector._score(detector.backbone_(batch))
                scores.append(batch_scores.numpy())
                maps.append(detector._enlarge(patch_scores).numpy())
            return Predictions(
                category.test.paths,
                np.concatenate(scores),
                np.concatenate(maps),
                category.test.labels,
                masks,
            )

        timed("metrics", partial(evaluate, timed("predict", predict)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    medians["fit + predict + metrics"] = sum(medians[n] for n in ("fit", "predict", "metrics"))
    base = medians["timm, bare pass"]
    rows = [
        {"part": name, "seconds": f"{value:.2f}", "times the bare pass": f"{value / base:.2f}"}
        for name, value in medians.items()
    ]
    print(f"{len(category.train)} + {len(category.test)} images, decoded in {decoding:.1f} s")
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
