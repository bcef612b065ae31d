"""Folders as data sets and plants lay them out: what is good, defective, a mask or for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bad_input.case import Case, fit, grey


def lay(*names: str) -> Callable[[Path], object]:
    """Make images below ``parts``: photographs, and masks where a name says so.

    ``OK/4`` are four PNG files in OK; ``NG/7.jpg`` is that file.
    """

    def make(here: Path) -> None:
        made = 0
        for name in names:
            folder, _, last = name.rpartition("/")
            files = [f"{i:03}.png" for i in range(int(last))] if last.isdigit() else [last]
            for file in files:
                path = here / "parts" / folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                made += 1
                pixels = grey(made)
                if any(word in name.lower() for word in ("mask", "_gt", "ground_truth", ".mask.")):
                    pixels = np.zeros((64, 64), np.uint8)
                    pixels[20:36, 20:36] = 255
                Image.fromarray(pixels).save(path)

    return make


def pairs(here: Path) -> None:
    """Photographs with their masks beside them, as Real-IAD has them."""
    lay("OK/S0/4", "NG/HS/S1/7.jpg")(here)
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(here / "parts/NG/HS/S1/7.png")


def black_masks(here: Path) -> None:
    """Masks that are black where all is good, as KolektorSDD2 has them."""
    lay("train/4", "test/2")(here)
    for place, count in (("train", 4), ("test", 2)):
        for i in range(count):
            mask = np.zeros((64, 64), np.uint8)
            mask[20:36, 20:36] = 255 * (place == "test" and i == 0)
            Image.fromarray(mask).save(here / "parts" / place / f"{i:03}_GT.png")


def linked(here: Path) -> None:
    lay("good/1", "../store/3")(here)
    good = here / "parts" / "good"
    for name, target in (("monday", here / "store"), ("again", "."), ("tuesday", "nowhere")):
        (good / name).symlink_to(target)


def other_files(here: Path) -> None:
    lay("2", "b.jfif")(here)
    for name in ("c.dng", "d.gif", "DSC0001"):
        (here / "parts" / name).write_bytes(b"II*\0")


def dry(what: str, answer: str, make: Callable[[Path], object], flags: str = "") -> Case:
    return fit(what, f"--dry_run {flags}".strip(), answer, 0, make)


DATED = lay(*(f"2024-01-0{day}/{name}" for day in (5, 6) for name in ("OK/10", "NG/1")))
LAYOUTS = [
    dry(
        "dated folders, each with OK and NG",
        "16  good, to learn from  2024-01-05/OK/...",
        DATED,
    ),
    dry("the same: what isn't good", "2  NG, to test on       2024-01-05/NG/000.png, ...", DATED),
    dry(
        "BTAD's folders",
        "1  ko, to test on       test/ko/0.bmp",
        lay("train/ok/4", "test/ok/1", "test/ko/0.bmp", "ground_truth/ko/0.png"),
    ),
    dry(
        "photographs with masks beside them, of the same name but for the suffix",
        "1  masks                NG/HS/S1/7.png",
        pairs,
    ),
    dry(
        "photographs with masks beside them that alone say which are good",
        "by their masks, 5 images are good and 1 image is defective",
        black_masks,
    ),
    dry(
        "several masks of one image, in a folder of its name, and images to validate on",
        "5  good, to learn from          train/good/000.png, train/good/002.png,"
        " validation/good/000.png",
        lay(
            *("train/good/4", "validation/good/1", "test/good/1", "test/logical_anomaly/1"),
            "ground_truth/logical_anomaly/000/2",
        ),
    ),
    dry(
        "MVTec AD 2's folders",
        "1  bad, to test on      test_public/bad/000.png",
        lay(
            *("train/good/4", "test_public/good/1", "test_public/bad/1"),
            "test_public/ground_truth/bad/000_mask.png",
        ),
    ),
    dry(
        "good test images by several names",
        "3  good, to test on     test/Good/000.png, test/normal/000.png, test/ok/000.png",
        lay("train/good/4", "test/Good/1", "test/ok/1", "test/normal/1", "test/scratch/1"),
    ),
    dry(
        "images a folder deeper",
        "1  scratch, to test on  test/scratch/cam1/000.png",
        lay("train/good/2", "train/good/cam1/4", "test/good/1", "test/scratch/cam1/1"),
    ),
    dry(
        "OK, NG and MASK",
        "2  masks                MASK/000.png, MASK/001.png",
        lay("OK/4", "NG/2", "MASK/2"),
    ),
    dry(
        "names in other languages",
        "3  schlecht, to test on  schlecht/000.png, schlecht/001.png, schlecht/002.png",
        lay("gut/4", "schlecht/3"),
    ),
    fit(
        "a folder whose name says nothing beside one of what isn't good",
        "",
        "anomalist: error: in parts, it isn't clear which images are good: it has A (3 images), bad"
        " (1 image, not good). Say so with --good NAME, and name others with --bad NAME or --masks"
        " NAME",
        1,
        lay("A/3", "bad/1"),
    ),
    dry(
        "the same, told which are good",
        "1  bad, to test on      bad/000.png",
        lay("A/3", "bad/1"),
        "--good A",
    ),
    fit(
        "folders called positive and negative",
        "",
        "anomalist: error: parts has no good images; it has negative (1 image), positive (3"
        " images). Put them right into it, ..., or name their folder with --good NAME",
        1,
        lay("positive/3", "negative/1"),
    ),
    fit(
        "a flag that names no folder",
        "--good fine",
        "anomalist: error: parts has no folder 'fine', which --good names: it has good, scratch",
        1,
    ),
    dry(
        "unsorted images beside good ones: neither learnt from nor tested on",
        "left out 2 images, such as parts/unsorted/000.png: 'unsorted' doesn't say whether they are"
        " good",
        lay("good/4", "unsorted/2"),
    ),
    dry(
        "images to test on of which nobody says whether they are good",
        "left out 2 images, such as parts/test_private/000.png: no folder and no mask says whether"
        " they are good",
        lay("train/good/4", "test/good/1", "test_private/2"),
    ),
]

LISTINGS = [
    dry(
        "a linked folder, a link to its own folder and one that leads nowhere",
        "4  good, to learn from  good/000.png, good/monday/001.png, good/monday/002.png",
        linked,
    ),
    dry(
        "a link that leads nowhere",
        "1 link leads nowhere, such as parts/good/tuesday",
        linked,
    ),
    dry(
        "files of other kinds: counted and named; .jfif and .jpe are JPEG",
        "left out 3 files that can't be taken for images by their suffix: 1 without a suffix such"
        " as parts/DSC0001, 1 .dng such as parts/c.dng, 1 .gif such as parts/d.gif",
        other_files,
    ),
    fit(
        "images to leave out by a pattern",
        "--dry_run --exclude 'good/00[1-9].png'",
        "3  left out on request  good/001.png, good/002.png, good/003.png",
        0,
        lay("good/4"),
    ),
    *(
        fit(
            f"a list of images to leave out {what}",
            "--dry_run --exclude @list.txt",
            "2  left out on request  good/000.png, good/001.png",
            0,
            lambda here, data=data: (
                lay("good/4")(here),
                (here / "list.txt").write_bytes(data),
            ),
        )
        for what, data in (
            ("with a byte-order mark", "\ufeffgood/000.png\r\ngood/001.png\r\n".encode()),
            ("in UTF-16", "good/000.png\r\ngood/001.png\r\n".encode("utf-16")),
            ("with quotes", b"\"good/000.png\"\n'good/001.png'\n"),
        )
    ),
]

CASES = [*LAYOUTS, *LISTINGS]
