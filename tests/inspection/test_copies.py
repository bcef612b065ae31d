from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist import PatchCore, load
from anomalist.cli.main import main
from anomalist.inspection import copies as near
from anomalist.inspection import evaluate_model, fit_parts, open_parts

FAST = {"image_size": 64, "layers": ("stride4",), "device": "cpu"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty-two parts to learn from, and new ones of which one was learnt from."""
    rng = np.random.default_rng(0)
    for i in range(26):
        blocks = rng.normal(110, 20, (16, 16, 1)).repeat(8, axis=0).repeat(8, axis=1)
        pixels = (blocks + rng.normal(0, 3, (128, 128, 3))).clip(0, 255).astype(np.uint8)
        path = tmp_path / (f"good/{i:02}.png" if i < 22 else f"new/good/{i:02}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        if i == 8:
            (tmp_path / "new/odd").mkdir(parents=True)
            Image.fromarray(pixels).resize((100, 100)).save(tmp_path / "new/odd/again.jpg")
    return tmp_path


def test_evaluate_tells_and_shows_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = root / "part.anomalist"
    fit_parts(PatchCore(**FAST), open_parts(root / "good"), model)  # type: ignore[arg-type]
    out = root / "out"
    assert main(["evaluate", str(model), str(root / "new"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Note: 1 of 5 images to test on is a near copy of one learnt from, such as" in printed
    assert str(out / "near_copies.png") in printed
    (copy,) = json.loads((out / "metrics.json").read_text())["near_copies"]
    assert (Path(copy["path"]).name, copy["mirrored"]) == ("again.jpg", False)
    assert 0.9 < copy["likeness"] <= 1.0

    (root / "new/odd/again.jpg").unlink()
    Image.effect_noise((128, 128), 60).save(root / "new/odd/noise.png")
    assert main(["evaluate", str(model), str(root / "new"), "--out", str(out)]) == 0
    assert "near copy" not in capsys.readouterr().out
    assert json.loads((out / "metrics.json").read_text())["near_copies"] == []
    assert not (out / "near_copies.png").exists()


def test_fit_tells_them_of_what_it_held_out(root: Path) -> None:
    (root / "new/odd").rename(root / "odd")
    for path in sorted((root / "new/good").iterdir()):
        path.rename(root / "good" / path.name)
    (root / "new/good").rmdir()
    (root / "new").rmdir()
    result = fit_parts(PatchCore(**FAST), open_parts(root), root.parent / "m.anomalist")  # type: ignore[arg-type]
    assert result.measured is not None
    learnt = {path.name for path in open_parts(root).train.paths}
    told = [note for note in result.measured.notes if "near copy" in note]
    assert bool(told) is ("08.png" in learnt)


def test_many_images_leave_some_of_them(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "MOST_PICTURES", 21)
    model = root / "part.anomalist"
    fit_parts(PatchCore(**FAST), open_parts(root / "good"), model)  # type: ignore[arg-type]
    detector = load(model)
    assert detector.pictures_.shape == (21, 128, 128)
    notes = evaluate_model(detector, root / "new").notes
    assert any("(looked for among 21 of the 22 images learnt from)" in note for note in notes)


def test_a_model_without_pictures(root: Path) -> None:
    detector = PatchCore(**FAST).fit(sorted((root / "good").iterdir()))  # type: ignore[arg-type]
    detector.save(root / "part.anomalist")
    measured = evaluate_model(load(root / "part.anomalist"), root / "new")
    assert measured.as_dict()["near_copies"] is None
