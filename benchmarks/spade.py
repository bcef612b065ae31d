"""SPADE beside the reference code's steps in plain torch: same weights, layers and input.

    python benchmarks/spade.py DATA --categories bottle,screw --k 5,50

The plain run keeps all features in memory and takes the minimum of ``torch.cdist`` over the K
nearest images, level by level. Every run is in a process of its own, so that its peak memory is its
own. Times are those of the whole of fit and predict, decoding included. ``AUROC knn`` is that of
the paper's image score, ``AUROC map`` that of the maximum of the image's map.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.ndimage
import torch
import torch.nn.functional as F  # noqa: N812

from anomalist import MVTecAD, Predictions, evaluate
from anomalist.data import Category, ImageSet, load_batches, load_masks
from anomalist.detectors.spade import SPADE
from anomalist.metrics import auroc
from anomalist.report import to_markdown
from peak import peak_mb

Marks = tuple[float, float]


def now() -> Marks:
    return time.perf_counter(), time.process_time()


def anomalist(detector: SPADE, category: Category) -> tuple[Predictions, Marks]:
    detector.fit(category.train)
    fitted = now()
    return detector.predict(category.test), fitted


@torch.inference_mode()
def plain_torch(detector: SPADE, category: Category) -> tuple[Predictions, Marks]:
    backbone = detector.make_backbone()

    def features(images: ImageSet) -> tuple[list[torch.Tensor], torch.Tensor]:
        batches = load_batches(images, detector.transform, detector.batch_size)
        parts = zip(*[backbone(batch) for batch in batches], strict=True)
        *levels, last = [torch.cat(part) for part in parts]
        return [level.flatten(2).transpose(1, 2).contiguous() for level in levels], last.mean(
            (2, 3)
        )

    good_levels, good_pooled = features(category.train)
    fitted = now()
    levels, pooled = features(category.test)
    k = min(detector.k, len(good_pooled))
    distances, nearest = torch.cdist(pooled, good_pooled).topk(k, largest=False)
    size = detector.transform.output_size
    maps = np.empty((len(pooled), *size), np.float32)
    for i in range(len(pooled)):
        enlarged = []
        for level, good in zip(levels, good_levels, strict=True):
            least = torch.stack([torch.cdist(level[i], good[j]).amin(1) for j in nearest[i]])
            side = round(level.shape[1] ** 0.5)
            scores = least.amin(0).reshape(1, 1, side, side)
            enlarged.append(F.interpolate(scores, size, mode="bilinear", align_corners=False))
        mean = torch.cat(enlarged).mean(0)[0]
        maps[i] = scipy.ndimage.gaussian_filter(mean.numpy(), detector.sigma)
    test = category.test
    masks = load_masks(test, detector.transform)
    scores = distances.mean(1).numpy()
    return Predictions(test.paths, scores, maps, test.labels, masks, test.defects), fitted


CONTENDERS = {"anomalist": anomalist, "plain torch": plain_torch}


def measure(contender: str, detector: SPADE, category: Category) -> dict[str, Any]:
    # A tiny run first, so that kernels are loaded and weights read.
    SPADE(image_size=64, device="cpu").fit(category.train[:2]).predict(category.test[:2])
    start = now()
    predictions, fitted = CONTENDERS[contender](detector, category)
    done, peak = now(), peak_mb()
    metrics = evaluate(predictions, at="input").as_dict()
    by_map = auroc(predictions.maps.max(axis=(1, 2)), predictions.labels)
    return {
        "AUROC knn": f"{metrics['image_AUROC']:.4f}",
        "AUROC map": f"{by_map:.4f}",
        "pixel AUROC": f"{metrics['pixel_AUROC']:.4f}",
        "PRO": f"{metrics['pixel_PRO']:.4f}",
        "fit s": f"{fitted[0] - start[0]:.1f}",
        "predict s": f"{done[0] - fitted[0]:.1f}",
        "predict CPU s": f"{done[1] - fitted[1]:.1f}",
        "peak MB": f"{peak:.0f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--categories", default="bottle,screw")
    parser.add_argument("--k", default="5,50")
    parser.add_argument("--layers", default="stride4,stride8,stride16,stride32")
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        detector = SPADE(
            layers=tuple(arguments.layers.split(",")),
            image_size=arguments.image_size,
            k=int(arguments.k),
            device="cpu",
        )
        category = MVTecAD(arguments.data).category(arguments.categories)
        print(json.dumps(measure(arguments.measure, detector, category)))
        return
    rows = []
    for category in arguments.categories.split(","):
        for k in arguments.k.split(","):
            for contender in arguments.contenders.split(","):
                options = ["--categories", category, "--k", k, "--layers", arguments.layers]
                options += ["--image_size", str(arguments.image_size), "--measure", contender]
                command = [sys.executable, __file__, str(arguments.data), *options]
                answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                measured = json.loads(answer.stdout.splitlines()[-1])
                rows.append({"category": category, "K": k, "run": contender, **measured})
                print(rows[-1], flush=True)
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
