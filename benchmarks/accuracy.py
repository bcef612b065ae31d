"""PatchCore beside anomalib's: same weights, layers, input and coreset ratio, one ruler, one run.

    python benchmarks/accuracy.py DATA --categories bottle,screw --coreset_ratio 0.01

Needs anomalib 2.7 (``pip install -e '.[peers]'``). Both see the same decoded images; scores and
maps are compared raw, with this package's metrics. Times are those of the whole of fit and predict
without decoding.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from anomalist import MVTecAD, PatchCore, Predictions, evaluate
from anomalist.data import Category, ImageSet, Transform, load_batches, load_masks
from anomalist.features import find_weights
from anomalist.report import to_markdown

BATCH = 8


def decoded(images: ImageSet, transform: Transform) -> list[np.ndarray]:
    return list(load_batches(images, transform, BATCH))


def anomalib_patchcore(
    category: Category, transform: Transform, ratio: float, seed: int
) -> tuple[Predictions, float, float]:
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    model = PatchcoreModel(
        layers=["blocks.2", "blocks.4"], backbone="tf_efficientnet_lite0", pre_trained=False
    )
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    weights = torch.load(find_weights("efficientnet_lite0").path, weights_only=True)
    state = dict(zip(names, weights.values(), strict=True))
    extractor = model.feature_extractor.feature_extractor
    extractor.load_state_dict({n: state[n] for n in extractor.state_dict()})

    def normalised(batch: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1

    train, test = decoded(category.train, transform), decoded(category.test, transform)
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what its sampler draws from
    start = time.perf_counter()
    model.train()
    model.feature_extractor.eval()
    for batch in train:
        model(normalised(batch))
    model.subsample_embedding(ratio)
    fitted = time.perf_counter()
    model.eval()
    with torch.inference_mode():
        answers = [model(normalised(batch)) for batch in test]
    done = time.perf_counter()
    return (
        Predictions(
            category.test.paths,
            torch.cat([a.pred_score.reshape(-1) for a in answers]).numpy(),
            torch.cat([a.anomaly_map[:, 0] for a in answers]).numpy(),
            category.test.labels,
            load_masks(category.test, transform),
            category.test.defects,
        ),
        fitted - start,
        done - fitted,
    )


def our_patchcore(
    category: Category, transform: Transform, ratio: float, seed: int
) -> tuple[Predictions, float, float]:
    detector = PatchCore(
        image_size=transform.image_size, coreset_ratio=ratio, seed=seed, batch_size=BATCH
    )
    start = time.perf_counter()
    detector.fit(category.train)
    fitted = time.perf_counter()
    predictions = detector.predict(category.test)
    return predictions, fitted - start, time.perf_counter() - fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--categories", default="bottle,screw")
    parser.add_argument("--coreset_ratio", type=float, default=0.01)
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--seeds", default="0")
    arguments = parser.parse_args()
    contenders: dict[str, Callable[..., tuple[Predictions, float, float]]] = {
        "anomalist": our_patchcore,
        "anomalib": anomalib_patchcore,
    }
    import pandas as pd

    rows: list[dict[str, Any]] = []
    transform = Transform(arguments.image_size)
    for name in arguments.categories.split(","):
        category = MVTecAD(arguments.data).category(name)
        for seed in map(int, arguments.seeds.split(",")):
            for contender, run in contenders.items():
                predictions, fit, predict = run(category, transform, arguments.coreset_ratio, seed)
                metrics = evaluate(predictions, at="input").as_dict()
                rows.append(
                    {
                        "category": name,
                        "seed": seed,
                        "detector": contender,
                        "image AUROC": f"{metrics['image_AUROC']:.4f}",
                        "pixel AUROC": f"{metrics['pixel_AUROC']:.4f}",
                        "PRO": f"{metrics['pixel_PRO']:.4f}",
                        "fit s": f"{fit:.1f}",
                        "predict s": f"{predict:.1f}",
                    }
                )
                print(to_markdown(pd.DataFrame(rows[-1:])), flush=True)
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
