from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from anomalist import PatchCore
from anomalist.calibration import alarm_ranks
from anomalist.conditions import LEVEL, MEASURES, Conditions, evidence, learnt_looks
from anomalist.data import ImageSet, Sample, Transform
from anomalist.detectors import Detector
from anomalist.inspection import Rule
from anomalist.predictions import Predictions

Pixels = npt.NDArray[np.uint8]
SIZE = 24


def photographs(
    n: int,
    seed: int,
    *,
    light: tuple[float, float, float] = (110, 100, 90),
    noise: float = 9,
    size: tuple[int, int] = (SIZE, SIZE),
) -> list[Pixels]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        level = np.array(light) + rng.normal(0, 4)
        made.append((level + rng.normal(0, noise, (*size, 3))).clip(0, 255).astype(np.uint8))
    return made


def of(images: list[Pixels], scores: npt.ArrayLike | None = None, **more: object) -> Predictions:
    samples = ImageSet(Sample(f"{i}.png", image=image) for i, image in enumerate(images))
    n = len(images)
    given = np.zeros(n) if scores is None else np.asarray(scores)
    maps = np.zeros((n, 1, 1), np.float32)
    return Predictions(samples.paths, given, maps, images=samples, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def rule() -> Rule:
    return Rule(
        alpha=0.05,
        threshold=1.0,
        pixel_threshold=None,
        low=None,
        high=None,
        given=False,
        images=40,
        scenes=40,
    )


@pytest.fixture(scope="module")
def learnt(rule: Rule) -> Conditions:
    samples = [Sample("x", image=image) for image in photographs(40, seed=0)]
    transform = Transform(SIZE)
    looks = learnt_looks(samples, transform)
    ranges = {name: (low, high) for name, (low, high) in looks.items()}
    return Conditions(rule, 40, ranges, [(SIZE, SIZE)], transform)


@pytest.fixture
def conditions(learnt: Conditions) -> Conditions:
    return dataclasses.replace(
        learnt,
        _outside={},
        _far=set(),
        _seen={},
        _told=set(),
        _other_sizes=type(learnt._other_sizes)(),
    )


def test_photographs_like_those_learnt_from_say_nothing(conditions: Conditions) -> None:
    conditions.add(of(photographs(200, seed=1)))
    assert conditions.notes() == []
    assert conditions.as_dict()["failing"] == {}


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("brightness_above", {"light": (150, 140, 130)}),
        ("brightness_below", {"light": (60, 50, 40)}),
        ("contrast_above", {"noise": 30}),
        ("red_above", {"light": (140, 90, 90)}),
        ("red_below", {"light": (95, 115, 90)}),
        ("yellow_below", {"light": (105, 98, 140)}),
        ("size", {"size": (SIZE, 2 * SIZE)}),
    ],
)
def test_others_are_told_in_one_line(
    name: str, made: dict[str, object], conditions: Conditions
) -> None:
    conditions.add(of(photographs(10, seed=2, **made)))  # type: ignore[arg-type]
    (told,) = [text for key, text in conditions.failing().items() if key == name]
    assert told.startswith("10 of 10 photographs are ")
    assert "learnt from" in told
    assert "promise" in told
    assert "\n" not in told


def test_grey_ones_are_told_where_colour_was_learnt(conditions: Conditions) -> None:
    grey = [image[..., :1].repeat(3, axis=2) for image in photographs(3, seed=3)]
    conditions.add(of(photographs(5, seed=4)))
    conditions.add(of(grey))
    assert conditions.failing()["grey"].startswith("3 of 8 photographs are grey, where all")


def test_photographs_can_be_counted_by_what_was_kept_of_them(conditions: Conditions) -> None:
    def counted(how: dict[str, object], n: int) -> Conditions:
        watch = dataclasses.replace(
            conditions, at_once=False, _outside={}, _seen={}, _other_sizes=Counter()
        )
        for image in photographs(n, seed=3, **how):  # type: ignore[arg-type]
            look = Sample("x", image=image).look(watch.sight)
            numbers = {name: getattr(look, name) for name in MEASURES}
            watch.count(numbers, "x", score=0.0, size=(SIZE, SIZE))
        return watch

    grey: dict[str, object] = {"light": (100, 100, 100), "noise": 0}
    assert counted({}, 30).notes() == []
    # One photograph is no news where thousands come; all are.
    assert counted(grey, 1).failing() == {}
    several = counted(grey, 8)
    assert "grey" in several.failing()
    again = dataclasses.replace(conditions, at_once=False, _outside={}, _seen={})
    again.resume(json.loads(json.dumps(several.state())))
    assert again.failing() == several.failing()


def test_alarms_beyond_the_promise_withdraw_it_in_words(conditions: Conditions) -> None:
    conditions.add(of(photographs(24, seed=5), np.full(24, 2.0)))
    assert conditions.notes() == [
        "24 of 24 photographs alarm where 0.6% to 13.2% was promised for images like those learnt"
        " from: either they are defective, or the promise doesn't hold for them (lighting, focus,"
        " framing, size?)"
    ]
    assert conditions.news() == conditions.notes()
    conditions.add(of(photographs(4, seed=6)), {"gone.png": "can't be read"})
    assert conditions.news() == []
    told = conditions.as_dict()
    assert told == json.loads(json.dumps(told, allow_nan=False))
    assert (told["photographs"], told["failed"], told["alarms"]) == (28, 1, 24)


def test_labelled_defects_are_no_alarms(conditions: Conditions) -> None:
    labels = np.arange(30) >= 18
    scores = np.where(labels | (np.arange(30) < 13), 2.0, 0.0)
    conditions.add(of(photographs(30, seed=7), scores, labels=labels))
    assert conditions.notes() == [
        "13 of 18 good images alarm: far above the 0.6% to 13.2% that was promised; the promise"
        " doesn't hold for these photographs"
    ]


def test_no_promise_is_withdrawn_where_none_was_made(conditions: Conditions) -> None:
    given = dataclasses.replace(conditions, rule=dataclasses.replace(conditions.rule, given=True))
    given.add(of(photographs(24, seed=8), np.full(24, 2.0)))
    assert given.notes() == []


def test_what_few_scenes_promise_is_withdrawn_only_far_beyond_it(conditions: Conditions) -> None:
    few = dataclasses.replace(conditions, rule=dataclasses.replace(conditions.rule, scenes=4))
    assert few.rule.promise == pytest.approx((0.006, 0.602), abs=1e-3)
    few.add(of(photographs(24, seed=8), np.array([2.0] * 12 + [0.0] * 12)))
    assert few.notes() == []
    few.add(of(photographs(24, seed=9), np.full(24, 2.0)))
    assert len(few.notes()) <= 1


def test_a_model_that_does_not_say_what_it_learnt_from_compares_alarms_alone() -> None:
    good = np.stack(photographs(20, seed=9, size=(64, 64)))
    detector: Detector = PatchCore(image_size=64, device="cpu").fit(good)
    detector.calibrate(good)
    detector.reference_ = None  # as of a file of an early version
    conditions = Conditions.of(detector)
    conditions.add(of(photographs(12, seed=10, light=(200, 200, 200)), np.full(12, 1e6)))
    (only,) = conditions.notes()
    assert only.startswith("12 of 12 photographs alarm where")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(1, 400), st.floats(0.005, 0.5), st.integers(0, 60), st.integers(0, 60))
def test_evidence_is_a_fair_bet_against_the_urn(
    images: int, alpha: float, count: int, others: int
) -> None:
    """What it is worth next, in the mean, is no more than what it is worth now."""
    above = alarm_ranks(images, alpha)
    if not above:
        return
    number = count + others
    chance = (above + count) / (images + 1 + number)
    now = evidence(count, number, above, images)
    following = chance * evidence(count + 1, number + 1, above, images) + (1 - chance) * evidence(
        count, number + 1, above, images
    )
    assert following <= now * (1 + 1e-6) or math.isclose(now, math.exp(700))


def test_watching_does_not_inflate_the_rate() -> None:
    """Of a thousand runs of good photographs, looked at after every one, one in a hundred tells."""
    rng = np.random.default_rng(0)
    for n, alpha in ((19, 0.05), (40, 0.05), (200, 0.1)):
        above = alarm_ranks(n, alpha)
        told = 0
        for _ in range(1000):
            rate = rng.beta(above, n + 1 - above)
            alarms = np.cumsum(rng.random(300) < rate)
            # It grows with alarms alone, so after each is soon enough.
            at = np.flatnonzero(np.diff(alarms, prepend=0))
            told += any(
                evidence(int(alarms[i]), int(i) + 1, above, n) >= 1 / LEVEL for i in at[:40]
            )
        assert told / 1000 <= LEVEL + 0.006


def test_good_photographs_are_seldom_said_to_differ(learnt: Conditions) -> None:
    """Numbers of any tail, drawn alike: as often as stated, or more seldom."""
    rng = np.random.default_rng(1)
    ends = 2 * (len(MEASURES) - 1)
    told = 0
    for _ in range(1000):
        values = rng.standard_t(3, size=20 + 100)
        high = values[:20].max()
        beyond = np.cumsum(values[20:] > high)
        told += any(
            evidence(int(beyond[i]), i + 1, 1, 20) >= ends / LEVEL for i in range(0, 100, 7)
        )
    assert told / 1000 <= LEVEL


def test_the_chance_of_good_images_to_alarm_is_that_of_ranks() -> None:
    rng = np.random.default_rng(2)
    above = alarm_ranks(19, 0.05)
    counts = []
    for _ in range(4000):
        ranks = rng.permutation(19 + 10)
        limit = np.sort(ranks[:19])[-above]
        counts.append(int((ranks[19:] > limit).sum()))
    for k in (1, 2, 4):
        assert np.mean(np.array(counts) >= k) == pytest.approx(
            betabinom.sf(k - 1, 10, above, 20 - above), abs=0.025
        )
