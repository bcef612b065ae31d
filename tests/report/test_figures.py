from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from anomalist.data import MVTecAD, Sample, Transform, as_image_set, load_masks, read_image
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions
from anomalist.report import colour_map, figures, heatmap_sheet, synthesis_sheet
from anomalist.report.figures import contact_sheet, overlay, write_heatmaps

CYAN = (0, 220, 255)
SCALE: dict[str, float] = {"low": 2.0, "high": 4.0}

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision
# deficiency" (2009), table 1 at severity 1, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def cie_lightness(colours: npt.NDArray[np.uint8], vision: str = "normal") -> npt.NDArray[Any]:
    """L* from 0 to 100 of sRGB colours, as someone of that vision sees them."""
    coded = colours / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    luminance = np.clip(linear @ np.transpose(VISION[vision]), 0, 1) @ [0.2126, 0.7152, 0.0722]
    root = np.where(
        luminance > (6 / 29) ** 3, np.cbrt(luminance), luminance * (29 / 6) ** 2 / 3 + 4 / 29
    )
    return 116 * root - 16


def is_colour(
    picture: npt.NDArray[np.uint8], colour: tuple[int, int, int]
) -> npt.NDArray[np.bool_]:
    return (picture == colour).all(axis=2)


def grey(height: int, width: int, level: int = 120) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture
def dot_predictions(dots: Path) -> Predictions:
    test = MVTecAD(dots).category("dot").test
    masks = load_masks(test, Transform(64))
    assert masks is not None
    scores = np.array([3.0, 1.0, 2.0, 9.0, 7.0, 8.0])
    return Predictions(
        test.paths, scores, masks.astype(np.float32), test.labels, masks, test.defects
    )


@pytest.mark.parametrize("vision", VISION)
def test_lightness_rises_with_the_anomaly_for_every_eye(vision: str) -> None:
    lightness = cie_lightness(colour_map(np.linspace(0, 1, 50)), vision)
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 65


def test_one_colour_means_the_same_in_every_picture() -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 99.0]])
    photograph = grey(1, 7)
    picture = overlay(photograph, values, **SCALE, opacity=1.0)
    assert np.array_equal(picture[0, :2], photograph[0, :2])
    expected = colour_map(np.array([0.5, 0.75, 1.0, 1.0])).astype(int)
    assert np.abs(picture[0, 3:].astype(int) - expected).max() <= 2
    for i in range(7):
        alone = overlay(photograph[:, :1], values[:, i : i + 1], **SCALE, opacity=1.0)
        assert np.array_equal(alone[0, 0], picture[0, i])


def test_a_good_part_looks_like_its_photograph() -> None:
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (32, 32, 3), np.uint8)
    typical = overlay(photograph, np.full((32, 32), 2.5), **SCALE, threshold=4.0)
    assert np.abs(typical.astype(int) - photograph).max() < 12
    below = overlay(photograph, np.full((32, 32), -5.0), **SCALE, threshold=4.0)
    assert np.array_equal(below, photograph)


def test_more_anomalous_covers_more() -> None:
    values = np.linspace(2, 4, 40)[None]
    black, white = (overlay(grey(1, 40, v), values, **SCALE).astype(int) for v in (0, 255))
    through = (white - black).mean(axis=2)[0] / 255
    assert through[0] == 1
    assert (np.diff(through) <= 0).all()
    assert through[-1] == pytest.approx(0.4, abs=0.01)


def test_a_line_runs_around_what_is_above_the_threshold() -> None:
    values = np.full((40, 50), 2.0)
    values[10:20, 15:30] = 4.0
    photograph = grey(40, 50)
    # Exactly at the threshold is normal.
    assert not is_colour(overlay(photograph, values, **SCALE, threshold=4.0), CYAN).any()
    picture = overlay(photograph, values, **SCALE, threshold=3.9)
    above = values > 3.9
    line = is_colour(picture, CYAN)
    assert np.array_equal(line, ndimage.binary_dilation(above, np.ones((5, 5))) & ~above)
    edge = is_colour(picture, (0, 0, 0))
    assert np.array_equal(edge | line, ndimage.binary_dilation(above, np.ones((7, 7))) & ~above)
    assert np.array_equal(picture[~(edge | line | above)], photograph[~(edge | line | above)])
    assert not is_colour(overlay(photograph, values, **SCALE), CYAN).any()


@settings(max_examples=60)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_dashes_of_black_and_white_run_around_the_truth(
    height: int, width: int, share: float, seed: int
) -> None:
    rough = np.random.default_rng(seed).random((height, width))
    truth = ndimage.uniform_filter(rough, 3) < share
    photograph = grey(height, width)
    picture = overlay(photograph, np.zeros((height, width)), **SCALE, truth=truth)
    black, white = is_colour(picture, (0, 0, 0)), is_colour(picture, (255, 255, 255))
    around = ndimage.binary_dilation(truth, np.ones((5, 5))) & ~truth
    assert np.array_equal(black | white, around)
    assert np.array_equal(picture[~around], photograph[~around])
    inner = np.pad(truth, 3)
    whole = overlay(grey(*inner.shape), np.zeros(inner.shape), **SCALE, truth=inner)
    for colour in ((0, 0, 0), (255, 255, 255)):
        assert is_colour(whole, colour).any() == truth.any()


def test_truth_and_threshold_are_told_apart_in_grey_and_by_every_eye() -> None:
    area = np.zeros((120, 160), bool)
    area[30:80, 40:110] = True
    photograph = grey(120, 160)
    zeros = np.zeros(area.shape)
    dashed = overlay(photograph, zeros, **SCALE, truth=area)
    solid = overlay(photograph, np.where(area, 4.0, 0.0), **SCALE, threshold=3.0)
    ring = ndimage.binary_dilation(area, np.ones((5, 5))) & ~area
    for vision in VISION:
        dashes = cie_lightness(dashed[ring], vision)
        assert np.mean(dashes < 5) == pytest.approx(0.5, abs=0.1)
        assert np.mean(dashes > 95) == pytest.approx(0.5, abs=0.1)
        line = cie_lightness(solid[ring], vision)
        assert line.min() > 75
        assert np.ptp(line) < 1
    # Nothing of the defect itself is hidden.
    assert np.array_equal(dashed[area], photograph[area])


def test_a_map_is_brought_to_the_size_of_the_photograph() -> None:
    coarse = np.array([[2.0, 4.0], [2.0, 4.0]])
    picture = overlay(grey(40, 80), coarse, **SCALE, opacity=1.0)
    assert picture.shape == (40, 80, 3)
    bilinear = np.clip((np.arange(80) + 0.5) / 40 - 0.5, 0, 1)[None].repeat(40, 0)
    whole = overlay(grey(40, 80), 2 + 2 * bilinear, **SCALE, opacity=1.0)
    assert np.abs(picture.astype(int) - whole).max() <= 3


def test_what_the_detector_did_not_see_stays_as_it_is() -> None:
    values = np.full((30, 30), np.nan)
    values[8:22, 8:22] = 9.0
    photograph = grey(30, 30)
    picture = overlay(photograph, values, **SCALE)
    outside = np.ones((30, 30), bool)
    outside[6:24, 6:24] = False
    assert np.array_equal(picture[outside], photograph[outside])
    assert is_colour(picture, (255, 255, 255))[7, 7:23].all()
    assert is_colour(picture, (0, 0, 0))[6, 6:24].all()


def test_a_scale_without_extent_shows_what_lies_above_it() -> None:
    picture = overlay(grey(1, 2), np.array([[1.0, 1.1]]), low=1.0, high=1.0, opacity=1.0)
    assert picture[0].tolist() == [[120, 120, 120], colour_map(np.array(1.0)).tolist()]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"low": 5.0}, ParameterError, "high not below low, not 5.0, 4.0"),
        ({"high": np.inf}, ParameterError, "must be finite"),
        ({"low": np.nan}, ParameterError, "must be finite"),
        ({"opacity": 1.5}, ParameterError, "opacity must be from 0 to 1"),
        ({"truth": np.zeros((3, 3), bool)}, DataError, r"truth has shape \(3, 3\)"),
        ({"photograph": np.zeros((4, 4), np.uint8)}, DataError, "uint8 array of shape"),
        ({"photograph": np.zeros((4, 4, 3))}, DataError, "not float64"),
    ],
)
def test_senseless_overlays_are_refused(changes: Any, error: Any, message: str) -> None:
    arguments = {"photograph": grey(4, 4), "anomaly_map": np.zeros((4, 4)), **SCALE, **changes}
    with pytest.raises(error, match=message):
        overlay(**arguments)


@pytest.mark.parametrize("scale", [{}, {"low": 0.0, "high": 0.5, "threshold": 0.5}])
def test_the_sheet_shows_the_typical_image_of_each_kind(
    dot_predictions: Predictions, scale: dict[str, float]
) -> None:
    transform = Transform(64)
    sheet = np.asarray(heatmap_sheet(dot_predictions, transform, **scale))
    good, defect = sheet[:, :64], sheet[:, 70:134]
    pixels = [transform(read_image(path)) for path in dot_predictions.paths]
    assert np.array_equal(good[:64], pixels[2])  # the median score of the good ones
    assert np.array_equal(defect[:64], pixels[5])
    mask = dot_predictions.masks[5]  # type: ignore[index]
    around = ndimage.binary_dilation(mask, np.ones((3, 3))) & ~mask
    outlined = defect[70:134]
    assert set(map(tuple, outlined[around].tolist())) == {(0, 0, 0), (255, 255, 255)}
    assert np.array_equal(outlined[mask], pixels[5][mask])
    assert np.array_equal(good[70:134], pixels[2])
    heat = defect[140:204]
    top = 0.6 * colour_map(np.array(1.0)) + 0.4 * pixels[5][mask]
    assert np.abs(heat[mask] - top).max() < 2
    assert is_colour(sheet, CYAN).any() == bool(scale)
    assert np.array_equal(good[140:204], pixels[2])


def test_the_sheet_ends_with_a_legend(dot_predictions: Predictions) -> None:
    transform, scale = Transform(64), {"low": 0.0, "high": 0.5}
    plain = heatmap_sheet(dot_predictions, transform, **scale)
    lined = heatmap_sheet(dot_predictions, transform, **scale, threshold=0.5)
    body = 3 * 64 + 4 * 6 + 18
    ramp = np.asarray(plain)[body + 13]
    lightness = cie_lightness(ramp[None, 6:266])[0]
    assert lightness[0] == pytest.approx(cie_lightness(grey(1, 1, 200)).item())
    assert is_colour(np.asarray(lined)[body:], CYAN).any()
    unknown = Predictions(
        dot_predictions.paths,
        dot_predictions.scores,
        dot_predictions.maps,
        defects=dot_predictions.defects,
    )
    # One item fewer where no truth is known.
    assert heatmap_sheet(unknown, transform, **scale).height < plain.height


def test_unknown_kinds_and_half_a_scale_are_refused(dot_predictions: Predictions) -> None:
    with pytest.raises(DataError, match="kind of defect"):
        heatmap_sheet(Predictions(["a"], np.zeros(1), np.zeros((1, 4, 4))), Transform(4))
    with pytest.raises(ParameterError, match="give both or none"):
        heatmap_sheet(dot_predictions, Transform(64), low=0.0)


def test_the_contact_sheet_goes_from_the_highest_score_down(dot_predictions: Predictions) -> None:
    transform = Transform(64)
    sheet = np.asarray(
        contact_sheet(
            dot_predictions,
            transform,
            low=0.0,
            high=0.5,
            image_threshold=5.0,
            columns=3,
            side=128,
        )
    )
    across, down = 128 + 6, 128 + 2 * 18 + 2 * 6
    top = len(sheet) - 2 * down + 6
    ranked = np.argsort(-dot_predictions.scores)
    for place, i in enumerate(ranked):
        y, x = top + place // 3 * down, place % 3 * across
        tile = sheet[y : y + 128, x : x + 128]
        photograph = transform(read_image(dot_predictions.paths[i]))
        large = np.asarray(Image.fromarray(photograph).resize((128, 128))).astype(int)
        assert (np.abs(tile - large).max(axis=2) <= 2).mean() > 0.7
        caption = sheet[y + 134 : y + 134 + 36, x : x + 128]
        assert (caption < 100).any()


def test_the_contact_sheet_has_a_limit_of_pixels(dot_predictions: Predictions) -> None:
    many = 40
    predictions = Predictions(
        [dot_predictions.paths[0]] * many, np.arange(float(many)), np.zeros((many, 64, 64))
    )
    transform, scale = Transform(64), {"low": 0.0, "high": 1.0}
    full = contact_sheet(predictions, transform, **scale, columns=5, side=64)
    limit = full.width * full.height // 2
    cut = contact_sheet(predictions, transform, **scale, columns=5, side=64, max_pixels=limit)
    assert limit / 2 < cut.width * cut.height <= limit
    with pytest.raises(ParameterError, match="max_pixels 1000 doesn't hold a row of 5"):
        contact_sheet(predictions, transform, **scale, columns=5, side=64, max_pixels=1000)


def test_contact_sheets_without_images_or_columns_are_refused(
    dot_predictions: Predictions,
) -> None:
    empty = Predictions([], np.zeros(0), np.zeros((0, 4, 4)))
    with pytest.raises(DataError, match="at least one image"):
        contact_sheet(empty, Transform(4), **SCALE)
    for name in ("columns", "side", "max_pixels"):
        with pytest.raises(ParameterError, match=f"{name} must be at least 1"):
            contact_sheet(dot_predictions, Transform(64), **SCALE, **{name: 0})  # type: ignore[arg-type]


def photographs(folder: Path, names: list[str], size: tuple[int, int] = (60, 40)) -> list[Path]:
    paths = [folder / name for name in names]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10 * i, 50, 90)).save(path)
    return paths


def test_heatmaps_have_the_size_and_the_name_of_their_photographs(tmp_path: Path) -> None:
    paths = photographs(tmp_path / "test", ["good/000.png", "crack/000.png", "crack/b.c.jpg"])
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
            transform.on_original(maps[i], (40, 60)),
            **scale,
            truth=transform.on_original(masks[i].astype(float), (40, 60)) > 0.5,
        )
        assert np.array_equal(np.asarray(read_image(path)), expected)
    (small,) = write_heatmaps(
        Predictions(paths[:1], np.zeros(1), maps[:1]),
        tmp_path / "small",
        transform=transform,
        **scale,
        original=False,
    )
    assert read_image(small).size == (16, 16)


def test_heatmaps_show_where_the_crop_was(tmp_path: Path) -> None:
    (path,) = photographs(tmp_path, ["a.png"], (100, 100))
    predictions = Predictions([path], np.zeros(1), np.full((1, 24, 24), 9.0))
    transform = Transform(32, crop_size=24)
    (written,) = write_heatmaps(predictions, tmp_path / "out", transform=transform, **SCALE)
    before, after = (np.asarray(read_image(p)).astype(int) for p in (path, written))
    left, top, right, bottom = transform.region((100, 100))
    assert (left, top, right, bottom) == (12.5, 12.5, 87.5, 87.5)
    changed = np.argwhere((before != after).any(axis=2))
    # Two pixels of border lie around what was seen.
    assert changed.min(axis=0).tolist() == [10, 10]
    assert changed.max(axis=0).tolist() == [88, 88]


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


def test_heatmaps_are_written_as_predictions_come(tmp_path: Path) -> None:
    paths = photographs(tmp_path, ["p/a.png", "q/p/a.png"])
    out = tmp_path / "out"

    def parts() -> Iterator[Predictions]:
        yield Predictions(paths[:1], np.zeros(1), np.zeros((1, 4, 4)))
        assert (out / "p" / "a.png").is_file()
        yield Predictions(paths[1:], np.zeros(1), np.zeros((1, 4, 4)))

    written = write_heatmaps(parts(), out, transform=Transform(4), **SCALE)
    assert written == [out / "p" / "a.png", out / "p" / "a_2.png"]


def test_a_photograph_that_is_gone_is_named_and_leaves_no_part(tmp_path: Path) -> None:
    paths = photographs(tmp_path, ["p/a.png", "p/b.png"])
    paths[1].unlink()
    predictions = Predictions(paths, np.zeros(2), np.zeros((2, 4, 4)))
    with pytest.raises(DataError, match=r"no file .*b\.png"):
        write_heatmaps(predictions, tmp_path / "out", transform=Transform(4), **SCALE)
    assert [p.name for p in (tmp_path / "out" / "p").iterdir()] == ["a.png"]
    with pytest.raises(ParameterError, match="high not below low"):
        write_heatmaps(predictions, tmp_path / "new", transform=Transform(4), low=1.0, high=0.0)
    assert not (tmp_path / "new").exists()


def test_masks_are_outlined_on_the_sheet_and_nothing_else_changes() -> None:
    images = [np.full((20, 30, 3), 10 * i, np.uint8) for i in range(1, 6)]
    masks = [np.zeros((20, 30), bool) for _ in images]
    masks[3][5:9, 6:12] = True
    sheet = np.asarray(synthesis_sheet(list(zip(images, masks, strict=True)), columns=3))
    assert sheet.shape == (46, 102, 3)
    assert (sheet[:20, 36:66] == 20).all()
    fourth = sheet[26:, :30]
    line = (fourth == (0, 220, 255)).all(axis=2)
    assert line.sum() == 6 * 8 - 4 * 6
    assert (fourth[~line] == 40).all()
    assert (fourth[masks[3]] == 40).all()
    assert (sheet[26:, 72:] == 255).all()
    assert (images[3] == 40).all()
    assert synthesis_sheet([(images[0], masks[0])]).size == (30, 20)


def test_a_sheet_needs_images_of_one_size() -> None:
    pair = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
    other = np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9), bool)
    with pytest.raises(DataError, match="one size, not of none"):
        synthesis_sheet([])
    with pytest.raises(DataError, match="one size"):
        synthesis_sheet([pair, other])
    with pytest.raises(ParameterError, match="columns"):
        synthesis_sheet([pair], columns=0)


def test_captions_show_letters_beyond_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    drawable = figures._drawable
    assert drawable("plain.png")[0] == "plain.png"
    assert drawable("a\nb.png")[0] == "a\\nb.png"
    assert drawable("r\udce9.png")[0] == "r\\udce9.png"
    # Without a font of the system, letters lose their accent and others are escaped.
    monkeypatch.setattr(figures, "_SYSTEM_FONTS", ())
    figures._system_font.cache_clear()
    assert drawable("Sch\u00fcssel-\u00e9.png")[0] == "Schussel-e.png"
    assert drawable("u\u0308.png")[0] == "u.png"
    assert drawable("\u6f22.png")[0] == "\\u6f22.png"
    monkeypatch.undo()
    figures._system_font.cache_clear()


def test_captions_with_a_font_of_the_system() -> None:
    if figures._system_font() is None:
        pytest.skip("the system has no font")
    for text in ("Sch\u00fcssel.png", "Schu\u0308ssel.png"):
        shown, font = figures._drawable(text)
        assert shown == "Sch\u00fcssel.png"
        assert bytes(font.getmask("\u00fc")) != bytes(font.getmask("u"))
        assert bytes(font.getmask("\u00fc")) != bytes(font.getmask("\U0010ffff"))


def test_names_as_long_as_they_may_be_stay_apart() -> None:
    taken: set[str] = set()
    stem = "\u00e9" * 125 + "x"
    names = [
        figures._free_name(Sample(f"/p/{stem}{suffix}"), taken)
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
        pictures = [np.asarray(Image.open(path)) for path in written]
        assert [(p.shape, int(p[0, 0, 0])) for p in pictures] == [
            ((12, 20, 3), 50),
            ((12, 20, 3), 90),
        ]
        contact_sheet(predictions, **scale)
        heatmap_sheet(predictions, Transform(4))
