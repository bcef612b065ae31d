"""anomalib's own numbers for its PatchCore beside what ``anomalist measure`` says of its maps.

    python benchmarks/measured.py make DATA --category bottle --out OUT
    python benchmarks/measured.py compare DATA --category bottle --out OUT

``make`` needs anomalib 2.7 and its Lightning (``pip install -e '.[peers]'``). It fits anomalib's
PatchCore with the embedded weights, prints what its engine prints, and keeps its maps and scores as
its users do: as the engine hands them out, normalised and clamped; with the normalisation switched
off; and the pictures that it writes by itself. ``compare`` measures them all, at the images' own
size and at that of the maps, and once with masks brought to the maps' size as anomalib does it, by
the upper left pixel of each cell instead of the nearest to its centre, and the image threshold
excluded as in its decisions: then the numbers are its own.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from anomalist.data import MVTecAD
from anomalist.data.belonging import belong
from anomalist.data.maps import read_map_array
from anomalist.features import find_weights
from anomalist.inspection import measure_maps
from anomalist.metrics import EvaluatedAt, auroc, best_f1, f1_at, pro
from anomalist.report import to_markdown

LAYERS = ["blocks.2", "blocks.4"]


def make(data: Path, category: str, out: Path, image_size: int, ratio: float) -> None:
    import timm
    import torch
    from anomalib.data import MVTecAD as Datamodule
    from anomalib.engine import Engine
    from anomalib.metrics import AUPRO, AUROC, Evaluator, F1Score
    from anomalib.models import Patchcore
    from anomalib.post_processing import PostProcessor
    from anomalib.pre_processing import PreProcessor
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    out.mkdir(parents=True, exist_ok=True)
    half = [0.5, 0.5, 0.5]
    resize = Resize((image_size, image_size), antialias=True)
    image, pixel = {"prefix": "image_"}, {"prefix": "pixel_", "strict": False}

    def metrics() -> Any:
        return Evaluator(
            test_metrics=[
                AUROC(["pred_score", "gt_label"], **image),
                F1Score(["pred_label", "gt_label"], **image),
                AUROC(["anomaly_map", "gt_mask"], **pixel),
                F1Score(["pred_mask", "gt_mask"], **pixel),
                AUPRO(["anomaly_map", "gt_mask"], **pixel),
            ]
        )

    model = Patchcore(
        backbone="tf_efficientnet_lite0",
        layers=LAYERS,
        pre_trained=False,
        coreset_sampling_ratio=ratio,
        pre_processor=PreProcessor(Compose([resize, Normalize(half, half)])),
        evaluator=metrics(),
    )
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    weights = torch.load(find_weights("efficientnet_lite0").path, weights_only=True)
    state = dict(zip(names, weights.values(), strict=True))
    extractor = model.model.feature_extractor.feature_extractor
    extractor.load_state_dict({n: state[n] for n in extractor.state_dict()})
    datamodule = Datamodule(
        root=data, category=category, num_workers=0, train_batch_size=8, eval_batch_size=8, seed=0
    )
    engine = Engine(default_root_dir=out / "anomalib", accelerator="cpu", logger=False)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - what its sampler draws from
    start = time.perf_counter()
    engine.fit(model=model, datamodule=datamodule)
    (printed,) = engine.test(model=model, datamodule=datamodule)
    keep(engine.predict(model=model, datamodule=datamodule), out / "as_given.npz")
    model.post_processor = PostProcessor(enable_normalization=False, enable_thresholding=False)
    keep(engine.predict(model=model, datamodule=datamodule), out / "raw.npz")
    (out / "printed.json").write_text(json.dumps(printed, indent=2) + "\n")
    print(f"anomalib: {time.perf_counter() - start:.0f} s")


def keep(batches: Any, file: Path) -> None:
    np.savez(
        file,
        maps=np.concatenate([batch.anomaly_map.cpu().numpy() for batch in batches]),
        scores=np.concatenate([batch.pred_score.cpu().numpy() for batch in batches]),
        paths=[path for batch in batches for path in batch.image_path],
    )


def compare(data: Path, category: str, out: Path) -> None:
    import pandas as pd

    printed = json.loads((out / "printed.json").read_text())
    rows: list[dict[str, str]] = []
    names = {
        "image_AUROC": "image_AUROC",
        "image_F1Score": "image_F1Score",
        "pixel_AUROC": "pixel_AUROC",
        "pixel_F1Score": "pixel_F1Score",
        "pixel_AUPRO": "pixel_PRO",
    }
    rows.append({"what": "anomalib prints"})
    rows[0] |= {ours: f"{printed[theirs]:.4f}" for theirs, ours in names.items()}
    places: tuple[EvaluatedAt, ...] = ("input", "original")
    for file in ("as_given.npz", "raw.npz"):
        for at in places:
            start = time.perf_counter()
            measured = measure_maps(out / file, data, category=category, evaluate_at=at)
            seconds = time.perf_counter() - start
            values = measured.metrics.as_dict()
            row = {"what": f"{file}, at {at}"}
            rows.append(row | {name: f"{values[name]:.4f}" for name in names.values()})
            print(f"{file}, at {at} ({seconds:.1f} s):", *measured.notes, sep="\n  ")
    rows.append({"what": "raw.npz, as anomalib counts"} | as_anomalib(data, category, out))
    print(to_markdown(pd.DataFrame(rows)))


def as_anomalib(data: Path, category: str, out: Path) -> dict[str, str]:
    """The same maps against masks of the upper left pixels; the best threshold isn't reached."""
    found = read_map_array(out / "raw.npz")
    test = MVTecAD(data).category(category).test
    places = belong(found.names, test.paths).of
    order = [places[i] for i in range(len(test))]
    maps = found.maps[order]
    masks = np.zeros(maps.shape, bool)
    for i, sample in enumerate(test):
        mask = sample.read_mask() if sample.label else None
        if mask is not None:
            rows, columns = (
                np.arange(n) * m // n for n, m in zip(maps.shape[1:], mask.shape, strict=True)
            )
            masks[i] = mask[np.ix_(rows, columns)]
    assert found.scores is not None
    scores, labels = found.scores[order], test.labels
    above = np.nextafter(best_f1(scores, labels)[1], np.inf)
    values = {
        "image_AUROC": auroc(scores, labels),
        "image_F1Score": f1_at(scores, labels, above),
        "pixel_AUROC": auroc(maps.ravel(), masks.ravel()),
        "pixel_F1Score": best_f1(maps.ravel(), masks.ravel())[0],
        "pixel_PRO": pro(maps, masks),
    }
    return {name: f"{value:.4f}" for name, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=("make", "compare"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--coreset_ratio", type=float, default=0.01)
    arguments = parser.parse_args()
    place = arguments.data, arguments.category, arguments.out
    if arguments.do == "make":
        make(*place, arguments.image_size, arguments.coreset_ratio)
    else:
        compare(*place)


if __name__ == "__main__":
    main()
