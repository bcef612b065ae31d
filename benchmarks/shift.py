"""How soon shifted photographs are told, how often others are, and what recalibrating restores.

    python benchmarks/shift.py DATA --categories bottle,screw --out numbers

DATA has MVTec AD's layout. Of each category 60 training images are held out, each detector is
fitted to the others and calibrated, and scores these 60 and the good test images as they are,
brightened by 5, 10 and 20 %, turned by 3 degrees, scaled by 3 % and blurred slightly, all at 256
pixels. What a warning looks at (`anomalist.calibration.Reference`) is kept below --out, and a
second call with the same --out skips the passes of the backbone. Four tables come of it:

- warnings where nothing has shifted: 1,000 random splits of the held-out numbers of the images
  learnt from, into those that are known and 50 that follow;
- warnings within 10, 20 and 50 photographs of each kind, over 200 random orders;
- false alarms at the threshold for 5 %, before and after it is taken from 20 of the new ones;
- the same where these 20 were learnt with the others (``fit --add``), by which held-out scores the
  threshold is from.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from anomalist import DFM, SPADE, MVTecAD, PaDiM, PatchCore
from anomalist.calibration import Drift, threshold
from anomalist.conditions import LEVEL, WATCHED
from anomalist.data import ImageSet, Sample
from anomalist.detectors import Detector
from anomalist.features import FeatureStore
from anomalist.files import write_text
from anomalist.report import to_markdown

DETECTORS: dict[str, Callable[..., Detector]] = {
    "PatchCore": partial(PatchCore, coreset_ratio=0.1),
    "PaDiM": PaDiM,
    "SPADE": SPADE,
    "DFM": DFM,
}
HELD_OUT, NEW, WITHIN = 60, 20, (10, 20, 50)
SIDE = 256
NULL_DRAWS, DRAWS = 1000, 200
ALPHA = 0.05


def brightened(by: float) -> Callable[[Image.Image], Image.Image]:
    def make(image: Image.Image) -> Image.Image:
        values = np.asarray(image).astype(np.float32) * by
        return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))

    return make


def moved(angle: float, scale: float) -> Callable[[Image.Image], Image.Image]:
    """Turn and scale about the middle; what comes in at the edge repeats what was there."""

    def make(image: Image.Image) -> Image.Image:
        width, height = image.size
        margin = max(width, height) // 8
        sides = ((margin, margin), (margin, margin), (0, 0))
        wide = Image.fromarray(np.pad(np.asarray(image), sides, mode="edge"))
        c, s = np.cos(np.deg2rad(angle)) / scale, np.sin(np.deg2rad(angle)) / scale
        x, y = width / 2 + margin, height / 2 + margin
        places = (c, s, x - c * x - s * y, -s, c, y + s * x - c * y)
        turned = wide.transform(wide.size, Image.Transform.AFFINE, places, Image.Resampling.BICUBIC)
        return turned.crop((margin, margin, margin + width, margin + height))

    return make


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(image.width / 300))


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as they are": lambda image: image,
    "5 % brighter": brightened(1.05),
    "10 % brighter": brightened(1.10),
    "20 % brighter": brightened(1.20),
    "turned by 3 degrees": moved(3, 1),
    "scaled by 3 %": moved(0, 1.03),
    "blurred": blurred,
}
ADDED = ("10 % brighter",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--categories", default="bottle,screw")
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    categories = arguments.categories.split(",")
    found = {}
    for category in categories:
        file = arguments.out / f"{category}_{arguments.image_size}.json"
        if not file.exists():
            numbers = measured(arguments.data, category, arguments.image_size)
            write_text(file, json.dumps(numbers))
        found[category] = json.loads(file.read_text())
    for table in (unshifted, told, recalibrated, added):
        print(to_markdown(pd.DataFrame([r for c in categories for r in table(c, found[c])])), "\n")


def measured(data: str, name: str, size: int) -> dict[str, Any]:
    """The numbers of all photographs of a category, by detector and kind."""
    category = MVTecAD(data).category(name)
    order = np.random.default_rng(0).permutation(len(category.train))
    learnt, held_out = category.train[order[HELD_OUT:]], category.train[order[:HELD_OUT]]
    learnt = changed(learnt, KINDS["as they are"])
    good = category.test[np.flatnonzero([not sample.label for sample in category.test])]
    new = {
        kind: {"training": changed(held_out, change), "test": changed(good, change)}
        for kind, change in KINDS.items()
    }
    store = FeatureStore()
    found: dict[str, Any] = {}
    for label, make in DETECTORS.items():
        detector = make(image_size=size).fit(learnt, store=store)
        detector.calibrate(learnt, store=store)
        assert detector.reference_ is not None
        of: dict[str, Any] = {
            "learnt": detector.reference_.state(),
            "kinds": {},
            "added": {},
        }
        for kind, sets in new.items():
            of["kinds"][kind] = {
                which: detector.reference_.measure(
                    detector.predict(images, store=store), detector.transform
                ).tolist()
                for which, images in sets.items()
            }
        for kind in ADDED:
            images = new[kind]["training"]
            both = ImageSet([*learnt, *images[:NEW]])
            more = make(image_size=size).fit(both, store=store)
            of["added"][kind] = {
                "held_out": more.calibrate(both, store=store).scores.tolist(),
                "others": more.predict(images[NEW:], store=store).scores.tolist(),
            }
        found[label] = of
        print(f"{name}: {label} measured", flush=True)
    return found


def changed(images: ImageSet, change: Callable[[Image.Image], Image.Image]) -> ImageSet:
    return ImageSet(
        Sample(sample.path, image=np.asarray(change(sample.read(8).resize((SIDE, SIDE)))))
        for sample in images
    )


def first_told(learnt: np.ndarray, new: np.ndarray, names: list[str]) -> tuple[float, list[str]]:
    """After how many photographs a shift is told, infinity if it isn't; and of which numbers."""
    watched = [name for name in names if name in WATCHED]
    first, which = np.inf, []
    for name in watched:
        column = names.index(name)
        drift = Drift(learnt[:, column], len(watched) / LEVEL, WATCHED[name].sides)
        usual = float(np.median(learnt[:, column]))
        for number, value in enumerate(new[:, column], start=1):
            drift.add(float(value))
            shift = drift.found
            if shift is not None and abs(shift.mean - usual) >= WATCHED[name].margin(usual):
                first = min(first, number)
                which.append(name)
                break
    return first, which


def unshifted(category: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Warnings over random splits of what training images have as if they were new."""
    rows = []
    for label, of in found.items():
        rng = np.random.default_rng(1)
        everything, names = np.array(of["learnt"]["rows"]), of["learnt"]["names"]
        # Looks are the same for every detector.
        own = names if label == "PatchCore" else ["score"]
        firsts = []
        for _ in range(NULL_DRAWS):
            order = rng.permutation(len(everything))
            new, learnt = order[: max(WITHIN)], order[max(WITHIN) :]
            numbers = everything[:, [names.index(name) for name in own]]
            firsts.append(first_told(numbers[learnt], numbers[new], own)[0])
        row = {
            "category": category,
            "numbers": "all, with PatchCore's score" if len(own) > 1 else f"{label}'s score alone",
        }
        rows.append(row | {f"within {k}": f"{np.mean(np.array(firsts) <= k):.1%}" for k in WITHIN})
    return rows


def told(category: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Warnings of each kind of photographs over random orders."""
    rows = []
    of = found["PatchCore"]
    names, learnt = of["learnt"]["names"], np.array(of["learnt"]["rows"])
    for kind, sets in of["kinds"].items():
        for which, numbers in sets.items():
            rng = np.random.default_rng(2)
            new = np.array(numbers)
            firsts, named = [], list[str]()
            for _ in range(DRAWS):
                first, of_which = first_told(learnt, rng.permutation(new)[: max(WITHIN)], names)
                firsts.append(first)
                named += of_which
            usual = pd.Series(named, dtype=object).value_counts()
            row = {"category": category, "good photographs": f"{which}, {kind}"}
            for k in WITHIN:
                share = f"{np.mean(np.array(firsts) <= k):.0%}"
                row[f"within {k}"] = share if k <= len(new) else f"{share} (of {len(new)})"
            row["by"] = ", ".join(usual.index[usual >= DRAWS / 2]) or "-"
            rows.append(row)
    return rows


def recalibrated(category: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """False alarms of each kind at the threshold of the fit, and at one of 20 of the new ones."""
    rows = []
    for kind in KINDS:
        row = {"category": category, "photographs": kind}
        for label, of in found.items():
            place = of["learnt"]["names"].index("score")
            before = threshold([row[place] for row in of["learnt"]["rows"]], ALPHA)
            scores = np.array([r[place] for r in of["kinds"][kind]["training"]])
            rng = np.random.default_rng(3)
            after = []
            for _ in range(DRAWS):
                order = rng.permutation(len(scores))
                limit = threshold(scores[order[:NEW]], ALPHA)
                after.append(np.mean(scores[order[NEW:]] > limit))
            row[label] = f"{np.mean(scores > before):.1%} to {np.mean(after):.1%}"
        rows.append(row)
    return rows


def added(category: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """False alarms where 20 were learnt, at thresholds of all held-out scores and of theirs."""
    rows = []
    for kind in ADDED:
        row = {"category": category, "learnt with the others": kind}
        for label, of in found.items():
            scores = of["added"][kind]
            others = np.array(scores["others"])
            by_all = threshold(scores["held_out"], ALPHA)
            by_new = threshold(scores["held_out"][-NEW:], ALPHA)
            row[label] = f"{np.mean(others > by_all):.1%}, {np.mean(others > by_new):.1%}"
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
