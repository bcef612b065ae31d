"""What choosing by good images costs, beside the default and the best candidate in hindsight.

    python benchmarks/choosing.py sets data SETS --train 60
    python benchmarks/choosing.py hindsight SETS --out OUT
    python benchmarks/choosing.py auto SETS --out OUT --budget 5min
    python benchmarks/choosing.py judged SETS --out OUT
    python benchmarks/choosing.py table OUT

``sets`` draws the sample set and links bottle and screw of MVTec AD below it, with all of their
test images and so many of their training images. ``hindsight`` fits every candidate to the training
images of a category and measures it on the test images; nothing of it reaches ``auto``, which
chooses by the training images alone, is fitted and measured. ``judged`` measures the candidates by
every kind of made defect, those that decide and those that check.

``table`` prints, of every category, the image AUROC of the default, of what ``auto`` chose and of
the best candidate in hindsight, and the regret, which is how far what was chosen is below; and the
rank correlation over candidates of what each kind of made defect says with the image AUROC and PRO
on the test images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from anomalist import Detector, evaluate
from anomalist.choosing import Auto, Candidate, candidates
from anomalist.data import Category, MVTecAD, make_sample_set
from anomalist.detectors.judging import Judgement, judge
from anomalist.features import FeatureStore, unite_backbones
from anomalist.report import to_markdown
from anomalist.synthesis import CHECKING, DECIDING

_INDEX = ("category", "detector", "seed")
_MEASURED = ("image_AUROC", "pixel_AUROC", "pixel_PRO")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, dest="command")
    making = commands.add_parser("sets", help="write the sets")
    making.add_argument("data", type=Path, help="folder with mvtec_ad")
    making.add_argument("out", type=Path)
    making.add_argument("--train", type=int, default=60, help="training images of real categories")
    for name in ("hindsight", "auto", "judged"):
        command = commands.add_parser(name)
        command.add_argument("data", type=Path, help="what `sets` wrote")
        command.add_argument("--out", type=Path, required=True)
        command.add_argument("--categories", nargs="+")
        command.add_argument("--seeds", type=int, nargs="+", default=[0])
        command.add_argument("--budget", default="5min")
        command.add_argument("--store", type=Path, help="folder that keeps feature maps")
    telling = commands.add_parser("table", help="tell the regret")
    telling.add_argument("out", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "sets":
        make_sets(arguments.data, arguments.out, arguments.train)
    elif arguments.command == "table":
        tell(arguments.out)
    else:
        run(arguments)


def make_sets(data: Path, out: Path, train: int) -> None:
    """Draw the sample set, and link real categories beside it."""
    make_sample_set(out)
    for name in ("bottle", "screw"):
        root = (data / "mvtec_ad" / name).resolve()
        for path in sorted(root.rglob("*.png")):
            place = out / name / path.relative_to(root)
            if place.parent.parent.name == "train":
                learnt = sorted(path.parent.glob("*.png"))
                order = np.random.default_rng(0).permutation(len(learnt))
                if path not in {learnt[i] for i in order[:train]}:
                    continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)


def run(arguments: argparse.Namespace) -> None:
    """Measure or judge all candidates, or measure what chooses among them, in a file that grows."""
    dataset, command = MVTecAD(arguments.data), arguments.command
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{command}.json"
    store = FeatureStore(folder=arguments.store, memory_limit_mb=1000, disk_limit_mb=40_000)
    field = candidates()
    parts = [part for candidate in field for part in candidate.detector.components()]
    for backbone in unite_backbones(part.make_backbone() for part in parts):
        store.adopt(backbone)
    for name in arguments.categories or dataset.categories:
        category = dataset.category(name)
        for seed in arguments.seeds:
            for key, detector in _asked(command, field, arguments.budget, seed):
                known = json.loads(path.read_text()) if path.is_file() else {}
                if (place := f"{name} {key} {seed}") in known:
                    continue
                if command == "judged":
                    kinds = [*DECIDING, *CHECKING]
                    judgement = judge(detector, category.train, seed=seed, kinds=kinds, store=store)
                    found = judgement.as_dict()
                else:
                    found = _measured(detector, category, store)
                known[place] = found
                path.write_text(json.dumps(known))
                print(place, json.dumps(found)[:200], flush=True)


def _asked(
    command: str, field: list[Candidate], budget: str, seed: int
) -> Iterator[tuple[str, Detector]]:
    if command == "auto":
        yield "auto", Auto(budget=budget, seed=seed)
        return
    for candidate in field:
        yield slug(candidate), dataclasses.replace(candidate.detector, seed=seed)


def _measured(detector: Detector, category: Category, store: FeatureStore) -> dict[str, Any]:
    """Fit to the training images, and measure on the test images."""
    begin = time.monotonic()
    detector.fit(category.train, store=store)
    fit_seconds = time.monotonic() - begin
    metrics = evaluate(detector.predict(category.test, store=store)).as_dict()
    found = {name: metrics[name] for name in _MEASURED} | {"fit_seconds": fit_seconds}
    return found | ({"choice": detector.choice_.as_dict()} if isinstance(detector, Auto) else {})


def slug(candidate: Candidate) -> str:
    """What a candidate is called in files."""
    return re.sub(r"[^\w+.]+", "-", candidate.label)


def tell(out: Path) -> None:
    """Print the tables."""
    truth = _frame(out / "hindsight.json")
    default = slug(candidates()[0])
    judged = {}
    if (out / "judged.json").is_file():
        for key, values in json.loads((out / "judged.json").read_text()).items():
            judged[tuple(key.split(" "))] = Judgement.from_dict(values)
        print(to_markdown(predicted(truth, judged)))
    if (out / "auto.json").is_file():
        print(to_markdown(regret(truth, _frame(out / "auto.json"), default)))


def _frame(path: Path) -> pd.DataFrame:
    """What was measured, a row a category, detector and seed."""
    rows = [
        {**dict(zip(_INDEX, key.split(" "), strict=True)), **{m: values[m] for m in _MEASURED}}
        for key, values in json.loads(path.read_text()).items()
    ]
    return pd.DataFrame(rows).set_index(list(_INDEX))


def regret(truth: pd.DataFrame, auto: pd.DataFrame, default: str) -> pd.DataFrame:
    """Image AUROC and PRO of the default, of what was chosen and of the best in hindsight."""
    rows = []
    for (category, _, seed), chosen in auto.iterrows():
        of_all = truth.xs((category, seed), level=("category", "seed"))
        row: dict[str, object] = {"category": category, "seed": seed}
        for name in ("image_AUROC", "pixel_PRO"):
            best = of_all[name].max()
            row |= {
                f"{name} default": of_all.loc[default, name],
                f"{name} auto": chosen[name],
                f"{name} best": best,
                f"{name} regret": best - chosen[name],
            }
        rows.append({**row, "best by image AUROC": of_all["image_AUROC"].idxmax()})
    return pd.DataFrame(rows).round(4)


def predicted(truth: pd.DataFrame, judged: dict[tuple[str, ...], Judgement]) -> pd.DataFrame:
    """Rank correlation over candidates of what each kind says with what is measured on tests."""
    rows = []
    runs = sorted({(category, seed) for category, _, seed in judged})
    for kind in [*DECIDING, *CHECKING, "deciding", "checking"]:
        group = {"deciding": DECIDING, "checking": CHECKING}.get(kind, (kind,))
        row: dict[str, object] = {"kind": kind, "decides": set(group) <= set(DECIDING)}
        for name in ("image_AUROC", "pixel_PRO"):
            found = []
            for run in runs:
                keys = [k for k in judged if (k[0], k[2]) == run and k in truth.index]
                says = [np.mean([getattr(judged[k].kinds[d], name) for d in group]) for k in keys]
                real = truth.loc[keys, name].tolist()
                if len(set(says)) > 1 and len(set(real)) > 1:
                    found.append(spearmanr(says, real).statistic)
            row[f"{name}, mean over sets"] = np.mean(found)
            row[f"{name}, lowest"] = np.min(found)
        rows.append(row)
    return pd.DataFrame(rows).round(2)


if __name__ == "__main__":
    main()
