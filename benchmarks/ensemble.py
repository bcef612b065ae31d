"""Ensembles beside their members, and beside the peers' way of bringing members to one scale.

    anomalist benchmark DATA --detectors patchcore,glass,... --keep_models --out OUT
    python benchmarks/ensemble.py DATA OUT --members patchcore+glass

Takes the models that the benchmark kept. ``min-max of the test set`` scales each member by the
least and the greatest value over the test images, defects included, and takes the mean, as
patchcore-inspection does; it can't be done on a line, where the test set hasn't come yet. Intervals
are those of 1,000 resamples of images; the difference to the best member is of the same resamples
or DeLong's. The best member is named by its mean over categories and seeds, on the test set.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anomalist import Ensemble, Predictions, evaluate, load, open_dataset
from anomalist.features import FeatureStore
from anomalist.metrics import delong_test, mean_difference
from anomalist.report import to_markdown

COLUMNS = ("image_AUROC", "pixel_AUROC", "pixel_PRO")
TEST_SCALED = "min-max of the test set, mean"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("out", type=Path, help="results folder with kept models")
    parser.add_argument("--members", action="append", help="joined by +; may be given again")
    parser.add_argument("--combine", default="mean,max,fisher,cauchy")
    parser.add_argument("--categories", help="by commas (default: all that models were kept of)")
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data)
    sets = [tuple(members.split("+")) for members in arguments.members]
    names = sorted(set(itertools.chain(*sets)))
    kept = [f.stem.rsplit("_seed", 1) for f in (arguments.out / "models" / names[0]).glob("*.npz")]
    wanted = arguments.categories.split(",") if arguments.categories else {c for c, _ in kept}
    rows: list[dict[str, Any]] = []
    scores: dict[tuple[str, str, str], Any] = {}
    for category, seed in sorted(kept):
        if category in wanted:
            test = dataset.category(category).test
            store = FeatureStore()
            models, held_out, made = {}, {}, {}
            for name in names:
                path = arguments.out / "models" / name / f"{category}_seed{seed}.anomalist"
                models[name] = load(path)
                with np.load(path.with_suffix(".npz")) as arrays:
                    paths = [str(i) for i in range(len(arrays["scores"]))]
                    held_out[name] = Predictions(paths, arrays["scores"], arrays["maps"])
                made[name] = models[name].predict(test, store=store)
            results = dict(made)
            for members in sets:
                joined = "+".join(members)
                for how in arguments.combine.split(","):
                    ensemble = Ensemble(members=members, combine=how)
                    ensemble.assemble([models[m] for m in members], [held_out[m] for m in members])
                    results[f"{joined}, {how}"] = ensemble.merge(
                        [made[m] for m in members], made[members[0]].masks
                    )
                results[f"{joined}, {TEST_SCALED}"] = test_scaled([made[m] for m in members])
            for name, predictions in results.items():
                metrics = evaluate(predictions, at="input", intervals=True)
                row = {"what": name, "category": category, "seed": int(seed)}
                rows.append({**row, **{c: getattr(metrics, c) for c in COLUMNS}})
                rows[-1] |= {f"{c} interval": metrics.intervals[c] for c in COLUMNS}
                scores[name, category, seed] = (predictions.scores, predictions.labels)
            print(f"{category} seed {seed} done", flush=True)
    frame = pd.DataFrame(rows)
    print(to_markdown(table(frame)))
    members = frame[frame["what"].isin(names)]
    best = members.groupby("what")["image_AUROC"].mean().idxmax()
    print(f"Image AUROC, difference to {best} on the same images (DeLong):\n")
    print(to_markdown(differences(scores, best)))


def test_scaled(made: list[Predictions]) -> Predictions:
    """The mean of members scaled by the extremes of the test set, as peers do."""

    def mean(values: list[Any]) -> Any:
        return np.mean([(v - v.min()) / (v.max() - v.min()) for v in values], axis=0)

    first = made[0]
    return Predictions(
        first.paths,
        mean([p.scores for p in made]),
        mean([p.maps for p in made]),
        first.labels,
        first.masks,
    )


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds by category and over all, in percent, with the mean interval."""
    rows = []
    for what, of_what in frame.groupby("what", sort=False):
        row: dict[str, str] = {"what": str(what)}
        for category, runs in [*of_what.groupby("category"), ("mean", of_what)]:
            for column in COLUMNS:
                cell = f"{100 * runs[column].mean():.2f}"
                if category != "mean":
                    low, high = np.mean([list(i) for i in runs[f"{column} interval"]], axis=0)
                    cell += f" ({100 * low:.1f} to {100 * high:.1f})"
                row[f"{category} {column}"] = cell
        rows.append(row)
    return pd.DataFrame(rows)


def differences(scores: dict[tuple[str, str, str], Any], best: str) -> pd.DataFrame:
    """DeLong's comparison with the best member, over categories, seed by seed."""
    rows = []
    for name in dict.fromkeys(name for name, _, _ in scores):
        if name == best:
            continue
        row = {"what": name}
        for seed in sorted({seed for _, _, seed in scores}):
            pairs = [
                delong_test(ours, scores[best, c, s][0], labels)
                for (n, c, s), (ours, labels) in scores.items()
                if n == name and s == seed
            ]
            all_of_them = mean_difference(pairs)
            low, high = all_of_them.interval
            row[f"seed {seed}"] = (
                f"{100 * all_of_them.difference:+.2f} ({100 * low:+.1f} to {100 * high:+.1f}),"
                f" p {all_of_them.p_value:.2g}"
            )
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
