"""CFA beside anomalib's: same weights, layers, input, batches and epochs, one ruler, one run.

    python benchmarks/cfa.py DATA --categories bottle --epochs 2

Needs anomalib 2.7 (``pip install -e '.[peers]'``). Both are handed the feature maps of the same
backbone, computed before, so that times are those of the method alone: making the memory bank and
training, divided by the epochs, and scoring the test images. Both give the result of the last
epoch; scores and maps are compared raw, with this package's metrics. anomalib keeps the radius as
it was at the start, ours is learned, as in the paper's reference code.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from anomalist import MVTecAD, Predictions, evaluate
from anomalist.data import Category, load_batches, load_masks
from anomalist.detectors import FeatureBatches
from anomalist.detectors.cfa import CFA
from anomalist.features import Backbone
from anomalist.report import to_markdown

Maps = list[list[Tensor]]


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def spans(*moments: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the time that passed, and the CPU's, between moments."""
    return [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(moments)]


class Handed(torch.nn.Module):
    """Stands in for anomalib's feature extractor and gives the maps that were computed before."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[Tensor] = []
        self.unused = torch.nn.Parameter(torch.zeros(()))  # anomalib asks it for its device

    def forward(self, _images: Tensor) -> dict[int, Tensor]:
        """Return the maps of whatever batch was put in place."""
        return dict(enumerate(self.maps))


def anomalib_cfa(train: Maps, test: Maps, detector: CFA) -> tuple[Any, ...]:
    from anomalib.models.image.cfa.anomaly_map import AnomalyMapGenerator
    from anomalib.models.image.cfa.loss import CfaLoss
    from anomalib.models.image.cfa.torch_model import CfaModel, CoordConv2d, Descriptor

    class Model(CfaModel):
        """CfaModel without its download of weights."""

        def __init__(self) -> None:
            super(CfaModel, self).__init__()
            self.gamma_c = detector.gamma_c
            self.register_buffer("memory_bank", torch.tensor(0.0))
            self.feature_extractor = Handed()
            self.descriptor = Descriptor(1, "resnet18")
            channels = sum(m.shape[1] for m in train[0])
            self.descriptor.layer = CoordConv2d(channels, channels // detector.gamma_d, 1)
            self.anomaly_map_generator = AnomalyMapGenerator(detector.num_nearest_neighbors)

        def get_scale(self, _size: Any) -> torch.Size:
            return train[0][0].shape[-2:]

    size = detector.transform.output_size
    joined = [torch.cat(layer) for layer in zip(*train, strict=True)]
    torch.manual_seed(detector.seed)
    model = Model()
    loss = CfaLoss(
        detector.num_nearest_neighbors, detector.num_hard_negative_features, detector.radius
    )

    def hand(maps: list[Tensor]) -> Tensor:
        model.feature_extractor.maps = maps
        return torch.empty(1, 1, 1, 1).expand(len(maps[0]), 3, *size)

    def shuffled() -> Iterator[Tensor]:
        for images in torch.randperm(len(joined[0])).split(detector.train_batch_size):
            yield hand([layer[images] for layer in joined])

    start = clocks()
    model.train()
    model.initialize_centroid(SimpleNamespace(image=images) for images in shuffled())
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=detector.lr, weight_decay=detector.weight_decay, amsgrad=True
    )
    for _ in range(detector.epochs):
        for images in shuffled():
            optimizer.zero_grad()
            loss(model(images)).backward(retain_graph=True)
            optimizer.step()
    fitted = clocks()
    model.eval()
    with torch.inference_mode():
        answers = [model(hand(maps)) for maps in test]
    predicted = clocks()
    scores = torch.cat([a.pred_score.reshape(-1) for a in answers]).numpy()
    maps = torch.cat([a.anomaly_map for a in answers]).numpy()
    return scores, maps, *spans(start, fitted, predicted)


def our_cfa(train: Maps, test: Maps, detector: CFA) -> tuple[Any, ...]:
    start = clocks()
    detector._fit(FeatureBatches(lambda: iter(train), sum(len(maps[0]) for maps in train)))
    fitted = clocks()
    scored = [detector._score(maps) for maps in test]
    maps = torch.cat([detector._enlarge(patches) for _, patches in scored])
    predicted = clocks()
    scores = torch.cat([scores for scores, _ in scored])
    return scores.numpy(), maps.numpy(), *spans(start, fitted, predicted)


def measured(
    run: Callable[..., tuple[Any, ...]], train: Maps, test: Maps, detector: CFA, category: Category
) -> dict[str, str]:
    scores, maps, (fit, fit_cpu), (predict, predict_cpu) = run(train, test, detector)
    masks = load_masks(category.test, detector.transform)
    predictions = Predictions(
        category.test.paths, scores, maps.reshape(masks.shape), category.test.labels, masks
    )
    metrics = evaluate(predictions, at="input").as_dict()
    return {
        "image AUROC": f"{metrics['image_AUROC']:.4f}",
        "pixel AUROC": f"{metrics['pixel_AUROC']:.4f}",
        "PRO": f"{metrics['pixel_PRO']:.4f}",
        "s/epoch": f"{fit / detector.epochs:.2f}",
        "CPU s/epoch": f"{fit_cpu / detector.epochs:.2f}",
        "predict s": f"{predict:.2f}",
        "predict CPU s": f"{predict_cpu:.2f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--categories", default="bottle")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights", help="a local weights file, for other backbones")
    parser.add_argument("--only", choices=["anomalist", "anomalib"], help="run one of the two")
    arguments = parser.parse_args()
    contenders = {"anomalist": our_cfa, "anomalib": anomalib_cfa}
    rows = []
    for name in arguments.categories.split(","):
        category = MVTecAD(arguments.data).category(name)
        for seed in map(int, arguments.seeds.split(",")):
            detector = CFA(
                backbone=arguments.backbone,
                weights=arguments.weights,
                image_size=arguments.image_size,
                epochs=arguments.epochs,
                seed=seed,
                device="cpu",
            )
            detector.backbone_ = Backbone(
                detector.backbone, CFA.default_layers, weights=arguments.weights
            )
            train, test = (
                [
                    detector.backbone_(batch)
                    for batch in load_batches(images, detector.transform, detector.batch_size)
                ]
                for images in (category.train, category.test)
            )
            for contender, run in contenders.items():
                if arguments.only not in (None, contender):
                    continue
                result = measured(run, train, test, detector, category)
                rows.append({"category": name, "seed": seed, "detector": contender, **result})
                print(to_markdown(pd.DataFrame(rows[-1:])), flush=True)
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
