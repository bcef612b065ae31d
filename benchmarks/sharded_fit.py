"""Fit PatchCore shard by shard on three workers beside one machine, and print a Markdown table.

    python benchmarks/sharded_fit.py --data data/mvtec_ad --times 10,50
    python benchmarks/sharded_fit.py --data data/mvtec_ad --times 10,50 --image_size 128

More photographs of bottles are made of those that there are: turned by any angle, lighter or darker
by up to a tenth, with noise, by the seed. The same are learnt from, and the same held out to
calibrate, on three nodes of one processor each (a cluster of Ray on this machine) and by one fit on
one machine with the same ceiling of memory. The radius that is measured is the largest distance of
any patch learnt from to the bank, found by search; the one told is what the model says. Memory is
the most that a worker, or the one process, held, torch, the network and Ray included. Image AUROC
is of the test images of the category.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from anomalist.cluster import connected
from anomalist.data import ImageSet, MVTecAD
from anomalist.detectors import Detector, PatchCore, load
from anomalist.features import patch_embeddings
from anomalist.inspection import fit_shards, open_parts
from anomalist.inspection.sharded import draw
from anomalist.inspection.shards_on_ray import RayShards
from anomalist.metrics import auroc
from anomalist.neighbors import Index
from peak import peak_mb

WORKERS = 3


def make(data: Path, category: str, times: int, side: int, out: Path) -> None:
    """Write so many times the good photographs of a category, all but the first time changed."""
    (out / "good").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, sample in enumerate(MVTecAD(data).category(category).train):
        original = sample.read().resize((2 * side, 2 * side), Image.Resampling.BILINEAR)
        corner = tuple(np.asarray(original)[0, 0].tolist())
        for copy in range(times):
            image = original
            if copy:
                angle = float(rng.uniform(0, 360))
                image = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=corner)
            pixels = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR), np.float32)
            if copy:
                pixels = pixels * rng.uniform(0.9, 1.1) + rng.normal(0, 2, pixels.shape)
            path = out / "good" / f"{number:04}_{copy:03}.png"
            Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(path)


def detector(settings: argparse.Namespace) -> PatchCore:
    return PatchCore(
        image_size=settings.image_size,
        coreset_size=settings.coreset_size,
        memory_limit_mb=settings.memory_limit_mb,
        device="cpu",
    )


class Memory:
    """The most that a worker at a shard held, in MB."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.3):
            command = ["ps", "-eo", "rss,args", "-u", str(os.getuid())]
            told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            for line in told.splitlines():
                size, _, args = line.strip().partition(" ")
                if "ray::_summarised" in args:
                    self.peak = max(self.peak, int(size) / 1024)


def by_shards(settings: argparse.Namespace, folder: Path, out: Path) -> dict[str, Any]:
    """Fit on the cluster."""
    with connected(settings.address) as ray, Memory() as memory:
        begin = time.perf_counter()
        fit_shards(
            detector(settings),
            open_parts(folder, read=False),
            out,
            shards=WORKERS,
            run=RayShards(ray, (folder,)),
            calibrate_images=settings.calibrate_images,
            groups="none",
        )
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "memory": memory.peak}


def learnt_from(settings: argparse.Namespace, folder: Path) -> ImageSet:
    train = open_parts(folder, read=False).train
    held_out = draw(np.arange(len(train)), settings.calibrate_images, seed=0)
    return train[np.flatnonzero(~held_out)]


def on_one(settings: argparse.Namespace, folder: Path, out: Path) -> dict[str, Any]:
    """Fit on one machine, to the same images."""
    torch.set_num_threads(1)
    begin = time.perf_counter()
    detector(settings).fit(learnt_from(settings, folder)).save(out)
    return {"seconds": time.perf_counter() - begin, "memory": peak_mb()}


def measured(settings: argparse.Namespace, folder: Path, model: Path) -> dict[str, Any]:
    """Radius as told and as it is, and the image AUROC."""
    fitted: Detector = load(model)
    assert isinstance(fitted, PatchCore)
    index, radius, patches = Index(fitted.bank_), 0.0, 0
    for maps in fitted._features(learnt_from(settings, folder)):
        rows = patch_embeddings(maps, fitted.neighbourhood).flatten(0, 2).numpy()
        radius = max(radius, float(index.query(rows, 1)[0].max()))
        patches += len(rows)
    test = MVTecAD(settings.data).category(settings.category).test
    return {
        "patches": patches,
        "told": fitted.coverage_radius_,
        "radius": radius,
        "auroc": auroc(fitted.predict(test).scores, test.labels),
    }


def in_own_process(work: Any, *arguments: Any) -> dict[str, Any]:
    """Return what a fit gives in a process of its own, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, Any] = pool.apply(work, arguments)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--times", default="10,50")
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--coreset_size", type=int, default=2000)
    parser.add_argument("--memory_limit_mb", type=int, default=64)
    parser.add_argument("--calibrate_images", type=int, default=200)
    settings = parser.parse_args()
    from ray.cluster_utils import Cluster

    folder = Path(tempfile.mkdtemp(prefix="sharded-"))
    os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="ray-")
    cluster = Cluster()
    for _ in range(WORKERS):
        cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False)
    settings.address = str(cluster.address)
    print(
        f"{settings.category}, {settings.image_size} px, a bank of {settings.coreset_size},"
        f" {settings.memory_limit_mb} MB for patches, {settings.calibrate_images} held out"
    )
    print("| photographs | patches | fit | radius told | measured | image AUROC | MB | seconds |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    try:
        for times in map(int, settings.times.split(",")):
            images = folder / f"times{times}"
            make(settings.data, settings.category, times, settings.image_size, images)
            count = len(list((images / "good").iterdir()))
            for name, work in ((f"{WORKERS} workers", by_shards), ("one machine", on_one)):
                model = folder / f"{work.__name__}{times}.anomalist"
                cost = in_own_process(work, settings, images, model)
                found = measured(settings, images, model)
                print(
                    f"| {count} | {found['patches']} | {name} | {found['told']:.3f} |"
                    f" {found['radius']:.3f} | {found['auroc']:.4f} | {cost['memory']:.0f} |"
                    f" {cost['seconds']:.0f} |",
                    flush=True,
                )
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


if __name__ == "__main__":
    main()
