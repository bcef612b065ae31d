"""Why scores of other trainings, and scales used twice, make thresholds that alarm otherwise.

    python benchmarks/false_alarms.py sets data SETS
    python benchmarks/calibration_causes.py folds SETS --detector cfa
    python benchmarks/calibration_causes.py folds SETS --detector glass
    python benchmarks/calibration_causes.py ensemble
    python benchmarks/calibration_causes.py coreset SETS --images 40

``folds`` fits a detector that trains to 100 images at 64 pixels and scores new good ones: with it,
and with the copies of 2 folds, with the same copies trained for as many steps as it, or from
another seed, and of 5 folds. It tells the median score of new images by each network, the share of
new ones above the threshold for 0.05 from the held-out scores, and the same with all scores in
standard deviations of the training images' scores by the same network.

``ensemble`` draws scores of two and six members, correlated by 0.6 and 0.3, and tells how often
new ones alarm where the same n images set the members' scales and the threshold, and where others
set the scales.

``coreset`` fits PatchCore to good images and scores them as if unseen in two ways: ignoring the
bank's patches of an image's own group, of twenty, and by fits on 5, 10 and 20 folds. It tells the
median of those scores and of new images', and the share of new ones above the thresholds.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from anomalist import CFA, GLASS, Detector, PatchCore
from anomalist.calibration import Calibration, assign_folds, held_out_scores, threshold
from anomalist.data import ImageSet, as_image_set
from anomalist.detectors.combining import combined
from anomalist.features import FeatureStore
from anomalist.predictions import Predictions
from anomalist.report import to_markdown

Float64 = npt.NDArray[np.float64]

_DETECTORS: dict[str, Detector] = {
    "cfa": CFA(image_size=64, epochs=5),
    "glass": GLASS(image_size=64, meta_epochs=10, variants=2),
}
_ALPHA = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True, dest="command")
    folds = commands.add_parser("folds")
    folds.add_argument("sets", type=Path)
    folds.add_argument("--detector", choices=list(_DETECTORS), default="cfa")
    folds.add_argument("--seeds", type=int, default=2)
    folds.add_argument("--names", default="bottle_dealt,screw_dealt,brass_key,texture_blotchy")
    commands.add_parser("ensemble")
    coreset = commands.add_parser("coreset")
    coreset.add_argument("sets", type=Path)
    coreset.add_argument("--images", type=int, default=40)
    coreset.add_argument("--image_size", type=int, default=128)
    coreset.add_argument("--seeds", type=int, default=2)
    coreset.add_argument("--names", default="bottle_dealt,screw_dealt,texture_blotchy")
    arguments = parser.parse_args()
    if arguments.command == "coreset":
        for name in arguments.names.split(","):
            print(to_markdown(of_coreset(arguments, name)), flush=True)
        return
    if arguments.command == "ensemble":
        print(to_markdown(pd.DataFrame(twice())))
        return
    rows = [
        {"set": name, "seed": seed, **row}
        for name in arguments.names.split(",")
        for seed in range(arguments.seeds)
        for row in of_folds(
            replace(_DETECTORS[arguments.detector], seed=seed),
            _images(arguments.sets / name / "train" / "good")[:100],
            _images(arguments.sets / name / "test" / "good")[:90],
        )
    ]
    print(to_markdown(pd.DataFrame(rows)))


def _images(folder: Path) -> ImageSet:
    return as_image_set([str(path) for path in sorted(folder.glob("*.png"))])


def of_folds(detector: Detector, train: ImageSet, new: ImageSet) -> Iterator[dict[str, str]]:
    """Compare the full fit's scores of new images with those of copies trained on folds."""
    store = FeatureStore()

    def scored(copy: Detector, images: ImageSet) -> Float64:
        return copy.predict(images, store=store).scores.astype(np.float64)

    whole = replace(detector).fit(train, store=store)
    seen, unseen = scored(whole, train), scored(whole, new)
    ways: list[tuple[str, int, dict[str, Any]]] = [
        ("2 folds", 2, {}),
        ("2 folds, as many steps", 2, _longer(detector, 2)),
        ("2 folds, another seed", 2, {"seed": detector.seed + 7}),
        ("5 folds", 5, {}),
    ]
    for name, count, changes in ways:
        dealt = assign_folds(len(train), count, seed=detector.seed)
        held, scaled, medians = np.empty(len(train)), np.empty(len(train)), []
        for fold in range(count):
            others, own = np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)
            copy = replace(detector, **changes).fit(train[others], store=store)
            held[own], learnt = scored(copy, train[own]), scored(copy, train[others])
            scaled[own] = (held[own] - learnt.mean()) / learnt.std()
            medians.append(np.median(scored(copy, new)))
        alarms = unseen > threshold(held, _ALPHA)
        alike = (unseen - seen.mean()) / seen.std() > threshold(scaled, _ALPHA)
        yield {
            "copies": name,
            "median, full fit": f"{np.median(unseen):.3f}",
            "medians, copies": f"{min(medians):.3f} to {max(medians):.3f}",
            "alarms": f"{alarms.mean():.3f}",
            "alarms, scale-free": f"{alike.mean():.3f}",
        }


def of_coreset(arguments: argparse.Namespace, name: str) -> pd.DataFrame:
    """Compare two ways to hold images out of PatchCore's coreset, as means over seeds."""
    good = _images(arguments.sets / name / "train" / "good")[: arguments.images]
    new = _images(arguments.sets / name / "test" / "good")
    store, rows = FeatureStore(), []
    for seed in range(arguments.seeds):
        detector = PatchCore(image_size=arguments.image_size, coreset_ratio=0.1, seed=seed)
        whole = copy.copy(detector).fit(good, store=store)
        unseen = whole.predict(new, store=store).scores
        ways = {"own patches ignored": _own_ignored(whole, good, store)}
        for folds in (5, 10, 20):
            held = held_out_scores(detector, good, folds=folds, seed=seed, store=store).scores
            ways[f"{folds} folds"] = held
        for way, scores in ways.items():
            row: dict[str, Any] = {"set": name, "images": len(good), "held out by": way}
            row |= {"median": np.median(scores), "median of new ones": np.median(unseen)}
            for alpha in (0.05, 0.1, 0.2):
                row[f"alarms at {alpha:g}"] = (unseen > threshold(scores, alpha)).mean()
            rows.append(row)
    keys = ["set", "images", "held out by"]
    means = pd.DataFrame(rows).groupby(keys, sort=False).mean().reset_index()
    return means.apply(lambda c: c if c.name in keys else c.map("{:.3f}".format))


def _own_ignored(whole: PatchCore, good: ImageSet, store: FeatureStore) -> Float64:
    """Scores of images by the bank without the patches of their own group, of twenty."""
    dealt = assign_folds(len(good), 20, seed=whole.seed)
    scores = np.empty(len(good))
    others = copy.copy(whole)
    for group in range(int(dealt.max()) + 1):
        others.bank_ = whole.bank_[dealt[whole.bank_images_] != group]
        others._restore()
        own = np.flatnonzero(dealt == group)
        scores[own] = others.predict(good[own], store=store).scores
    return scores


def _longer(detector: Detector, folds: int) -> dict[str, Any]:
    name = "epochs" if isinstance(detector, CFA) else "meta_epochs"
    return {name: round(getattr(detector, name) * folds / (folds - 1))}


def twice() -> Iterator[dict[str, str]]:
    """Simulate ensembles whose scales and threshold come from the same images."""
    rng = np.random.default_rng(0)
    for n in (19, 40, 100):
        row = {"good images": str(n), "at most": f"{np.floor(_ALPHA * (n + 1)) / (n + 1):.3f}"}
        for members, correlation in ((2, 0.6), (6, 0.3)):
            for name, apart in (("twice", False), ("apart", True)):
                rates = []
                for _ in range(150):
                    scales = _drawn(rng, n, members, correlation)
                    good = _drawn(rng, n, members, correlation) if apart else scales
                    limit = threshold(_combined(scales, good), _ALPHA)
                    new = _drawn(rng, 200, members, correlation)
                    rates.append((_combined(scales, new) > limit).mean())
                row[f"{members} members, {name}"] = f"{np.mean(rates):.3f}"
        yield row


def _drawn(rng: np.random.Generator, n: int, members: int, correlation: float) -> Float64:
    shared = rng.normal(size=(n, 1)) * np.sqrt(correlation)
    own: Float64 = shared + rng.normal(size=(n, members)) * np.sqrt(1 - correlation)
    return own


def _combined(scales: Float64, scores: Float64) -> Float64:
    """The members' mean surprise at scores, on the scales that other scores set."""
    surprise = []
    for of_scale, of_member in zip(scales.T, scores.T, strict=True):
        maps = np.zeros((len(of_scale), 1, 1), np.float32)
        good = Predictions([""] * len(of_scale), of_scale.astype(np.float32), maps)
        surprise.append(Calibration.of(good, method="").surprise(of_member))
    weights = np.full(len(surprise), 1 / len(surprise))
    result: Float64 = combined(np.stack(surprise), weights, "fisher")
    return result


if __name__ == "__main__":
    main()
