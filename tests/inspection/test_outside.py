from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from anomalist import MVTecAD, Predictions, evaluate
from anomalist.data import ImageSet, Transform
from anomalist.data.maps import AnomalyMap
from anomalist.errors import DataError, ParameterError
from anomalist.inspection import measure_maps
from anomalist.inspection.spoilt import MapChecks, score_notes
from anomalist.metrics import auroc, average_precision, pro, spro
from tests.data.drawn_loco import draw_loco
from tests.reference.mvtec import enlarged

Maps = list[npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def test(dots: Path) -> ImageSet:
    return MVTecAD(dots).category("dot").test


def drawn(test: ImageSet, side: int = 64, seed: int = 0) -> Maps:
    """Noise, and more of it where the mask is."""
    rng, maps = np.random.default_rng(seed), []
    for sample in test:
        mask = sample.read_mask() if sample.label else np.zeros((64, 64), bool)
        assert mask is not None
        maps.append((Transform(side).mask(mask) * 2 + rng.normal(0, 1, (side, side))).astype("f4"))
    return maps


def saved(folder: Path, test: ImageSet, maps: Maps) -> Path:
    for sample, values in zip(test, maps, strict=True):
        file = folder / sample.defect / f"{sample.path.stem}_map.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, values)
    return folder


def test_maps_of_the_images_size_are_measured_as_they_are(
    dots: Path, test: ImageSet, tmp_path: Path
) -> None:
    maps = drawn(test)
    masks = np.array([s.read_mask() if s.label else np.zeros((64, 64), bool) for s in test])
    found = measure_maps(saved(tmp_path / "maps", test, maps), dots).metrics
    tops = np.array([one.max() for one in maps])
    assert found.image_AUROC == auroc(tops, test.labels)
    assert found.pixel_AUROC == pytest.approx(auroc(np.array(maps).ravel(), masks.ravel()))
    expected = average_precision(np.array(maps).ravel(), masks.ravel())
    assert found.pixel_AP == pytest.approx(expected)
    assert found.pixel_PRO == pytest.approx(pro(np.array(maps), masks))
    assert found.evaluated_at == "original"


def test_pro_at_other_limits(dots: Path, test: ImageSet, tmp_path: Path) -> None:
    maps = drawn(test)
    masks = np.array([s.read_mask() if s.label else np.zeros((64, 64), bool) for s in test])
    folder = saved(tmp_path / "maps", test, maps)
    found = measure_maps(folder, dots, pro_limits=[0.3, 0.05]).metrics
    assert found.others["pixel_PRO_0.05"] == pytest.approx(pro(np.array(maps), masks, 0.05))
    assert "pixel_PRO_0.3" not in found.others
    with pytest.raises(ParameterError, match="fpr_limit"):
        measure_maps(folder, dots, pro_limits=[0])


def test_maps_of_mvtec_loco_are_measured_up_to_saturation_areas(tmp_path: Path) -> None:
    loco = draw_loco(tmp_path)
    images = MVTecAD(loco).category("pushpins").test
    rng, maps = np.random.default_rng(0), []
    for sample in images:
        mask = sample.read_mask() if sample.label else np.zeros((60, 72), bool)
        assert mask is not None
        maps.append((mask + rng.normal(size=mask.shape)).astype(np.float32))
    found = measure_maps(saved(tmp_path / "maps", images, maps), loco).metrics
    defects = [s.read_defects() if s.label else [] for s in images]
    expected = spro(np.array(maps[:6]), defects[:6])
    assert found.others["pixel_sPRO_0.05_logical"] == pytest.approx(expected)


def test_smaller_maps_are_enlarged_or_masks_brought_to_them(
    dots: Path, test: ImageSet, tmp_path: Path
) -> None:
    maps = np.array(drawn(test, 32))
    folder = saved(tmp_path / "maps", test, list(maps))
    masks = np.array([s.read_mask() if s.label else np.zeros((64, 64), bool) for s in test])
    large = np.array([enlarged(one, (0, 0, 64, 64), (64, 64)) for one in maps])
    measured = measure_maps(folder, dots)
    assert measured.metrics.pixel_PRO == pytest.approx(pro(large, masks), abs=1e-6)
    assert any("32 x 32 of 64 x 64 pixels" in note for note in measured.notes)
    small = np.array([Transform(32).mask(mask) for mask in masks])
    at_input = measure_maps(folder, dots, evaluate_at="input").metrics
    assert at_input.pixel_PRO == pytest.approx(pro(maps, small))
    assert at_input.evaluated_at == "input"


def test_maps_of_a_detector_measure_as_its_predictions(
    dots: Path, test: ImageSet, tmp_path: Path
) -> None:
    transform = Transform(image_size=48, crop_size=40)
    maps = np.array(drawn(test, 40))
    masks = np.array(
        [transform.mask(s.read_mask()) if s.label else np.zeros((40, 40), bool) for s in test]  # type: ignore[arg-type]
    )
    predictions = Predictions(
        test.paths,
        maps.max(axis=(1, 2)),
        maps,
        test.labels,
        masks,
        images=test,
        transform=transform,
    )
    folder = saved(tmp_path / "maps", test, list(maps))
    for at in ("original", "input"):
        expected = evaluate(predictions, at=at).as_dict()  # type: ignore[arg-type]
        found = measure_maps(folder, dots, evaluate_at=at, transform=transform)  # type: ignore[arg-type]
        assert found.metrics.as_dict() == expected
    with pytest.raises(DataError, match="give the sizes"):
        measure_maps(folder, dots, transform=Transform(48, 32))


def test_maps_of_several_sizes(dots: Path, test: ImageSet, tmp_path: Path) -> None:
    maps = drawn(test)
    maps[0], maps[-1] = drawn(test, 32)[0], drawn(test, 48)[-1]
    folder = saved(tmp_path / "maps", test, maps)
    masks = np.array([s.read_mask() if s.label else np.zeros((64, 64), bool) for s in test])
    large = np.array([enlarged(one, (0, 0, 64, 64), (64, 64)) for one in maps])
    assert measure_maps(folder, dots).metrics.pixel_PRO == pytest.approx(
        pro(large, masks), abs=1e-6
    )
    assert measure_maps(folder, dots, evaluate_at="input").metrics.pixel_PRO is not None


def test_one_file_of_all(dots: Path, test: ImageSet, tmp_path: Path) -> None:
    maps = np.array(drawn(test))
    expected = measure_maps(saved(tmp_path / "maps", test, list(maps)), dots).metrics.as_dict()
    turned = list(reversed(range(len(test))))
    names = [str(test[i].path) for i in turned]
    np.savez(tmp_path / "m.npz", maps=maps[turned], paths=names, scores=maps[turned].max((1, 2)))
    measured = measure_maps(tmp_path / "m.npz", dots)
    assert measured.metrics.as_dict() == expected
    assert any("image scores are those in" in note for note in measured.notes)
    np.save(tmp_path / "m.npy", maps[turned])
    (tmp_path / "names.txt").write_text("\n".join(names))
    found = measure_maps(tmp_path / "m.npy", dots, names=tmp_path / "names.txt")
    assert found.metrics.as_dict() == expected


def test_scores_of_a_table(dots: Path, test: ImageSet, tmp_path: Path) -> None:
    folder = saved(tmp_path / "maps", test, drawn(test))
    scores = np.random.default_rng(1).random(len(test))
    rows = [f"{s.defect}/{s.path.name},{v}" for s, v in zip(test, scores, strict=True)]
    (tmp_path / "s.csv").write_text("\n".join(["image,anomaly_score", *rows]))
    with_maps = measure_maps(folder, dots, scores=tmp_path / "s.csv").metrics
    alone = measure_maps(None, dots, scores=tmp_path / "s.csv")
    assert with_maps.image_AUROC == alone.metrics.image_AUROC == auroc(scores, test.labels)
    assert alone.metrics.pixel_AUROC is None
    with pytest.raises(ParameterError, match="nothing to measure"):
        measure_maps(None, dots)
    (tmp_path / "s.csv").write_text("\n".join(["image,anomaly_score", *rows[1:]]))
    with pytest.raises(DataError, match=r"1 test image of 6 has no score .*good/000"):
        measure_maps(folder, dots, scores=tmp_path / "s.csv")


def test_what_is_missing_is_refused_or_told(dots: Path, test: ImageSet, tmp_path: Path) -> None:
    folder = saved(tmp_path / "maps", test, drawn(test))
    (folder / "square" / "001_map.npy").unlink()
    np.save(folder / "square" / "009_map.npy", np.ones((4, 4)))
    with pytest.raises(DataError, match=r"1 test image of 6 has no map .*square/001\.png"):
        measure_maps(folder, dots)
    measured = measure_maps(folder, dots, incomplete=True)
    text = str(measured)
    assert "measured without 1 test image of 6 that has no map" in text
    assert "1 map in" in text
    assert "square/009_map.npy" in text
    for file in folder.rglob("*.npy"):
        file.rename(file.with_name(f"x{file.name}"))
    with pytest.raises(DataError, match="has the name of a test image"):
        measure_maps(folder, dots, incomplete=True)


def test_a_picture_is_no_map(dots: Path, test: ImageSet, tmp_path: Path) -> None:
    for sample in test:
        file = tmp_path / "images" / sample.defect / sample.path.name
        file.parent.mkdir(parents=True, exist_ok=True)
        sample.read().rotate(90).save(file)
    with pytest.raises(DataError, match="picture in colours"):
        measure_maps(tmp_path / "images", dots)


def noted(maps: Maps, bits: int = 0, size: tuple[int, int] | None = None) -> str:
    checks = MapChecks()
    for i, values in enumerate(maps):
        checks.add(f"{i}.npy", AnomalyMap(values, bits), size or values.shape)  # type: ignore[arg-type]
    return "\n".join(checks.notes("original"))


def noise(n: int = 6, seed: int = 0, side: int = 40) -> Maps:
    return list(np.random.default_rng(seed).normal(0, 1, (n, side, side)).astype(np.float32))


def test_maps_as_they_should_be_tell_nothing() -> None:
    assert noted(noise()) == ""
    assert noted([np.exp(one) for one in noise()]) == ""
    half = [one.astype(np.float16).astype(np.float32) for one in noise()]
    assert noted(half) == ""


def test_what_spoils_maps_is_told() -> None:
    spread = [np.float32(i / 3) * one for i, one in enumerate(noise(), 1)]
    clamped = [one.clip(-9, 1) for one in spread]
    assert "are exactly 1, the highest, in" in noted(clamped)
    assert "are exactly 0, the lowest" in noted([one.clip(0, None) for one in spread])
    stretched = [(one - one.min()) / np.ptp(one) for one in spread]
    assert "each of the maps goes from 0 to 1: it was stretched" in noted(stretched)
    flat = [*spread[1:], np.zeros((40, 40), np.float32)]
    assert "1 map has one value everywhere: 5.npy" in noted(flat)
    assert "each of the 2 maps has one value everywhere" in noted([np.ones((4, 4), "f4")] * 2)
    steps = [np.round(one * 8) / 8 for one in spread]
    assert "different values" in noted(steps)
    assert "8 bits, 256 steps" in noted([np.round(one) for one in spread], bits=8)
    assert "different values" in noted([(one > 1).astype(np.float32) for one in spread])
    sizes = noted(spread, size=(80, 160))
    assert "6 maps have another size" in sizes
    assert "of another shape than the image" in sizes


def test_what_spoils_scores_is_told() -> None:
    assert score_notes(np.array([1.0, 2.0, 3.0, 3.0])) == []
    assert "all 3 image scores are 1" in score_notes(np.ones(3))[0]
    assert "3 of 4 image scores" in score_notes(np.array([0.5, 1, 1, 1]))[0]


def test_what_is_upside_down_is_told(dots: Path, test: ImageSet, tmp_path: Path) -> None:
    folder = saved(tmp_path / "maps", test, [-one for one in drawn(test)])
    notes = "\n".join(measure_maps(folder, dots).notes)
    assert "pixel_AUROC is 0." in notes
    assert "higher values mark what is normal" in notes


def test_no_masks_no_pixels(dots: Path, tmp_path: Path) -> None:
    for name in ("good/0.png", "good/1.png", "cut/2.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 7).save(tmp_path / "data" / name)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "m.npz", maps=rng.random((3, 8, 8)), paths=["0", "1", "2"])
    measured = measure_maps(tmp_path / "m.npz", tmp_path / "data", incomplete=True)
    assert measured.metrics.pixel_AUROC is None
    assert measured.metrics.image_AUROC is not None
