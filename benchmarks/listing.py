"""What it takes to hold very many photographs by name.

    python benchmarks/listing.py --counts 100000,1000000

For each count that many empty files are made, a thousand a folder, and a process of its own opens
them as a data set of good images. It prints its seconds of a processor and its resident memory:
what is held when all is open, and the peak, both beyond what the process had before. Nothing is
read, so it is what names cost, whatever photographs do.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_A_FOLDER = 1000


def make(root: Path, count: int) -> None:
    """Make empty files, numbered."""
    for number in range(count):
        folder = root / "good" / f"day_{number // _A_FOLDER:05}"
        if number % _A_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"part_{number:08}.png").touch()


def memory_mb(what: str) -> float:
    """Return ``VmRSS`` or ``VmHWM`` of this process, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if what in line)) / 1024


def measure(root: Path) -> None:
    """Open the files and print what it took."""
    from anomalist.data import open_dataset

    gc.collect()
    before, begin = memory_mb("VmRSS"), time.process_time()
    dataset = open_dataset(root)
    train = dataset.category(dataset.categories[0]).train
    seconds = time.process_time() - begin
    gc.collect()
    print(
        f"{len(train)} files: {seconds:.0f} s, {memory_mb('VmRSS') - before:.0f} MB held,"
        f" peak {memory_mb('VmHWM') - before:.0f} MB, beyond {before:.0f} MB before",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", default="100000,1000000")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        measure(arguments.measure)
        return
    for count in map(int, arguments.counts.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "parts"
            make(root, count)
            line = [sys.executable, __file__, "--measure", str(root)]
            subprocess.run(line, check=True)


if __name__ == "__main__":
    main()
