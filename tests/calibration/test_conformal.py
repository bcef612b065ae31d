from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import binom

from anomalist.calibration import (
    attainable_rate,
    cross_p_values,
    false_alarm_interval,
    fewest_images,
    p_values,
    pixel_threshold,
    promised_range,
    threshold,
)
from anomalist.errors import DataError, ParameterError
from tests.reference import conformal as reference

Array = npt.NDArray[Any]

REPETITIONS = 1000
SURE = 1e-4  # chance that a bound on a simulated count is missed with everything right

alphas = st.one_of(
    st.floats(0.001, 0.999),
    st.tuples(st.integers(1, 60), st.integers(2, 60))
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda pair: pair[0] / pair[1]),
)
tied = arrays(np.float32, st.integers(1, 40), elements=st.integers(-4, 4).map(float))
untied = arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
normals = st.one_of(tied, untied)


def most_alarms(rate: float, images: int = REPETITIONS) -> int:
    return int(binom.ppf(1 - SURE, images, rate))


def fewest_alarms(rate: float, images: int = REPETITIONS) -> int:
    return int(binom.ppf(SURE, images, rate))


@given(st.one_of(tied, untied), normals)
def test_p_values_are_those_of_the_definition(scores: Array, normal: Array) -> None:
    expected = [float(reference.p_value(score, normal)) for score in scores]
    assert p_values(scores, normal).tolist() == expected


@given(normals, alphas)
def test_the_threshold_is_that_of_the_definition(normal: Array, alpha: float) -> None:
    assert threshold(normal, alpha) == reference.threshold(normal.tolist(), alpha)


@given(normals, normals, alphas)
def test_a_score_is_above_the_threshold_exactly_when_its_p_value_is_low(
    scores: Array, normal: Array, alpha: float
) -> None:
    at = threshold(normal, alpha)
    scores = np.concatenate([scores, normal])  # equal ones too
    rate = attainable_rate(len(normal), alpha)
    assert np.array_equal(scores > at, p_values(scores, normal) <= rate)


@given(normals, normals)
def test_higher_scores_have_lower_p_values(scores: Array, normal: Array) -> None:
    p = p_values(np.sort(scores), normal)
    assert (np.diff(p) <= 0).all()
    assert p.min() >= 1 / (len(normal) + 1)
    assert p.max() <= 1


@given(normals, alphas, alphas)
def test_a_lower_rate_has_a_higher_threshold(normal: Array, one: float, other: float) -> None:
    assert threshold(normal, min(one, other)) >= threshold(normal, max(one, other))


@given(alphas)
def test_too_few_images_give_their_highest_score(alpha: float) -> None:
    fewest = fewest_images(alpha)
    assert attainable_rate(fewest, alpha) == alpha
    if fewest > 1:
        few = np.arange(min(fewest, 50) - 1.0)
        assert threshold(few, alpha) == few[-1]
        assert attainable_rate(len(few), alpha) == 1 / (len(few) + 1) > alpha
        maps = few[:, None, None] + np.zeros((2, 2))
        for control in ("images", "pixels"):
            assert pixel_threshold(maps, alpha, control=control) == few[-1]  # type: ignore[arg-type]


def test_ties_with_normal_images_count_against_the_alarm() -> None:
    assert p_values([1.0], np.ones(99)).tolist() == [1.0]
    assert threshold(np.ones(99), 0.01) == 1.0


def test_p_values_keep_the_shape_of_the_scores() -> None:
    assert p_values(np.zeros((2, 3)), [1.0]).shape == (2, 3)
    assert p_values(0.0, [1.0]).shape == ()


# The guarantee, by simulation. Each repetition draws calibrating images and one new normal image,
# so that alarms of different repetitions are independent.

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy tailed": lambda rng, shape: rng.standard_cauchy(shape),
    "tied": lambda rng, shape: rng.poisson(2.0, shape).astype(float),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("n", [19, 40, 209])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_false_alarms_stay_within_the_guarantee(name: str, n: int, alpha: float) -> None:
    rng = np.random.default_rng([n, list(DISTRIBUTIONS).index(name)])
    draws = DISTRIBUTIONS[name](rng, (REPETITIONS, n + 1))
    by_p = sum(bool(p_values(new, normal) <= alpha) for *normal, new in draws.tolist())
    by_threshold = sum(new > threshold(normal, alpha) for *normal, new in draws.tolist())
    assert by_p == by_threshold <= most_alarms(alpha)
    if name != "tied":  # without ties the rate is known, and nothing is given away
        assert by_p >= fewest_alarms(math.floor(alpha * (n + 1)) / (n + 1))


@pytest.mark.parametrize(("n", "alpha"), [(19, 0.05), (40, 0.1), (209, 0.05)])
def test_the_rate_of_one_threshold_is_within_its_interval(n: int, alpha: float) -> None:
    rng = np.random.default_rng(n)
    low, high = false_alarm_interval(n, alpha, level=0.9)
    # Of uniform scores a share of 1 - t is above t.
    rates = [1 - threshold(rng.random(n), alpha) for _ in range(REPETITIONS)]
    for tail in (np.less(rates, low), np.greater(rates, high)):
        assert fewest_alarms(0.05) <= tail.sum() <= most_alarms(0.05)


def test_too_few_images_never_give_an_alarm() -> None:
    assert false_alarm_interval(18, 0.05) == (0.0, 0.0)


@given(st.data())
def test_cross_p_values_are_those_of_the_definition(data: st.DataObject) -> None:
    held_out = data.draw(normals)
    folds = data.draw(arrays(np.int64, len(held_out), elements=st.integers(0, 2)))
    by_fold = data.draw(arrays(np.float32, (3, 4), elements=st.integers(-4, 4).map(float)))
    expected = [float(reference.cross_p_value(one, held_out, folds)) for one in by_fold.T]
    assert cross_p_values(by_fold, held_out, folds).tolist() == expected


@given(normals, normals)
def test_detectors_that_agree_make_cross_p_values_plain(scores: Array, normal: Array) -> None:
    folds = np.arange(len(normal)) % 3
    crossed = cross_p_values(np.stack([scores] * 3), normal, folds)
    assert np.array_equal(crossed, p_values(scores, normal))


@pytest.mark.parametrize("folds", [5, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_cross_conformal_false_alarms_stay_within_the_guarantee(folds: int, alpha: float) -> None:
    """With the distance to the nearest image seen as the detector, in 2 dimensions."""
    n, rng = 20, np.random.default_rng(folds)
    fold_of = np.arange(n) % folds
    seen_by = fold_of != np.arange(folds)[:, None]  # (K, n)
    alarms = 0
    for _ in range(REPETITIONS):
        points = rng.normal(size=(n + 1, 2))
        apart = np.linalg.norm(points[:, None] - points[None, :n], axis=2)
        by_fold = np.where(seen_by[:, None], apart[None], np.inf).min(axis=2)  # (K, n + 1)
        held_out = by_fold[fold_of, np.arange(n)]
        alarms += int(cross_p_values(by_fold[:, n:], held_out, fold_of)[0] <= alpha)
    excess = 0.0 if folds == n else 2 * (1 - alpha) * (folds - 1) / (n + folds)
    assert alarms <= most_alarms(2 * alpha + excess)
    assert alarms <= most_alarms(1.5 * alpha)  # what is found in practice
    assert alarms >= fewest_alarms(0.25 * alpha)


maps_of_few_values = arrays(
    np.float32,
    array_shapes(min_dims=3, max_dims=3, max_side=5),
    elements=st.integers(-4, 4).map(float),
)


@given(maps_of_few_values, alphas)
def test_pixel_thresholds_are_those_of_the_definition(maps: Array, alpha: float) -> None:
    expected = reference.pixel_threshold(maps, alpha)
    assert pixel_threshold(maps, alpha, control="pixels") == expected
    assert pixel_threshold(maps, alpha) == threshold([one.max() for one in maps], alpha)


@given(maps_of_few_values, alphas)
def test_controlling_images_is_stricter_than_controlling_pixels(maps: Array, alpha: float) -> None:
    assert pixel_threshold(maps, alpha) >= pixel_threshold(maps, alpha, control="pixels")


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_pixels_above_the_threshold_stay_within_the_guarantee(alpha: float) -> None:
    """With images that differ far more than the pixels of one do."""
    n, rng = 40, np.random.default_rng(0)
    images, shares = 0, []
    for _ in range(REPETITIONS):
        maps = rng.normal(size=(n + 1, 6, 6)) + 3 * rng.standard_t(3, size=(n + 1, 1, 1))
        images += int((maps[n] > pixel_threshold(maps[:n], alpha)).any())
        shares.append((maps[n] > pixel_threshold(maps[:n], alpha, control="pixels")).mean())
    assert fewest_alarms(math.floor(alpha * (n + 1)) / (n + 1)) <= images <= most_alarms(alpha)
    assert np.mean(shares) <= alpha + 4 * np.std(shares) / math.sqrt(REPETITIONS)
    assert np.mean(shares) >= 0.3 * alpha


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_rates_that_make_no_sense_are_refused(alpha: float) -> None:
    for call in (
        lambda: threshold([1.0], alpha),
        lambda: fewest_images(alpha),
        lambda: false_alarm_interval(9, alpha),
        lambda: pixel_threshold(np.zeros((1, 1, 1)), alpha),
        lambda: pixel_threshold(np.zeros((1, 1, 1)), alpha, control="pixels"),
    ):
        with pytest.raises(ParameterError, match="alpha must be between 0 and 1"):
            call()
    with pytest.raises(ParameterError, match="level"):
        false_alarm_interval(9, 0.1, level=alpha)


def test_other_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ParameterError, match="n must be 1 or more, not 0"):
        false_alarm_interval(0, 0.1)
    with pytest.raises(ParameterError, match="control must be images or pixels, not 'parts'"):
        pixel_threshold(np.zeros((1, 1, 1)), 0.1, control="parts")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: p_values([math.nan], [1.0]), "scores must be finite"),
        (lambda: p_values([1.0], [math.inf]), "normal scores must be finite"),
        (lambda: p_values(["a"], [1.0]), "scores must be real numbers"),
        (lambda: p_values([1.0], []), "normal scores must have shape"),
        (lambda: threshold(np.zeros((2, 2)), 0.1), r"not \(2, 2\)"),
        (lambda: pixel_threshold(np.zeros((2, 2)), 0.1), r"shape \(n, H, W\)"),
        (lambda: pixel_threshold(np.zeros((0, 2, 2)), 0.1), r"not \(0, 2, 2\)"),
        (lambda: pixel_threshold(np.full((9, 2, 2), math.nan), 0.1), "normal maps must be finite"),
        (lambda: cross_p_values([1.0], [1.0], [0]), r"fold scores must have shape \(K, M\)"),
        (lambda: cross_p_values([[1.0]], [1.0, 2.0], [0]), "2 held-out scores need as many folds"),
        (lambda: cross_p_values([[1.0]], [1.0], [0.5]), "as integers"),
        (lambda: cross_p_values([[1.0]], [1.0], [1]), "folds must be from 0 to 0"),
        (lambda: cross_p_values([[1.0]], [1.0], [-1]), "folds must be from 0 to 0"),
    ],
)
def test_data_that_makes_no_sense_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()


grouped = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        arrays(np.float32, n, elements=st.integers(-4, 4).map(float)),
        st.lists(st.integers(0, 3), min_size=n, max_size=n),
    )
)


@given(grouped, alphas)
def test_groups_weigh_as_one_image_each(pair: tuple[Array, list[int]], alpha: float) -> None:
    normal, groups = pair
    scores = np.linspace(-5, 5, 21)
    expected = [float(reference.grouped_p_value(s, normal.tolist(), groups)) for s in scores]
    p = p_values(scores, normal, groups=groups)
    np.testing.assert_allclose(p, expected, rtol=1e-8)
    at = threshold(normal, alpha, groups=groups)
    count = len(set(groups))
    rate = attainable_rate(count, alpha)
    assert rate == (alpha if count >= fewest_images(alpha) else 1 / (count + 1))
    assert np.array_equal(scores > at, p_values(scores, normal, groups=groups) <= rate)
    if rate > alpha:
        assert at == normal.max()


@given(normals, alphas)
def test_groups_of_one_image_each_change_nothing(normal: Array, alpha: float) -> None:
    names = [f"part {i}" for i in range(len(normal))]
    assert threshold(normal, alpha, groups=names) == threshold(normal, alpha)
    scores = np.concatenate([normal, normal + 1])
    alone, named = p_values(scores, normal), p_values(scores, normal, groups=names)
    assert alone.tolist() == named.tolist()


@pytest.mark.parametrize("within", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("scenes", [4, 19, 40])
def test_an_image_of_a_new_scene_alarms_no_more_often_than_told(scenes: int, within: float) -> None:
    rng = np.random.default_rng(scenes)
    alpha, alarms, naive = 0.05, 0, 0
    sizes = rng.integers(1, 12, scenes)
    groups = np.repeat(np.arange(scenes), sizes)
    if len(groups) < 19:
        groups = np.repeat(np.arange(scenes), 10)
    rate = attainable_rate(scenes, alpha)
    repetitions = 2000
    for _ in range(repetitions):
        of_scene = rng.normal(size=scenes + 1)
        normal = of_scene[groups] + within * rng.normal(size=len(groups))
        new = of_scene[-1] + within * rng.normal()
        alarms += new > threshold(normal, alpha, groups=groups)
        naive += new > threshold(normal, alpha)
    assert alarms <= most_alarms(rate, repetitions)
    if within <= 0.3:  # scenes are what differs: none of the rate is given away
        assert alarms >= fewest_alarms(rate * 0.6, repetitions)
    if scenes == 4 and within == 0:
        assert naive >= fewest_alarms(0.15, repetitions)  # what images promise isn't kept


def test_the_range_of_few_scenes_holds_for_scenes_that_differ() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(5), 8)
    low, high = promised_range(5, 0.05)
    inside = 0
    for _ in range(2000):
        at = threshold(rng.uniform(size=5)[groups], 0.05, groups=groups)
        inside += low <= 1 - at <= high
    assert abs(inside / 2000 - 0.95) < 0.02


def test_a_group_of_several_folds_is_refused() -> None:
    with pytest.raises(DataError, match="images of one group must be of one fold"):
        cross_p_values([[1.0], [1.0]], [1.0, 2.0], [0, 1], groups=["a", "a"])
