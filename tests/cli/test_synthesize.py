from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.cli.main import main


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright squares on dark ground, one a folder down."""
    root = tmp_path_factory.mktemp("parts")
    for i in range(3):
        pixels = np.full((80, 80, 3), 40, np.uint8)
        pixels[20 + i : 60 + i, 25:55] = 200
        path = root / ("." if i else "deeper") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


def sheet(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_sheets_of_defects_and_of_parts(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, part = tmp_path / "new" / "out.png", tmp_path / "part.png"
    sizes = ["--count", "7", "--image_size", "80"]
    assert main(["synthesize", str(parts), "--out", str(out), *sizes]) == 0
    first = out.read_bytes()
    assert sheet(out).shape == (2 * 80 + 6, 6 * 86 - 6, 3)
    both = ["--out", str(out), "--foreground_sheet", str(part)]
    assert main(["synthesize", str(parts), *both, *sizes]) == 0
    assert out.read_bytes() == first
    assert capsys.readouterr().out.split() == [str(out), str(out), str(part)]
    assert sheet(part).shape == sheet(out).shape
    line = (sheet(part)[:80, :80] == (0, 220, 255)).all(axis=2)
    columns = np.nonzero(line)[1]
    assert columns.min() == pytest.approx(24, abs=3)
    assert columns.max() == pytest.approx(55, abs=3)
    assert main(["synthesize", str(parts), "--out", str(out), "--seed", "1", *sizes]) == 0
    assert out.read_bytes() != first


def test_defects_stay_on_the_part_unless_told(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    command = ["synthesize", str(parts), "--out", str(out), "--image_size", "80", "--count", "6"]
    assert main(command) == 0
    assert (sheet(out)[:15, :80] == 40).all()
    assert main([*command, "--no_foreground"]) == 0
    assert (sheet(out)[:15] != 40).any(axis=2).sum() > 15 * 5 * 6


def test_textures_from_a_folder(parts: Path, tmp_path: Path) -> None:
    Image.new("RGB", (90, 80), (255, 0, 0)).save(tmp_path / "red.png")
    out = tmp_path / "out" / "out.png"
    command = ["synthesize", str(parts), "--out", str(out), "--image_size", "80"]
    assert main([*command, "--textures", str(tmp_path)]) == 0
    assert sheet(out).shape[0] == 4 * 86 - 6


def test_a_row_of_each_kind_by_which_detectors_are_chosen(parts: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "kinds.png", tmp_path / "again.png"
    command = ["synthesize", str(parts), "--image_size", "80", "--count", "4"]
    assert main([*command, "--kinds", "stain, missing", "--out", str(out)]) == 0
    assert main([*command, "--kinds", "stain,missing", "--out", str(again)]) == 0
    assert out.read_bytes() == again.read_bytes()
    assert sheet(out).shape == (2 * (80 + 6 + 18 + 6) - 6, 4 * 86 - 6, 3)
    assert (sheet(out) == (0, 220, 255)).all(axis=2).sum() > 8 * 10
    loose = tmp_path / "loose.png"
    assert main([*command, "--kinds", "stain", "--no_foreground", "--out", str(loose)]) == 0
    assert (sheet(loose) != sheet(out)[: 80 + 6 + 18]).any()
    assert main([*command, "--kinds", "all", "--out", str(out), "--seed", "3"]) == 0
    assert sheet(out).shape[0] == 12 * (80 + 6 + 18 + 6) - 6


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["/nowhere"], 1, "/nowhere"),
        (["{empty}"], 1, "holds no image"),
        (["{parts}", "--textures", "{empty}"], 1, "holds no image to take textures from"),
        (["{parts}", "--count", "0"], 1, "count must be at least 1"),
        (["{parts}", "--count", "x"], 2, "--count"),
        (["{parts}", "--kinds", "stain,rust"], 1, "no made defect 'rust'; there are cut_paste"),
        (["{parts}", "--kinds", "stain,"], 1, "no made defect ''; there are"),
        (["{parts}", "--kinds", "all", "--count", "0"], 1, "count must be at least 1"),
        (["{parts}", "--kinds", "all", "--textures", "{parts}"], 1, "leave either it or --kinds"),
        (["{parts}", "--seed", "-1"], 1, "seed must be 0 or more"),
        (["{parts}", "--image_size", "0"], 1, "image_size"),
        (["{parts}", "--out", "sheet.tiff"], 1, "sheet.tiff must end in"),
        (["{parts}", "--foreground_sheet", "sheet"], 1, "sheet must end in"),
    ],
)
def test_failures_are_one_clear_line(
    arguments: list[str],
    code: int,
    words: str,
    parts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["synthesize", *[a.format(parts=parts, empty=empty) for a in arguments]]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("anomalist: error: ")
    assert words in lines[-1]
    assert not list(tmp_path.glob("*.png"))
