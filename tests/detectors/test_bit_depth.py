"""What is white in images of 16 bits is settled once a model, and kept with it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from anomalist import Ensemble, PatchCore, load
from anomalist.data import ImageSet, Sample
from anomalist.errors import DataError, ModelFileError, ParameterError
from anomalist.features import FeatureStore

FAST = {"image_size": 64, "layers": ("blocks.2",), "device": "cpu"}


def parts(n: int = 4, bits: int = 12) -> list[npt.NDArray[np.uint16]]:
    rng = np.random.default_rng(0)
    made = rng.normal(0.45, 0.03, (n, 64, 64)).clip(0, 1)
    made[0, 3, 3] = 1.0
    return list((made * (2**bits - 1)).astype(np.uint16))


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_the_training_images_settle_it(bits: int, tmp_path: Path) -> None:
    detector = PatchCore(**FAST).fit(parts(bits=bits))
    assert detector.bit_depth is None
    assert detector.bit_depth_ == detector.transform.bit_depth == bits
    detector.calibrate(parts(bits=bits))
    detector.save(tmp_path / "a.anomalist")
    pickled = pickle.loads(pickle.dumps(detector))
    for again in (load(tmp_path / "a.anomalist"), copy.copy(detector), pickled):
        assert again.bit_depth_ == bits
        scores = again.predict(parts(bits=bits)).scores
        assert np.array_equal(scores, detector.predict(parts(bits=bits)).scores)


def test_images_of_8_bits_leave_it_at_16_and_a_hyperparameter_settles_it() -> None:
    grey = [(image >> 4).astype(np.uint8) for image in parts()]
    assert PatchCore(**FAST).fit(grey).bit_depth_ == 16
    assert PatchCore(**FAST, bit_depth=14).fit(parts()).bit_depth_ == 14
    with pytest.raises(ParameterError, match="bit_depth must be 8, 10, 12, 14, 16 or null, not 9"):
        PatchCore(bit_depth=9)


def test_the_same_parts_of_8_and_of_12_bits_give_nearly_the_same_scores() -> None:
    deep = parts()
    grey = [np.round(image / 4095 * 255).astype(np.uint8) for image in deep]
    of_deep, of_grey = PatchCore(**FAST).fit(deep), PatchCore(**FAST).fit(grey)
    assert np.allclose(of_deep.predict(deep).maps, of_grey.predict(grey).maps, atol=0.2)


def test_copies_that_calibrate_keep_the_white_of_the_whole() -> None:
    # Without the first image 10 bits would do, and a copy would see the others far brighter.
    images = parts()
    images[1:] = [image >> 3 for image in images[1:]]
    detector = Ensemble(members=("dfm",), **FAST).fit(images)
    assert detector.bit_depth_ == 12
    assert detector.members_[0].bit_depth_ == 12
    detector.calibrate(images)


def test_a_later_image_above_white_is_clipped_and_told() -> None:
    detector = PatchCore(**FAST).fit(parts())
    bright = Sample("bright", image=np.linspace(0, 9000, 4096).astype(np.uint16).reshape(64, 64))
    detector.predict(ImageSet([bright]))
    assert bright.remarks() == ("has values above white (4095), which were cut off there",)


def test_a_hit_of_the_store_tells_what_was_told(tmp_path: Path) -> None:
    images = [*parts(), np.full((64, 64), 7, np.uint16)]
    first = FeatureStore(folder=tmp_path)
    PatchCore(**FAST).fit(images, store=first)
    for store in (first, FeatureStore(folder=tmp_path)):
        again = ImageSet([Sample(f"{i}", image=image) for i, image in enumerate(images)])
        before = store.passes
        PatchCore(**FAST).fit(again, store=store)
        assert store.passes == before
        assert again[-1].known_remarks(12) == ("has one value everywhere",)


def test_images_that_show_nothing_are_refused_where_there_are_no_others() -> None:
    black = [np.zeros((64, 64 + i), np.uint8) for i in range(3)]
    for detector in (PatchCore(**FAST), Ensemble(members=("patchcore",), **FAST)):
        with pytest.raises(DataError, match=r"image-0 has one value everywhere, as all .* \(3\)"):
            detector.fit(black)
    PatchCore(**FAST).fit([*black, (parts()[0] >> 4).astype(np.uint8)])


@pytest.mark.parametrize("garbled", [9, 12.5, "12", None])
def test_a_model_file_with_another_value_is_refused(garbled: object) -> None:
    detector = PatchCore(**FAST).fit(parts())
    header, tensors = detector._state()
    with pytest.raises(ModelFileError, match="garbles 'bit_depth'"):
        PatchCore._from_state({**header, "bit_depth": garbled}, tensors, None)
    assert dataclasses.replace(detector).bit_depth is None
