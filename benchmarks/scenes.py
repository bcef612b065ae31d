"""Realised false alarms where training photographs aren't independent, by images and by scenes.

    python benchmarks/scenes.py shots [--draws 20] [--detectors patchcore,padim]
    python benchmarks/scenes.py runs DTD
    python benchmarks/scenes.py independent FOLDER [FOLDER ...]

``shots``: ten photographs each of four drawn parts, and 60 other parts as new ones. ``runs``: ten
overlapping frames along each of nine textures, of one class of DTD a draw, and two frames each of
30 other textures. Every detector is fitted once a draw, and calibrated with ``groups`` ``none`` and
``auto`` at a rate of 0.05; an ensemble is fitted anew. Reported are the share of new good
photographs that alarm, a mean over draws with its standard error, how many scenes were counted,
what rate so many can promise, and in how many draws the realised rate lay at or below the end of
the range that was told.

``independent``: in how many of 100 random subsets of 20 and 40 images of each folder, and in all of
them, ``auto`` finds scenes where it should find none. Where it finds none, all results are those of
``none`` to the bit.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from anomalist import CFA, DFM, GLASS, SPADE, Ensemble, PaDiM, PatchCore
from anomalist.calibration import attainable_rate, promised_range
from anomalist.data import ImageSet, Sample, open_dataset
from anomalist.detectors import Detector
from anomalist.detectors.grouping import calibrate_grouped, group_images, look_at
from anomalist.features import FeatureStore, unite_backbones
from anomalist.report import to_markdown

ALPHA = 0.05
SIDE = 64
CROP = 128
Photographs = list[Image.Image]


def detectors(names: list[str]) -> list[Detector]:
    size: dict[str, Any] = {"image_size": SIDE, "device": "cpu"}
    made = [
        PatchCore(**size, coreset_ratio=0.1),
        PaDiM(**size),
        SPADE(**size),
        DFM(**size),
        CFA(**size, epochs=1),
        GLASS(**size, meta_epochs=2),
        Ensemble(members=({"detector": "patchcore", "coreset_ratio": 0.1}, "padim"), **size),
    ]
    return [detector for detector in made if not names or detector.name in names]


def drawn(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A part: a disc that lies a little elsewhere, with a grain of its own."""
    y, x = np.mgrid[:64, :64] - 32 - rng.normal(0, 2, (2, 1, 1))
    grain = np.kron(rng.normal(0, 12, (16, 16)), np.ones((4, 4)))
    return np.where(np.hypot(x, y) < 22, 150.0, 60.0) + grain


def as_image(pixels: npt.NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).convert("RGB")


def shots(rng: np.random.Generator, draw: int) -> tuple[Photographs, Photographs]:
    parts = [drawn(rng) for _ in range(4)]
    learnt = [as_image(p + rng.normal(0, 1, p.shape)) for p in parts for _ in range(10)]
    return learnt, [as_image(drawn(rng)) for _ in range(60)]


def runs(textures: Path) -> Callable[[np.random.Generator, int], tuple[Photographs, Photographs]]:
    classes = sorted(path for path in textures.iterdir() if path.is_dir())

    def draw_one(rng: np.random.Generator, draw: int) -> tuple[Photographs, Photographs]:
        paths = sorted(classes[draw % len(classes)].glob("*.jpg"))
        learnt, new = [], []
        for i in rng.permutation(len(paths)).tolist():
            image = Image.open(paths[i]).convert("RGB")
            if min(image.size) < CROP:
                continue
            if len(learnt) < 90:
                learnt += [frame(image, k / 9) for k in range(10)]
            elif len(new) < 60:
                new += [frame(image, 0.0), frame(image, 1.0)]
        return learnt, new

    return draw_one


def frame(image: Image.Image, way: float) -> Image.Image:
    """A crop so far along the longer side of an image."""
    room = np.array(image.size) - CROP
    left, top = np.where(room == room.max(), way * room, room / 2).round().astype(int).tolist()
    return image.crop((left, top, left + CROP, top + CROP))


def lost(folder: Path) -> dict[str, object]:
    """In how many subsets of independent images scenes are found."""
    images = open_dataset(folder, unnamed_good=True)
    (name,) = images.categories
    good = images.category(name).train
    seen = look_at(good)
    row: dict[str, object] = {"set": name, "images": len(good)}
    row["all: scenes"] = int(seen.groups().max()) + 1
    rng = np.random.default_rng(0)
    for n in (20, 40):
        if n < len(good):
            subsets = (seen[rng.permutation(len(good))[:n]] for _ in range(100))
            fewer = sum(int(subset.groups().max()) + 1 < n for subset in subsets)
            row[f"of 100 subsets of {n}, with fewer scenes"] = fewer
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["shots", "runs", "independent"])
    parser.add_argument("data", type=Path, nargs="*", help="DTD's images, or folders")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--detectors", default="", help="by commas; all by default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "independent":
        print(to_markdown(pd.DataFrame([lost(folder) for folder in arguments.data])))
        return
    names = [name for name in arguments.detectors.split(",") if name]
    make = shots if arguments.what == "shots" else runs(arguments.data[0])
    rows = []
    for draw in range(arguments.draws):
        learnt, new = make(np.random.default_rng(draw), draw)
        rows += measured(detectors(names), named(learnt), named(new), draw)
        print(f"draw {draw + 1} of {arguments.draws}", flush=True)
        print(to_markdown(table(rows, arguments.what)), flush=True)


def named(images: Photographs) -> ImageSet:
    return ImageSet([Sample(Path(f"{i:03}.png"), image=image) for i, image in enumerate(images)])


def measured(
    made: list[Detector], learnt: ImageSet, new: ImageSet, seed: int
) -> list[dict[str, object]]:
    rows = []
    store = FeatureStore()
    shared = unite_backbones(m.make_backbone() for d in made for m in d.components())
    for backbone in shared:
        store.adopt(backbone)
    grouped = {how: group_images(learnt, how) for how in ("none", "auto")}
    for detector in made:
        detector.seed = seed
        for how, grouping in grouped.items():
            if how == "none" or isinstance(detector, Ensemble):
                detector.fit(learnt, groups=grouping.apart, store=store)
                scores = detector.predict(new, store=store).scores
            calibrate_grouped(detector, learnt, grouping, store=store)
            assert detector.calibration_ is not None
            scenes = detector.calibration_.scenes
            rate = float((scores > detector.calibration_.threshold(ALPHA)).mean())
            high = promised_range(scenes, ALPHA)[1]
            rows.append(
                {
                    "detector": detector.label,
                    "groups": how,
                    "rate": rate,
                    "scenes": scenes,
                    "promised": attainable_rate(scenes, ALPHA),
                    "within": rate <= high,
                }
            )
    return rows


def table(rows: list[dict[str, object]], what: str) -> pd.DataFrame:
    lines = []
    frame_ = pd.DataFrame(rows)
    for (detector, how), group in frame_.groupby(["detector", "groups"], sort=False):
        lines.append(
            {
                "set": what,
                "detector": detector,
                "groups": how,
                "false alarms": f"{group.rate.mean():.3f} ± {group.rate.sem():.3f}",
                "scenes": f"{group.scenes.min()} to {group.scenes.max()}",
                "promised": f"{group.promised.mean():.3f}",
                "at most the told range": f"{group.within.sum()} of {len(group)}",
            }
        )
    return pd.DataFrame(lines)


if __name__ == "__main__":
    main()
