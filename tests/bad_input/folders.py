"""Folders, listings and names as people have them."""

from __future__ import annotations

import os
import shutil

from PIL import Image

from tests.bad_input import formats, layouts
from tests.bad_input.case import (
    DEEP,
    KINDS,
    LONG,
    NO_GOOD,
    Case,
    benchmark,
    content,
    evaluate,
    failed,
    fit,
    folder,
    heatmaps,
    loose,
    moved,
    named,
    odd_file,
    parts,
    photograph,
    predict,
    shared,
)

# Files that are none.
ODD = "it is a folder, a pipe or a device"
SPECIAL = [
    predict(
        "a pipe among the photographs of a folder: left out",
        "odd",
        "1 image: 1 normal",
        0,
        odd_file("pipe"),
    ),
    predict("a device: left out", "odd", "1 image: 1 normal", 0, odd_file("device")),
    predict("a socket: left out", "odd", "1 image: 1 normal", 0, odd_file("socket")),
    predict("a link to itself: left out", "odd", "1 image: 1 normal", 0, odd_file("loop")),
    predict("a folder called b.png: left out", "odd", "1 image: 1 normal", 0, odd_file("folder")),
    predict(
        "a pipe that is named",
        "odd/b.png",
        f"failed: odd/b.png can't be read as an image: {ODD}",
        3,
        odd_file("pipe"),
        after=failed(1),
    ),
    predict(
        "a device that a pattern means: left out",
        "'odd/*.png'",
        "1 image: 1 normal",
        0,
        odd_file("device"),
    ),
    predict(
        "a link to itself that is named",
        "odd/b.png",
        "failed: odd/b.png can't be read as an image: Too many levels of symbolic links",
        3,
        odd_file("loop"),
        after=failed(1),
    ),
    predict(
        "a folder called b.png without an image",
        "odd/b.png",
        f"anomalist: error: odd/b.png holds no image {KINDS}",
        1,
        odd_file("folder"),
    ),
    fit(
        "pipes, devices and sockets among the images to learn from: left out",
        "",
        "parts: 4 good images to learn from, 64 x 64 pixels",
        0,
        lambda here: (parts(here, 4, 0), os.mkfifo(here / "parts" / "good" / "z.png")),
    ),
    Case(
        "a pipe in place of a model",
        "info pipe",
        "anomalist: error: pipe is no file: name a model file that anomalist fit wrote",
        1,
        lambda here: os.mkfifo(here / "pipe"),
    ),
]

FOLDERS = [
    predict(
        "no photograph",
        "empty",
        f"anomalist: error: empty holds no image {KINDS}",
        1,
        folder("empty"),
    ),
    predict(
        "a pattern that nothing matches", "'*.bmp'", "anomalist: error: no image matches *.bmp", 1
    ),
    predict(
        "a path that leads nowhere",
        "gone.png",
        "anomalist: error: there is no file or folder gone.png",
        1,
    ),
    fit(
        "an empty folder",
        "",
        f"anomalist: error: parts has no good images; it has no image.{NO_GOOD}",
        1,
        folder("parts"),
    ),
    fit(
        "a folder that isn't there",
        "",
        "anomalist: error: there is no folder parts",
        1,
        folder("else"),
    ),
    fit(
        "a file in place of a folder",
        "",
        "anomalist: error: parts is a file: give the folder that holds the images",
        1,
        content("parts", "x"),
    ),
    fit(
        "a single good image",
        "",
        "no threshold: for a false-alarm rate of 5%, 19 good images must calibrate, there are"
        " 0; 19 more are needed",
        0,
        lambda here: parts(here, 1, 0),
    ),
    fit(
        "a single good image beside defects: learnt from, and the defects are tested",
        "",
        "Note: no image metrics: all 2 images are anomalous",
        0,
        lambda here: parts(here, 1, 2),
    ),
    fit(
        "all good images left out",
        "--exclude good/0.png",
        "anomalist: error: parts has no good image left to learn from: all were left out",
        1,
        lambda here: parts(here, 1, 0),
    ),
    fit(
        "a list of images to leave out that isn't there",
        "--exclude @gone.txt",
        "anomalist: error: the list gone.txt can't be read: No such file or directory",
        1,
    ),
    fit(
        "an image to leave out that isn't there",
        "--exclude gone.png",
        "anomalist: error: gone.png is to be left out, but parts has no such image: give its"
        " path, or its path below that folder, or a pattern",
        1,
    ),
    fit(
        "folders of which none is called good",
        "",
        "no folder in parts is called good: all images in day1, day2 are taken for good ones",
        0,
        lambda here: moved(here, "parts/day1", "parts/day2"),
    ),
    evaluate(
        "folders of which none is called good",
        "anomalist: error: parts has no good images; it has dent (4 images, not good), rust (2"
        " images, not good). Put them right into it, or into parts/good with each kind of defect in"
        " a folder beside it, or name their folder with --good NAME",
        1,
        lambda here: moved(here, "parts/dent", "parts/rust"),
    ),
    fit(
        "loose photographs beside a folder of defects",
        "",
        "anomalist: error: in parts, 4 images, such as 0.png, lie beside folders of images"
        " (scratch (2 images)), so it isn't clear what they show: move good ones into parts/good,"
        " and others into the folder of their kind of defect, or leave them out with --exclude",
        1,
        loose,
    ),
    fit(
        "images of different sizes and aspect ratios",
        "",
        "the images have 2 sizes; all are brought to one, so parts must fill them alike",
        0,
        lambda here: (
            parts(here, 4, 0),
            Image.new("RGB", (90, 50)).save(here / "parts/good/9.png"),
        ),
    ),
    fit(
        "the same image twice among those to learn from",
        "",
        "1 image to learn from is the same as another, such as parts/good/0.png and"
        " parts/good/9.png: copies make thresholds too low, leave them out",
        0,
        lambda here: (
            parts(here, 4, 0),
            shutil.copy(here / "parts/good/0.png", here / "parts/good/9.png"),
        ),
    ),
    fit(
        "the same image among those to learn from and those to test on",
        "",
        "1 image to test on is among those to learn from, such as parts/scratch/9.png: what is"
        " measured on them says nothing",
        0,
        shared,
    ),
    benchmark(
        "the same image among those to learn from and those to test on",
        "",
        "parts: 1 test image is among those learnt from, byte for byte, such as"
        " parts/scratch/9.png: what is measured on them says nothing",
        0,
        shared,
    ),
    evaluate(
        "images that the model was fitted to",
        "Note: not measured: 6 images that the model was fitted to or told to leave out",
        0,
        lambda here: parts(here, 6),
    ),
    benchmark(
        "no image to test on",
        "",
        "anomalist: error: parts has no test image to measure on: fit and predict need none",
        1,
        lambda here: parts(here, 4, 0),
    ),
    Case(
        "no image",
        "synthesize parts --out sheet.png",
        "anomalist: error: parts holds no image: name a folder of good images",
        1,
        folder("parts"),
    ),
    Case(
        "no image",
        "export model.anomalist --out new.onnx --data parts",
        "anomalist: error: parts holds no image to compare the export on",
        1,
        folder("parts"),
    ),
    predict("nothing on standard input", "-", "0 images: none", 0),
    predict(
        "paths on standard input that lead nowhere or can't be",
        "-",
        "2 images: 2 failed",
        3,
        stdin=b"gone.png\n" + b"y" * 5000 + b"\n",
        after=failed(2),
    ),
]

NAMES = [
    predict(
        "names in other scripts, with spaces, newline, comma, quote or leading dash",
        "names",
        "7 images: 7 normal",
        0,
        named(
            "\u00fc \u6f22\u5b57.png",
            "a\nb.png",
            "a,b.png",
            'a"b.png',
            "-a.png",
            "[red]a.png",
            "$(a)*.png",
        ),
        after=heatmaps,
    ),
    predict(
        "a name that begins with a dash",
        "-a.png",
        "anomalist: error: unrecognized arguments: -a.png (anomalist predict --help)",
        2,
        lambda here: photograph(here, "-a.png"),
    ),
    predict(
        "the same, as a path",
        "./-a.png",
        "1 image: 1 normal",
        0,
        lambda here: photograph(here, "-a.png"),
    ),
    predict(
        "names that aren't text in UTF-8",
        "names",
        "1 image: 1 normal",
        0,
        named(os.fsdecode(b"r\xe9.png")),
        after=heatmaps,
    ),
    predict(
        "names of 255 bytes",
        "names",
        "2 images: 1 anomalous, 1 normal",
        0,
        named(LONG, LONG[:-4] + ".jpg"),
        after=heatmaps,
    ),
    predict(
        "two files with one name but for the suffix or the case of letters",
        "names",
        "3 images: 1 anomalous, 2 normal",
        0,
        named("a.png", "a.jpg", "A.png"),
        after=heatmaps,
    ),
    predict(
        "a path of more than 4096 bytes",
        f"{DEEP}/a.png",
        "anomalist: error: ...: File name too long",
        1,
    ),
    predict(
        "an empty argument",
        "''",
        "anomalist: error: an argument is empty: is a variable of the shell not set?",
        2,
    ),
    fit(
        "a name of the model that is too long for the files beside it",
        f"--out {'z' * 250}",
        "anomalist: error: ...: File name too long",
        1,
    ),
]


CASES = [*SPECIAL, *FOLDERS, *layouts.CASES, *formats.CASES, *NAMES]
