"""What pictures and the page of results cost ``anomalist predict`` on photographs of megapixels.

    python benchmarks/heatmaps.py DATA --count 50

Fits PaDiM to a category's good images and enlarges so many of its test images to 3,000 x 4,000
pixels, as JPEG. They are predicted without heatmaps and page, with heatmaps as PNG, with the page
beside them, and with heatmaps as JPEG, each by a process of its own, in turn. Printed are seconds
of the processor and of the wall, peak memory, and megabytes of all heatmaps.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from anomalist import MVTecAD
from anomalist.cli.main import main as anomalist
from anomalist.data import read_image
from anomalist.report import to_markdown
from peak import peak_mb

SIZE = 3000, 4000
WAYS = {
    "none": ["--heatmaps", "none", "--no_page"],
    "PNG": ["--no_page"],
    "PNG, page": [],
    "JPEG, page": ["--heatmap_format", "jpg"],
}


def predict(arguments: list[str]) -> None:
    """Predict in this process, and print what it took."""
    start = time.perf_counter()
    code = anomalist(["predict", *arguments, "--quiet"])
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = {"processor, s": used.ru_utime + used.ru_stime, "wall, s": time.perf_counter() - start}
    print(json.dumps({"code": code, **spent, "peak, MB": peak_mb()}))


def main() -> None:
    """Run the benchmark."""
    if sys.argv[1:2] == ["--predict"]:
        predict(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name) / "photographs", f"{name}/part.anomalist"
        folder.mkdir()
        data = ["--data", arguments.data, "--category", arguments.category]
        assert anomalist(["fit", "padim", *data, "--out", model]) == 0
        sources = [
            sample.path for sample in MVTecAD(arguments.data).category(arguments.category).test
        ]
        for i in range(arguments.count):
            picture = read_image(sources[i % len(sources)]).resize(SIZE)
            picture.save(folder / f"{i:03}.jpg", quality=92)
        for round_ in range(arguments.rounds):
            for way, flags in WAYS.items():
                out = Path(name) / f"{way}{round_}"
                call = [sys.executable, __file__, "--predict", model, str(folder)]
                done = subprocess.run(
                    [*call, "--out", str(out), *flags], check=True, capture_output=True, text=True
                )
                told = json.loads(done.stdout.splitlines()[-1])
                assert told.pop("code") == 0
                size = sum(path.stat().st_size for path in (out / "heatmaps").rglob("*.*"))
                rows.append({"heatmaps": way, **told, "heatmaps, MB": size / 1e6})
    print(to_markdown(pd.DataFrame(rows).round(1)))


if __name__ == "__main__":
    main()
