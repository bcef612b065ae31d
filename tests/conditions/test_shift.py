from __future__ import annotations

import json
import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from anomalist.calibration import Reference
from anomalist.conditions import LEVEL, ShiftWatch
from anomalist.data import ImageSet, Sample, Transform
from anomalist.predictions import Predictions

Pixels = npt.NDArray[np.uint8]
SIZE = 48
TRANSFORM = Transform(SIZE)


def part(
    rng: np.random.Generator,
    *,
    light: float = 1.0,
    scale: float = 1.0,
    right: float = 0.0,
    turn: float = 0.0,
    blur: bool = False,
) -> Pixels:
    """A dark bar on a light ground, a little different each time."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    x, y = x - right - rng.normal(0, 0.004), y - rng.normal(0, 0.004)
    angle = np.deg2rad(20 + turn + rng.normal(0, 1))
    along, beside = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    size = scale * (1 + rng.normal(0, 0.01))
    inside = np.clip((0.3 * size - np.abs(along)) * SIZE, 0, 1)
    inside *= np.clip((0.1 * size - np.abs(beside)) * SIZE, 0, 1)
    level = (1 + rng.normal(0, 0.02)) * light
    grey = (190 - 110 * inside + rng.normal(0, 4, inside.shape)) * level
    if blur:
        grey = (
            grey + np.roll(grey, 1, 0) + np.roll(grey, 1, 1) + np.roll(grey, (1, 1), (0, 1))
        ) / 4
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def of(images: list[Pixels], scores: npt.ArrayLike | None = None, *, first: int = 0) -> Predictions:
    samples = ImageSet(Sample(f"{first + i}.png", image=im) for i, im in enumerate(images))
    n = len(images)
    rng = np.random.default_rng(first + n)
    given = rng.random(n) if scores is None else np.asarray(scores, float)
    maps = np.zeros((n, 1, 1), np.float32)
    return Predictions(samples.paths, given, maps, images=samples, transform=TRANSFORM)


def parts(n: int, seed: int, **how: object) -> list[Pixels]:
    rng = np.random.default_rng(seed)
    return [part(rng, **how) for _ in range(n)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def reference() -> Reference:
    made = Reference.of(of(parts(80, 0)))
    assert made is not None
    return made


@pytest.fixture
def watch(reference: Reference) -> ShiftWatch:
    return ShiftWatch(reference, TRANSFORM)


def test_photographs_like_those_learnt_from_say_nothing(watch: ShiftWatch) -> None:
    watch.add(of(parts(150, 1)))
    assert watch.describe("photograph") is None
    assert watch.as_dict()["shifted"] is False


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("brightness", {"light": 1.05}, "brighter (mean grey level about"),
        ("brightness", {"light": 0.93}, "darker (mean grey level about"),
        ("extent", {"scale": 1.04}, "shown larger"),
        ("across", {"right": -0.02}, "further left"),
        ("tilt", {"turn": 4}, "at another angle"),
        ("sharpness", {"blur": True}, "less sharp"),
    ],
)
def test_a_shift_within_the_ranges_is_told_with_what_differs(
    name: str, how: dict[str, object], words: str, watch: ShiftWatch
) -> None:
    watch.add(of(parts(30, 2, **how)))
    told = watch.describe("photograph")
    assert told is not None
    assert told.startswith("the photographs have shifted, from the first on of 30 (by chance in")
    assert words in told
    assert name in watch.as_dict()["differences"]


def test_it_is_told_at_which_photograph_it_began(watch: ShiftWatch) -> None:
    watch.add(of(parts(40, 3)))
    watch.add(of(parts(30, 4, light=1.12), first=40))
    told = watch.as_dict()
    assert told["shifted"]
    assert 40 <= told["since"]["number"] <= 43
    assert told["since"]["path"] == f"{told['since']['number'] - 1}.png"
    assert f"from {told['since']['path']} on, number" in (watch.describe("photograph") or "")
    assert told["chance"] <= LEVEL
    json.dumps(told, allow_nan=False)


def test_defective_parts_among_the_new_ones_are_no_shift(watch: ShiftWatch) -> None:
    images = parts(120, 5)
    scores = np.random.default_rng(5).random(120)
    for i in range(0, 120, 5):  # every fifth has a large white spot, and scores high
        images[i] = images[i].copy()
        images[i][20:34, 14:32] = 255
        scores[i] = 100
    watch.add(of(images, scores))
    assert watch.describe("photograph") is None


def test_scores_that_rise_are_told_and_lower_ones_not(reference: Reference) -> None:
    for scores, told in ((9.0, True), (-9.0, False)):
        watch = ShiftWatch(reference, TRANSFORM)
        watch.add(of(parts(40, 6), np.full(40, scores) + np.arange(40) / 100))
        assert ("score" in watch.as_dict()["differences"]) is told


def test_shots_of_one_part_count_once(reference: Reference) -> None:
    rng = np.random.default_rng(7)
    watch = ShiftWatch(reference, TRANSFORM)
    for _ in range(6):
        one = part(rng)
        watch.add(of([one] * 10))
    told = watch.as_dict()
    assert told["seen"] == 60
    assert told["shown_again"] == 54
    assert not told["shifted"]


def test_an_earlier_call_is_gone_on_with(reference: Reference) -> None:
    whole, first, second = (ShiftWatch(reference, TRANSFORM) for _ in range(3))
    some, rest = of(parts(15, 8, light=1.04)), of(parts(15, 9, light=1.04), first=15)
    whole.add(some)
    whole.add(rest)
    kept = json.loads(json.dumps(first.add(some), allow_nan=False))
    for numbers, path in zip(kept, some.paths, strict=True):
        second.replay(numbers, str(path))
    second.add(rest)
    assert second.as_dict() == whole.as_dict()


@pytest.mark.parametrize(
    "made", [lambda n, s: parts(n, s), lambda n, _: [np.full((SIZE, SIZE, 3), 9, np.uint8)] * n]
)
@pytest.mark.parametrize("n", [1, 2, 12])
def test_few_photographs_and_constant_ones_say_nothing(
    n: int, made: Callable[[int, int], list[Pixels]]
) -> None:
    learnt = Reference.of(of(made(n, 10)))
    assert learnt is not None
    watch = ShiftWatch(learnt, TRANSFORM)
    watch.add(of(made(20, 11)))
    assert watch.describe("photograph") is None
    json.dumps(watch.as_dict(), allow_nan=False)


def test_photographs_that_are_gone_do_not_count(watch: ShiftWatch) -> None:
    watch.add(Predictions(["gone.png"], np.zeros(1), np.zeros((1, SIZE, SIZE))))
    assert watch.as_dict()["seen"] == 1


def test_watches_in_threads_share_a_reference(reference: Reference) -> None:
    expected = ShiftWatch(reference, TRANSFORM)
    expected.add(of(parts(20, 12, light=1.1)))
    found: list[dict[str, object]] = []

    def look() -> None:
        watch = ShiftWatch(reference, TRANSFORM)
        watch.add(of(parts(20, 12, light=1.1)))
        found.append(watch.as_dict())

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected.as_dict()] * 4
