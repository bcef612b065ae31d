from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from anomalist.calibration import (
    assign_folds,
    cross_conformal_p_values,
    cross_p_values,
    held_out_scores,
    threshold,
)
from anomalist.data import Category, ImageSet, MVTecAD
from anomalist.detectors import PaDiM, PatchCore
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def make() -> PatchCore:
    return PatchCore(image_size=64, device="cpu")


def fit_without(detector: PatchCore, images: ImageSet, folds: np.ndarray, fold: int) -> PatchCore:
    """The detector of a fold, fitted by hand."""
    return dataclasses.replace(detector).fit(images[folds != fold])


@pytest.mark.parametrize("folds", [2, 3, 6])
def test_each_image_is_scored_by_a_detector_that_did_not_see_it(
    category: Category, folds: int
) -> None:
    held_out = held_out_scores(make(), category.train, folds=folds, seed=1)
    assert held_out.paths == category.train.paths
    assert held_out.labels is not None
    assert held_out.masks is not None
    assert not held_out.labels.any()
    assert not held_out.masks.any()
    dealt = assign_folds(len(category.train), folds, seed=1)
    for fold in range(folds):
        mine = np.flatnonzero(dealt == fold)
        fitted = fit_without(make(), category.train, dealt, fold)
        expected = fitted.predict(category.train[mine])
        np.testing.assert_allclose(held_out.scores[mine], expected.scores, rtol=1e-4)
        np.testing.assert_allclose(held_out.maps[mine], expected.maps, rtol=1e-4, atol=1e-4)


def test_images_that_were_seen_score_lower(category: Category) -> None:
    detector = PatchCore(image_size=64, coreset_ratio=1.0, num_neighbors=1, device="cpu")
    held_out = held_out_scores(detector, category.train)
    seen = detector.fit(category.train).predict(category.train)
    assert (held_out.scores > seen.scores + 0.1).all()


def test_defects_are_above_the_threshold_of_held_out_scores(category: Category) -> None:
    for detector in (make(), PaDiM(image_size=64, device="cpu")):
        held_out = held_out_scores(detector, category.train)
        predictions = detector.fit(category.train).predict(category.test)
        at = threshold(held_out.scores, alpha=0.2)
        assert predictions.labels is not None
        assert (predictions.scores[predictions.labels] > at).all()
        assert (predictions.scores[~predictions.labels] <= at).mean() >= 0.5


def test_each_image_passes_the_backbone_once(category: Category) -> None:
    store = FeatureStore()
    held_out_scores(make(), category.train, folds=3, store=store)
    assert store.passes == len(category.train)
    cross_conformal_p_values(make(), category.train, category.test, folds=3, store=store)
    assert store.passes == len(category.train) + len(category.test)


def test_the_detector_itself_is_left_as_it_is(category: Category) -> None:
    detector = make()
    held_out_scores(detector, category.train)
    assert not hasattr(detector, "bank_")
    detector.fit(category.train)
    bank = detector.bank_.copy()
    held_out_scores(detector, category.train)
    assert np.array_equal(detector.bank_, bank)


def test_a_seed_gives_the_same_bits(category: Category) -> None:
    first, second = (held_out_scores(make(), category.train, seed=2) for _ in range(2))
    assert np.array_equal(first.scores, second.scores)
    assert np.array_equal(first.maps, second.maps)


def test_progress_counts_every_image_that_a_fold_passes(category: Category) -> None:
    told: list[tuple[int, int]] = []
    held_out_scores(make(), category.train, folds=3, progress=lambda *now: told.append(now))
    assert told == [(4, 18), (6, 18), (10, 18), (12, 18), (16, 18), (18, 18)]
    told.clear()
    images, new = category.train, category.test[:1]
    cross_conformal_p_values(make(), images, new, folds=2, progress=lambda *now: told.append(now))
    assert told == [(3, 8), (4, 8), (7, 8), (8, 8)]


@pytest.mark.parametrize("folds", [2, 6])
def test_cross_conformal_p_values_are_those_of_the_folds_detectors(
    category: Category, folds: int
) -> None:
    dealt = assign_folds(len(category.train), folds)
    by_fold = [
        fit_without(make(), category.train, dealt, fold).predict(category.test).scores
        for fold in range(folds)
    ]
    held_out = held_out_scores(make(), category.train, folds=folds)
    expected = cross_p_values(by_fold, held_out.scores, dealt)
    got = cross_conformal_p_values(make(), category.train, category.test, folds=folds)
    assert got.tolist() == expected.tolist()
    assert category.test.labels is not None
    assert (got[category.test.labels] == 1 / 7).all()


@pytest.mark.parametrize("n", [2, 7, 40])
@pytest.mark.parametrize("folds", [2, 5, 100])
def test_folds_are_even_and_random(n: int, folds: int) -> None:
    dealt = assign_folds(n, folds)
    sizes = np.bincount(dealt)
    assert len(sizes) == min(folds, n)
    assert sizes.max() - sizes.min() <= 1
    assert np.array_equal(dealt, assign_folds(n, folds))
    if n == 40:
        assert not np.array_equal(dealt, assign_folds(n, folds, seed=1))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_images_are_refused(category: Category, n: int) -> None:
    with pytest.raises(DataError, match=f"at least 2 good images, .*, not {n}"):
        held_out_scores(make(), category.train[:n])
    with pytest.raises(DataError, match="at least 2 good images"):
        cross_conformal_p_values(make(), category.train[:n], category.test)


def test_a_single_fold_is_refused(category: Category) -> None:
    with pytest.raises(ParameterError, match="folds must be 2 or more, not 1"):
        held_out_scores(make(), category.train, folds=1)


def test_an_image_that_is_anomalous_is_refused(category: Category) -> None:
    with pytest.raises(DataError, match="labelled anomalous"):
        held_out_scores(make(), category.test)


SCENES = np.array([0, 1, 1, 2, 0, 2])


def test_a_group_is_of_one_fold_and_folds_stay_even() -> None:
    for seed in range(5):
        groups = np.random.default_rng(seed).integers(0, 12, 60)
        dealt = assign_folds(60, 5, seed=seed, groups=groups)
        assert all(len(set(dealt[groups == group])) == 1 for group in set(groups.tolist()))
        sizes = np.bincount(dealt)
        assert len(sizes) == 5
        assert sizes.max() - sizes.min() <= np.bincount(groups).max()


@pytest.mark.parametrize("n", [2, 7, 40])
@pytest.mark.parametrize("folds", [2, 5, 100])
def test_groups_of_one_image_each_change_no_fold(n: int, folds: int) -> None:
    expected = np.random.default_rng(3).permutation(np.arange(n) % min(folds, n))
    names = [f"part {i}" for i in range(n)]
    assert assign_folds(n, folds, seed=3).tolist() == expected.tolist()
    assert assign_folds(n, folds, seed=3, groups=names).tolist() == expected.tolist()


def test_images_of_a_group_are_scored_by_what_saw_none_of_them(category: Category) -> None:
    held_out = held_out_scores(make(), category.train, folds=3, groups=SCENES)
    for scene in range(3):
        mine = np.flatnonzero(scene == SCENES)
        fitted = make().fit(category.train[scene != SCENES])
        expected = fitted.predict(category.train[mine])
        np.testing.assert_allclose(held_out.scores[mine], expected.scores, rtol=1e-4)
    by_fold = [
        make().fit(category.train[scene != SCENES]).predict(category.test).scores
        for scene in range(3)
    ]
    # Folds are numbered as they are dealt, which is no matter here.
    expected_p = cross_p_values(by_fold, held_out.scores, SCENES, groups=SCENES)
    got = cross_conformal_p_values(make(), category.train, category.test, folds=9, groups=SCENES)
    assert got.tolist() == expected_p.tolist()
    assert got.min() == 1 / 4


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ([0, 0, 0, 0, 0, 0], "at least 2 groups, .*: all 6 images are of one"),
        ([0, 1], "groups must be one an image, 6 in all, not 2"),
        ([[0], [1], [2], [3], [4], [5]], "groups must be names or numbers"),
    ],
)
def test_groups_that_cannot_be_are_refused(
    category: Category, groups: list[object], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        held_out_scores(make(), category.train, groups=groups)  # type: ignore[arg-type]
