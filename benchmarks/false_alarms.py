"""How often thresholds alarm on new good images, over real and drawn sets, beside the stated range.

    python benchmarks/false_alarms.py sets data SETS
    anomalist benchmark SETS --detectors \
        patchcore,padim,spade,dfm,cfa,glass,patchcore+padim,patchcore+glass --seeds 0,1,2 \
        --image_size 64 --coreset_ratio 0.1 --cfa.epochs 5 --glass.meta_epochs 10 \
        --glass.variants 2 --evaluate_at input --out OUT
    python benchmarks/false_alarms.py table OUT

``sets`` writes categories of 128-pixel copies: bottle and screw as MVTec AD splits them, 120 of
their training images; the sample set; ten classes of textures, 90 images of each to learn from and
30 that are kept as new good ones; and, so that exchangeability is certain, the training images of
bottle and screw dealt anew at random into 120 to learn from and up to 120 new ones. Defective
images of textures are other textures.

``table`` pools the good test images of a detector above the threshold for alpha .05 and .1 over
groups of sets, a mean over seeds, and says of how many (detector, set, seed) the count of alarms is
compatible with the stated range: neither tail of the beta-binomial distribution that the range
comes from is below 2.5 % there. The same of (detector, set), where the mean count over seeds is
taken.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import betabinom

from anomalist.benchmark import RunRecord, RunStore
from anomalist.calibration import alarm_ranks, threshold
from anomalist.data import make_sample_set
from anomalist.report import to_markdown

ALPHAS = (0.05, 0.1)
_SIDE = 128
_LEARNT, _TEXTURES = 120, 90
_DEFECTIVE = 20
_TAIL = 0.025


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, dest="command")
    making = commands.add_parser("sets", help="write the sets")
    making.add_argument("data", type=Path, help="folder with mvtec_ad and textures/dtd")
    making.add_argument("out", type=Path)
    telling = commands.add_parser("table", help="tell the rates of a benchmark of them")
    telling.add_argument("out", nargs="+", help="results folders")
    arguments = parser.parse_args()
    if arguments.command == "sets":
        make_sets(arguments.data, arguments.out)
        return
    runs = alarms(r for out in arguments.out for r in RunStore(out).records())
    print(to_markdown(rates(runs)))
    print(to_markdown(compatible(runs)))
    print(to_markdown(compatible(over_seeds(runs))))


def make_sets(data: Path, out: Path) -> None:
    """Write all sets as categories in the layout of MVTec AD."""
    rng = np.random.default_rng(0)
    make_sample_set(out, image_size=_SIDE)
    for name in ("bottle", "screw"):
        root = data / "mvtec_ad" / name
        train = sorted((root / "train" / "good").glob("*.png"))
        bad = sorted(p for p in root.glob("test/*/*.png") if p.parent.name != "good")
        some = [bad[i] for i in rng.permutation(len(bad))[:_DEFECTIVE]]
        dealt = [train[i] for i in rng.permutation(len(train))]
        learnt, new = dealt[:_LEARNT], dealt[_LEARNT : 2 * _LEARNT]
        _write(out / name, learnt, sorted((root / "test" / "good").glob("*.png")), some)
        _write(out / f"{name}_dealt", learnt, new, some)
    classes = sorted(p for p in (data / "textures" / "dtd").iterdir() if p.is_dir())
    for folder in classes:
        own = sorted(folder.glob("*.jpg"))
        dealt = [own[i] for i in rng.permutation(len(own))]
        others = sorted(p for other in classes if other != folder for p in other.glob("*.jpg"))
        some = [others[i] for i in rng.permutation(len(others))[:_DEFECTIVE]]
        _write(out / f"texture_{folder.name}", dealt[:_TEXTURES], dealt[_TEXTURES:], some)


def _write(root: Path, train: list[Path], good: list[Path], bad: list[Path]) -> None:
    shutil.rmtree(root, ignore_errors=True)
    for folder, paths in (("train/good", train), ("test/good", good), ("test/other", bad)):
        (root / folder).mkdir(parents=True)
        for i, path in enumerate(paths):
            with Image.open(path) as image:
                side = min(image.size)
                left, top = ((length - side) // 2 for length in image.size)
                square = image.convert("RGB").crop((left, top, left + side, top + side))
            square.resize((_SIDE, _SIDE)).save(root / folder / f"{i:03}.png")


def alarms(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Alarms on good test images of every run, and whether the stated range allows them."""
    rows = []
    for record in records:
        calibrating = record.calibration["scores"]
        good = np.array([i["score"] for i in record.images if i["label"] is False])
        for alpha in ALPHAS:
            above = int((good > threshold(calibrating, alpha)).sum())
            n = len(calibrating)
            # Of other trainings, from 0 to what twice alpha would have is stated.
            retrained = record.calibration.get("retrained", False)
            rank = alarm_ranks(n, 2 * alpha if retrained else alpha)
            new = betabinom(len(good), rank, n + 1 - rank)
            rows.append(
                {
                    "detector": record.detector,
                    "kind": _kind(record.category),
                    "set": record.category,
                    "seed": record.seed,
                    "alpha": alpha,
                    "calibrating": n,
                    "method": record.calibration["method"],
                    "alarms": above,
                    "good": len(good),
                    "rate": above / len(good),
                    "new": new,
                    "retrained": retrained,
                    "image_AUROC": record.metrics["image_AUROC"],
                }
            )
    return pd.DataFrame(rows)


def over_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """The mean number of alarms of each detector on each set."""
    pairs = runs.groupby(["detector", "set", "alpha"], sort=False)
    return pairs.agg({"alarms": "mean", "new": "first", "retrained": "first"}).reset_index()


def _kind(category: str) -> str:
    if category.endswith("_dealt"):
        return "bottle, screw, dealt anew"
    if category.startswith("texture_"):
        return "textures"
    return "bottle, screw" if category in ("bottle", "screw") else "sample set"


def rates(runs: pd.DataFrame) -> pd.DataFrame:
    """The share of good images above the threshold, by detector and kind of set."""
    pooled = runs.groupby(["detector", "kind", "alpha", "seed"], sort=False)[["alarms", "good"]]
    by_seed = pooled.sum().assign(rate=lambda f: f["alarms"] / f["good"])["rate"]
    told = by_seed.groupby(["detector", "kind", "alpha"], sort=False).agg(["mean", "std"])
    shown = told.apply(lambda row: f"{row['mean']:.3f} ± {row['std']:.3f}", axis=1)
    table = shown.unstack(["kind", "alpha"])
    table.columns = [f"{kind}: {alpha:g}" for kind, alpha in table.columns]
    return table.reset_index()


def compatible(runs: pd.DataFrame) -> pd.DataFrame:
    """The share of runs, or of means of them, whose alarms the stated range allows."""
    runs = runs.assign(
        many=[
            new.sf(np.ceil(a) - 1) < _TAIL
            for new, a in zip(runs["new"], runs["alarms"], strict=True)
        ],
        few=[
            new.cdf(np.floor(a)) < _TAIL for new, a in zip(runs["new"], runs["alarms"], strict=True)
        ],
    )
    runs["few"] &= ~runs["retrained"]
    rows = []
    for name in [*dict.fromkeys(runs["detector"]), "all"]:
        of_name = runs if name == "all" else runs[runs["detector"] == name]
        row = {"detector": name}
        for alpha in ALPHAS:
            of = of_name[of_name["alpha"] == alpha]
            fine = ~(of["many"] | of["few"])
            row[f"{alpha:g}: compatible"] = f"{fine.mean():.1%} of {len(of)}"
            row[f"{alpha:g}: too many"] = f"{of['many'].mean():.1%}"
            row[f"{alpha:g}: too few"] = f"{of['few'].mean():.1%}"
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
