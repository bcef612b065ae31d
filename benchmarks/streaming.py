"""Memory and speed of ``anomalist predict`` on thousands of photographs, some of them corrupt.

    python benchmarks/streaming.py DATA --category screw --counts 1000,10000

Fits PatchCore to the category's good images, then writes as many photographs as asked for: test
images, rotated, mirrored and brightened, as JPEG. Three files among them are corrupt: one is empty,
one is cut short, one holds text. Each count is predicted by a process of its own, heatmaps
included, so that its peak memory is its own. Checks that the corrupt files, and only they, are
reported, that every other photograph has its row and its heatmap, and that the scores of a sample
of them are those that the detector gives to these photographs alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import ImageEnhance, ImageOps

from anomalist import MVTecAD, load
from anomalist.cli.main import main as anomalist
from anomalist.data import ImageSet, Sample, read_image
from anomalist.report import to_markdown
from peak import peak_mb

SAMPLE = 64
SOME_FAILED = 3


def write_photographs(sources: list[Path], count: int, size: int, folder: Path) -> list[Path]:
    """Write photographs, and return the three that are corrupt."""
    rng = np.random.default_rng(0)
    pictures = [read_image(path).resize((size, size)) for path in sources]
    for i in range(count):
        picture = pictures[i % len(pictures)].rotate(float(rng.uniform(-8, 8)))
        picture = ImageEnhance.Brightness(picture).enhance(float(rng.uniform(0.9, 1.1)))
        picture = ImageOps.mirror(picture) if rng.random() < 0.5 else picture
        picture.save(folder / f"{i:06}.jpg", quality=90)
    empty, cut, text = (folder / f"{i:06}.jpg" for i in (count // 4, count // 2, count * 3 // 4))
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    text.write_text("not a photograph", encoding="utf-8")
    return [empty, cut, text]


def predict(model: str, photographs: str, out: str) -> None:
    """Predict in this process, and print what it took."""
    start = time.perf_counter()
    code = anomalist(["predict", model, photographs, "--out", out])
    print(json.dumps({"code": code, "s": time.perf_counter() - start, "peak MB": peak_mb()}))


def check(model: Path, out: Path, photographs: Path, corrupt: list[Path]) -> None:
    """Hold the results against the files and against the detector."""
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        scores = {Path(row["path"]): row["score"] for row in csv.DictReader(file)}
    assert sorted(scores) == sorted(photographs.iterdir())
    assert sorted(path for path, score in scores.items() if not score) == sorted(corrupt)
    heatmaps = {path.stem for path in (out / "heatmaps").rglob("*.png")}
    assert heatmaps == {path.stem for path in scores} - {path.stem for path in corrupt}
    whole = [path for path in sorted(scores) if path not in corrupt]
    some = whole[:: max(1, len(whole) // SAMPLE)]
    alone = load(model).predict(ImageSet(Sample(path) for path in some)).scores
    np.testing.assert_allclose([float(scores[path]) for path in some], alone, rtol=1e-5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", default="screw")
    parser.add_argument("--counts", default="1000,10000")
    parser.add_argument("--size", type=int, default=512, help="pixels a side of the photographs")
    parser.add_argument("--predict", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.predict:
        predict(*arguments.predict)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "part.anomalist"
        good = arguments.data / arguments.category / "train" / "good"
        size = ["--image_size", "256", "--coreset_ratio", "0.1"]
        anomalist(["fit", "patchcore", "--data", str(good), "--out", str(model), *size])
        sources = MVTecAD(arguments.data).category(arguments.category).test.paths
        rows = []
        for count in map(int, arguments.counts.split(",")):
            photographs, out = folder / f"{count}", folder / f"{count}_results"
            photographs.mkdir()
            corrupt = write_photographs(sources, count, arguments.size, photographs)
            task = ["--predict", str(model), str(photographs), str(out)]
            command = [sys.executable, __file__, str(arguments.data), *task]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            took = json.loads(answer.stdout.splitlines()[-1])
            assert took["code"] == SOME_FAILED, answer.stdout
            check(model, out, photographs, corrupt)
            rows.append(
                {
                    "photographs": count,
                    "corrupt, reported": len(corrupt),
                    "s": round(took["s"]),
                    "a second": round(count / took["s"], 1),
                    "peak MB": round(took["peak MB"]),
                }
            )
            print(rows[-1], flush=True)
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
