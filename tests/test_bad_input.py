"""Whatever is thrown at the command line has the answer that docs/bad_input.md gives.

``python -m tests.test_bad_input`` writes the page's table again from the cases below.
"""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import re
import resource
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import torch
from PIL import Image

import anomalist
import anomalist.inspection
from anomalist.cli.main import main
from anomalist.data import Folder

PAGE = Path(__file__).parents[1] / "docs" / "bad_input.md"
HEADER = ("input", "command", "what is printed", "exit code")
# Small and quick; a command of a case may say otherwise, as later flags win.
FAST = {
    "fit": [
        *("--image_size", "64", "--layers", "stride4,stride8"),
        *("--patchcore.coreset_ratio", "0.2", "--device", "cpu"),
    ],
    "benchmark": [
        *("--detectors", "patchcore", "--calibrate", "false"),
        *("--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"),
    ],
    "synthesize": ["--image_size", "64", "--count", "3"],
}


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Parameters
    ----------
    what : str
        The input.
    command : str
        What is typed, in a folder that holds ``model.anomalist``, the photographs ``photos`` and
        what ``make`` makes.
    answer : str
        A line that is printed, whole but for parts that stand as ``...``.
    code : int
        The exit code. After 1 and 2 no file is new or changed, unless ``leaves``.
    make : callable, optional
        Makes the input in the folder that it is called with.
    leaves : tuple of str
        New files that may remain after a failure: whole and useful ones.
    stdin : bytes, optional
        Standard input.
    fsize : int, optional
        Bytes that files may have, as on a disk that is nearly full.
    temporary : str, optional
        The folder for scratch files.
    after : callable, optional
        Checks what was written.
    """

    what: str
    command: str
    answer: str
    code: int
    make: Callable[[Path], object] | None = None
    leaves: tuple[str, ...] = ()
    stdin: bytes = b""
    fsize: int | None = None
    temporary: str | None = None
    after: Callable[[Path], None] | None = None

    def row(self) -> str:
        """The row of the table."""
        cells = (self.what, f"`{self.command}`", f"`{self.answer}`", str(self.code))
        return " | ".join(cell.replace("|", "\\|") for cell in cells)


# What is made.


def photograph(here: Path, name: str = "a.png", **more: Any) -> Path:
    path = here / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey(0)).save(path, **more)
    return path


def grey(seed: int, side: int = 64) -> npt.NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).normal(110, 6, (side, side, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def content(name: str, data: bytes | str) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(data.encode() if isinstance(data, str) else data)

    return make


def torn(name: str) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        data = photograph(here, name).read_bytes()
        (here / name).write_bytes(data[: len(data) // 2])

    return make


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def deep_colour(here: Path) -> None:
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in grey(0))
    (here / "deep.png").write_bytes(png(64, 64, 16, rows))


def deep_grey(here: Path) -> None:
    Image.fromarray(grey(0)[..., 0].astype(np.uint16) * 257).save(here / "deep.png")


def floats(value: float) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        values = (grey(0)[..., 0] / 255).astype(np.float32)
        values[3, 3] = value
        Image.fromarray(values).save(here / "float.tif")

    return make


def turned(here: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(grey(0)[:48]).save(here / "turned.jpg", exif=exif)


def parts(here: Path, good: int = 4, defects: int = 2, root: str = "parts") -> Path:
    """A plain folder: good/ and, if there are any, scratch/."""
    for i in range(good):
        folder = here / root / "good"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey(i)).save(folder / f"{i}.png")
    for i in range(defects):
        folder = here / root / "scratch"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = grey(10 + i)
        pixels[20:36, 20:36] += 90
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return here / root


def masks(here: Path, *names: str, size: int = 64, value: int = 255) -> Path:
    root = parts(here)
    for name in names:
        path = root / "ground_truth" / "scratch" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((size, size), np.uint8)
        mask[size // 3 : size // 2, size // 3 : size // 2] = value
        Image.fromarray(mask).save(path)
    return root


def moved(here: Path, *names: str) -> None:
    """Good images and defects, but in other folders."""
    root = parts(here)
    for name, target in zip(("good", "scratch"), names, strict=False):
        for path in (root / name).iterdir():
            (here / target).mkdir(parents=True, exist_ok=True)
            path.rename(here / target / f"{name}{path.name}")
        (root / name).rmdir()


def shared(here: Path) -> None:
    """An image to learn from that is a defect, too; which are held out follows from names."""
    root = parts(here)
    kept = Folder(root).category("parts").train.paths[0]
    shutil.copy(kept, root / "scratch" / "9.png")


def moved_away(here: Path) -> None:
    for name in ("good", "scratch"):
        shutil.rmtree(here / "parts" / name)


def loose(here: Path) -> None:
    """Good images beside a folder of defects."""
    root = parts(here)
    for path in (root / "good").iterdir():
        path.rename(root / path.name)
    (root / "good").rmdir()


def many(here: Path) -> None:
    (here / "many").mkdir()
    for i in range(12):
        os.link(here / "photos" / "good.png", here / "many" / f"{i:02}.png")


def named(*names: str) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        for name in names:
            photograph(here / "names", name)

    return make


def odd_file(kind: str) -> Callable[[Path], object]:
    """A folder of photographs with one that is none."""

    def make(here: Path) -> None:
        path = here / "odd" / "b.png"
        photograph(here / "odd")
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "loop":
            path.symlink_to("b.png")
        elif kind == "folder":
            path.mkdir()
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path.relative_to(here)))  # the whole path is too long for a socket

    return make


def link(name: str, target: str) -> Callable[[Path], object]:
    return lambda here: (here / name).symlink_to(target)


def folder(name: str) -> Callable[[Path], object]:
    return lambda here: (here / name).mkdir()


def weights(here: Path) -> None:
    safetensors.torch.save_file({"conv.weight": torch.zeros(3)}, here / "other.safetensors")


def both(*makes: Callable[[Path], object]) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        for one in makes:
            one(here)

    return make


def results(here: Path) -> None:
    """A results folder whose only record is torn."""
    content("results/runs/patchcore/dot_seed0.json", '{"detector": "patchcore", "cat')(here)
    content("results/results.csv", "kept\n")(here)


# What is checked afterwards.


def lines(here: Path) -> list[dict[str, Any]]:
    text = (here / "out" / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def heatmaps(here: Path) -> None:
    """Each has a picture of its own."""
    pictures = {entry["heatmap"].casefold() for entry in lines(here)}
    assert len(pictures) == len(lines(here))
    assert all((here / "out" / entry["heatmap"]).is_file() for entry in lines(here))


def size_is(width: int, height: int) -> Callable[[Path], None]:
    def after(here: Path) -> None:
        (entry,) = lines(here)
        with Image.open(here / "out" / entry["heatmap"]) as picture:
            assert picture.size == (width, height)

    return after


def same_as(name: str, pixels: npt.NDArray[np.uint8]) -> Callable[[Path], None]:
    """It scores as its 8-bit version does."""

    def after(here: Path) -> None:
        (entry,) = lines(here)
        Image.fromarray(pixels).save(here / name)
        assert main(["predict", "model.anomalist", name, "--out", "out"]) == 0
        assert lines(here)[0]["score"] == pytest.approx(entry["score"], rel=1e-5)

    return after


def failed(count: int) -> Callable[[Path], None]:
    def after(here: Path) -> None:
        assert sum("error" in entry for entry in lines(here)) == count

    return after


FILLING = "predict model.anomalist many --out out --heatmaps none"


def whole_lines(here: Path) -> None:
    """What was written is whole, and the same command goes on from it."""
    done = lines(here)
    assert (here / "out" / "predictions.jsonl").read_bytes().endswith(b"}\n")
    assert (here / "out" / "predictions.csv").read_text().count("\n") == len(done) + 1
    assert (here / "out" / "predictions.unfinished").is_file()
    assert main(shlex.split(FILLING)) == 0
    assert lines(here)[: len(done)] == done
    assert len(lines(here)) == 12


def written(*names: str) -> Callable[[Path], None]:
    def after(here: Path) -> None:
        assert all((here / name).is_file() for name in names)

    return after


LONG = "x" * 251 + ".png"
DEEP = "/".join(["y" * 250] * 17)
TO_OUT = "predict model.anomalist {} --out out"
NO_GOOD = (
    " Put them right into it, or into parts/good with each kind of defect in a folder beside it."
    " (Nor is it VisA, with split_csv, or in the layout of MVTec AD, with train/good in it or in a"
    " folder of each category.)"
)


def predict(what: str, name: str, answer: str, code: int, *made: Any, **more: Any) -> Case:
    return Case(what, f"predict model.anomalist {name} --out out", answer, code, *made, **more)


def fit(what: str, flags: str, answer: str, code: int, *made: Any, **more: Any) -> Case:
    command = f"fit patchcore --data parts --out new.anomalist {flags}".strip()
    return Case(what, command, answer, code, *(made or (parts,)), **more)


def benchmark(what: str, flags: str, answer: str, code: int, *made: Any, **more: Any) -> Case:
    command = f"benchmark parts --out results {flags}".strip()
    return Case(what, command, answer, code, *(made or (parts,)), **more)


def evaluate(what: str, answer: str, code: int, *made: Any, **more: Any) -> Case:
    return Case(what, "evaluate model.anomalist parts --out out", answer, code, *made, **more)


KINDS = "(bmp, jpeg, jpg, pgm, png, ppm, tif, tiff, webp)"

IMAGES = [
    predict(
        "truncated image",
        "torn.png",
        "failed: torn.png can't be read as an image: image file is truncated",
        3,
        torn("torn.png"),
        after=failed(1),
    ),
    predict(
        "empty file",
        "empty.png",
        "failed: empty.png is empty: replace or remove it",
        3,
        content("empty.png", b""),
        after=failed(1),
    ),
    predict(
        "PNG file called .jpg",
        "a.jpg",
        "1 image: 1 normal",
        0,
        lambda here: photograph(here, "a.jpg", format="PNG"),
    ),
    predict(
        "text file called .png",
        "text.png",
        f"failed: text.png isn't an image that can be read {KINDS}: replace or remove it",
        3,
        content("text.png", "hello"),
        after=failed(1),
    ),
    predict(
        "small file that says it has 100000 x 100000 pixels",
        "bomb.png",
        "failed: bomb.png has far more pixels than the limit of 100000000: scale it down or cut it"
        " into pieces",
        3,
        content("bomb.png", png(100_000, 100_000, 8, b"")),
        after=failed(1),
    ),
    predict(
        "more pixels than the limit",
        "big.png",
        "failed: big.png has 12000 x 12000 pixels, more than the limit of 100000000: scale it down"
        " or cut it into pieces",
        3,
        content("big.png", png(12_000, 12_000, 8, b"")),
        after=failed(1),
    ),
    predict(
        "16-bit grey",
        "deep.png",
        "1 image: 1 anomalous",
        0,
        deep_grey,
        after=same_as("eight.png", grey(0)[..., 0]),
    ),
    predict(
        "16-bit colour",
        "deep.png",
        "1 image: 1 normal",
        0,
        deep_colour,
        after=same_as("eight.png", grey(0)),
    ),
    predict(
        "CMYK",
        "cmyk.jpg",
        "1 image: 1 ...",
        0,
        lambda here: Image.fromarray(grey(0)).convert("CMYK").save(here / "cmyk.jpg"),
    ),
    predict(
        "palette with a transparent colour",
        "palette.png",
        "1 image: 1 ...",
        0,
        lambda here: (
            Image.fromarray(grey(0)).convert("P").save(here / "palette.png", transparency=3)
        ),
    ),
    predict(
        "photograph that its EXIF data turn",
        "turned.jpg",
        "1 image: 1 ...",
        0,
        turned,
        after=size_is(48, 64),
    ),
    predict(
        "1 x 1 image",
        "one.png",
        "1 image: 1 anomalous",
        0,
        lambda here: Image.new("RGB", (1, 1), "red").save(here / "one.png"),
        after=size_is(1, 1),
    ),
    predict("TIFF of floats from 0 to 1", "float.tif", "1 image: 1 ...", 0, floats(0.5)),
    predict(
        "NaN in a TIFF of floats",
        "float.tif",
        "failed: float.tif can't be read as an image: ...; save it with 8 or 16 bits",
        3,
        floats(float("nan")),
        after=failed(1),
    ),
    predict(
        "infinity in a TIFF of floats",
        "float.tif",
        "failed: float.tif can't be read as an image: ...; save it with 8 or 16 bits",
        3,
        floats(float("inf")),
        after=failed(1),
    ),
    fit(
        "truncated image among those to learn from",
        "",
        "anomalist: error: parts/good/9.png can't be read as an image: image file is truncated",
        1,
        both(parts, torn("parts/good/9.png")),
    ),
    fit(
        "empty file among those to learn from",
        "",
        "anomalist: error: parts/good/9.png is empty: replace or remove it (or leave them out with"
        " --exclude)",
        1,
        both(parts, content("parts/good/9.png", b"")),
    ),
    fit(
        "truncated image among those to test on",
        "",
        "anomalist: error: parts/scratch/9.png can't be read as an image: image file is truncated;"
        " the model is in new.anomalist, but wasn't measured",
        1,
        both(parts, torn("parts/scratch/9.png")),
        leaves=("new.anomalist", "new_least_normal.png"),
    ),
    evaluate(
        "truncated image",
        "anomalist: error: parts/scratch/9.png can't be read as an image: image file is truncated",
        1,
        both(parts, torn("parts/scratch/9.png")),
    ),
    benchmark(
        "truncated image",
        "",
        "anomalist: error: parts/scratch/9.png can't be read as an image: image file is truncated",
        1,
        both(parts, torn("parts/scratch/9.png")),
    ),
    Case(
        "truncated image",
        "export model.anomalist --out new.onnx --data parts",
        "anomalist: error: parts/good/9.png can't be read as an image: image file is truncated",
        1,
        both(parts, torn("parts/good/9.png")),
    ),
    Case(
        "truncated image",
        "synthesize parts --out sheet.png",
        "anomalist: error: parts/a.png can't be read as an image: image file is truncated",
        1,
        torn("parts/a.png"),
    ),
]

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
        "a device that a pattern means",
        "'odd/*.png'",
        f"failed: odd/b.png can't be read as an image: {ODD}",
        3,
        odd_file("device"),
        after=failed(1),
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

MASKS = [
    evaluate(
        "no masks",
        "Note: no pixel metrics: they take a mask of every defect",
        0,
        parts,
        after=written("out/metrics.json"),
    ),
    evaluate(
        "a mask of one defect is missing",
        "Note: no pixel metrics: they take a mask of every defect",
        0,
        lambda here: masks(here, "0_mask.png"),
    ),
    *(
        case(
            what,
            *more,
            f"anomalist: error: {answer}",
            1,
            make,
        )
        for what, answer, make in (
            (
                "a mask of another size than its image",
                "the mask parts/ground_truth/scratch/0.png is 32 x 32 pixels, but its image"
                " parts/scratch/0.png is 64 x 64...",
                lambda here: masks(here, "0.png", "1.png", size=32),
            ),
            (
                "a mask saved as JPEG",
                "parts/ground_truth/scratch/0.jpg is a mask saved as JPEG, whose compression smears"
                " its edges: save it as PNG...",
                lambda here: masks(here, "0.jpg", "1.png"),
            ),
            (
                "two masks of one image",
                "parts/scratch/0.png has two masks, parts/ground_truth/scratch/0_mask.png and"
                " parts/ground_truth/scratch/0.png: rename or remove one",
                lambda here: masks(here, "0.png", "0_mask.png", "1.png"),
            ),
            (
                "a mask of two images",
                "the mask parts/ground_truth/scratch/0.png fits both parts/scratch/0.jpg and"
                " parts/scratch/0.png: rename one of them",
                lambda here: (masks(here, "0.png"), photograph(here, "parts/scratch/0.jpg")),
            ),
            (
                "a mask without an image beside an image without a mask",
                "the mask parts/ground_truth/scratch/7.png belongs to no image, while"
                " parts/scratch/1.png has no mask: rename it as the image it belongs to"
                " (parts/ground_truth/scratch/1_mask.png, for one), or remove it",
                lambda here: masks(here, "0.png", "7.png"),
            ),
            (
                "a mask that is no image",
                f"parts/ground_truth/scratch/1.png isn't an image that can be read {KINDS}: replace"
                " or remove it...",
                lambda here: (
                    masks(here, "0.png"),
                    content("parts/ground_truth/scratch/1.png", "x")(here),
                ),
            ),
        )
        for case, *more in ((fit, ""), (evaluate,))
    ),
    evaluate(
        "an all-black mask of a defect",
        "Note: 1 anomalous image has an empty mask (all black, or the defect is too small for the"
        " map's resolution): no region, all pixels normal",
        0,
        lambda here: (
            masks(here, "0.png", "1.png"),
            Image.new("L", (64, 64)).save(here / "parts/ground_truth/scratch/1.png"),
        ),
    ),
    predict(
        "photographs beside a folder of masks, which is left out",
        "parts",
        "6 images: 2 anomalous, 4 normal",
        0,
        lambda here: masks(here, "0.png", "1.png"),
    ),
    predict(
        "nothing but masks",
        "parts",
        "anomalist: error: parts holds nothing but masks, in a folder called ground_truth or masks",
        1,
        lambda here: (masks(here, "0.png"), moved_away(here)),
    ),
    fit(
        "nothing but masks",
        "",
        f"anomalist: error: parts has no good images; it has nothing but masks, in ground_truth."
        f"{NO_GOOD}",
        1,
        lambda here: (masks(here, "0.png"), moved_away(here)),
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
        " path, or its path below that folder",
        1,
    ),
    fit(
        "folders of which none is called good",
        "",
        "no folder in parts is called good: all images in dent, rust are taken for good ones",
        0,
        lambda here: moved(here, "parts/dent", "parts/rust"),
    ),
    evaluate(
        "folders of which none is called good",
        f"anomalist: error: parts has no good images; it has dent, rust.{NO_GOOD}",
        1,
        lambda here: moved(here, "parts/dent", "parts/rust"),
    ),
    fit(
        "loose photographs beside a folder of defects",
        "",
        "anomalist: error: in parts, 4 images, such as 0.png, lie beside folders of images"
        " (scratch), so it isn't clear what they show: move good ones into parts/good, and"
        " others into the folder of their kind of defect. (Nor is it ...",
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

OUTPUTS = [
    Case(
        "an output folder that is a file",
        "predict model.anomalist photos --out taken",
        "anomalist: error: taken/predictions.csv: Not a directory",
        1,
        content("taken", "kept"),
    ),
    Case(
        "an output folder below a file",
        "evaluate model.anomalist photos --out taken/out",
        "anomalist: error: taken/out/metrics.json: Not a directory",
        1,
        content("taken", "kept"),
    ),
    benchmark(
        "an output folder that is a file",
        "--out taken",
        "anomalist: error: taken/results.csv: Not a directory",
        1,
        both(parts, content("taken", "kept")),
    ),
    fit(
        "an output below a file",
        "--out taken/new.anomalist",
        "anomalist: error: taken/new_least_normal.png: Not a directory",
        1,
        both(parts, content("taken", "kept")),
    ),
    fit(
        "an output that is a folder",
        "--out photos",
        "anomalist: error: photos is a folder: name the file to write, such as part.anomalist",
        1,
    ),
    fit(
        "an output in the folder of images",
        "--out parts/new.anomalist",
        "anomalist: error: parts/new.anomalist lies in the folder of images parts, where"
        " pictures that are written would be taken for parts: choose another place",
        1,
    ),
    benchmark(
        "an output in the folder of images",
        "--out parts/results",
        "anomalist: error: parts/results lies in the folder of images parts, where pictures"
        " that are written would be taken for parts: choose another place",
        1,
    ),
    Case(
        "an output in the folder of images",
        "synthesize photos --out photos/sheet.png",
        "anomalist: error: photos/sheet.png lies in the folder of images photos, where pictures"
        " that are written would be taken for parts: choose another place",
        1,
    ),
    Case(
        "an output in the folder of photographs, whose pictures aren't taken for photographs later",
        "predict model.anomalist photos --out photos",
        "2 images: 1 anomalous, 1 normal",
        0,
    ),
    fit(
        "an output in a folder that isn't there: it is made",
        "--out new/new.anomalist",
        "model: new/new.anomalist (... MB)",
        0,
        lambda here: parts(here, 2, 0),
    ),
    Case(
        "an output below a file",
        "export model.anomalist --out taken/new.onnx",
        "anomalist: error: taken/new.onnx: Not a directory",
        1,
        content("taken", "kept"),
    ),
    Case(
        "an output below a file",
        "synthesize photos --out taken/sheet.png",
        "anomalist: error: taken/sheet.png: Not a directory",
        1,
        content("taken", "kept"),
    ),
    predict(
        "a full disk (here: files of 0 bytes at most)",
        "photos",
        "anomalist: error: out/...: File too large",
        1,
        fsize=0,
        leaves=("out", "out/*"),
    ),
    Case(
        "a disk that fills up: whole lines stay, and the same command goes on",
        FILLING,
        "anomalist: error: out/predictions.jsonl: File too large",
        1,
        many,
        fsize=1500,
        leaves=("out", "out/*"),
        after=whole_lines,
    ),
    fit(
        "a full disk: the model that was there stays",
        "",
        "anomalist: error: new.anomalist: ...File too large...",
        1,
        lambda here: (parts(here, 2, 0), content("new.anomalist", "kept")(here)),
        fsize=20_000,
    ),
    evaluate(
        "a full disk",
        "anomalist: error: out/metrics.json: File too large",
        1,
        parts,
        fsize=10,
        leaves=("out",),
    ),
    Case(
        "a full disk",
        "synthesize photos --out sheet.png",
        "anomalist: error: sheet.png: File too large",
        1,
        fsize=1000,
    ),
    Case(
        "a full disk",
        "export model.anomalist --out new.onnx",
        "anomalist: error: new.onnx: File too large",
        1,
        fsize=100_000,
    ),
    Case(
        "no place for scratch files",
        "fit spade --data parts --out new.anomalist",
        "anomalist: error: ...taken/...: Not a directory",
        1,
        both(parts, content("taken", "kept")),
        temporary="taken",
    ),
    Case(
        "no place for scratch files, where none are needed",
        "predict ./model.anomalist photos --out out",
        "2 images: 1 anomalous, 1 normal",
        0,
        content("taken", "kept"),
        temporary="taken",
    ),
]


VALUES = [
    *(
        Case(
            f"a false-alarm rate of {value}",
            f"{command} --alpha {value}",
            f"anomalist: error: {answer.format(command.split()[0])}",
            code,
            parts,
        )
        for command in (
            "fit patchcore --data parts --out new.anomalist",
            "predict model.anomalist photos --out out",
            "evaluate model.anomalist parts --out out",
            "export model.anomalist --out new.onnx",
            "benchmark parts --out results",
        )
        for value, answer, code in (
            ("0", "alpha must be between 0 and 1, not 0.0", 1),
            ("1", "alpha must be between 0 and 1, not 1.0", 1),
            ("nan", "--alpha: expected a number. Got value: nan (anomalist {} --help)", 2),
            ("text", "--alpha: expected a number. Got value: text (anomalist {} --help)", 2),
        )
    ),
    fit(
        "a false-alarm rate that far more images would have to calibrate",
        "--alpha 0.000001",
        "no threshold: for a false-alarm rate of 0...%, 999999 good images must calibrate, there"
        " are 2; 999997 more are needed",
        0,
        lambda here: parts(here, 2, 0),
    ),
    predict(
        "a threshold that is no number",
        "photos --threshold nan",
        "anomalist: error: --threshold: expected a number. Got value: nan"
        " (anomalist predict --help)",
        2,
    ),
    predict(
        "an infinite threshold",
        "photos --threshold inf",
        "anomalist: error: --threshold: expected a number. Got value: inf"
        " (anomalist predict --help)",
        2,
    ),
    predict(
        "watching every -1 seconds",
        "photos --watch -1",
        "anomalist: error: watch must be a number of seconds above 0, not -1.0",
        1,
    ),
    *(
        fit(what, flags, f"anomalist: error: {answer}", code)
        for what, flags, answer, code in (
            (
                "a negative size",
                "--image_size -5",
                "image_size must be a positive whole number of pixels, not -5",
                1,
            ),
            (
                "an image size of 1",
                "--image_size 1",
                "sigma must not be negative, nor above the image's side, not 4.0",
                1,
            ),
            (
                "an absurd image size",
                "--image_size 100000",
                "image_size 100000 makes more than 100000000 pixels: lower it",
                1,
            ),
            (
                "a crop larger than the image",
                "--crop_size 500",
                "crop_size 500 is larger than image_size 64",
                1,
            ),
            ("a batch of no image", "--batch_size 0", "batch_size must be at least 1, not 0", 1),
            ("a negative seed", "--seed -1", "seed must not be negative, not -1", 1),
            (
                "a value out of its range",
                "--patchcore.coreset_ratio 2",
                "coreset_ratio must be above 0 and at most 1, not 2.0",
                1,
            ),
            (
                "a value of another type",
                "--patchcore.coreset_ratio x",
                "--patchcore.coreset_ratio: expected a number. Got value: x (anomalist fit --help)",
                2,
            ),
            (
                "an unknown flag",
                "--patchcore.nothing 1",
                "unrecognized arguments: --patchcore.nothing 1 (anomalist fit --help)",
                2,
            ),
            (
                "a layer that the backbone lacks",
                "--layers layer9",
                "efficientnet_lite0 has no layer 'layer9'; it has stride2, ...",
                1,
            ),
            (
                "an unknown backbone",
                "--backbone resnet19",
                "unknown backbone 'resnet19'; did you mean resnet18, ...?",
                1,
            ),
            (
                "a backbone that isn't installed, without a network",
                "--backbone resnet18",
                "the weights of resnet18 (timm/resnet18.tv_in1k on the Hugging Face hub) are"
                " neither cached nor reachable (...). Three ways out: connect to the network once,"
                " so that they are cached; give a local file with --weights FILE (weights=... in"
                " Python); or take --backbone efficientnet_lite0, whose weights are installed with"
                " anomalist",
                1,
            ),
            (
                "weights that aren't there",
                "--weights gone.pth",
                "no weights file at gone.pth",
                1,
            ),
            ("an unknown preset", "--preset magic", "no preset 'magic' for patchcore; ...", 1),
            (
                "a device that isn't there",
                "--device cuda:99",
                "this machine has no cuda:99 device: choose --device auto or cpu",
                1,
            ),
            (
                "a device of no kind",
                "--device abacus",
                "device must be auto, cpu, cuda or mps, not 'abacus'",
                1,
            ),
            (
                "a category of a folder that has none",
                "--category bottle",
                "parts has no category 'bottle'; it has parts...",
                1,
            ),
        )
    ),
    fit(
        "weights of another network",
        "--weights other.safetensors",
        "anomalist: error: other.safetensors doesn't fit the backbone: ...",
        1,
        both(parts, weights),
    ),
    fit(
        "a picture in place of weights",
        "--weights photos/good.png",
        "anomalist: error: photos/good.png isn't a PyTorch file of tensors alone (files that would"
        " run code are refused)",
        1,
    ),
    predict(
        "a device that isn't there",
        "photos --device cuda:99",
        "anomalist: error: this machine has no cuda:99 device: choose --device auto or cpu",
        1,
    ),
    Case(
        "an unknown command",
        "predcit model.anomalist",
        "anomalist: error: no command 'predcit'; did you mean predict? the commands are ...",
        2,
    ),
    Case(
        "an unknown detector",
        "fit patchcoer --data parts --out new.anomalist",
        "anomalist: error: no detector 'patchcoer'; did you mean patchcore? there are ...",
        1,
        parts,
    ),
    benchmark(
        "an unknown detector",
        "--detectors oracle",
        "anomalist: error: no detector 'oracle'; there are ...",
        1,
    ),
    benchmark(
        "an unknown category",
        "--categories part",
        "anomalist: error: parts has no category 'part'; did you mean parts?",
        1,
    ),
    benchmark(
        "a detector that is named twice",
        "--detectors patchcore,patchcore",
        "anomalist: error: detector patchcore is named twice: give one of them a name of its own,"
        " as in small=patchcore",
        1,
    ),
    benchmark(
        "seeds that are no numbers",
        "--seeds a",
        "anomalist: error: argument --seeds: invalid int,... value: 'a' (anomalist benchmark"
        " --help)",
        2,
    ),
    *(
        benchmark(
            what,
            "--config c.yaml",
            f"anomalist: error: {answer}",
            code,
            both(parts, content("c.yaml", text)),
        )
        for what, text, answer, code in (
            (
                "broken YAML",
                "a: [1",
                "c.yaml: Problems parsing config: ... (anomalist benchmark --help)",
                2,
            ),
            (
                "YAML with an unknown key",
                "patchcore:\n  nothing: 1\n",
                "Option 'patchcore.nothing' is not accepted (anomalist benchmark --help)",
                2,
            ),
            (
                "YAML with a value of another type",
                "image_size: abc\n",
                "--image_size: invalid literal for int() with base 10: 'abc' (anomalist benchmark"
                " --help)",
                2,
            ),
            (
                "YAML with a number in place of hyperparameters",
                "patchcore: 5\n",
                "patchcore must hold hyperparameters by name, not 5",
                1,
            ),
            (
                "YAML that would run code",
                "!!python/object/apply:os.system ['echo hi']\n",
                "c.yaml: Problems parsing config: could not determine a constructor for the tag ..."
                " (anomalist benchmark --help)",
                2,
            ),
            (
                "settings that aren't text",
                b"\xff\xfe",
                "the file of --config isn't text in UTF-8: ... (anomalist benchmark --help)",
                2,
            ),
        )
    ),
    benchmark(
        "settings that aren't there",
        "--config gone.yaml",
        "anomalist: error: --config: ... (anomalist benchmark --help)",
        2,
    ),
]


def spoilt(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        data = (here / "model.anomalist").read_bytes()
        (here / "bad.anomalist").write_bytes(change(data))

    return make


def not_finite(here: Path) -> None:
    """A model that was saved by a faulty training."""
    detector = anomalist.load(here / "model.anomalist")
    assert isinstance(detector, anomalist.PatchCore)
    detector.bank_ = detector.bank_ * float("nan")
    detector.save(here / "bad.anomalist")


def bad_models(what: str, answer: str, make: Callable[[Path], object]) -> Iterator[Case]:
    for command in (
        "info bad.anomalist",
        "predict bad.anomalist photos --out out",
        "export bad.anomalist --out new.onnx",
    ):
        yield Case(what, command, f"anomalist: error: {answer}", 1, make)


MODELS = [
    *bad_models("a model that isn't there", "no model file at bad.anomalist", folder("else")),
    *bad_models(
        "a folder in place of a model",
        "bad.anomalist is a folder: name a model file that anomalist fit wrote",
        folder("bad.anomalist"),
    ),
    *bad_models("an empty model", "bad.anomalist is ...", content("bad.anomalist", b"")),
    *bad_models("a model that is cut short", "bad.anomalist is ...", spoilt(lambda b: b[:-1000])),
    *bad_models(
        "a model of which a byte is wrong",
        "bad.anomalist is ...",
        spoilt(lambda b: b[:-1000] + bytes([b[-1000] ^ 1]) + b[-999:]),
    ),
    *bad_models(
        "a picture in place of a model",
        "bad.anomalist is ...",
        lambda here: photograph(here).rename(here / "bad.anomalist"),
    ),
    *bad_models(
        "weights of a network in place of a model",
        "bad.anomalist is a safetensors file of something else, such as the weights of a network:"
        " name a model file that anomalist fit wrote",
        lambda here: (weights(here), (here / "other.safetensors").rename(here / "bad.anomalist")),
    ),
    *bad_models(
        "a pickle in place of a model",
        "bad.anomalist is a pickle, no model file of anomalist: ...",
        content("bad.anomalist", pickle.dumps({"detector": "patchcore"})),
    ),
    Case(
        "a model whose arrays hold NaN",
        "predict bad.anomalist photos --out out",
        "anomalist: error: bad.anomalist is damaged...",
        1,
        not_finite,
    ),
]

RESULTS = [
    Case(
        "a results folder that isn't there",
        "report gone",
        "anomalist: error: gone holds no run records (looked for gone/runs/*/*.json)",
        1,
    ),
    Case(
        "a torn run record",
        "report results",
        "anomalist: error: results/runs/patchcore/dot_seed0.json isn't a run record of this"
        " version: delete it, and the run is done again",
        1,
        results,
    ),
    Case(
        "a run record with values of other types",
        "report results",
        "anomalist: error: results/runs/patchcore/dot_seed0.json isn't a run record of this"
        " version: delete it, and the run is done again",
        1,
        both(results, content("results/runs/patchcore/dot_seed0.json", '{"detector": 5}')),
    ),
]


# What happens to processes: each runs in a function below, not by its command alone.
STOPPED = Case(
    "Ctrl-C while it predicts: what is done stays, and the same command goes on",
    "predict model.anomalist many --out out",
    "anomalist: error: stopped; the same command goes on from what is finished",
    130,
)
KILLED = Case(
    "SIGKILL while it predicts: the same command goes on, and no line is torn",
    "predict model.anomalist many --out out",
    "",
    -9,
)
UNHEARD = Case("a reader that goes away", "info model.anomalist | true", "", 141)
CLOSED = Case(
    "standard input that is closed",
    "predict model.anomalist - --out out <&-",
    "anomalist: error: there is no standard input to read paths from",
    1,
)
FULL = Case(
    "standard output on a full disk",
    "info model.anomalist > /dev/full",
    "anomalist: error: No space left on device",
    1,
)
VANISHED = Case(
    "a photograph that vanishes between listing and reading",
    "predict model.anomalist photos --out out",
    "failed: there is no file photos/good.png",
    3,
)
PROCESSES = [STOPPED, KILLED, UNHEARD, CLOSED, FULL, VANISHED]

CASES = [*IMAGES, *SPECIAL, *MASKS, *FOLDERS, *NAMES, *OUTPUTS, *VALUES, *MODELS, *RESULTS]


def table() -> str:
    head = [" | ".join(HEADER), " | ".join("---" for _ in HEADER)]
    return "\n".join(f"| {row} |" for row in [*head, *(c.row() for c in [*CASES, *PROCESSES])])


def test_the_page_holds_every_case_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = "\n".join(line for line in text.splitlines() if line.startswith("| "))
    assert rows == table(), "python -m tests.test_bad_input writes the table again"


# What runs them.


@pytest.fixture(scope="module")
def model(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "model.anomalist"
    good = str(parts(out.parent, 6, 0))
    arguments = ["--data", good, "--out", str(out), *FAST["fit"], "--alpha", "0.2"]
    assert main(["fit", "patchcore", *arguments]) == 0
    return out


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model and two photographs, in which commands run."""
    shutil.copy(model, tmp_path / "model.anomalist")
    for i, name in enumerate(("good", "scratch")):
        photograph(tmp_path, f"photos/{name}.png")
        pixels = grey(0)
        pixels[20:36, 20:36] += 90 * i
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    monkeypatch.chdir(tmp_path)

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    # No network, whatever the machine has, and nothing that an earlier one gave.
    monkeypatch.setattr(socket, "create_connection", unknown)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    return tmp_path


@pytest.fixture(autouse=True)
def _opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The good model is the same in all cases: read it once."""
    real = anomalist.inspection.open_model

    def opened(path: str, *, device: str | None = None) -> Any:
        if path != "model.anomalist" or device is not None:
            return real(path, device=device)
        return _kept(Path(path).read_bytes(), real)

    monkeypatch.setattr("anomalist.inspection.open_model", opened)


@functools.lru_cache(maxsize=1)
def _kept(_: bytes, real: Callable[..., Any]) -> Any:
    return real("model.anomalist")


def arguments_of(case: Case) -> list[str]:
    command, *more = shlex.split(case.command)
    return [
        command,
        *(more[:1] if command == "fit" else []),
        *FAST.get(command, []),
        *(more[1:] if command == "fit" else more),
    ]


def printed(answer: str, output: str) -> bool:
    """Whether the answer is a line of what was printed."""
    pattern = re.escape(answer).replace(re.escape("..."), ".*")
    return any(re.fullmatch(pattern, line.strip()) for line in output.splitlines())


def state(here: Path) -> dict[str, tuple[int, bytes]]:
    """All files and folders, with times and content."""
    return {
        path.relative_to(here).as_posix(): (
            path.lstat().st_mtime_ns if path.is_file() else 0,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in here.rglob("*")
    }


@contextmanager
def limits(case: Case) -> Iterator[None]:
    """What the machine lacks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if case.fsize is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (case.fsize, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=f"{c.command.split()[0]}: {c.what}") for c in CASES]
)
def test_it_has_its_answer(
    case: Case, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if case.make is not None:
        case.make(here)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(case.stdin)))
    if case.temporary is not None:
        monkeypatch.setattr(tempfile, "tempdir", case.temporary)
    before = state(here)
    with limits(case):
        code = main(arguments_of(case))
    monkeypatch.setattr(tempfile, "tempdir", None)
    out, err = capsys.readouterr()
    assert printed(case.answer, out + err), out + err
    assert code == case.code, out + err
    told(code, err)
    left = state(here)
    if code in (1, 2):
        new = {name for name in left if name not in before}
        assert not {n for n in new if not any(fnmatch(n, kept) for kept in case.leaves)}
    if code != 0:
        assert {name: left.get(name) for name in before} == before
    assert not [name for name in left if ".partial-" in name]
    if case.after is not None:
        case.after(here)


def told(code: int, err: str) -> None:
    """One line of the failure, and nothing of how the program is made."""
    assert "Traceback" not in err
    assert "a bug" not in err
    errors = [line for line in err.splitlines() if line.startswith("anomalist: error: ")]
    assert len(errors) == (code in (1, 2, 130))
    assert err.splitlines()[-1:] == errors or not errors


COMMAND = Path(sys.executable).with_name("anomalist")


# So many that they take seconds on any machine.
MANY = 600


def test_what_is_stopped_or_killed_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "many").mkdir()
    for i in range(MANY):
        os.link(here / "photos" / "good.png", here / "many" / f"{i:03}.png")
    done = 0
    for case, sent in ((STOPPED, signal.SIGINT), (KILLED, signal.SIGKILL)):
        command = [COMMAND, *shlex.split(case.command)[0:]]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            while count(here) < done + 5:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(sent)
            _, err = process.communicate()
        assert process.returncode == case.code
        assert printed(case.answer, err) or not case.answer
        told(case.code, err)
        assert (here / "out" / "predictions.unfinished").is_file()
        done = count(here)
        assert done < MANY
    before = lines_of(here / "out" / "predictions.jsonl")[:done]
    assert main(shlex.split(KILLED.command)) == 0
    assert f"{MANY} images ({done} of them before)" in capsys.readouterr().out
    assert [entry["path"] for entry in lines(here)] == [f"many/{i:03}.png" for i in range(MANY)]
    assert lines_of(here / "out" / "predictions.jsonl")[:done] == before
    heatmaps(here)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")


def count(here: Path) -> int:
    """How many whole lines there are."""
    path = here / "out" / "predictions.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_reader_that_goes_away_is_no_failure(here: Path) -> None:
    command = [COMMAND, *shlex.split(UNHEARD.command.split("|")[0])]
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (UNHEARD.code, b"")


def test_standard_input_that_is_closed(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    before = state(here)
    assert main(shlex.split(CLOSED.command.removesuffix(" <&-"))) == CLOSED.code
    err = capsys.readouterr().err
    assert printed(CLOSED.answer, err)
    told(CLOSED.code, err)
    assert state(here) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_standard_output_on_a_full_disk(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(shlex.split(FULL.command)[:2]) == FULL.code
        monkeypatch.undo()
    err = capsys.readouterr().err
    assert printed(FULL.answer, err)
    told(FULL.code, err)


def test_a_photograph_that_vanishes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = anomalist.inspection.open_model

    def vanish(*arguments: Any, **more: Any) -> Any:
        (here / "photos" / "good.png").unlink()
        return opened(*arguments, **more)

    monkeypatch.setattr("anomalist.inspection.open_model", vanish)
    assert main(shlex.split(VANISHED.command)) == VANISHED.code
    assert printed(VANISHED.answer, capsys.readouterr().err)
    failed(1)(here)


def write_page() -> None:
    """Write the table of the page again."""
    text = PAGE.read_text(encoding="utf-8").splitlines()
    rows = [i for i, line in enumerate(text) if line.startswith("| ")]
    text[rows[0] : rows[-1] + 1] = table().splitlines()
    PAGE.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_page()
