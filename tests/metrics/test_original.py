"""Pixels measured at the size of the images, beside MVTec's evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anomalist.data import ImageSet, Sample, Transform
from anomalist.data.loader import load_masks
from anomalist.errors import DataError, ParameterError
from anomalist.metrics import Evaluation, Metrics, evaluate, ranking, summary
from anomalist.metrics import bootstrap as bootstrap_module
from anomalist.metrics.pixels import Pixels
from anomalist.metrics.regions import find_regions
from anomalist.predictions import Predictions
from tests.reference import mvtec

Masks = list[npt.NDArray[np.bool_]]


def predicted(
    masks: Masks, transform: Transform, seed: int = 0, levels: int | None = None
) -> Predictions:
    """Predictions of images of any sizes, their maps noise that is higher on defects."""
    rng = np.random.default_rng(seed)
    samples = [
        Sample(
            f"{i}.png",
            bool(mask.any()),
            mask=mask if mask.any() else None,
            image=np.zeros(mask.shape, np.uint8),
        )
        for i, mask in enumerate(masks)
    ]
    images = ImageSet(samples)
    shown = load_masks(images, transform)
    assert shown is not None
    # Away from 0, near which one map's rounding errors are another's scores.
    maps = (rng.normal(size=shown.shape) + shown + 8).astype(np.float32)
    if levels is not None:
        maps = np.round(maps * levels) / levels
    scores = maps.max(axis=(1, 2))
    return Predictions(
        images.paths, scores, maps, images.labels, shown, images=images, transform=transform
    )


def expected(predictions: Predictions, masks: Masks) -> dict[str, float]:
    assert predictions.transform is not None
    maps = [
        mvtec.enlarged(values, predictions.transform.region(mask.shape), mask.shape)
        for values, mask in zip(predictions.maps, masks, strict=True)
    ]
    return mvtec.metrics(mvtec.with_unseen_lowest(maps), masks)


def pixel_values(metrics: Metrics) -> dict[str, float | None]:
    return {k: v for k, v in metrics.as_dict().items() if k.startswith("pixel")}


def blobs(sizes: list[tuple[int, int]], seed: int = 0, good: int = 1) -> Masks:
    rng = np.random.default_rng(seed)
    masks = []
    for i, size in enumerate(sizes):
        mask = np.zeros(size, bool)
        for _ in range(0 if i < good else rng.integers(1, 4)):
            y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
            mask[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = True
        masks.append(mask)
    return masks


@st.composite
def cases(draw: Any) -> tuple[Predictions, Masks]:
    side = st.integers(1, 23)
    sizes = draw(st.lists(st.tuples(side, side), min_size=1, max_size=4))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    density = draw(st.sampled_from([0.02, 0.3, 0.97]))
    masks = [rng.random(size) < density * rng.integers(0, 2) for size in sizes]
    masks[0][0, 0] = True
    if all(mask.all() for mask in masks):
        masks.append(np.zeros((3, 4), bool))
    size = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    crop = draw(st.none() | st.integers(1, min(size)))
    return predicted(masks, Transform(size, crop), seed, draw(st.sampled_from([None, 2]))), masks


@settings(max_examples=60, derandomize=True, deadline=None)
@given(cases(), st.sampled_from([1, 7, 1 << 22]), st.sampled_from([1, 5, 1 << 22]))
def test_equal_to_mvtecs_evaluation_whatever_the_sizes_and_however_few_rows_at_a_time(
    case: tuple[Predictions, Masks], chunk: int, positives: int
) -> None:
    predictions, masks = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anomalist.metrics.pixels.CHUNK", chunk)
        patch.setattr(summary, "POSITIVES", positives)
        metrics = evaluate(predictions, pro_limits=[0.05])
    assert metrics.evaluated_at == "original"
    assert metrics.others.keys() == {"pixel_PRO_0.05"}
    assert pixel_values(metrics) == pytest.approx(expected(predictions, masks), abs=1e-6)
    _, tp, fp, _ = mvtec.curve(
        mvtec.with_unseen_lowest(
            [
                mvtec.enlarged(v, predictions.transform.region(m.shape), m.shape)  # type: ignore[union-attr]
                for v, m in zip(predictions.maps, masks, strict=True)
            ]
        ),
        masks,
    )
    assert tp[-1] + fp[-1] == sum(mask.size for mask in masks)


def test_parts_of_the_positives_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = blobs([(90, 70), (40, 60), (120, 33), (64, 64)])
    predictions = predicted(masks, Transform((24, 32), 20), levels=3)
    whole = evaluate(predictions, intervals=True, n_bootstrap=50)
    monkeypatch.setattr(summary, "POSITIVES", 10)
    monkeypatch.setattr("anomalist.metrics.pixels.CHUNK", 100)
    parts = evaluate(predictions, intervals=True, n_bootstrap=50)
    assert parts.as_dict() == pytest.approx(whole.as_dict(), abs=1e-12)
    assert parts.pixel_threshold == whole.pixel_threshold
    for name, ends in whole.intervals.items():
        assert parts.intervals[name] == pytest.approx(ends, abs=1e-9)


def test_a_thin_scratch_is_one_region_and_a_dot_does_not_vanish() -> None:
    scratch, dot = np.zeros((1024, 1024), bool), np.zeros((1024, 1024), bool)
    for x in range(100, 900):
        y = 120 + round(0.73 * (x - 100))
        scratch[y : y + 2, x] = True
    dot[512:514, 515:517] = True
    good = np.zeros((1024, 1024), bool)
    predictions = predicted([good, scratch, dot], Transform(256))
    pixels = Pixels.at_original(predictions)
    assert pixels is not None
    assert pixels.n_regions == 2
    assert predictions.masks is not None
    assert find_regions(predictions.masks).per_image[1] > 20
    assert not predictions.masks[2].any()
    assert evaluate(predictions).notes == ()
    note, few = evaluate(predictions, at="input").notes
    assert "no pixel_AUPIMO" in few  # which 256 x 256 pixels of one good image don't tell
    assert "1 anomalous image has an empty mask" in note


def test_the_map_lies_on_the_image_as_pictures_show_it() -> None:
    rng = np.random.default_rng(0)
    for transform, size in (
        (Transform(32, 20), (77, 51)),
        (Transform((12, 40)), (12, 40)),
        (Transform(16), (5, 9)),
    ):
        mask = np.ones(size, bool)
        predictions = predicted([mask], transform, seed=int(rng.integers(100)))
        pixels = Pixels.at_original(predictions)
        assert pixels is not None
        ours = pixels.positives(0)[0].reshape(size)
        shown = transform.on_original(predictions.maps[0], size)
        unseen = np.isnan(shown)
        np.testing.assert_allclose(ours[~unseen], shown[~unseen], rtol=2e-6, atol=2e-6)
        assert (ours[unseen] < predictions.maps.min()).all()


def test_a_defect_outside_the_crop_is_missed() -> None:
    inside, outside = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    inside[18:22, 18:22] = True
    outside[:3, :3] = True
    predictions = predicted([np.zeros((40, 40), bool), inside, outside], Transform(40, 20))
    predictions = replace(
        predictions,
        maps=np.where(predictions.masks, 1, 0).astype(np.float32),  # type: ignore[arg-type]
    )
    metrics = evaluate(predictions)
    assert metrics.pixel_PRO == pytest.approx(0.5, abs=0.01)
    assert evaluate(predictions, at="input").pixel_PRO == 1.0


def test_maps_of_the_images_own_size_are_measured_as_they_are() -> None:
    masks = blobs([(32, 32)] * 4)
    predictions = predicted(masks, Transform(32))
    assert evaluate(predictions).as_dict() == evaluate(predictions, at="input").as_dict()
    as_float64 = replace(predictions, maps=predictions.maps.astype(np.float64) + 1e-12)
    assert evaluate(as_float64).as_dict() == evaluate(as_float64, at="input").as_dict()


@pytest.mark.parametrize("dtype", [np.float16, ">f4", ">f2", np.uint8])
def test_maps_of_any_type_are_measured_alike(dtype: Any) -> None:
    masks = blobs([(60, 50)] * 4)
    predictions = predicted(masks, Transform(20), levels=4)
    assert predictions.transform is not None
    if dtype is np.uint8:
        predictions = replace(predictions, maps=predictions.maps.round())
    alike = evaluate(replace(predictions, maps=predictions.maps.astype(dtype)))
    assert alike.evaluated_at == "original"
    assert alike.as_dict() == pytest.approx(evaluate(predictions).as_dict(), abs=1e-6)


def test_predictions_made_or_changed_by_hand_are_measured_as_they_are() -> None:
    masks = blobs([(50, 50)] * 4)
    predictions = predicted(masks, Transform(20))
    assert evaluate(predictions).evaluated_at == "original"
    assert evaluate(predictions, at="input").evaluated_at == "input"
    by_hand = replace(predictions, transform=None)
    assert evaluate(by_hand) == evaluate(predictions, at="input")
    assert predictions.masks is not None
    changed = predictions.masks.copy()
    changed[1] = True
    assert evaluate(replace(predictions, masks=changed)) == evaluate(
        replace(predictions, masks=changed), at="input"
    )
    unknown = ImageSet([Sample(s.path, image=s.image) for s in predictions.images])
    assert evaluate(replace(predictions, images=unknown)).evaluated_at == "input"
    without = evaluate(replace(predictions, masks=None))
    assert without.pixel_PRO is None
    assert without.notes == ("no pixel metrics: they take masks of defects",)


def test_intervals_hold_the_value_and_images_weigh_by_their_pixels() -> None:
    masks = blobs([(90, 70), (60, 60)] * 5, good=3)
    predictions = predicted(masks, Transform(40))
    metrics = evaluate(predictions, intervals=True, n_bootstrap=200)
    for name, value in pixel_values(metrics).items():
        low, high = metrics.intervals[name]
        assert value is not None
        assert low < value < high


def test_binned_intervals_hardly_differ_from_unbinned(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = blobs([(200, 200)] * 8, good=2)
    predictions = predicted(masks, Transform(50))
    monkeypatch.setattr(bootstrap_module, "MAX_THRESHOLDS", 256)
    binned = evaluate(predictions, intervals=True, n_bootstrap=100)
    monkeypatch.setattr(bootstrap_module, "MAX_THRESHOLDS", 1 << 22)
    exact = evaluate(predictions, intervals=True, n_bootstrap=100)
    for name, ends in exact.intervals.items():
        assert binned.intervals[name] == pytest.approx(ends, abs=1e-2)


def test_memory_does_not_grow_with_the_number_and_size_of_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tracemalloc

    monkeypatch.setattr("anomalist.metrics.pixels.CHUNK", 1 << 14)
    predictions = predicted(blobs([(700, 900)] * 16, good=4), Transform(32))
    evaluate(predictions, intervals=True, n_bootstrap=10)  # compiles
    tracemalloc.start()
    evaluate(predictions, intervals=True, n_bootstrap=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 700 * 900 * 4 / 2


def test_files_are_read_when_they_are_measured(tmp_path: Path) -> None:
    masks = blobs([(64, 48), (33, 80)])
    samples = []
    for i, mask in enumerate(masks):
        Image.fromarray(np.zeros((*mask.shape, 3), np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"{i}_mask.png")
        mask_path = tmp_path / f"{i}_mask.png" if mask.any() else None
        samples.append(Sample(tmp_path / f"{i}.png", bool(mask.any()), mask=mask_path))
    in_memory = predicted(masks, Transform(16))
    images = ImageSet(samples)
    predictions = replace(in_memory, paths=images.paths, images=images)
    assert evaluate(predictions).as_dict() == evaluate(in_memory).as_dict()
    (tmp_path / "1_mask.png").unlink()
    with pytest.raises(DataError, match="1_mask"):
        evaluate(predictions)
    assert evaluate(predictions, at="input").pixel_PRO is not None


def test_another_word_is_refused() -> None:
    predictions = predicted(blobs([(9, 9), (9, 9)]), Transform(4))
    with pytest.raises(ParameterError, match="original or input, not 'full'"):
        evaluate(predictions, at="full")  # type: ignore[arg-type]


def test_sorting_by_bits_is_sorting() -> None:
    from anomalist.metrics.sorting import sort_scores

    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000).astype(np.float32)
    values[:6] = [0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38]
    for drawn in (values, values[:7000], np.full(5000, -2.5, np.float32), np.abs(values)):
        ours = sort_scores(drawn.copy(), np.empty(30_000, np.float32))
        assert np.array_equal(ours, np.sort(drawn))
    for bad in (np.nan, -np.nan, np.inf, -np.inf):
        spoilt = values.copy()
        spoilt[777] = bad
        with pytest.raises(DataError, match="finite"):
            ranking.check_finite(sort_scores(spoilt, np.empty_like(spoilt)))


@pytest.mark.parametrize("at", ["original", "input"])
def test_pixels_are_measured_of_the_images_that_have_masks(at: Any) -> None:
    masks = blobs([(400, 300), (350, 300)] * 4, good=3)
    all_known = predicted(masks, Transform(40))
    samples = list(all_known.images)
    bare = [4, 7]
    for i in bare:
        samples[i] = Sample(samples[i].path, True, image=samples[i].image)
    images = ImageSet(samples)
    shown = load_masks(images, Transform(40))
    assert shown is not None
    some_known = replace(all_known, images=images, masks=shown)
    assert np.flatnonzero(some_known.unmasked).tolist() == bare
    known = ~some_known.unmasked
    found = evaluate(some_known, at=at, intervals=True, n_bootstrap=20)
    assert found.evaluated_at == at
    assert pixel_values(found) == pixel_values(evaluate(all_known[known], at=at))
    assert found.pixel_PRO is not None
    assert ("pixel_AUPIMO" in found.others) == (at == "original")
    assert found.image_AUROC == evaluate(all_known, at=at).image_AUROC
    note = "pixels are measured of 3 of 5 anomalous images: 2 have no mask, such as 4.png"
    assert found.notes[0] == note
    # Maps that lie in files go the same way.
    pixels = Pixels.of_images(list(some_known.maps), images, at, Transform(40))
    of_files = Evaluation(some_known, at, pixels=pixels).metrics()
    assert pixel_values(of_files) == pixel_values(found)
    assert of_files.notes == found.notes


def test_an_image_without_a_mask_is_told_from_one_that_was_marked_by_hand() -> None:
    masks = blobs([(50, 50)] * 4)
    predictions = predicted(masks, Transform(20))
    bare = [Sample(s.path, s.label, image=s.image) for s in predictions.images]
    by_hand = replace(predictions, images=ImageSet(bare))
    assert not by_hand.unmasked.any()
    assert evaluate(by_hand) == evaluate(predictions, at="input")
