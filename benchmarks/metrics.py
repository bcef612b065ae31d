"""The metrics beside ADEval, anomalib, scikit-learn and MVTec's evaluation of PRO.

    python benchmarks/metrics.py --images 83 --size 900 --repeats 3
    python benchmarks/metrics.py --images 83 --size 900 --map_size 256
    python benchmarks/metrics.py --images 63 --size 3000 --map_size 256 --repeats 1
    python benchmarks/metrics.py --real data/mvtec_ad/bottle --repeats 1

With ``--map_size``, maps of that size are measured against masks of ``--size``, which are files, as
are the images: everyone enlarges maps bilinearly and reads every mask. ADEval is then fed image by
image, and told between which values the maps lie.

With ``--real``, they are the maps that PaDiM gives the test images of a category of MVTec AD, from
224 x 224 pixels, against the masks of the category.

Maps are smoothed noise, higher on elliptic defects; a quarter of the images are good. Every
contender runs in a process of its own, so that its peak memory is its own: "loaded" is what the
process holds once its libraries and the data are in memory, "peak" the most it ever held.
Seconds are of wall time and, steadier on a busy machine, of CPU time on all cores. Ours include
making the Predictions: image scores and the check that all is finite.
ADEval needs NumPy before 2.4: ``--peers-python`` names the interpreter that has it and anomalib.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from peak import peak_mb

ROOT = Path(__file__).parents[1]


def make_data(folder: Path, images: int, size: int) -> None:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    maps = np.empty((images, size, size), np.float32)
    masks = np.zeros((images, size, size), bool)
    y, x = np.ogrid[:size, :size]
    coarse = size // 8 + 1
    for i in range(images):
        noise = ndimage.gaussian_filter(rng.standard_normal((coarse, coarse)), 2)
        maps[i] = ndimage.zoom(noise.astype(np.float32), size / coarse, order=1)[:size, :size]
        for _ in range(rng.integers(1, 4) if i >= images // 4 else 0):
            center_y, center_x = rng.integers(0, size, 2)
            radius_y, radius_x = rng.integers(size // 20, size // 7, 2)
            distance = ((y - center_y) / radius_y) ** 2 + ((x - center_x) / radius_x) ** 2
            masks[i] |= distance < 1
            maps[i] += (rng.uniform(0.1, 0.6) * np.exp(-distance / 2)).astype(np.float32)
    np.save(folder / "maps.npy", maps)
    np.save(folder / "masks.npy", masks)


def make_files(folder: Path, images: int, size: int, map_size: int) -> None:
    """Small maps, and photographs of another size with masks beside them."""
    from PIL import Image

    rng = np.random.default_rng(0)
    make_data(folder, images, map_size)
    maps, shown = np.load(folder / "maps.npy"), np.load(folder / "masks.npy")
    for i in range(images):
        mask = Image.fromarray(shown[i].astype(np.uint8) * 255)
        whole = np.asarray(mask.resize((size, size), Image.Resampling.BILINEAR)) > 127
        scratch = rng.integers(0, size - size // 4, 2) if i >= images // 4 else None
        if scratch is not None:  # two pixels wide
            y, x = scratch
            whole[np.arange(size // 4) + y, np.arange(size // 4) + x] = True
            whole[np.arange(size // 4) + y, np.arange(size // 4) + x + 1] = True
            Image.fromarray(whole.astype(np.uint8) * 255).save(folder / f"{i:03}_mask.png")
        Image.new("L", (size, size), 90).save(folder / f"{i:03}.png")
    np.save(folder / "maps.npy", maps)


def make_real(folder: Path, category: Path) -> None:
    """Maps of real photographs, of which only the names change."""
    from anomalist import MVTecAD, PaDiM

    images = MVTecAD(category.parent).category(category.name)
    detector = PaDiM(image_size=224, device="cpu").fit(images.train)
    np.save(folder / "maps.npy", detector.predict(images.test).maps)
    for i, sample in enumerate(images.test):
        (folder / f"{i:03}.png").symlink_to(sample.path.resolve())
        for mask in sample.mask_files:
            (folder / f"{i:03}_mask.png").symlink_to(mask.resolve())


Maps = np.ndarray
Contender = Callable[[Maps, Maps], dict[str, float]]


def anomalist_original(intervals: bool) -> Contender:
    from anomalist.data import ImageSet, Sample, Transform
    from anomalist.data.loader import load_masks
    from anomalist.metrics import evaluate
    from anomalist.predictions import Predictions

    def run(maps: Maps, files: Path) -> dict[str, float]:
        samples = []
        for i in range(len(maps)):
            mask = files / f"{i:03}_mask.png"
            known = mask if mask.exists() else None
            samples.append(Sample(files / f"{i:03}.png", known is not None, mask=known))
        images, transform = ImageSet(samples), Transform(maps.shape[1])
        predictions = Predictions(
            images.paths,
            maps.max(axis=(1, 2)),
            maps,
            images.labels,
            load_masks(images, transform),
            images=images,
            transform=transform,
        )
        return evaluate(predictions, pro_limits=[0.05], intervals=intervals).as_dict()

    return run


def masks_of(files: Path, images: int) -> Iterator[Maps]:
    from PIL import Image

    for i in range(images):
        mask = files / f"{i:03}_mask.png"
        with Image.open(mask if mask.exists() else files / f"{i:03}.png") as image:
            marked = np.asarray(image.convert("L")) > 127
            yield marked if mask.exists() else np.zeros_like(marked)


def adeval_original() -> Contender:
    from adeval import EvalAccumulator

    def run(maps: Maps, files: Path) -> dict[str, float]:
        made = EvalAccumulator(0.0, 1.0, float(maps.min()), float(maps.max()))
        for values, mask in zip(maps, masks_of(files, len(maps)), strict=True):
            made.add_anomap(values, mask.view(np.uint8))
            made.add_image(float(values.max() > 0), mask.any())
        found = made.summary()
        names = {"p_auroc": "pixel_AUROC", "p_aupr": "pixel_AP", "p_aupro": "pixel_PRO"}
        return {names[k]: float(v) for k, v in found.items() if k in names}

    return run


def mvtec_original() -> Contender:
    sys.path.insert(0, str(ROOT))
    from tests.reference import mvtec as plain

    def run(maps: Maps, files: Path) -> dict[str, float]:
        masks = list(masks_of(files, len(maps)))
        whole = (0.0, 0.0, masks[0].shape[1], masks[0].shape[0])
        return plain.metrics([plain.enlarged(m, whole, masks[0].shape) for m in maps], masks)

    return run


def anomalist(intervals: bool) -> Contender:
    from anomalist.metrics import evaluate
    from anomalist.predictions import Predictions

    def run(maps: Maps, masks: Maps) -> dict[str, float]:
        labels, scores = masks.any(axis=(1, 2)), maps.max(axis=(1, 2))
        predictions = Predictions(list(map(str, range(len(maps)))), scores, maps, labels, masks)
        return evaluate(predictions, intervals=intervals).as_dict()

    return run


def adeval() -> Contender:
    from adeval import auroc_aupr_aupro

    names = ("pixel_AUROC", "pixel_AP", "pixel_PRO")
    return lambda maps, masks: dict(
        zip(names, auroc_aupr_aupro(maps, masks.view(np.uint8)), strict=True)
    )


def anomalib(metric: str) -> Contender:
    import torch
    from anomalib.metrics.aupro import _AUPRO
    from anomalib.metrics.auroc import _AUROC

    def run(maps: Maps, masks: Maps) -> dict[str, float]:
        compute = {"pixel_AUROC": _AUROC, "pixel_PRO": _AUPRO}[metric]()
        compute.update(torch.from_numpy(maps), torch.from_numpy(masks).int())
        return {metric: float(compute.compute())}

    return run


def scikit_learn(metric: str) -> Contender:
    from sklearn.metrics import average_precision_score, roc_auc_score

    compute = {"pixel_AUROC": roc_auc_score, "pixel_AP": average_precision_score}[metric]
    return lambda maps, masks: {metric: float(compute(masks.ravel(), maps.ravel()))}


def mvtec() -> Contender:
    sys.path.insert(0, str(ROOT))
    from tests.reference.pro import pro

    return lambda maps, masks: {"pixel_PRO": float(pro(maps, masks))}


def aupimo() -> Contender:
    from anomalist.metrics import aupimo

    return lambda maps, masks: {"pixel_AUPIMO": aupimo(maps, masks)[0]}


def anomalib_aupimo() -> Contender:
    import torch
    from anomalib.metrics.pimo import _AUPIMO

    def run(maps: Maps, masks: Maps) -> dict[str, float]:
        compute = _AUPIMO(return_average=False)
        compute.update(torch.from_numpy(maps), torch.from_numpy(masks))
        return {"pixel_AUPIMO": float(compute.compute()[1].aupimos.nanmean())}

    return run


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "anomalist evaluate, 8 metrics": lambda: anomalist(intervals=False),
    "anomalist evaluate, 8 metrics and intervals": lambda: anomalist(intervals=True),
    "ADEval AUROC, AP, PRO (binned)": adeval,
    "anomalib AUROC": lambda: anomalib("pixel_AUROC"),
    "anomalib AUPRO": lambda: anomalib("pixel_PRO"),
    "scikit-learn AUROC": lambda: scikit_learn("pixel_AUROC"),
    "scikit-learn AP": lambda: scikit_learn("pixel_AP"),
    "MVTec's PRO, as in tests/reference": mvtec,
    "anomalist AUPIMO (exact)": aupimo,
    "anomalib AUPIMO (300,000 thresholds)": anomalib_aupimo,
}
ORIGINAL: dict[str, Callable[[], Any]] = {
    "anomalist evaluate at original, 9 metrics": lambda: anomalist_original(intervals=False),
    "anomalist evaluate at original, 9 metrics and intervals": lambda: anomalist_original(True),
    "ADEval AUROC, AP, PRO at original (binned)": adeval_original,
    "MVTec's evaluation, as in tests/reference": mvtec_original,
}
PEERS = ("ADEval", "anomalib")


def measure(name: str, folder: Path, repeats: int) -> None:
    """Run one contender in this process and print what it took as JSON."""
    run = {**CONTENDERS, **ORIGINAL}[name]()
    maps = np.load(folder / "maps.npy")
    masks = folder if name in ORIGINAL else np.load(folder / "masks.npy")
    loaded, seconds, cpu, values = peak_mb(), [], [], {}
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        values = run(maps, masks)
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    pixel = {k: v for k, v in values.items() if k.startswith("pixel")}
    print(
        json.dumps({"s": seconds, "cpu": cpu, "loaded": loaded, "peak": peak_mb(), "values": pixel})
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=83)
    parser.add_argument("--size", type=int, default=900)
    parser.add_argument("--map_size", type=int)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--only", nargs="*", metavar="NAME")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.data, args.repeats)
        return
    if args.data and args.real:
        make_real(args.data, args.real)
        return
    if args.data and args.map_size:
        make_files(args.data, args.images, args.size, args.map_size)
        return
    if args.data:
        make_data(args.data, args.images, args.size)
        return

    with tempfile.TemporaryDirectory() as folder:
        shape = ["--images", str(args.images), "--size", str(args.size), "--data", folder]
        if args.map_size:
            shape += ["--map_size", str(args.map_size)]
        if args.real:
            shape += ["--real", str(args.real)]
        subprocess.run([sys.executable, __file__, *shape], check=True)
        ours: dict[str, float] = {}
        maps = np.load(Path(folder) / "maps.npy", mmap_mode="r")
        size = f"{args.size}x{args.size}"
        told = f"masks of {args.real}" if args.real else f"masks of {size}"
        print(f"{len(maps)} maps of {maps.shape[2]}x{maps.shape[1]}, {maps.dtype}, {told}\n")
        print("| | first s | median s | x ours | CPU s | x ours | loaded MB | peak MB | values |")
        print("|-|-:|-:|-:|-:|-:|-:|-:|-|")
        for name in args.only or (ORIGINAL if args.map_size or args.real else CONTENDERS):
            python = args.peers_python if name.startswith(PEERS) else sys.executable
            command = [python, __file__, *shape, "--repeats", str(args.repeats), "--measure", name]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"| {name} | failed: {done.stderr.strip().splitlines()[-1]} ||||||||")
                continue
            result = json.loads(done.stdout.splitlines()[-1])
            medians = {kind: statistics.median(result[kind]) for kind in ("s", "cpu")}
            ours = ours or medians
            wall, cpu = (f"{v:.2f} | {v / ours[kind]:.1f}" for kind, v in medians.items())
            values = ", ".join(f"{k[6:]} {v:.6f}" for k, v in result["values"].items())
            print(
                f"| {name} | {result['s'][0]:.2f} | {wall} | {cpu} "
                f"| {result['loaded']:.0f} | {result['peak']:.0f} | {values} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
