from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sklearn_metrics

from anomalist.errors import DataError, ParameterError
from anomalist.metrics import auroc, average_precision, best_f1, bootstrap_interval, pro
from anomalist.metrics import bootstrap as module

Array = npt.NDArray[Any]


def images(n: int = 60, seed: int = 0) -> tuple[Array, npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3 == 0
    return np.round(rng.normal(size=n) + labels, 1), labels


def maps_and_masks(n: int = 20, size: int = 90) -> tuple[Array, npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(1)
    masks = np.zeros((n, size, size), dtype=bool)
    for mask in masks[n // 4 :]:
        for y, x in rng.integers(0, size - 20, (2, 2)):
            mask[y : y + rng.integers(8, 20), x : x + rng.integers(8, 20)] = True
    strength = rng.uniform(0.5, 3, n)[:, None, None]
    return (rng.normal(size=masks.shape) + strength * masks).astype(np.float32), masks


VALUE = {
    "AUROC": auroc,
    "AP": average_precision,
    "F1Score": lambda scores, labels: best_f1(scores, labels)[0],
    "PRO": pro,
}


def test_image_metrics_are_exact_in_each_resample() -> None:
    scores, labels = images()
    rng = np.random.default_rng(7)
    good, bad = np.flatnonzero(~labels), np.flatnonzero(labels)
    n = 200
    times = np.zeros((n, len(labels)), int)
    times[:, good] = rng.multinomial(len(good), np.full(len(good), 1 / len(good)), size=n)
    times[:, bad] = rng.multinomial(len(bad), np.full(len(bad), 1 / len(bad)), size=n)
    resamples = [np.repeat(np.arange(len(labels)), t) for t in times]
    for name, theirs in (
        ("AUROC", sklearn_metrics.roc_auc_score),
        ("AP", sklearn_metrics.average_precision_score),
    ):
        values = [theirs(labels[drawn], scores[drawn]) for drawn in resamples]
        expected = np.quantile(values, [0.025, 0.975])
        ours = bootstrap_interval(name, scores, labels, n_bootstrap=n, seed=7)
        assert ours == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize("metric", ["AUROC", "AP", "F1Score", "PRO"])
def test_few_distinct_map_values_make_pixel_resamples_exact(metric: str) -> None:
    maps, masks = maps_and_masks(8, 40)
    maps = np.round(maps)
    drawn = np.random.default_rng(0)
    marked = masks.any(axis=(1, 2))
    times = np.zeros((20, len(maps)), int)
    for stratum in (np.flatnonzero(~marked), np.flatnonzero(marked)):
        n = len(stratum)
        times[:, stratum] = drawn.multinomial(n, np.full(n, 1 / n), size=20)
    picks = [np.repeat(np.arange(len(maps)), t) for t in times]
    expected = np.quantile([VALUE[metric](maps[p], masks[p]) for p in picks], [0.1, 0.9])
    ours = bootstrap_interval(metric, maps, masks, n_bootstrap=20, level=0.8, seed=0)
    assert ours == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize("metric", ["AUROC", "AP", "F1Score", "PRO"])
def test_binned_pixel_intervals_hold_the_exact_value_and_hardly_differ_from_unbinned(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps, masks = maps_and_masks()
    assert len(np.unique(maps[masks])) > module.MAX_THRESHOLDS
    low, high = bootstrap_interval(metric, maps, masks, n_bootstrap=300)
    assert low < VALUE[metric](maps, masks) < high
    monkeypatch.setattr(module, "MAX_THRESHOLDS", maps.size)
    exact = bootstrap_interval(metric, maps, masks, n_bootstrap=300)
    assert (low, high) == pytest.approx(exact, abs=1e-3)
    assert (low, high) != exact


def test_deterministic_for_a_seed() -> None:
    maps, masks = maps_and_masks()
    first = bootstrap_interval("PRO", maps, masks, n_bootstrap=50, seed=3)
    assert bootstrap_interval("PRO", maps, masks, n_bootstrap=50, seed=3) == first
    assert bootstrap_interval("PRO", maps, masks, n_bootstrap=50, seed=4) != first


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, labels = images()
    whole = bootstrap_interval("AP", scores, labels, n_bootstrap=100)
    monkeypatch.setattr(module, "BATCH", 7)
    assert bootstrap_interval("AP", scores, labels, n_bootstrap=100) == whole


def test_covers_the_true_auroc_about_as_often_as_it_says() -> None:
    # Normal scores shifted by 1: the true AUROC is Phi(1 / sqrt(2)).
    truth = 0.7602499
    covered = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        labels = np.arange(100) < 50
        scores = rng.normal(size=100) + labels
        low, high = bootstrap_interval("AUROC", scores, labels, n_bootstrap=200, seed=trial)
        covered += low <= truth <= high
    assert 0.88 <= covered / 200 <= 0.995


def test_a_wider_level_gives_a_wider_interval() -> None:
    scores, labels = images()
    narrow = bootstrap_interval("AUROC", scores, labels, level=0.5)
    wide = bootstrap_interval("AUROC", scores, labels, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_one_image_of_a_class_and_no_good_image_at_all() -> None:
    assert bootstrap_interval("AUROC", [0.1, 0.2, 0.9], [0, 0, 1]) == (1.0, 1.0)
    maps, masks = maps_and_masks()
    low, high = bootstrap_interval("AUROC", maps[5:], masks[5:], n_bootstrap=50)
    assert low < auroc(maps[5:], masks[5:]) < high


def test_resamples_of_fully_defective_images_alone_are_left_out() -> None:
    rng = np.random.default_rng(0)
    masks = np.ones((3, 4, 4), dtype=bool)
    masks[2, 2:] = False
    low, high = bootstrap_interval("PRO", rng.random(masks.shape), masks, n_bootstrap=100)
    assert 0 <= low <= high <= 1


def test_senseless_arguments_are_refused() -> None:
    scores, labels = images()
    with pytest.raises(ParameterError, match="unknown metric 'auc'"):
        bootstrap_interval("auc", scores, labels)
    with pytest.raises(ParameterError, match="n_bootstrap"):
        bootstrap_interval("AUROC", scores, labels, n_bootstrap=0)
    with pytest.raises(ParameterError, match="level"):
        bootstrap_interval("AUROC", scores, labels, level=95)
    with pytest.raises(DataError, match=r"PRO needs .* \(N, H, W\), not \(60,\)"):
        bootstrap_interval("PRO", scores, labels)
    with pytest.raises(DataError, match=r"not \(30, 2\)"):
        bootstrap_interval("AUROC", scores.reshape(30, 2), labels.reshape(30, 2))
    with pytest.raises(DataError, match="all 60 labels are negative"):
        bootstrap_interval("AUROC", scores, np.zeros(60))


def test_the_interval_of_decisions_covers_the_truth() -> None:
    from anomalist.metrics import f1_interval

    rng = np.random.default_rng(0)
    truth = np.arange(60) < 30
    rate = np.where(truth, 0.8, 0.2)
    f1_of_all = 2 * 0.8 * 30 / (30 + 0.8 * 30 + 0.2 * 30)
    inside = 0
    for repetition in range(200):
        low, high = f1_interval(rng.random(60) < rate, truth, n_bootstrap=200, seed=repetition)
        inside += low <= f1_of_all <= high
    assert 0.9 <= inside / 200 <= 0.99
    # An image's pixels stay together: as wide as for its one decision, however many they are.
    alarms = rng.random(60) < rate
    pixels = np.repeat(alarms[:, None, None], 3, axis=1), np.repeat(truth[:, None, None], 3, axis=1)
    assert f1_interval(*pixels) == f1_interval(alarms, truth)
    with pytest.raises(DataError, match="a defect"):
        f1_interval([True, False], [False, False])
