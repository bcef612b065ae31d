"""Data sets of the field and manifests that aren't as they should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import trees
from tests.bad_input.case import Case, fit, parts


def manifest(*lines: str, name: str = "manifest.csv", **more: str) -> Callable[[Path], object]:
    """Make six good parts and a defective one, and a manifest of them."""

    def make(here: Path) -> None:
        parts(here, 6, 1)
        (here / "parts" / name).write_text("\n".join(lines) + "\n", **more)

    return make


HEAD = "image,label,split"
TRAIN = tuple(f"good/{i}.png,ok,train" for i in range(4))
TEST = "good/5.png,ok,test", "scratch/0.png,dent,test"


def dry(what: str, answer: str, make: Callable[[Path], object], flags: str = "") -> Case:
    return fit(what, f"--dry_run {flags}".strip(), answer, 0, make)


def wrong(what: str, answer: str, make: Callable[[Path], object], flags: str = "") -> Case:
    return fit(what, f"--dry_run {flags}".strip(), f"anomalist: error: {answer}", 1, make)


CASES = [
    fit(
        "a format that doesn't exist",
        "--format mvtec",
        "anomalist: error: there is no format 'mvtec': give one of mvtec_ad, ...",
        1,
        lambda here: parts(here, 4),
    ),
    wrong(
        "another data set than the format that is insisted on",
        "parts isn't BTAD: there is no parts/train/ok",
        lambda here: parts(here, 4),
        "--format btad",
    ),
    wrong(
        "the same, of VisA",
        "parts isn't VisA in the layout of its scripts: there is no parts/train/good",
        lambda here: parts(here, 4),
        "--format visa",
    ),
    dry(
        "VisA without its lists",
        "there is no split_csv/1cls.csv, the official split: 2 of 10 good images, chosen by their"
        " names, are held out to test on",
        lambda here: trees.visa_raw(here / "parts"),
    ),
    dry(
        "lists of Real-IAD with defects among the images to train on: left out",
        "fuiad_0.1 names 2 defects among 8 images to train on, on purpose; --format"
        " real_iad:fuiad_0.1+contaminated learns from them, too",
        lambda here: trees.real_iad(here / "parts"),
        "--format real_iad:fuiad_0.1",
    ),
    wrong(
        "Real-IAD in two sizes",
        "parts has images 256, 512: choose with --format real_iad:NAME@SIZE",
        lambda here: (trees.real_iad(here / "parts"), trees.real_iad(here / "parts", 512)),
    ),
    dry(
        "KolektorSDD, whose download has no split",
        "the download has no split: the 2 good surfaces of 1 of 5 commutators, chosen by their"
        " names, are held out to test on",
        lambda here: trees.kolektor_sdd(here / "parts"),
    ),
    wrong(
        "a manifest that names files that aren't there",
        "parts/manifest.csv, line 2 names good/x.png, which isn't there (nor 1 more of its 3"
        " lines): paths are taken below parts, and otherwise looked for by how they end in parts",
        manifest(HEAD, "good/x.png,ok,train", "good/y.png,ok,train", TEST[1]),
    ),
    wrong(
        "a manifest whose lines contradict each other",
        "parts/manifest.csv, line 8: good/0.png is good in one line and not in another, 2: keep"
        " one of them",
        manifest(HEAD, *TRAIN, *TEST, "good/0.png,dent,test"),
    ),
    wrong(
        "a manifest with labels that nobody knows",
        "parts/manifest.csv, line 2: the label 'A' isn't known, nor that any other means good: say"
        " so with --good LABEL or --bad LABEL, or use 0 and 1",
        manifest(HEAD, "good/0.png,A,train", "good/1.png,B,test"),
    ),
    dry(
        "the same, told which is good",
        "1  B, to test on                             good/1.png",
        manifest(HEAD, "good/0.png,A,train", "good/1.png,B,test"),
        "--good A",
    ),
    wrong(
        "a manifest without a column of labels",
        "parts/manifest.csv has no column that says which images are good, such as 'label': it has"
        " 'image', 'split'",
        manifest("image,split", "good/0.png,train"),
    ),
    dry(
        "a manifest that has an image for training and for tests: not learnt from",
        "1 image, such as parts/good/0.png, not learnt from: they are for tests, too, by other"
        " lines",
        manifest(HEAD, *TRAIN, *TEST, "good/0.png,ok,test"),
    ),
    dry(
        "a manifest with a line twice",
        "1 line more of images that others name, such as parts/good/0.png: each is taken once, with"
        " all its masks",
        manifest(HEAD, *TRAIN, TRAIN[0], *TEST),
    ),
    dry(
        "a manifest with a byte-order mark, semicolons, quotes, backslashes and a drive",
        "4 paths such as C:\\line 1\\good\\0.png found by how the paths of files here end:"
        " parts/good/0.png",
        manifest(
            *(
                '"C:\\line 1\\' + line.replace("/", "\\").replace(",", '";')
                if "/" in line
                else line.replace(",", ";")
                for line in (HEAD, *(t.replace(",train", ";train") for t in TRAIN))
            ),
            encoding="utf-8-sig",
        ),
    ),
    dry(
        "a manifest with addresses in a bucket",
        "4 paths such as s3://bucket/good/0.png found by how the paths of files here end:"
        " parts/good/0.png",
        manifest(HEAD, *(f"s3://bucket/{line}" for line in TRAIN)),
    ),
    wrong(
        "two manifests of which none is named",
        "parts has several manifests, manifest 1.csv, manifest 2.csv: choose one with --format"
        " manifest:NAME",
        lambda here: (
            manifest(HEAD, *TRAIN, name="manifest 1.csv")(here),
            manifest(HEAD, *TRAIN, name="manifest 2.csv")(here),
        ),
    ),
]
