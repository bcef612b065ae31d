from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist import CFA, PatchCore, load
from anomalist.cli.main import main
from anomalist.errors import DataError, ParameterError
from anomalist.inspection import add_parts, fit_parts, open_parts

SIZE = 32


def write(folder: Path, n: int, seed: int, light: float = 1.0) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(n):
        image = (rng.normal(110, 8, (SIZE, SIZE, 3)) + rng.normal(0, 3)) * light
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03}.png")
    return folder


def small() -> PatchCore:
    return PatchCore(image_size=SIZE, device="cpu", coreset_ratio=0.2)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("old") / "parts", 30, 0)


def test_added_images_are_learnt_and_give_the_threshold(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new", 22, 1, light=1.2)
    parts = add_parts(open_parts(old), open_parts(new))
    assert (len(parts.train), parts.added) == (52, 22)
    assert "52 good images to learn from, 22 of them added" in parts.describe()
    result = fit_parts(small(), parts, tmp_path / "both.anomalist")
    assert result.rule.images == 22
    assert "from the held-out scores of 22 images added" in result.notes[0]
    saved = load(result.path)
    assert saved.calibration_ is not None
    assert saved.calibration_.method.endswith("of those added")
    assert saved.reference_ is not None
    assert len(saved.reference_.rows) == 22
    assert len(saved.images_) == 52
    others = write(tmp_path / "others", 40, 2, light=1.2)
    alarms = saved.predict(open_parts(others).train).scores > result.rule.threshold
    assert alarms.mean() <= 0.2


def test_too_few_added_images_leave_the_threshold_to_all(old: Path, tmp_path: Path) -> None:
    parts = add_parts(open_parts(old), open_parts(write(tmp_path / "new", 5, 3)))
    result = fit_parts(small(), parts, tmp_path / "both.anomalist")
    assert result.rule.images == 35
    assert result.notes[0].startswith(
        "of the images added 5 calibrate, and a threshold of their own takes 19"
    )


def test_images_that_are_there_are_not_added_again(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new", 4, 4)
    (new / "again.png").write_bytes((old / "000.png").read_bytes())
    parts = add_parts(open_parts(old), open_parts(new))
    assert parts.added == 4
    assert any(note.startswith("not added: 1 image of") for note in parts.notes)
    with pytest.raises(DataError, match="no good image to add"):
        add_parts(open_parts(old), open_parts(old))
    with pytest.raises(ParameterError, match="lies in the folder of images"):
        fit_parts(small(), parts, new / "x.anomalist")


def test_from_the_command_line(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(tmp_path / "new", 20, 5, light=1.1)
    out = tmp_path / "both.anomalist"
    asked = ["fit", "patchcore", "--data", str(old), "--add", str(new), "--out", str(out)]
    fast = ["--image_size", str(SIZE), "--device", "cpu"]
    assert main([*asked, *fast]) == 0
    printed = capsys.readouterr()
    assert "50 good images to learn from, 20 of them added" in printed.err
    assert "from 20 good images, expect" in printed.out
    assert main([*asked[:4], "--add", str(tmp_path / "none"), *asked[6:], *fast]) == 1
    assert "none" in capsys.readouterr().err


def test_chosen_images_are_learnt_and_the_others_give_the_threshold(
    old: Path, tmp_path: Path
) -> None:
    new = write(tmp_path / "new", 22, 1, light=1.2)
    parts = add_parts(open_parts(old), open_parts(new))
    result = fit_parts(small(), parts, tmp_path / "both.anomalist", calibrate_on="others")
    assert result.rule.images == 30
    assert "30 images that weren't added" in result.notes[0]
    assert result.held_out is not None
    assert len(result.held_out) == 52
    saved = load(result.path)
    assert saved.calibration_ is not None
    assert saved.calibration_.scores.tolist() == result.held_out.scores[:30].tolist()
    everything = fit_parts(small(), parts, tmp_path / "all.anomalist", calibrate_on="all")
    assert everything.rule.images == 52
    # Chosen ones that are odd would have raised it, or left it where it is.
    assert everything.rule.threshold >= result.rule.threshold


def test_none_of_the_chosen_images_is_held_out_of_a_training(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new", 4, 1, light=1.2)
    parts = add_parts(open_parts(old), open_parts(new))
    cfa = CFA(image_size=SIZE, device="cpu", epochs=1)
    result = fit_parts(
        cfa, parts, tmp_path / "m.anomalist", groups="none", split=0.7, calibrate_on="others"
    )
    alone = CFA(image_size=SIZE, device="cpu", epochs=1)
    alone.calibrate(open_parts(old).train, split=0.7)
    assert len(result.detector.images_) == 9 + 4
    assert result.rule.images == 21
    learnt = {digest.tobytes() for digest in result.detector.images_}
    assert {digest.tobytes() for digest in alone.images_} <= learnt
    assert {digest.tobytes() for digest in open_parts(new).train.digests()} <= learnt
