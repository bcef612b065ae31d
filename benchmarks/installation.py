"""What an installation downloads, and how much room it takes.

``python benchmarks/installation.py`` fetches what ``pip install .`` would, from whatever index pip
is set to, and installs it into an environment of its own, both in a temporary folder.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What brings the accelerator's libraries; torch for processors alone comes without.
CUDA = ("nvidia", "triton", "cuda")
MEGABYTE = 1e6


def size(folder: Path) -> float:
    """Megabytes of all files below a folder, each file once."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum({path.stat().st_ino: path.stat().st_size for path in files}.values()) / MEGABYTE


def largest(folder: Path, count: int) -> str:
    """Name the largest files of a folder, with their megabytes."""
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_size, reverse=True)[:count]
    told = (f"{path.name.split('-')[0]} {path.stat().st_size / MEGABYTE:.0f}" for path in files)
    return ", ".join(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", default="", help="such as server,export")
    arguments = parser.parse_args()
    target = f"{ROOT}[{arguments.extras}]" if arguments.extras else str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        files, environment = Path(folder) / "files", Path(folder) / "environment"
        pip = [sys.executable, "-m", "pip", "--quiet"]
        start = time.perf_counter()
        subprocess.run([*pip, "download", "--dest", files, target], check=True)
        fetched = time.perf_counter() - start
        count, total = len(list(files.iterdir())), size(files)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        empty = size(environment)
        start = time.perf_counter()
        into = ["--python", environment / "bin" / "python"]
        offline = ["--no-index", "--find-links", files, "hatchling"]
        subprocess.run([*pip, "download", "--dest", files, "hatchling"], check=True)
        subprocess.run([*pip, *into, "install", *offline, target], check=True)
        installed = time.perf_counter() - start
        wheels = [path for path in files.iterdir() if path.name.lower().startswith(CUDA)]
        cuda = sum(path.stat().st_size for path in wheels) / MEGABYTE
        print(f"{platform.system()} {platform.machine()}, Python {platform.python_version()}")
        print(f"to download: {total:.0f} MB in {count} files, {fetched:.0f} s")
        print(f"  of them for GPUs of NVIDIA, without torch itself: {cuda:.0f} MB")
        print(f"  the largest: {largest(files, 8)}")
        print(f"installed: {size(environment) - empty:.0f} MB, {installed:.0f} s")


if __name__ == "__main__":
    main()
