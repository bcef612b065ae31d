"""Parts that turn and shift: the part alone is learnt from and scored, wherever it lies."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import anomalist
from anomalist.cli.main import main
from anomalist.data import Decoded, ImageSet, Sample, as_image_set
from anomalist.data.moving import Affine, moved_plane
from anomalist.data.sample import UNREGISTERED
from anomalist.detectors import CFA, DFM, GLASS, SPADE, Detector, Ensemble, PaDiM, PatchCore
from anomalist.errors import DataError, ExportError, ModelFileError, ParameterError
from anomalist.export import export
from anomalist.features import FeatureStore
from anomalist.models import read_model, write_model

SIDE = 120
FAST = {"image_size": 64, "device": "cpu", "align": True}
DETECTORS: dict[str, Detector] = {
    "patchcore": PatchCore(**FAST, coreset_ratio=0.5),
    "padim": PaDiM(**FAST),
    "spade": SPADE(**FAST),
    "dfm": DFM(**FAST),
    "cfa": CFA(**FAST, epochs=1),
    "glass": GLASS(**FAST, meta_epochs=1, variants=1),
}


def photograph(seed: int, *, spot: bool = False) -> Sample:
    """A key somewhere, turned anyhow, with a dark spot on its shaft or without."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE), 40, np.uint8)
    picture[50:66, 28:98] = picture[66:84, 28:42] = 180
    picture[42:50, 86:98] = 120
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if spot:
        mask[54:62, 60:68] = 1
        picture[mask > 0] = 20
    angle = rng.uniform(0, 2 * math.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    shift = tuple(rng.uniform(-6, 6, 2))
    affine = Affine.about((SIDE, SIDE), (cos, -sin, sin, cos), (shift[0], shift[1]))
    lying = moved_plane(picture, affine, Image.Resampling.BICUBIC)
    image = np.clip(lying + rng.normal(0, 3, lying.shape), 0, 255).astype(np.uint8)
    truth = moved_plane(mask, affine, Image.Resampling.NEAREST) > 0
    label = {"label": True, "defect": "spot", "mask": truth} if spot else {"label": False}
    return Sample(Path(f"{seed}.png"), image=image, **label)


GOOD = ImageSet([photograph(i) for i in range(6)], "good")
TEST = ImageSet([photograph(i, spot=i % 2 > 0) for i in range(20, 26)], "test")


@pytest.fixture(scope="module")
def store() -> FeatureStore:
    return FeatureStore()


@pytest.fixture(scope="module")
def fitted(store: FeatureStore) -> PatchCore:
    detector = dataclasses.replace(DETECTORS["patchcore"])
    assert isinstance(detector, PatchCore)
    return detector.fit(GOOD, store=store)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_is_fitted_calibrated_and_kept(
    name: str, store: FeatureStore, tmp_path: Path
) -> None:
    few = GOOD[np.arange(3)]
    detector = dataclasses.replace(DETECTORS[name]).fit(few, store=store)
    detector.calibrate(few, store=store)
    predictions = detector.predict(TEST[:2], store=store)
    assert predictions.maps.shape == (2, 64, 64)
    assert np.isfinite(predictions.maps).all()
    detector.save(tmp_path / "m.anomalist")
    loaded = anomalist.load(tmp_path / "m.anomalist").predict(TEST[:2])
    assert np.array_equal(loaded.scores, predictions.scores)
    assert np.array_equal(loaded.maps, predictions.maps)


def test_the_part_fills_the_input_and_maps_lie_in_the_photographs(fitted: PatchCore) -> None:
    height, width = fitted.frame.output_size
    assert width > 1.4 * height or height > 1.4 * width
    assert fitted.transform.output_size == (64, 64)
    predictions = fitted.predict(TEST)
    assert predictions.labels is not None
    assert predictions.masks is not None
    for values, mask, label in zip(
        predictions.maps, predictions.masks, predictions.labels, strict=True
    ):
        if label:
            row, column = np.unravel_index(values.argmax(), values.shape)
            rows, columns = np.nonzero(mask)
            assert math.hypot(row - rows.mean(), column - columns.mean()) < 6


def test_spots_are_told_from_good_parts_where_padim_without_it_fails(store: FeatureStore) -> None:
    def apart(detector: Detector) -> float:
        scores = detector.fit(GOOD, store=store).predict(TEST, store=store).scores
        return float(scores[1::2].min() - scores[::2].max())

    assert apart(PaDiM(**FAST)) > 0
    assert apart(PaDiM(**{**FAST, "align": False})) < 0


def test_scores_are_the_same_bits_with_a_store_by_batches_and_decoded_elsewhere(
    fitted: PatchCore, tmp_path: Path
) -> None:
    plain = fitted.predict(TEST[:2])
    for store in (FeatureStore(), FeatureStore(folder=tmp_path, memory_limit_mb=0)):
        for _ in range(2):
            fresh = ImageSet([photograph(i, spot=i % 2 > 0) for i in range(20, 22)])
            kept = fitted.predict(fresh, store=store)
            assert np.array_equal(kept.scores, plain.scores)
            assert np.array_equal(kept.maps, plain.maps)
    one = TEST[0]
    Image.fromarray(np.asarray(one.image)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    decoded = Decoded.of(data, "a.png", fitted.source)
    sent = Sample.decoded("a.png", decoded, sha256="0" * 64, nbytes=len(data))
    alone = fitted.predict(ImageSet([one]))
    assert np.array_equal(fitted.predict(ImageSet([sent])).maps, alone.maps)


def test_info_says_that_the_part_is_looked_at_alone(
    fitted: PatchCore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted.save(tmp_path / "m.anomalist")
    assert main(["info", str(tmp_path / "m.anomalist")]) == 0
    assert "the part is found in photographs and looked at alone" in capsys.readouterr().out


def test_a_photograph_that_cannot_be_registered_is_told_and_scored(fitted: PatchCore) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    strange = Sample("strange", image=noise)
    scores = fitted.predict(ImageSet([TEST[0], strange])).scores
    assert scores[1] > 1.5 * scores[0]
    assert UNREGISTERED in strange.remarks()
    assert UNREGISTERED not in TEST[0].remarks()


@pytest.mark.parametrize("kind", ["texture", "disc"])
def test_what_has_no_way_to_lie_is_refused_before_any_learning(kind: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, SIDE, SIDE)).astype(np.uint8)
    if kind == "disc":
        y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
        images = np.where(np.hypot(x, y) < 40, 180, 40) + rng.integers(0, 9, images.shape)
    told = "nothing that lies alike" if kind == "texture" else "the same at several angles"
    with pytest.raises(DataError, match=told):
        PatchCore(**FAST).fit(as_image_set(list(images.astype(np.uint8))))


def test_the_first_photograph_may_be_the_odd_one_out() -> None:
    odd = Sample("odd", image=np.full((SIDE, SIDE), 40, np.uint8))
    detector = PatchCore(**FAST).fit(ImageSet([odd, *GOOD]))
    assert UNREGISTERED in odd.remarks()
    assert UNREGISTERED not in GOOD[0].remarks()
    assert detector.preparation.registration is not None
    # But then nothing says where on the part the box lies.
    with pytest.raises(DataError, match="odd is too unlike the other good photographs"):
        PatchCore(**FAST, ignore_box=((0, 0, 20, 20),)).fit(ImageSet([odd, *GOOD]))


def test_too_few_and_differing_photographs_are_refused() -> None:
    with pytest.raises(DataError, match="two good photographs"):
        PatchCore(**FAST).fit(GOOD[:1])
    wide = np.random.default_rng(0).integers(0, 256, (60, 120)).astype(np.uint8)
    with pytest.raises(DataError, match="other proportions"):
        PatchCore(**FAST).fit(ImageSet([*GOOD, Sample("wide", image=wide)]))
    with pytest.raises(DataError, match="at most 16 times as long as they are wide"):
        PatchCore(**FAST).fit(as_image_set([np.full((32, 600), i, np.uint8) for i in (40, 180)]))


def test_what_is_ignored_follows_the_part(tmp_path: Path) -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    first = np.asarray(GOOD[0].image)
    mask[first > 100] = 255  # the whole part, as the first photograph shows it
    Image.fromarray(mask).save(tmp_path / "mask.png")
    detector = PatchCore(**FAST, ignore=str(tmp_path / "mask.png"), coreset_ratio=0.5).fit(GOOD)
    test = TEST[:3]
    predictions = detector.predict(test)
    assert predictions.ignored is not None
    for sample, ignored in zip(test, predictions.ignored, strict=True):
        small = Image.fromarray(np.asarray(sample.image)).resize((64, 64), Image.Resampling.BOX)
        part = np.asarray(small) > 100
        assert ignored[part].mean() > 0.8
        assert ignored[~part].mean() < 0.2
    detector.save(tmp_path / "m.anomalist")
    assert np.array_equal(
        anomalist.load(tmp_path / "m.anomalist").predict(test).maps, predictions.maps
    )


def test_an_ensemble_aligns_its_members() -> None:
    ensemble = Ensemble(members=("patchcore", "patchcore"), **FAST).fit(GOOD[:3])
    assert all(member.align for member in ensemble.members_)
    first, second = (member.settled_ for member in ensemble.members_)
    assert first is second
    assert ensemble.source == ensemble.members_[0].source
    assert ensemble.predict(TEST[:2]).maps.shape == (2, 64, 64)


def test_it_is_refused_where_it_makes_no_sense(fitted: PatchCore, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="leave crop_size out"):
        PatchCore(**FAST, crop_size=32)
    with pytest.raises(ParameterError, match="align works in one fit"):
        PatchCore(**FAST).check_shards([], (64, 64))
    with pytest.raises(ExportError, match="fitted with align"):
        export(fitted, tmp_path / "out.onnx")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", [0.0, 0.0, 0.0, -1.0, 1.0]),
        ("window", [float("nan"), 0.0, 0.0, 1.0, 1.0]),
        ("window", [0.0, 0.0]),
        ("sizes", [[64, 64], [0, 10]]),
        ("sizes", [[30000, 30000], [64, 64]]),
        ("least", 3.0),
        ("reference", None),
    ],
)
def test_a_garbled_file_is_refused(
    fitted: PatchCore, tmp_path: Path, name: str, value: object
) -> None:
    path = tmp_path / "m.anomalist"
    fitted.save(path)
    header, tensors = read_model(path)
    key = f"preparation.registration.{name}"
    if value is None:
        del tensors[key]
    else:
        tensors[key] = torch.tensor(value, dtype=tensors[key].dtype)
    write_model(path, header, tensors)
    with pytest.raises(ModelFileError):
        anomalist.load(path)
