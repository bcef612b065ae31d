"""The input keeps the proportions of the photographs that were learnt from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import anomalist
from anomalist.calibration import held_out_scores
from anomalist.data import ImageSet, as_image_set
from anomalist.detectors import DFM, Ensemble, PaDiM, PatchCore
from anomalist.detectors.shards import deal_shards
from anomalist.errors import DataError, ModelFileError, ParameterError
from anomalist.features import Backbone
from anomalist.models import read_model, write_model

FAST = {"image_size": 128, "device": "cpu"}


def strips(count: int = 4, size: tuple[int, int] = (60, 240), first: int = 0) -> ImageSet:
    made = [np.random.default_rng(i).integers(90, 160, (*size, 3)) for i in range(count)]
    return as_image_set([image.astype(np.uint8) for image in made])


def test_the_input_has_the_proportions_of_the_photographs_and_as_many_pixels_as_the_square() -> (
    None
):
    detector = PatchCore(**FAST).fit(strips())
    assert detector.input_size_ == (64, 256)
    assert detector.transform.output_size == (64, 256)
    predictions = detector.predict(strips(1))
    assert predictions.maps.shape == (1, 64, 256)
    assert predictions.transform == detector.transform


def test_square_photographs_pairs_and_crops_are_as_asked() -> None:
    square = strips(size=(90, 90))
    assert PatchCore(image_size=100).fit(square).transform.image_size == 100
    assert PatchCore(image_size=(96, 160)).fit(strips()).transform.image_size == (96, 160)
    cropped = PatchCore(image_size=96, crop_size=64).fit(strips())
    assert (cropped.transform.image_size, cropped.transform.output_size) == (96, (64, 64))


def test_the_middle_photograph_decides_and_folds_share_what_it_says() -> None:
    images = ImageSet([*strips(4), *strips(3, size=(240, 60))])
    detector = DFM(**FAST)
    assert detector.input_size_of(images) == (64, 256)
    assert held_out_scores(detector, images, folds=4).maps.shape[1:] == (64, 256)
    assert detector.fit(images).calibrate(images).maps.shape[1:] == (64, 256)


def test_a_model_file_keeps_it_and_one_without_it_means_a_square(tmp_path: Path) -> None:
    path, image = tmp_path / "m.anomalist", strips(1)
    detector = PatchCore(**FAST).fit(strips())
    detector.save(path)
    loaded = anomalist.load(path)
    assert loaded.input_size_ == (64, 256)
    assert np.array_equal(loaded.predict(image).maps, detector.predict(image).maps)
    header, tensors = read_model(path)
    older = {k: v for k, v in header.items() if k not in ("input_size", "format", "version")}
    write_model(path, older, tensors)
    assert anomalist.load(path).transform.image_size == 128


@pytest.mark.parametrize("garbled", [[64], [0, 64], [10**5, 10**5], ["a", 64], "64", [64, 64, 3]])
def test_a_garbled_one_is_refused(tmp_path: Path, garbled: object) -> None:
    path = tmp_path / "m.anomalist"
    PatchCore(**FAST).fit(strips(2)).save(path)
    header, tensors = read_model(path)
    write_model(path, {**header, "input_size": garbled}, tensors)
    with pytest.raises(ModelFileError, match="input_size"):
        anomalist.load(path)


def test_an_ensemble_and_its_file_keep_it(tmp_path: Path) -> None:
    ensemble = Ensemble(members=("patchcore", "dfm"), **FAST).fit(strips())
    assert ensemble.predict(strips(1)).maps.shape == (1, 64, 256)
    ensemble.save(tmp_path / "e.anomalist")
    loaded = anomalist.load(tmp_path / "e.anomalist")
    assert loaded.transform == ensemble.transform


def test_shards_share_it() -> None:
    images, detector = strips(6), PaDiM(**FAST, dimensions=4)
    settled = detector.settle(images)
    shards = deal_shards(len(images), 2)
    detector.check_shards(shards, settled.input_size)
    summaries = [detector.summarise(images[s.slice], s, settled=settled) for s in shards]
    joined = replace(detector).join(summaries, shards, settled=settled)
    assert joined.transform.output_size == (64, 256)


def test_a_photograph_without_a_size_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.png"):
        PatchCore(**FAST).fit([tmp_path / "a.png"])


def test_a_network_that_takes_squares_alone_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = Backbone.shapes

    def of_squares(self: Backbone, height: int, width: int) -> list[tuple[int, int, int]]:
        if height != width:
            raise ParameterError("can't take images of that size")
        return shapes(self, height, width)

    monkeypatch.setattr(Backbone, "shapes", of_squares)
    assert DFM(**FAST).fit(strips(2)).input_size_ == (128, 128)
    tiled = DFM(**{**FAST, "image_size": 64}, tile_size=60).fit(strips(2))
    assert tiled.predict(strips(1)).maps.shape == (1, 64, 256)
