"""Large photographs pass a backbone tile by tile, in every detector and all that follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import anomalist
from anomalist.data import ImageSet, Sample, as_image_set
from anomalist.detectors import CFA, DFM, GLASS, SPADE, Detector, Ensemble, PaDiM, PatchCore
from anomalist.detectors.shards import deal_shards
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore

TILED: dict[str, Any] = {"image_size": 64, "tile_size": 64, "tile_overlap": 16, "device": "cpu"}

pytestmark = pytest.mark.filterwarnings("error")


def photograph(seed: int, size: tuple[int, int] = (128, 192)) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(110, 140, (*size, 3)).astype(np.uint8)


def photographs(count: int, first: int = 0) -> ImageSet:
    return as_image_set([photograph(first + i) for i in range(count)])


def scratched(row: int = 60) -> npt.NDArray[np.uint8]:
    image = photograph(99)
    image[row : row + 3, 40:150] = 250
    return image


@pytest.mark.parametrize(
    "detector",
    [
        PatchCore(**TILED, coreset_size=60),
        PaDiM(**TILED, dimensions=8),
        SPADE(**TILED, k=2),
        DFM(**TILED),
        CFA(**TILED, epochs=1),
        GLASS(**TILED, meta_epochs=1, variants=1, step=1),
        Ensemble(**TILED, members=("dfm", "patchcore")),
    ],
    ids=lambda detector: detector.name,
)
def test_every_detector_sees_the_whole_photograph_and_its_file_too(
    detector: Detector, tmp_path: Path
) -> None:
    detector.fit(photographs(3))
    assert detector.input_size_ == (128, 192)
    images = photographs(2, first=50)
    found = detector.predict(images)
    assert found.maps.shape == (2, 128, 192)
    detector.save(tmp_path / "m.anomalist")
    loaded = anomalist.load(tmp_path / "m.anomalist")
    assert loaded.preparation.tiles == detector.preparation.tiles is not None
    assert np.array_equal(loaded.predict(images).maps, found.maps)
    one_by_one = [detector.predict(images[i : i + 1]).scores[0] for i in range(2)]
    assert np.allclose(one_by_one, found.scores, rtol=1e-4)


def test_a_defect_across_a_border_is_found_once_and_where_it_is() -> None:
    detector = PatchCore(**TILED).fit(photographs(6))
    good = detector.predict(photographs(2, first=50))
    (found,) = detector.predict([scratched()]).maps
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 52 <= row <= 70
    assert 40 <= column <= 150
    above = found > good.maps.max()
    assert above[:, 90:100].any()
    assert above[:, 56:136].any(axis=0).all()  # in one piece, whatever tiles it crosses


def test_features_are_kept_by_how_they_were_tiled() -> None:
    store, images = FeatureStore(), photographs(2)
    for overlap in (16, 0, 16):
        PatchCore(**{**TILED, "tile_overlap": overlap}).fit(images, store=store)
    assert store.passes == 4


def test_the_scale_of_photographs_follows_the_tile() -> None:
    small = PatchCore(image_size=32, tile_size=64, device="cpu").fit(photographs(2))
    assert small.transform.output_size == (64, 96)
    grid = small.preparation.tiles
    assert grid is not None
    assert (grid.side, grid.overlap) == (32, 0)


def test_a_tile_larger_than_the_photograph_covers_it() -> None:
    detector = PatchCore(image_size=64, tile_size=5000, device="cpu").fit(photographs(2))
    assert detector.input_size_ == (32, 64)
    assert detector.predict(photographs(1)).maps.shape == (1, 32, 64)


def test_maps_of_large_frames_are_halved_and_masks_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anomalist.detectors.input_size._MOST_OF_MAPS", 64 * 96)
    detector = PatchCore(**TILED, sigma=4.0).fit(photographs(3))
    image, mask = scratched(), np.zeros((128, 192), bool)
    mask[60:63, 40:150] = True
    images = ImageSet([Sample("a", True, "scratch", mask, image)])
    found = detector.predict(images)
    assert found.maps.shape == found.masks.shape == (1, 64, 96)
    assert found.transform == detector.view
    assert detector.transform.output_size == (128, 192)
    assert anomalist.evaluate(found).pixel_AUROC > 0.9


def test_what_is_ignored_is_ignored_in_tiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalist.detectors.input_size._MOST_OF_MAPS", 64 * 96)
    detector = PatchCore(**TILED, ignore_box=((0, 50, 192, 20),)).fit(photographs(3))
    plain = photograph(99)
    plain[50:70] = 0
    a, b = detector.predict([scratched()]), detector.predict([plain])
    assert np.array_equal(a.maps, b.maps)
    assert (a.maps[0, 26:34] == a.maps[0].min()).all()
    assert a.ignored is not None
    assert a.ignored.shape == a.maps.shape
    assert a.ignored[0, 26:34].all()


def test_a_tiled_and_a_whole_member_make_an_ensemble(tmp_path: Path) -> None:
    fine = PatchCore(**TILED, coreset_size=60)
    ensemble = Ensemble(members=(fine, PatchCore(image_size=64, device="cpu")), device="cpu")
    ensemble.fit(photographs(4))
    assert [m.input_size_ for m in ensemble.members_] == [(128, 192), (64, 64)]
    images = as_image_set([scratched(), photograph(50)])
    found = ensemble.predict(images)
    assert found.maps.shape == (2, 128, 192)
    assert found.scores[0] > found.scores[1]
    ensemble.save(tmp_path / "e.anomalist")
    assert np.allclose(anomalist.load(tmp_path / "e.anomalist").predict(images).maps, found.maps)


def test_auto_takes_the_size_that_the_smallest_defect_needs() -> None:
    def size(smallest: int, side: int = 900, **more: Any) -> tuple[int, int]:
        images = as_image_set([np.zeros((side, side), np.uint8)])
        return PatchCore(image_size="auto", smallest_defect=smallest, **more).input_size_of(images)

    assert size(100) == (256, 256)  # no less than the default
    assert size(16) == (448, 448)
    assert size(2) == (896, 896)  # never beyond the photographs' own pixels
    assert size(16, 4096, tile_size=512) == (2048, 2048)


def test_auto_cuts_what_is_too_large_for_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalist.detectors.input_size._MOST_AT_ONCE", 300 * 300)
    detector = PatchCore(image_size="auto", smallest_defect=2, coreset_size=9, device="cpu")
    detector.fit([photograph(0, (640, 544))])
    assert detector.preparation.tiles is not None
    assert detector.preparation.tiles.side == 512


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tile_overlap": 8}, "give tile_size too"),
        ({"tile_size": 0}, "at least 1"),
        ({"tile_size": 64, "tile_overlap": 64}, "less than tile_size"),
        ({"tile_size": 64, "tile_overlap": -1}, "0 or more"),
        ({"tile_size": 64, "image_size": 100}, "multiple of 32"),
        ({"tile_size": 64, "image_size": (64, 64)}, "one number"),
        ({"tile_size": 64, "crop_size": 64}, "no crop_size"),
        ({"image_size": "auto"}, "give both"),
        ({"smallest_defect": 4}, "give both"),
        ({"image_size": "auto", "smallest_defect": 0}, "at least 1"),
        ({"image_size": "auto", "smallest_defect": 4, "crop_size": 64}, "no crop_size"),
        ({"image_size": "large"}, "image_size must be"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        PatchCore(**settings)


def test_too_large_a_frame_is_refused_before_any_work() -> None:
    with pytest.raises(DataError, match="raise tile_size, or lower image_size"):
        PatchCore(image_size=256, tile_size=2).fit(photographs(1))


def test_gaussians_of_too_many_locations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalist.detectors.padim._MOST_TILED_MB", 1)
    with pytest.raises(ParameterError, match="patchcore keeps one bank"):
        PaDiM(**TILED).fit(photographs(3))


def test_the_bank_of_tiles_is_no_larger_than_can_be_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anomalist.detectors.patchcore._MOST_OF_TILES", 50)
    assert len(PatchCore(**TILED).fit(photographs(3)).bank_) == 50
    assert len(PatchCore(**TILED, coreset_size=70).fit(photographs(3)).bank_) == 70


def test_shards_of_tiled_photographs_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalist.detectors.patchcore._MOST_OF_TILES", 50)
    images, detector = photographs(4), PatchCore(**TILED)
    settled = detector.settle(images)
    shards = deal_shards(len(images), 2)
    detector.check_shards(shards, settled.input_size)
    made = [detector.summarise(images[s.slice], s, settled=settled) for s in shards]
    joined = detector.join(made, shards, settled=settled)
    assert len(joined.bank_) == 50
    assert joined.predict(images).maps.shape == (4, 128, 192)
