"""What a row of the pages of bad input is, and what makes the inputs and checks the outputs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import tifffile
import torch
from PIL import Image

from anomalist.cli.main import main
from anomalist.data import IMAGE_SUFFIXES, Folder

# Small and quick; a command of a case may say otherwise, as later flags win.
FAST = {
    "fit": [
        *("--image_size", "64", "--layers", "stride4,stride8", "--device", "cpu"),
    ],
    "benchmark": [
        *("--detectors", "patchcore", "--calibrate", "false"),
        *("--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"),
    ],
    "submit": [
        *("--image_size", "64", "--layers", "stride4", "--padim.dimensions", "8"),
        *("--detectors", "padim", "--device", "cpu"),
    ],
    "stress": [
        *("--detectors", "patchcore", "--where", "test", "--draws", "1"),
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


def save_grey(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


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


def tiff(name: str, values: npt.NDArray[Any], **more: Any) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        tifffile.imwrite(here / name, values, **more)

    return make


def good_ones(of: Callable[[int], Image.Image | npt.NDArray[Any]], n: int = 4) -> Any:
    """A folder of good images, each made of its number."""

    def make(here: Path) -> None:
        (here / "parts" / "good").mkdir(parents=True)
        for i in range(n):
            made = of(i)
            image = made if isinstance(made, Image.Image) else Image.fromarray(made)
            image.save(here / "parts" / "good" / f"{i}.png")

    return make


def opaque_nowhere(seed: int) -> Image.Image:
    image = Image.fromarray(grey(seed)).convert("RGBA")
    image.putalpha(0)
    return image


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
        shutil.copy(here / "photos" / "good.png", here / "many" / f"{i:02}.png")


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


def used(*arguments: str) -> Callable[[Path], object]:
    """A folder of results of the photographs."""

    def make(here: Path) -> None:
        command = ["predict", "model.anomalist", "photos", "--out", "out"]
        assert main([*command, *arguments]) == 0

    return make


# What is checked afterwards.


def lines(here: Path) -> list[dict[str, Any]]:
    text = (here / "out" / "predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def heatmaps(here: Path) -> None:
    """Each has a picture of its own."""
    pictures = {entry["heatmap"].casefold() for entry in lines(here)}
    assert len(pictures) == len(lines(here))
    assert all((here / "out" / entry["heatmap"]).is_file() for entry in lines(here))


def has_proportions(width: int, height: int) -> Callable[[Path], None]:
    """Its heatmap has them, whatever its size."""

    def after(here: Path) -> None:
        (entry,) = lines(here)
        with Image.open(here / "out" / entry["heatmap"]) as picture:
            assert picture.width * height == picture.height * width

    return after


def same_as(name: str, pixels: npt.NDArray[np.uint8]) -> Callable[[Path], None]:
    """It scores as its 8-bit version does."""

    def after(here: Path) -> None:
        (entry,) = lines(here)
        Image.fromarray(pixels).save(here / name)
        assert main(["predict", "model.anomalist", name, "--out", "out", "--overwrite"]) == 0
        assert lines(here)[0]["score"] == pytest.approx(entry["score"], rel=1e-5)

    return after


def failed(count: int) -> Callable[[Path], None]:
    def after(here: Path) -> None:
        assert sum("error" in entry for entry in lines(here)) == count

    return after


FILLING = "predict model.anomalist many --out out --heatmaps none --no_page"


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


def stress(what: str, flags: str, answer: str, code: int, *made: Any, **more: Any) -> Case:
    command = f"stress parts --out results {flags}".strip()
    return Case(what, command, answer, code, *(made or (parts,)), **more)


def evaluate(what: str, answer: str, code: int, *made: Any, **more: Any) -> Case:
    return Case(what, "evaluate model.anomalist parts --out out", answer, code, *made, **more)


KINDS = f"({', '.join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))})"


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


def told(code: int, err: str) -> None:
    """One line of the failure, and nothing of how the program is made."""
    assert "Traceback" not in err
    assert "a bug" not in err
    errors = [line for line in err.splitlines() if line.startswith("anomalist: error: ")]
    assert len(errors) == (code in (1, 2, 130))
    assert err.splitlines()[-1:] == errors or not errors
