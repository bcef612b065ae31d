"""What tiles, proportions and ``image_size auto`` are worth: small defects of large photographs.

    python benchmarks/tiles.py large [--side 4096] [--out tiles.json]
    python benchmarks/tiles.py bottle --data data/mvtec_ad
    python benchmarks/tiles.py strip [--size 2000,8000]
    python benchmarks/tiles.py proportions
    python benchmarks/tiles.py seams --data data/mvtec_ad
    python benchmarks/tiles.py widths --data data/mvtec_ad --textures data/dtd

``large`` draws photographs of a drilled and brushed sheet of metal and scratches 2 pixels wide on
some that aren't learnt from; ``bottle`` draws such scratches on good photographs of MVTec AD's
bottle, at their full 900 pixels, that aren't learnt from. Each setting of PatchCore runs in a
process of its own. Reported are the share of scratches above every good photograph that wasn't
learnt from, how many have the map's maximum within 16 pixels of them, image AUROC, seconds for a
fit and milliseconds a photograph, reading not included, and the peak of memory. ``strip`` fits and
predicts photographs of a line scan. ``proportions`` has three keys of the sample set side by side
in each photograph: squeezed to a square, and in their proportions. ``seams`` is how far feature
maps of tiles are from those of the whole frame, on bottle. ``widths`` is where the width comes from
that ``auto`` gives the smallest defect: made scratches and spots of several widths in the input on
good photographs that weren't learnt from, of bottle, screw and DTD's first class.

One thread is used. Every figure is written to ``--out`` as it comes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from scipy import ndimage

from anomalist import MVTecAD, PatchCore, evaluate
from anomalist.benchmark.resources import peak_memory_mb
from anomalist.data import ImageSet, Sample, make_sample_set
from anomalist.features import Backbone, FeatureStore
from anomalist.features.tiles import TileGrid
from anomalist.metrics import auroc

UInt8 = npt.NDArray[np.uint8]
LEARNT, GOOD, BAD = 2, 3, 3
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "large": {
        "256, whole": {"image_size": 256},
        "1024, whole": {"image_size": 1024},
        "tiles of 512 at 512": {"image_size": 512, "tile_size": 512},
    },
    "bottle": {
        "256, whole": {"image_size": 256},
        "384, whole": {"image_size": 384},
        "tiles of 384 at 256": {"image_size": 256, "tile_size": 384},
        "tiles of 256 at 256": {"image_size": 256, "tile_size": 256},
        "auto, 2 pixels": {"image_size": "auto", "smallest_defect": 2},
    },
    "strip": {"tiles of 512 at 256": {"image_size": 256, "tile_size": 512}},
}


def sheet(seed: int, side: tuple[int, int]) -> UInt8:
    """A drilled and brushed sheet of metal, lit from one side."""
    rng = np.random.default_rng(seed)
    height, width = side
    grain = rng.standard_normal(side, np.float32)
    brushed = ndimage.gaussian_filter1d(ndimage.uniform_filter1d(grain, 61, axis=1), 0.8, axis=0)
    image = 150 + 14 * brushed / brushed.std()
    image += np.linspace(-15, 15, width, dtype=np.float32)
    pitch = 512
    rows, columns = np.mgrid[-60:61, -60:61]
    distance = np.hypot(rows, columns)
    for top in range(pitch // 2, height - 60, pitch):
        for left in range(pitch // 2, width - 60, pitch):
            y, x = top + int(rng.integers(-4, 5)), left + int(rng.integers(-4, 5))
            y, x = np.clip(y, 60, height - 61), np.clip(x, 60, width - 61)
            part = image[y - 60 : y + 61, x - 60 : x + 61]
            part[distance < 52] = 215
            part[distance < 44] = 35
    image += rng.standard_normal(side, np.float32) * 2
    return np.clip(image, 0, 255).astype(np.uint8)


def scratched(image: UInt8, seed: int, centre: float = 0.3) -> tuple[UInt8, npt.NDArray[np.bool_]]:
    """A photograph with a scratch 2 pixels wide and 120 long, and where it is."""
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    x, y = rng.uniform(centre, 1 - centre, 2) * (width, height)
    angle = rng.uniform(0.2, np.pi - 0.2)
    dx, dy = 60 * np.cos(angle), 60 * np.sin(angle)
    drawn = Image.new("L", (width, height))
    ImageDraw.Draw(drawn).line([x - dx, y - dy, x + dx, y + dy], fill=255, width=2)
    mask = np.asarray(drawn) > 0
    level = image[mask].mean()
    made = image.astype(np.int16)
    made[mask] += 45 if level < 128 else -45
    return np.clip(made, 0, 255).astype(np.uint8), mask


def drawn_set(what: str, data: Path | None, size: tuple[int, int]) -> tuple[ImageSet, ImageSet]:
    """Photographs to learn from, and others, good and scratched."""
    if what == "bottle":
        assert data is not None
        train = MVTecAD(data).category("bottle").train
        order = np.random.default_rng(0).permutation(len(train))
        photographs = [np.asarray(train[int(i)].read()) for i in order[:28]]
        learnt, others = photographs[:12], photographs[12:]
        good, bad = others[:8], others[8:]
    else:
        count = LEARNT + GOOD + BAD
        photographs = [sheet(seed, size) for seed in range(count)]
        learnt, good = photographs[:LEARNT], photographs[LEARNT : LEARNT + GOOD]
        bad = photographs[LEARNT + GOOD :]
    samples = [Sample(f"good {i}", False, "good", None, image) for i, image in enumerate(good)]
    for i, image in enumerate(bad):
        made, mask = scratched(image, i)
        samples.append(Sample(f"scratch {i}", True, "scratch", mask, made))
    of = [Sample(f"learnt {i}", False, "good", None, image) for i, image in enumerate(learnt)]
    return ImageSet(of), ImageSet(samples)


def run(what: str, settings: dict[str, Any], data: Path | None, size: tuple[int, int]) -> Any:
    """Fit and predict with some settings, in this process."""
    torch.set_num_threads(1)
    learnt, shown = drawn_set(what, data, size)
    before = peak_memory_mb()
    detector = PatchCore(device="cpu", coreset_size=2000, memory_limit_mb=1024, **settings)
    begin = time.perf_counter()
    detector.fit(learnt)
    fitted = time.perf_counter()
    found = detector.predict(shown)
    seconds = time.perf_counter() - fitted
    labels = np.asarray(found.labels)
    near = 0
    for i in np.flatnonzero(labels):
        mask = np.asarray(shown[int(i)].mask)
        rows, columns = np.unravel_index(found.maps[i].argmax(), found.maps[i].shape)
        across = np.array(mask.shape) / found.maps[i].shape
        y, x = (np.array([rows, columns]) + 0.5) * across
        distance = np.hypot(*(np.argwhere(mask) - [y, x]).T).min()
        near += int(distance <= 16)
    return {
        "frame": list(detector.transform.output_size),
        "tiles": 1 if detector.preparation.tiles is None else len(detector.preparation.tiles),
        "found": float((found.scores[labels] > found.scores[~labels].max()).mean()),
        "where": near / int(labels.sum()),
        "image_AUROC": auroc(found.scores, labels),
        "fit_seconds": round(fitted - begin, 1),
        "ms_a_photograph": round(1000 * seconds / len(shown)),
        "peak_mb": round(peak_memory_mb()),
        "peak_mb_of_photographs": round(before),
    }


def seams(data: Path, keep: Any) -> None:
    """How far features of tiles are from those of the whole frame, as a share of their length."""
    backbone = Backbone("efficientnet_lite0", ["stride4", "stride8", "stride16"])
    train = MVTecAD(data).category("bottle").train
    for overlap in (0, 32, 64, 128):
        grid = TileGrid((896, 896), side=256, overlap=overlap)
        errors = []
        for sample in train[:2]:
            frame = torch.from_numpy(np.asarray(sample.read().resize((896, 896))))[None]
            pairs = zip(grid.maps(backbone, frame, at_once=8), backbone(frame), strict=True)
            errors.append(
                [float(((a - b).norm(dim=1) / b.norm(dim=1).mean()).mean()) for a, b in pairs]
            )
        keep(
            f"overlap {overlap}",
            {"tiles": len(grid), "strides 4, 8, 16": np.mean(errors, axis=0).round(4).tolist()},
        )


def rows_of_keys(folder: Path) -> tuple[ImageSet, ImageSet]:
    """Three keys side by side; of those with a defect, one."""
    root = make_sample_set(
        folder, image_size=256, train=60, good=30, per_defect=8, categories=["brass_key"]
    )
    key = MVTecAD(root).category("brass_key")
    good = [np.asarray(sample.read()) for sample in key.test if not sample.label]
    train = [np.asarray(sample.read()) for sample in key.train]

    def joined(three: list[UInt8]) -> UInt8:
        return np.concatenate(three, axis=1)

    learnt = [joined(train[i : i + 3]) for i in range(0, 60, 3)]
    shown = [
        Sample(f"good {i}", False, "good", None, joined(good[i : i + 3])) for i in range(0, 30, 3)
    ]
    rng = np.random.default_rng(0)
    for sample in key.test:
        if not sample.label:
            continue
        place = int(rng.integers(3))
        others = [good[int(i)] for i in rng.choice(len(good), 2, replace=False)]
        three = [*others[:place], np.asarray(sample.read()), *others[place:]]
        mask = np.zeros((256, 768), np.bool_)
        mask[:, 256 * place : 256 * (place + 1)] = sample.read_mask()
        shown.append(Sample(str(sample.path), True, sample.defect, mask, joined(three)))
    return (
        ImageSet([Sample(f"{i}", False, "good", None, image) for i, image in enumerate(learnt)]),
        ImageSet(shown),
    )


def proportions(keep: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        learnt, shown = rows_of_keys(Path(folder))
        store = FeatureStore()
        for name, size in (("squeezed to 256 x 256", (256, 256)), ("in proportion", 256)):
            for seed in (0, 1, 2):
                detector = PatchCore(image_size=size, seed=seed, device="cpu").fit(
                    learnt, store=store
                )
                found = evaluate(detector.predict(shown, store=store))
                keep(
                    f"{name}, seed {seed}",
                    {
                        "frame": list(detector.transform.output_size),
                        "image_AUROC": found.image_AUROC,
                        "pixel_AUROC": found.pixel_AUROC,
                        "pixel_PRO": found.pixel_PRO,
                    },
                )


def widths(data: Path, textures: Path, keep: Any, side: int = 192) -> None:
    """Made scratches and spots of some widths in the input, on photographs that weren't learnt."""
    rng = np.random.default_rng(0)
    sets: dict[str, list[Image.Image]] = {}
    for name in ("bottle", "screw"):
        train = MVTecAD(data).category(name).train
        chosen = rng.permutation(len(train))[:40]
        sets[name] = [train[int(i)].read().resize((side, side)) for i in chosen]
    first = sorted(textures.iterdir())[0]
    image = Image.open(sorted(first.iterdir())[0]).convert("RGB")
    cut = min(image.size) * 2 // 3
    sets["texture"] = []
    for _ in range(40):
        x, y = int(rng.integers(image.width - cut)), int(rng.integers(image.height - cut))
        sets["texture"].append(image.crop((x, y, x + cut, y + cut)).resize((side, side)))
    for name, images in sets.items():
        detector = PatchCore(image_size=side, coreset_ratio=0.05, device="cpu")
        detector.fit([np.asarray(image) for image in images[:25]])
        good = detector.predict([np.asarray(image) for image in images[25:]]).scores
        for kind in ("scratch", "spot"):
            for width in (2, 4, 8):
                made = [
                    marked(image, kind, width, np.random.default_rng(k))
                    for k, image in enumerate(images[25:])
                ]
                bad = detector.predict(made).scores
                labels = np.repeat([False, True], len(good))
                keep(
                    f"{name}, {kind} of {width}",
                    {
                        "found": float((bad > good.max()).mean()),
                        "image_AUROC": auroc(np.concatenate([good, bad]), labels),
                    },
                )


def marked(image: Image.Image, kind: str, width: int, rng: np.random.Generator) -> UInt8:
    """A photograph with a scratch, ten times as long as wide, or a spot."""
    fine = 4
    side = image.width * fine
    drawn = Image.new("L", (side, side))
    x, y = rng.uniform(0.3, 0.7, 2) * side
    if kind == "scratch":
        angle, half = rng.uniform(0, np.pi), 5 * max(width, 2) * fine
        dx, dy = half * np.cos(angle), half * np.sin(angle)
        line = [x - dx, y - dy, x + dx, y + dy]
        ImageDraw.Draw(drawn).line(line, fill=255, width=width * fine)
    else:
        r = width * fine / 2
        ImageDraw.Draw(drawn).ellipse([x - r, y - r, x + r, y + r], fill=255)
    share = np.asarray(drawn.resize(image.size, Image.Resampling.BOX), np.float32) / 255
    pixels = np.asarray(image, np.float32)
    sign = -1 if pixels[share > 0].mean() > 128 else 1
    return np.clip(pixels + sign * 60 * share[..., None], 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=[*SETTINGS, "proportions", "seams", "widths"])
    parser.add_argument("--data", type=Path, default=Path("data/mvtec_ad"))
    parser.add_argument("--textures", type=Path, default=Path("data/dtd"))
    parser.add_argument("--size", default="", help="height,width of drawn photographs")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--out", type=Path, default=Path("tiles.json"))
    parser.add_argument("--setting", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = (arguments.side, arguments.side)
    if arguments.what == "strip":
        size = (2000, 8000)
    if arguments.size:
        height, width = map(int, arguments.size.split(","))
        size = (height, width)
    if arguments.setting:
        settings = SETTINGS[arguments.what][arguments.setting]
        print(json.dumps(run(arguments.what, settings, arguments.data, size)))
        return

    def keep(name: str, row: dict[str, Any]) -> None:
        known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
        known[f"{arguments.what}: {name}"] = row
        arguments.out.write_text(json.dumps(known, indent=1) + "\n")
        print(name, json.dumps(row), flush=True)

    if arguments.what == "proportions":
        proportions(keep)
    elif arguments.what == "seams":
        seams(arguments.data, keep)
    elif arguments.what == "widths":
        widths(arguments.data, arguments.textures, keep)
    else:
        for name in SETTINGS[arguments.what]:
            command = [sys.executable, *sys.argv, "--setting", name]
            keep(name, json.loads(subprocess.check_output(command)))


if __name__ == "__main__":
    main()
