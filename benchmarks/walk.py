"""Seconds and memory of a walk over many files, with links and loops among them.

``python benchmarks/walk.py`` makes 200,000 empty files and 20,000 images in a temporary folder, a
hundred links to folders of it, loops included, and walks over them; each in a process of its own,
so that the memory is that of a walk alone.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = 1000
LINKS = 100
# A PNG of one pixel: the walk opens none of them.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63600000000200015de5d6320000000049454e44ae426082"
)
WALKS = {
    "walk": "from anomalist.data import walk; found = walk(root).files",
    "open_dataset": (
        "from anomalist.data import open_dataset; data = open_dataset(root);"
        " found = data.category(data.categories[0]).train"
    ),
    "pattern": (
        "from anomalist.inspection.inputs import list_inputs;"
        " found = list(list_inputs([root + '/**/*.png']))"
    ),
    "pathlib's rglob, which follows no link": (
        "from pathlib import Path; found = [p for p in Path(root).rglob('*.png') if p.is_file()]"
    ),
}
CODE = """
import resource, sys, time
import anomalist.data
root, what = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
exec(what)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"{len(found)} files, {seconds:.2f} s, {(peak - before) / 1024:.0f} MB above"
      f" {before / 1024:.0f} MB")
"""


def make(root: Path, empty: int, images: int) -> None:
    """Make the folders, the files and the links."""
    for i in range(empty):
        folder = root / "good" / "empty" / f"{i // FOLDER:04}" / "deep"
        if i % FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"{i:06}.png").touch()
    for i in range(images):
        folder = root / "good" / "images" / f"{i // FOLDER:04}"
        if i % FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"{i:06}.png").write_bytes(PIXEL)
    folders = sorted(path for path in root.rglob("*") if path.is_dir())
    for i in range(LINKS):
        # Up to itself and those above, down, and across.
        place, target = folders[i * 7 % len(folders)], folders[i * 31 % len(folders)]
        (place / f"link{i}").symlink_to(target if i % 3 else "..")


def main() -> None:
    """Make them and walk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--empty", type=int, default=200_000)
    parser.add_argument("--images", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        make(Path(folder), arguments.empty, arguments.images)
        print(f"made in {time.perf_counter() - start:.0f} s", flush=True)
        for name, what in WALKS.items():
            command = [sys.executable, "-c", CODE, folder, what]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(f"{name}: {done.stdout.strip()}", flush=True)
    print(
        f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    )


if __name__ == "__main__":
    main()
