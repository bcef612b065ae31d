from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalist.data import ImageSet, Sample, Transform, as_image_set, read_image, source
from anomalist.data.loader import load_chunks
from anomalist.drawing import overlay
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions
from anomalist.report import (
    PictureWriter,
    contact_sheet,
    heatmap_sheet,
    pictures,
    preview_name,
    write_heatmaps,
)
from tests.drawing.eyes import SCALE


def photographs(folder: Path, names: list[str], size: tuple[int, int] = (60, 40)) -> list[Path]:
    paths = [folder / name for name in names]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10 * i, 50, 90)).save(path)
    return paths


def test_heatmaps_have_the_names_and_the_proportions_of_their_photographs(tmp_path: Path) -> None:
    names = ["good/000.png", "crack/000.png", "crack/b.c.jpg"]
    paths = photographs(tmp_path / "test", names, (180, 120))
    maps = np.random.default_rng(0).random((3, 16, 16))
    masks = np.zeros((3, 16, 16), bool)
    masks[1, 4:9, 4:9] = True
    predictions = Predictions(paths, np.zeros(3), maps, masks=masks)
    out, transform = tmp_path / "out", Transform(16)
    scale = {"low": 0.0, "high": 0.4, "threshold": 0.5}
    written = write_heatmaps(predictions, out, transform=transform, **scale)
    names = ["good/000.png", "crack/000.png", "crack/b.c.png"]
    assert written == [out / name for name in names]
    assert sorted(p for p in out.rglob("*") if p.is_file()) == sorted(written)
    for i, path in enumerate(written):
        expected = overlay(
            np.asarray(read_image(paths[i])),
            transform.on_original(maps[i], (120, 180)),
            **scale,
            truth=transform.on_original(masks[i].astype(float), (120, 180)) > 0.5,
        )
        assert np.array_equal(np.asarray(read_image(path)), expected)
    more = {"transform": transform, **scale, "side": 60}
    (small,) = write_heatmaps(predictions[1], tmp_path / "small", **more)
    assert read_image(small).size == (60, 40)
    (jpeg,) = write_heatmaps(predictions[2], tmp_path / "jpeg", **more, format="jpg")
    assert jpeg == tmp_path / "jpeg/crack/b.c.jpg"
    like = np.asarray(read_image(jpeg)).astype(int)
    (png,) = write_heatmaps(predictions[2], tmp_path / "jpeg", **more)
    assert np.abs(like - np.asarray(read_image(png))).mean() < 6
    with Image.open(jpeg) as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 8}, "heatmap_size must be from 16 to 100,000 pixels, not 8"),
        ({"format": "bmp"}, "heatmap_format must be png or jpg, not 'bmp'"),
        ({"low": 9.0}, "high not below low"),
    ],
)
def test_senseless_heatmaps_are_refused_before_any_is_written(
    changes: Any, message: str, tmp_path: Path
) -> None:
    predictions = Predictions(photographs(tmp_path, ["a.png"]), np.zeros(1), np.zeros((1, 4, 4)))
    with pytest.raises(ParameterError, match=message):
        write_heatmaps(
            predictions, tmp_path / "out", transform=Transform(4), **{**SCALE, **changes}
        )
    assert not (tmp_path / "out").exists()


def test_a_photograph_is_read_once_for_scoring_heatmap_and_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = photographs(tmp_path, ["a.png"], (2000, 1500))
    decoded: list[Any] = []
    real = source.develop_file

    def counted(*arguments: Any, **keywords: Any) -> Any:
        decoded.append(arguments)
        return real(*arguments, **keywords)

    monkeypatch.setattr(source, "develop_file", counted)
    transform, sample = Transform(16), Sample(path, image=path.read_bytes())
    writer = PictureWriter(
        tmp_path / "out", transform=transform, side=400, previews=tmp_path / "previews"
    )
    writer.keep_view(sample)
    (chunk,) = load_chunks(ImageSet([sample]), transform, 1)
    assert chunk.pixels().shape == (1, 16, 16, 3)
    heatmap = writer.write(sample, np.zeros((16, 16)), **SCALE)
    writer.preview(sample)
    assert read_image(heatmap).size == (400, 300)
    preview = tmp_path / "previews" / preview_name(sample.sha256())
    assert read_image(preview).size == (320, 240)
    before = preview.stat().st_mtime_ns
    writer.preview(sample)
    assert preview.stat().st_mtime_ns == before
    assert len(decoded) == 1
    sample.drop_view()
    writer.write(sample, np.zeros((16, 16)), **SCALE)
    assert len(decoded) == 2


def test_heatmaps_show_where_the_crop_was(tmp_path: Path) -> None:
    (path,) = photographs(tmp_path, ["a.png"], (200, 200))
    predictions = Predictions([path], np.zeros(1), np.full((1, 24, 24), 9.0))
    transform = Transform(32, crop_size=24)
    (written,) = write_heatmaps(predictions, tmp_path / "out", transform=transform, **SCALE)
    before, after = (np.asarray(read_image(p)).astype(int) for p in (path, written))
    assert transform.region((200, 200)) == (25, 25, 175, 175)
    changed = np.argwhere((before != after).any(axis=2))
    # Two pixels of border lie around what was seen.
    assert changed.min(axis=0).tolist() == [23, 23]
    assert changed.max(axis=0).tolist() == [176, 176]


def test_raw_maps_stand_beside_the_pictures(tmp_path: Path) -> None:
    paths = photographs(tmp_path, ["x/a.b.png", "x/c.png"])
    maps = np.random.default_rng(0).normal(size=(2, 8, 8))
    predictions = Predictions(paths, np.zeros(2), maps)
    out = tmp_path / "out"
    written = write_heatmaps(predictions, out, transform=Transform(8), **SCALE, arrays=True)
    for path, values in zip(written, maps, strict=True):
        stored = np.load(path.with_suffix(".npy"))
        assert stored.dtype == np.float32
        assert np.array_equal(stored, values.astype(np.float32))
    assert sorted(p.name for p in (out / "x").iterdir()) == ["a.b.npy", "a.b.png", "c.npy", "c.png"]


def test_no_two_heatmaps_share_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a/x/1.png", "b/x/1.png", "a/x/1.jpg", "a/x/1_2.png", "a/X/1.bmp"]
    paths: list[str | Path] = [*photographs(tmp_path, names)]
    (tmp_path / "a" / "x" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "x" / "deep")
    paths.append("../1.png")
    predictions = Predictions(paths, np.zeros(6), np.zeros((6, 4, 4)))
    out = tmp_path / "out"
    written = write_heatmaps(predictions, out, transform=Transform(4), **SCALE)
    assert [p.relative_to(out).as_posix() for p in written] == [
        "x/1.png",
        "x/1_2.png",
        "x/1_3.png",
        "x/1_2_2.png",
        "X/1_4.png",
        "x/1_5.png",
    ]


def test_a_photograph_that_is_gone_is_named_and_leaves_no_part(tmp_path: Path) -> None:
    paths = photographs(tmp_path, ["p/a.png", "p/b.png"])
    paths[1].unlink()
    predictions = Predictions(paths, np.zeros(2), np.zeros((2, 4, 4)))
    with pytest.raises(DataError, match=r"no file .*b\.png"):
        write_heatmaps(predictions, tmp_path / "out", transform=Transform(4), **SCALE)
    assert [p.name for p in (tmp_path / "out" / "p").iterdir()] == ["a.png"]


def test_names_as_long_as_they_may_be_stay_apart() -> None:
    taken: set[str] = set()
    stem = "\u00e9" * 125 + "x"
    names = [
        pictures.free_name(Sample(f"/p/{stem}{suffix}"), taken)
        for suffix in (".png", ".jpg", ".bmp")
    ]
    assert len(set(names)) == 3
    assert all(len(f"{Path(name).name}.png".encode()) <= 255 for name in names)


def test_images_in_memory_are_drawn_and_named(tmp_path: Path) -> None:
    arrays = [np.full((12, 20), grey, np.uint8) for grey in (50, 90)]
    named = [Sample("../a.png", image=arrays[0]), Sample("frame.17", image=arrays[1])]
    for images, names in (
        (as_image_set(arrays), ["image-0.png", "image-1.png"]),
        (as_image_set(named), ["a.png", "frame.17.png"]),
    ):
        predictions = Predictions(
            images.paths,
            np.array([0.0, 1.0]),
            np.zeros((2, 4, 4)),
            defects=["good", "cut"],
            images=images,
        )
        scale = {"transform": Transform(4), "low": 0.0, "high": 1.0}
        written = write_heatmaps(predictions, tmp_path / "out", **scale, arrays=True)
        assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == names
        drawn = [np.asarray(Image.open(path)) for path in written]
        assert [(p.shape, int(p[0, 0, 0])) for p in drawn] == [
            ((84, 140, 3), 50),  # tiny ones are enlarged by a whole number
            ((84, 140, 3), 90),
        ]
        contact_sheet(predictions, **scale)
        heatmap_sheet(predictions, Transform(4))
