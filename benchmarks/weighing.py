"""Ensembles whose members made defects weigh, beside their members and even weights.

    python benchmarks/weighing.py DATA --members patchcore+padim --image_size 128 --out OUT.jsonl

Fits every member to the training images of each category, calibrates it, and measures on the test
images the members, the ensemble with even weights and the one with ``member_weights="auto"``, whose
weights no test image has a part in. A line is written for each as it comes, and what is there isn't
run again. Prints means over seeds of image AUROC / pixel PRO, at the input, and the weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anomalist import Detector, Ensemble, Predictions, evaluate, open_dataset
from anomalist.data import Category
from anomalist.features import FeatureStore, unite_backbones
from anomalist.report import to_markdown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--members", action="append", help="joined by +; may be given again")
    parser.add_argument("--categories", help="by commas (default: all)")
    parser.add_argument("--seeds", default="0", help="by commas")
    parser.add_argument("--train", type=int, help="good images to learn from, evenly spread")
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--features", type=Path, help="folder where feature maps are kept")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    for name in (arguments.categories or ",".join(dataset.categories)).split(","):
        for seed in map(int, arguments.seeds.split(",")):
            store = FeatureStore(folder=arguments.features, memory_limit_mb=1000)
            run(dataset.category(name), seed, store, arguments)
    print(to_markdown(table(rows(arguments.out))))


def run(category: Category, seed: int, store: FeatureStore, arguments: argparse.Namespace) -> None:
    """Measure the members and ensembles of a category and a seed that aren't measured yet."""
    good, done = category.train, rows(arguments.out)
    if arguments.train is not None and arguments.train < len(good):
        good = good[np.linspace(0, len(good) - 1, arguments.train).astype(np.intp)]
    fitted: dict[str, tuple[Detector, Predictions, Predictions]] = {}
    for members in (tuple(joined.split("+")) for joined in arguments.members):
        ensemble = Ensemble(members=members, image_size=arguments.image_size, seed=seed)
        what = {"category": category.name, "seed": seed, "members": "+".join(members)}
        if any(what.items() <= row.items() for row in done):
            continue
        for backbone in unite_backbones([m.make_backbone() for m in ensemble.components()]):
            store.adopt(backbone)
        for member in ensemble.components():
            if member.name not in fitted:
                member.fit(good, store=store)
                held_out = member.calibrate(good, store=store)
                fitted[member.name] = member, held_out, member.predict(category.test, store=store)
        chosen = [fitted[name] for name in members]
        found = {name: measured(fitted[name][2]) for name in members}
        weights: dict[str, Any] = {}
        for how, given in (("even", None), ("auto", "auto")):
            made = Ensemble(
                members=members,
                image_size=arguments.image_size,
                seed=seed,
                member_weights=given,  # type: ignore[arg-type]
            )
            made.assemble([f for f, _, _ in chosen], [h for _, h, _ in chosen], store=store)
            used = [p for f, _, p in chosen if any(f is member for member in made.members_)]
            found[how] = measured(made.merge(used, chosen[0][2].masks))
            if given is not None:
                weights = made.member_weights_.as_dict()
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**what, "found": found, "weights": weights}) + "\n")
        print(what, found, weights, flush=True)


def measured(predictions: Predictions) -> tuple[float, float]:
    """Image AUROC and PRO."""
    metrics = evaluate(predictions, at="input")
    assert metrics.image_AUROC is not None
    assert metrics.pixel_PRO is not None
    return metrics.image_AUROC, metrics.pixel_PRO


def rows(path: Path) -> list[dict[str, Any]]:
    """What was measured before."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(measurements: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a category and ensemble, means over seeds in percent."""
    shown = []
    frame = pd.DataFrame(measurements)
    for (members, category), of_both in frame.groupby(["members", "category"], sort=False):
        names = [*members.split("+"), "even", "auto"]
        means = {n: np.mean([found[n] for found in of_both["found"]], axis=0) for n in names}
        best = np.max([means[n] for n in names[:-2]], axis=0)
        weights = of_both["weights"].iloc[0]
        columns = {"best member of each": best, "even": means["even"], "auto": means["auto"]}
        row = {"members": members.replace("+", ", "), "category": category}
        row |= {n: f"{100 * image:.1f} / {100 * pro:.1f}" for n, (image, pro) in columns.items()}
        told = (" ".join(f"{w:.2f}" for w in weights[kind]) for kind in ("scores", "maps"))
        shown.append({**row, "weights of scores / maps": " / ".join(told)})
    return pd.DataFrame(shown)


if __name__ == "__main__":
    main()
