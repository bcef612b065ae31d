from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalist.data import ImageSet, MVTecAD, Sample, open_dataset, read_saturations
from anomalist.data.saturation import Saturation
from anomalist.errors import DataError
from tests.data.drawn_loco import CONFIG, draw_loco


@pytest.fixture
def loco(tmp_path: Path) -> Path:
    return draw_loco(tmp_path / "mvtec_loco_anomaly_detection")


def test_samples_of_mvtec_loco_know_their_defects_and_saturation_areas(loco: Path) -> None:
    category = open_dataset(loco.parent).category("pushpins")
    assert (
        category.test.defects
        == ["good"] * 3 + ["logical_anomalies"] * 3 + ["structural_anomalies"] * 3
    )
    assert [s.saturation for s in category.test[:3]] == [None] * 3
    logical = category.test[3]
    missing, extra = logical.read_defects()
    assert missing.saturation == 26 * 32 // 2
    assert extra.saturation == 30
    whole = logical.read_mask()
    assert whole is not None
    assert np.array_equal(whole, missing.pixels | extra.pixels)
    (scratch,) = category.test[8].read_defects()
    assert scratch.saturation == scratch.pixels.sum() == 90
    again = pickle.loads(pickle.dumps(logical))
    assert again == logical
    assert "saturation=" in repr(logical)
    # A single category is read alike.
    assert MVTecAD(loco).category("pushpins").test[3].saturation == loco / "defects_config.json"


def test_a_data_set_of_other_kinds_has_none(loco: Path) -> None:
    (loco / "test" / "logical_anomalies").rename(loco / "test" / "cut")
    (loco / "ground_truth" / "logical_anomalies").rename(loco / "ground_truth" / "cut")
    kinds = {s.defect: s.saturation for s in MVTecAD(loco).category("pushpins").test}
    assert kinds["cut"] is None
    assert kinds["structural_anomalies"] is not None


def test_results_depend_on_the_saturation_areas(loco: Path) -> None:
    def now() -> str:
        return MVTecAD(loco).category("pushpins").test.content_hash()

    before = now()
    copy = loco.parent.parent / "elsewhere"
    shutil.copytree(loco, copy / "pushpins")
    assert MVTecAD(copy).category("pushpins").test.content_hash() == before
    config = [
        {**entry, "saturation_threshold": 1.0, "relative_saturation": True} for entry in CONFIG
    ]
    (loco / "defects_config.json").write_text(json.dumps(config))
    changed = now()
    assert changed != before
    (loco / "defects_config.json").unlink()
    assert now() not in (before, changed)
    plain = ImageSet([Sample(loco / "test" / "good" / "000.png", False, "good")])
    assert plain.content_hash() == ImageSet([plain[0]]).content_hash()


def test_areas_are_rounded_down_but_never_to_nothing_and_never_beyond_the_defect() -> None:
    assert Saturation("a", 0.5, True).area(15) == 7
    assert Saturation("a", 0.5, True).area(1) == 1
    assert Saturation("a", 1.0, True).area(15) == 15
    assert Saturation("a", 400, False).area(15) == 15
    assert Saturation("a", 4, False).area(15) == 4


def entry(**changed: Any) -> dict[str, Any]:
    return {**CONFIG[0], **changed}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("[", "can't be read as JSON"),
        ("{}", "must hold a list of defects"),
        ("[]", "must hold a list of defects"),
        ([1], "entry 0: it must have defect_name"),
        ([entry(), {"pixel_value": 3}], "entry 1: it must have defect_name, pixel_value"),
        ([entry(pixel_value=0)], "pixel_value must be a whole number from 1 to 255, not 0"),
        ([entry(pixel_value=True)], "pixel_value must be"),
        ([entry(pixel_value="255")], "pixel_value must be"),
        ([entry(relative_saturation=1)], "relative_saturation must be true or false, not 1"),
        ([entry(saturation_threshold=0.0)], "above 0 to 1, not 0.0"),
        ([entry(saturation_threshold=1.5)], "above 0 to 1, not 1.5"),
        ([entry(saturation_threshold=None)], "above 0 to 1, not None"),
        ([entry(saturation_threshold=0.5, relative_saturation=False)], "number of pixels, not 0.5"),
        ([entry(saturation_threshold=0, relative_saturation=False)], "number of pixels, not 0"),
        ([entry(), entry(defect_name="other")], "two kinds of defect have the pixel_value 255"),
        ('[{"defect_name": "a", "pixel_value": 1, "saturation_threshold": NaN, '
         '"relative_saturation": false}]', "number of pixels, not nan"),
    ],
)  # fmt: skip
def test_an_odd_file_is_one_clear_line(config: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "defects_config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(DataError, match=r"defects_config\.json") as caught:
        read_saturations(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told_and_a_changed_one_read_again(tmp_path: Path) -> None:
    path = tmp_path / "defects_config.json"
    with pytest.raises(DataError, match="is missing: it tells the saturation areas"):
        read_saturations(path)
    path.write_text(json.dumps(CONFIG))
    assert read_saturations(path)[254] == Saturation("extra_pin", 30, False)
    path.write_text(json.dumps([entry(pixel_value=9)]))
    assert list(read_saturations(path)) == [9]
    # What stands twice and says the same is no contradiction.
    path.write_text(json.dumps([entry(), entry()]))
    assert list(read_saturations(path)) == [255]


def test_odd_masks_are_told(loco: Path) -> None:
    mask = loco / "ground_truth" / "structural_anomalies" / "000" / "000.png"
    sample = MVTecAD(loco).category("pushpins").test[6]
    pixels = np.asarray(Image.open(mask))
    for wrong, words in (
        (Image.fromarray(np.where(pixels > 0, 7, 0).astype(np.uint8)), "grey value 7, which"),
        (Image.fromarray(pixels // np.uint8(2) + pixels // np.uint8(250)), None),
        (Image.fromarray(np.zeros_like(pixels)), "is all black"),
        (
            Image.fromarray(np.maximum(pixels, np.eye(*pixels.shape, dtype=np.uint8))),
            "values 1 and",
        ),
        (Image.fromarray(np.stack([pixels] * 3, axis=2)), "must be 8-bit grey"),
        (Image.fromarray(pixels[1:]), "72 x 59 pixels, but its image is 72 x 60"),
    ):
        wrong.save(mask)
        with pytest.raises(DataError, match=r"000\.png") as caught:
            sample.read_defects()
        assert words is None or words in str(caught.value)
    mask.unlink()
    with pytest.raises(DataError, match="there is no file"):
        sample.read_defects()
    with pytest.raises(DataError, match="no file tells"):
        Sample("a.png", True, mask=mask).read_defects()
    with pytest.raises(DataError, match="no file for each"):
        Sample("a.png", True, mask=np.ones((2, 2), bool), saturation=mask).read_defects()
