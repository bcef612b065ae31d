"""Maps and scores that are damaged, missing or no maps, and archives that can't be made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bad_input.case import Case, masks, written
from tests.data.drawn_ad2 import draw_ad2

NAMES = ("good/0", "good/1", "scratch/0", "scratch/1")


def drawn(here: Path, change: Callable[[Path], object] = lambda _: None) -> None:
    """Good maps of all images, and what is changed of them."""
    masks(here, "0.png", "1.png")
    for path in sorted((here / "parts" / "good").iterdir())[2:]:
        path.unlink()
    # A second folder holds those to learn from, so that these are tested on.
    for kind in ("good", "scratch"):
        (here / "parts" / "test" / kind).parent.mkdir(exist_ok=True)
        (here / "parts" / kind).rename(here / "parts" / "test" / kind)
    (here / "parts" / "train" / "good").mkdir(parents=True)
    Image.new("L", (64, 64), 9).save(here / "parts" / "train" / "good" / "t.png")
    rng = np.random.default_rng(0)
    for i, name in enumerate(NAMES, 1):
        path = here / "maps" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, (i * rng.random((64, 64))).astype(np.float32))
    change(here / "maps")


def table(text: str) -> Callable[[Path], object]:
    return lambda maps: (maps.parent / "scores.csv").write_text(text)


def coloured(maps: Path) -> None:
    for name in NAMES:
        (maps / f"{name}.npy").unlink()
        pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(maps / f"{name}.png")


def stacked(maps: Path) -> None:
    np.save(maps.parent / "all.npy", np.zeros((4, 8, 8)))


def not_a_number(maps: Path) -> None:
    np.save(maps / "good" / "1.npy", np.array([[0, np.nan]]))


def flat(maps: Path) -> None:
    np.save(maps / "good" / "1.npy", np.zeros((64, 64), np.float32))


def clamped(maps: Path) -> None:
    for name in NAMES:
        values = np.load(maps / f"{name}.npy")
        np.save(maps / f"{name}.npy", values.clip(None, 0.9))


def stretched(maps: Path) -> None:
    for name in NAMES:
        values = np.load(maps / f"{name}.npy")
        np.save(maps / f"{name}.npy", (values - values.min()) / np.ptp(values))


SAVE = "save the maps themselves, such as with np.savez('maps.npz', maps=maps, paths=paths)"

CASES = [
    *(
        Case(
            what,
            f"measure {arguments} --data parts --out out",
            f"anomalist: error: {answer}",
            code,
            lambda here, change=change: drawn(here, change),
        )
        for what, arguments, answer, change, code in (
            (
                "pictures in colours in place of maps",
                "--maps maps",
                "maps/good/0.png is a picture in colours, such as a heatmap or an overlay, off"
                f" which no values can be read: {SAVE}",
                coloured,
                1,
            ),
            (
                "a map is missing",
                "--maps maps",
                "1 test image of 4 has no map in maps: parts/test/scratch/1.png; make them, or"
                " measure without these images with --incomplete",
                lambda maps: (maps / "scratch" / "1.npy").unlink(),
                1,
            ),
            (
                "maps with other names",
                "--maps maps",
                "no map in maps has the name of a test image: its names, such as other.npy, should"
                " be like good/0.png",
                lambda maps: (
                    [(maps / f"{name}.npy").unlink() for name in NAMES],
                    np.save(maps / "other.npy", np.zeros((2, 2))),
                ),
                1,
            ),
            (
                "a map that fits two images",
                "--maps maps",
                "the map 0.npy fits 2 images (parts/test/good/0.png, parts/test/scratch/0.png): put"
                " each in a folder that is called as that of its image, such as good/000.npy",
                lambda maps: np.save(maps / "0.npy", np.zeros((2, 2))),
                1,
            ),
            (
                "two maps of one image",
                "--maps maps",
                "good/0.npy and good/0_map.npy are both a map of parts/test/good/0.png: keep one",
                lambda maps: np.save(maps / "good" / "0_map.npy", np.zeros((2, 2))),
                1,
            ),
            (
                "a map with a value that isn't a number",
                "--maps maps",
                "the map maps/good/1.npy has 1 of 2 values that are no finite numbers (NaN or"
                " infinite): a measure of them would mean nothing",
                not_a_number,
                1,
            ),
            (
                "a map that is cut short",
                "--maps maps",
                "maps/good/1.npy can't be read as an array: ...",
                lambda maps: (maps / "good/1.npy").write_bytes(
                    (maps / "good/1.npy").read_bytes()[:999]
                ),
                1,
            ),
            (
                "one array of all maps, without names",
                "--maps all.npy",
                "all.npy doesn't say of which images its 4 maps are: give a list of their names,"
                " one a line, with --names, or save them with np.savez('maps.npz', maps=maps,"
                " paths=paths)",
                stacked,
                1,
            ),
            (
                "a folder without maps",
                "--maps parts/train/none",
                "there is no folder parts/train/none",
                lambda _: None,
                1,
            ),
            (
                "neither maps nor scores",
                "",
                "there is nothing to measure: give maps, scores or both",
                lambda _: None,
                1,
            ),
            (
                "a table without a column for scores",
                "--scores scores.csv",
                "the scores scores.csv have no column for the score, which is called score or"
                " anomaly_score; their columns are path, value",
                table("path,value\ngood/0.png,1\n"),
                1,
            ),
            (
                "a score that is no number",
                "--scores scores.csv",
                "the scores scores.csv have 'nan' in row 2 (good/0.png), which is no finite number",
                table("path,score\ngood/0.png,nan\n"),
                1,
            ),
            (
                "a score is missing",
                "--maps maps --scores scores.csv",
                "3 test images of 4 have no score in scores.csv: parts/test/good/1.png,"
                " parts/test/scratch/0.png, parts/test/scratch/1.png; make them, or measure without"
                " these images with --incomplete",
                table("path,score\ngood/0.png,1\n"),
                1,
            ),
            (
                "half of what tells a crop",
                "--maps maps --crop_size 32",
                "a crop is told by both --image_size and --crop_size",
                lambda _: None,
                1,
            ),
        )
    ),
    *(
        Case(
            what,
            "measure --maps maps --data parts --out out" + more,
            f"Note: {answer}",
            0,
            lambda here, change=change: drawn(here, change),
            after=written("out/metrics.json"),
        )
        for what, more, answer, change in (
            (
                "a map is missing, which is said to be fine",
                " --incomplete",
                "measured without 1 test image of 4 that has no map: parts/test/scratch/1.png",
                lambda maps: (maps / "scratch" / "1.npy").unlink(),
            ),
            (
                "a map of no test image",
                "",
                "1 map in maps is of no test image, and left out: good/77.npy",
                lambda maps: np.save(maps / "good" / "77.npy", np.zeros((2, 2))),
            ),
            ("a map of one value", "", "1 map has one value everywhere: maps/good/1.npy", flat),
            (
                "clamped maps",
                "",
                "...% of all map values are exactly 0.9, the highest, in 4 of 4 maps: what lay"
                " above it was cut off, and can't be ranked any more; save maps before they are"
                " clamped or normalised",
                clamped,
            ),
            (
                "maps stretched by themselves",
                "",
                "each of the maps goes from 0 to 1: it was stretched by itself or clamped, so that"
                " values of one image can't be compared with those of another, and metrics over all"
                " images mean little; save maps as they are before",
                stretched,
            ),
        )
    ),
    *(
        Case(
            what,
            f"submit {arguments}",
            f"anomalist: error: {answer}",
            1,
            lambda here: draw_ad2(here / "ad2", ["can"], private=2),
        )
        for what, arguments, answer in (
            (
                "an archive of a data set that the server doesn't know",
                "photos --out a.tar.gz",
                "photos isn't MVTec AD 2, with train/good, validation/good and test_public in each"
                " object, whose server alone takes such an archive",
            ),
            (
                "an archive of a part of the data set",
                "ad2 --out a.tar.gz",
                "the data set isn't whole, and the server refuses such an archive: fabric is"
                " missing; fruit_jelly is missing; rice is missing; sheet_metal is missing; vial"
                " is missing; and 4 more; write it anyway with --incomplete",
            ),
            (
                "an archive of another kind",
                "ad2 --out a.zip",
                "a.zip must end in .tar.gz, which the server takes",
            ),
            (
                "an archive of two detectors",
                "ad2 --detectors padim,dfm --out a.tar.gz",
                "an archive is of one detector, not of padim, dfm: name one with --detectors",
            ),
        )
    ),
    Case(
        "an archive of a part of the data set, which is said to be fine",
        "submit ad2 --out a.tar.gz --incomplete",
        "archive: a.tar.gz (4 images, read again)",
        0,
        lambda here: draw_ad2(here / "ad2", ["can"], private=2),
        after=written("a.tar.gz"),
    ),
]
