from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist import MVTecAD, PatchCore
from anomalist.benchmark import RunStore, benchmark
from anomalist.benchmark.leaks import leaks


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Blocks of any grey, of which a test image shows one again, brighter and as a JPEG."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)

    def draw(name: str) -> Image.Image:
        blocks = rng.normal(110, 20, (16, 16, 1)).repeat(8, axis=0).repeat(8, axis=1)
        pixels = (blocks + rng.normal(0, 3, (128, 128, 3))).clip(0, 255).astype(np.uint8)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels)
        image.save(root / name)
        return image

    learnt = [draw(f"part/train/good/{i:03}.png") for i in range(22)]
    for i in range(3):
        draw(f"part/test/good/{i:03}.png")
    again = learnt[5].point(lambda value: min(int(value * 1.1), 255))
    (root / "part/test/odd").mkdir()
    again.save(root / "part/test/odd/007.jpg")
    return root


def test_near_copies_are_told_and_shown(parts: Path, tmp_path: Path) -> None:
    detector = PatchCore(image_size=64, layers=("stride4",), device="cpu")
    out = tmp_path / "out"
    (record,) = benchmark(MVTecAD(parts), [detector], out, calibrate=False)
    (note,) = [n for n in record.notes if "near cop" in n]
    assert note.startswith("1 of 4 images to test on is a near copy of one learnt from, such as ")
    assert "odd/007.jpg of " in note
    assert "train/good/005.png (likeness 0.99): what is measured on it says little" in note
    picture = out / "pictures/part_near_copies.png"
    with Image.open(picture) as sheet:
        assert sheet.width == 386
    report = (out / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="near-copies-title">Near copies</h2>' in report
    assert '<a href="#near-copies">' in report

    (parts / "part/test/odd/007.jpg").unlink()
    Image.effect_noise((128, 128), 60).convert("RGB").save(parts / "part/test/odd/008.png")
    (record,) = benchmark(MVTecAD(parts), [detector], out, calibrate=False)
    assert not [n for n in record.notes if "near cop" in n]
    assert not picture.exists()
    assert "near-copies" not in (out / "report.html").read_text(encoding="utf-8")
    assert len(RunStore(out).records()) == 1


def test_the_same_bytes_are_told_as_such_alone(parts: Path, tmp_path: Path) -> None:
    (parts / "part/test/odd/007.jpg").unlink()
    data = (parts / "part/train/good/003.png").read_bytes()
    (parts / "part/test/odd/009.png").write_bytes(data)
    detector = PatchCore(image_size=64, layers=("stride4",), device="cpu")
    (record,) = benchmark(MVTecAD(parts), [detector], tmp_path / "out", calibrate=False)
    told = [n for n in record.notes if "byte for byte" in n or "near cop" in n]
    assert len(told) == 1
    assert "odd/009.png: what is measured on them says nothing" in told[0]


def test_copies_within_the_test_set_are_told(parts: Path, tmp_path: Path) -> None:
    test = parts / "part/test"
    (test / "odd/007.jpg").unlink()
    good = (test / "good/001.png").read_bytes()
    (test / "good/twin.png").write_bytes(good)
    (test / "odd/torn.png").write_bytes(good)
    with Image.open(test / "good/002.png") as image:
        image.resize((160, 160)).save(test / "odd/near.jpg")
    results = RunStore(tmp_path / "out")
    told = leaks(MVTecAD(parts).category("part"), results)
    assert len(told) == 3
    assert told[0].startswith("1 test image is the same as another, byte for byte, such as ")
    assert "twin.png and " in told[0]
    assert "odd/torn.png (odd) and " in told[1]
    assert "good/001.png (good): one of the two is wrong" in told[1]
    assert told[2].startswith("1 of 4 images to test on is a near copy of another, such as ")
    assert "odd/near.jpg of " in told[2]
    assert "what shows the same counts more than once" in told[2]
    assert not (tmp_path / "out/pictures").exists()
