"""DFM beside anomalib's: same weights, layer, input and pooling, one ruler, one run.

    OMP_NUM_THREADS=1 python benchmarks/dfm.py DATA --categories bottle,screw

Needs anomalib 2.7 (``pip install -e '.[peers]'``). Both see the same decoded images; scores and
maps are compared raw, with this package's metrics. The CPU seconds of fitting are those of the
principal components alone (ours with the pooling, which the peer's forward pass has done before),
the median of ``--repeats``, on feature maps that were made before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import timm
import torch

from anomalist import MVTecAD, Predictions, evaluate
from anomalist.data import Category, ImageSet, Transform, load_batches, load_masks
from anomalist.detectors import FeatureBatches
from anomalist.detectors.dfm import DFM
from anomalist.features import find_weights
from anomalist.report import to_markdown

BATCH = 8


def timed(fit: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        fit()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def anomalib_dfm(
    category: Category, transform: Transform, settings: argparse.Namespace
) -> tuple[Predictions, float, int]:
    from anomalib.models.image.dfm.torch_model import DFMModel

    model = DFMModel(
        backbone="tf_efficientnet_lite0",
        layer="blocks.4",
        pre_trained=False,
        pooling_kernel_size=settings.pooling_kernel_size,
        n_comps=settings.pca_level,
    )
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    weights = torch.load(find_weights("efficientnet_lite0").path, weights_only=True)
    state = dict(zip(names, weights.values(), strict=True))
    extractor = model.feature_extractor.feature_extractor
    extractor.load_state_dict({n: state[n] for n in extractor.state_dict()})

    def normalised(images: ImageSet) -> list[torch.Tensor]:
        batches = load_batches(images, transform, BATCH)
        pixels = (torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous() for batch in batches)
        return [batch.float() / 127.5 - 1 for batch in pixels]

    model.train()
    model.feature_extractor.eval()
    for batch in normalised(category.train):
        model(batch)
    vectors = model.memory_bank

    def fit() -> None:
        # Its fit centres the vectors in place.
        model.memory_bank = [v.clone() for v in vectors]
        model.fit()

    seconds = timed(fit, settings.repeats)
    model.eval()
    with torch.inference_mode():
        answers = [model(batch) for batch in normalised(category.test)]
    predictions = Predictions(
        category.test.paths,
        torch.cat([a.pred_score for a in answers]).numpy(),
        torch.cat([a.anomaly_map[:, 0] for a in answers]).numpy(),
        category.test.labels,
        load_masks(category.test, transform),
        category.test.defects,
    )
    return predictions, seconds, int(model.pca_model.num_components)


def our_dfm(
    category: Category, transform: Transform, settings: argparse.Namespace
) -> tuple[Predictions, float, int]:
    detector = DFM(
        image_size=transform.image_size,
        pooling_kernel_size=settings.pooling_kernel_size,
        pca_level=settings.pca_level,
        score_type=settings.score_type,
        batch_size=BATCH,
    )
    detector.backbone_ = detector.make_backbone()
    batches = load_batches(category.train, transform, BATCH)
    maps = [detector.backbone_(batch) for batch in batches]
    features = FeatureBatches(lambda: iter(maps), len(category.train))
    seconds = timed(lambda: detector._fit(features), settings.repeats)
    return detector.predict(category.test), seconds, len(detector.components_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--categories", default="bottle,screw")
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--pooling_kernel_size", type=int, default=4)
    parser.add_argument("--pca_level", type=float, default=0.97)
    parser.add_argument("--score_type", choices=["fre", "nll"], default="fre")
    parser.add_argument("--repeats", type=int, default=5)
    settings = parser.parse_args()
    contenders = {"anomalist": our_dfm}
    if settings.score_type == "fre":  # anomalib's nll stops with a TypeError
        contenders["anomalib"] = anomalib_dfm
    rows: list[dict[str, Any]] = []
    transform = Transform(settings.image_size)
    for name in settings.categories.split(","):
        category = MVTecAD(settings.data).category(name)
        for contender, run in contenders.items():
            predictions, seconds, components = run(category, transform, settings)
            metrics = evaluate(predictions, at="input").as_dict()
            rows.append(
                {
                    "category": name,
                    "detector": contender,
                    "components": components,
                    "image AUROC": f"{metrics['image_AUROC']:.4f}",
                    "pixel AUROC": f"{metrics['pixel_AUROC']:.4f}",
                    "PRO": f"{metrics['pixel_PRO']:.4f}",
                    "PCA CPU s": f"{seconds:.3f}",
                }
            )
            print(to_markdown(pd.DataFrame(rows[-1:])), flush=True)
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
