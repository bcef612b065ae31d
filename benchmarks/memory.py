"""PatchCore on many times the images of a category, within a memory ceiling.

    python benchmarks/memory.py DATA --category bottle --copies 10 --memory_limit_mb 600

Copies are rotated, mirrored and brightened. Every fit runs in a process of its own, so that its
peak memory is its own. The covering radius is measured by a second pass over all patches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

from anomalist import MVTecAD, PatchCore
from anomalist.benchmark.resources import peak_memory_mb
from anomalist.data import ImageSet, read_image
from anomalist.data.sample import Sample
from anomalist.features import patch_embeddings
from anomalist.neighbors import Index
from anomalist.report import to_markdown


def augmented(images: ImageSet, copies: int, folder: Path, size: int) -> None:
    """Write ``copies`` variants of every image, resized already, as PNG files."""
    rng = np.random.default_rng(0)
    for i, path in enumerate(images.paths):
        picture = read_image(path).resize((size, size), Image.Resampling.BILINEAR)
        for copy in range(copies):
            variant = picture
            if copy:
                variant = variant.rotate(float(rng.uniform(-8, 8)), Image.Resampling.BILINEAR)
                variant = ImageEnhance.Brightness(variant).enhance(float(rng.uniform(0.9, 1.1)))
                variant = ImageOps.mirror(variant) if rng.random() < 0.5 else variant
            variant.save(folder / f"{i:04}_{copy}.png", compress_level=1)


def fit_and_report(folder: Path, limit: int, size: int) -> None:
    images = ImageSet([Sample(p, False, "good") for p in sorted(folder.glob("*.png"))])
    detector = PatchCore(image_size=256, coreset_size=size, memory_limit_mb=limit, device="cpu")
    start = time.perf_counter()
    detector.fit(images)
    seconds, peak = time.perf_counter() - start, peak_memory_mb()
    index, radius, patches = Index(detector.bank_), 0.0, 0
    for maps in detector._features(images):
        batch = patch_embeddings(maps).flatten(0, 2).numpy()
        radius = max(radius, float(index.query(batch, 1)[0].max()))
        patches += len(batch)
    print(
        json.dumps(
            {
                "ceiling MB": limit,
                "patches": patches,
                "coreset": len(detector.bank_),
                "fit s": round(seconds, 1),
                "peak MB": round(peak),
                "covering radius": round(radius, 3),
                "bound of it": round(detector.coverage_radius_, 3),
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--coreset_size", type=int, default=21401)
    parser.add_argument("--memory_limit_mb", default="600,100000")
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fit:
        fit_and_report(arguments.fit, int(arguments.memory_limit_mb), arguments.coreset_size)
        return
    with tempfile.TemporaryDirectory() as folder:
        train = MVTecAD(arguments.data).category(arguments.category).train
        augmented(train, arguments.copies, Path(folder), 256)
        rows = []
        for limit in arguments.memory_limit_mb.split(","):
            options = [
                *("--fit", folder, "--memory_limit_mb", limit),
                *("--coreset_size", str(arguments.coreset_size)),
            ]
            command = [sys.executable, __file__, str(arguments.data), *options]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(answer.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
