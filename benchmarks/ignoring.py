r"""A sample set whose photographs carry a label that changes, to be ignored or not.

    python benchmarks/ignoring.py labelled
    anomalist benchmark labelled --seeds 0,1,2 --out labelled_results \
        --image_size 256 --patchcore.coreset_ratio 0.1 \
        --detectors patchcore,ignoring=patchcore,padim,padim_ignoring=padim \
        --image_size 256 --coreset_ratio 0.1 \
        --ignoring.ignore_box 160,204,84,40 --padim_ignoring.ignore_box 160,204,84,40
    python benchmarks/found.py labelled_results

Labels are white with a number of their own in the photographs to learn from, and in half of those
to test on; the other half is of a new batch, whose labels are yellow with two lines. What they
cover of a defect is in no mask. ``--without`` draws the same photographs without labels, to compare
with what there is to find.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from anomalist.data import make_sample_set

BOX = (160, 204, 84, 40)


def label(photograph: Image.Image, rng: np.random.Generator, *, new: bool) -> None:
    """Draw a label at its place, a pixel or two off, as it is stuck on by hand."""
    x, y, width, height = BOX
    left, top = x + 3 + int(rng.integers(0, 4)), y + 3 + int(rng.integers(0, 4))
    right, bottom = x + width - 5, y + height - 5
    draw = ImageDraw.Draw(photograph)
    draw.rectangle((left, top, right, bottom), (246, 214, 60) if new else (244, 244, 240))
    draw.text((left + 5, top + 4), f"LOT {rng.integers(10_000, 99_999)}", (20, 20, 20))
    if new:
        draw.text((left + 5, top + 16), f"{rng.integers(1, 29):02d}/11 B", (160, 20, 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", action="store_true", help="draw no labels")
    arguments = parser.parse_args()
    out: Path = arguments.out
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(make_sample_set(folder), out)
    x, y, width, height = BOX
    for category in sorted(path for path in out.iterdir() if path.is_dir()):
        for path in sorted(category.glob("t*/*/*.png")):
            place = path.relative_to(category)
            mask_path = category / "ground_truth" / place.parent.name / f"{path.stem}_mask.png"
            if mask_path.exists():
                mask = np.array(Image.open(mask_path))
                mask[y : y + height, x : x + width] = 0
                if not mask.any():  # all of it lies under the label
                    path.unlink()
                    mask_path.unlink()
                    continue
                Image.fromarray(mask).save(mask_path)
            if arguments.without:
                continue
            rng = np.random.default_rng([*place.as_posix().encode()])
            photograph = Image.open(path).convert("RGB")
            is_test = place.parts[0] == "test"
            label(photograph, rng, new=is_test and int(path.stem) % 2 == 1)
            photograph.save(path)


if __name__ == "__main__":
    main()
