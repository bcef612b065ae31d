"""Successive halving: who comes to which round, who is chosen, and what a short time leaves out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from anomalist.choosing import Candidate, Verdict, candidates, choose, seconds_of
from anomalist.choosing.race import _drawn
from anomalist.data import ImageSet, as_image_set
from anomalist.detectors import DFM, PaDiM, PatchCore
from anomalist.detectors.judging import Judgement, KindJudged
from anomalist.errors import DataError, ParameterError

KINDS = ("cut", "stain")


class StandIn:
    """A judge that knows how good candidates are, and how long they take."""

    def __init__(self, merits, *, seconds=0.0, checked=None, milliseconds=None, clock=None):
        self.merits, self.checked = merits, checked or merits
        self.seconds, self.milliseconds, self.clock = seconds, milliseconds or {}, clock
        self.asked: list[tuple[str, int, bool]] = []

    def __call__(self, candidate, question, progress):
        self.asked.append((candidate.label, len(question.images), question.checking))
        took = self.seconds * question.work
        if self.clock is not None:
            self.clock.now += took
        merit = (self.checked if question.checking else self.merits)[candidate.label]
        if isinstance(merit, Exception):
            raise merit
        merits = merit if isinstance(merit, tuple) else (merit, merit)
        kinds = {k: KindJudged(9, m, m, m, m) for k, m in zip(KINDS, merits, strict=True)}
        a_second = self.milliseconds.get(candidate.label, 30) / 1000
        judgement = Judgement(kinds, 9, 9, a_second, 0.0)
        return Verdict(judgement, took, 0.0, question.work)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("anomalist.choosing.race.time.monotonic", made)
    return made


@pytest.fixture(scope="module")
def images() -> ImageSet:
    rng = np.random.default_rng(0)
    return as_image_set([rng.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(96)])


def among(*names: str) -> list[Candidate]:
    kinds = {"patchcore": PatchCore, "padim": PaDiM, "dfm": DFM}
    return [
        Candidate(kinds[name](image_size=64 + 32 * i), {"image_size": 64 + 32 * i} if i else {})
        for i, name in enumerate(names)
    ]


def test_the_better_half_comes_to_twice_as_many_images(images):
    field = among("patchcore", "padim", "dfm", "patchcore", "padim")
    labels = [candidate.label for candidate in field]
    judge = StandIn(dict(zip(labels, (0.5, 0.6, 0.7, 0.8, 0.9), strict=True)))
    choice = choose(images, budget=60, among=field, judge=judge)
    rounds = {n: [a for a in judge.asked if a[1] == n and not a[2]] for n in (24, 48, 96)}
    assert [len(asked) for asked in rounds.values()] == [5, 3, 2]
    # The default comes to every round, first.
    assert {asked[0][0] for asked in rounds.values()} == {"patchcore"}
    assert choice.label == labels[4]
    assert choice.detector is field[4].detector
    assert choice.rows[0].told == "chosen"
    assert [row.rounds for row in choice.rows] == [3, 3, 2, 1, 1]


@pytest.mark.parametrize(
    ("decides", "checks", "told"),
    [
        ((0.6, 0.9), 0.9, "not clearly ahead of the default"),
        (0.8, 0.65, "ahead of the default, but not by the kinds of defect that check"),
        (0.8, 0.75, "chosen"),
    ],
)
def test_a_lead_within_its_error_or_that_other_kinds_deny_leaves_the_default(
    images, decides, checks, told
):
    field = among("patchcore", "padim")
    other = field[1].label
    judge = StandIn({"patchcore": 0.7, other: decides}, checked={"patchcore": 0.7, other: checks})
    choice = choose(images, budget=60, among=field, judge=judge)
    assert choice.label == (other if told == "chosen" else "patchcore")
    assert {row.label: row.told for row in choice.rows}[other] == told


def test_a_short_time_leaves_out_candidates_and_rounds_and_says_what_would_do(images, clock):
    field = among(*["patchcore", "padim", "dfm"] * 4)
    merits = {candidate.label: 0.5 + 0.01 * i for i, candidate in enumerate(field)}
    judge = StandIn(merits, seconds=0.02, clock=clock)
    choice = choose(images, budget="30s", among=field, judge=judge)
    assert clock.now < 30
    assert max(n for _, n, _ in judge.asked) < 96
    assert len({label for label, _, _ in judge.asked}) < len(field)
    (note,) = [note for note in choice.notes if "would take" in note]
    assert "of 12 candidates" in note
    assert any("no time" in row.told for row in choice.rows)
    minutes = float(note.rpartition("about ")[2].partition(" ")[0])
    clock.now = 0
    enough = StandIn(merits, seconds=0.02, clock=clock)
    choice = choose(images, budget=f"{2 * minutes}min", among=field, judge=enough)
    assert not [note for note in choice.notes if "would take" in note]
    assert choice.label == field[-1].label


def test_judging_ends_in_time_for_the_fit_whatever_it_was_estimated_at(images, clock):
    """A candidate that takes far longer than its like is left in the middle."""
    field = among("patchcore", "padim")
    slow, merits = field[1].label, {"patchcore": 0.5, field[1].label: 0.9}

    def judge(candidate, question, progress):
        if candidate.label == slow:
            for i in range(1000):
                clock.now += 1
                progress(i, 1000)
        return StandIn(merits, seconds=0.01, clock=clock)(candidate, question, progress)

    choice = choose(images, budget=30, among=field, judge=judge)
    assert clock.now < 32
    assert choice.label == "patchcore"
    assert choice.rows[1].told == "no time for round 1"


def test_a_lead_that_there_is_no_time_to_check_is_told_so(images, clock):
    field = among("patchcore", "padim")
    other = field[1].label
    judge = StandIn({"patchcore": 0.5, other: 0.9})

    def slow_to_check(candidate, question, progress):
        if question.checking:
            clock.now += 60
            progress(1, 2)
        return judge(candidate, question, progress)

    choice = choose(images, budget=30, among=field, judge=slow_to_check)
    assert choice.label == "patchcore"
    assert {row.label: row.told for row in choice.rows}[other].endswith("no time to check it")
    assert "the default stays: what is ahead of it couldn't be checked in time" in choice.notes


def test_what_fails_is_told_and_left_out(images):
    field = among("patchcore", "padim")
    judge = StandIn({"patchcore": 0.5, field[1].label: DataError("too few images")})
    choice = choose(images[:12], budget=60, among=field, judge=judge)
    assert choice.label == "patchcore"
    assert choice.rows[1].told == "too few images"
    judge = StandIn({"patchcore": DataError("too few images")})
    with pytest.raises(DataError, match="too few images"):
        choose(images[:12], budget=60, among=field[:1], judge=judge)


def test_what_is_too_slow_is_not_chosen(images):
    field = among("patchcore", "padim", "dfm")
    labels = [candidate.label for candidate in field]
    merits = dict(zip(labels, (0.9, 0.95, 0.5), strict=True))
    slow = dict(zip(labels, (50, 60, 10), strict=True))
    judge = StandIn(merits, milliseconds=slow)
    choice = choose(images, budget=60, among=field, judge=judge, most_ms=20)
    assert choice.label == labels[2]
    assert {row.told for row in choice.rows[1:]} == {"slower than 20 ms"}
    with pytest.raises(ParameterError, match=r"at most 5 ms .* takes 10"):
        choose(images, budget=60, among=field, judge=judge, most_ms=5)


def test_what_was_judged_is_taken_over(images, tmp_path: Path):
    field = among("patchcore", "padim")
    merits = {candidate.label: 0.5 for candidate in field}
    kept = tmp_path / "kept.json"
    choose(images, budget=60, among=field, judge=StandIn(merits), kept=kept)
    again = StandIn(merits)
    choice = choose(images, budget=60, among=field, judge=again, kept=kept)
    assert not again.asked
    assert any("stopped" in note for note in choice.notes)
    other = StandIn(merits)
    choose(images, budget=60, among=field, judge=other, kept=kept, seed=1)
    assert other.asked
    kept.write_text("[", encoding="utf-8")
    torn = StandIn(merits)
    choose(images, budget=60, among=field, judge=torn, kept=kept)
    assert torn.asked


def test_images_of_a_group_stay_together(images):
    groups = np.repeat(np.arange(24), 4)
    seen = []

    def judge(candidate, question, progress):
        seen.append(question.groups)
        return StandIn({"patchcore": 0.5})(candidate, question, progress)

    choose(images, budget=60, among=among("patchcore"), groups=groups, judge=judge)
    assert all((np.bincount(own) == 4).all() for own in seen)
    with pytest.raises(DataError, match="3 good scenes are too few"):
        choose(images, budget=60, among=among("patchcore"), groups=np.arange(96) % 3, judge=judge)


@pytest.mark.parametrize("budget", ["", "5 parsecs", "-5s", "0s", "nan", "1 2", True, math.inf])
def test_a_budget_that_is_no_time_is_refused(budget):
    with pytest.raises(ParameterError, match="budget must be a time such as 90s"):
        seconds_of(budget)


def test_rounds_are_nested():
    groups = np.arange(40)
    few, more = _drawn(groups, 20, seed=3), _drawn(groups, 40, seed=3)
    assert set(few) < set(more)


def test_what_is_given_is_not_chosen():
    found = candidates({"image_size": 64, "backbone": "efficientnet_lite0"})
    assert found[0].settings == {}
    assert len({candidate.identity for candidate in found}) == len(found)
    members = [part for candidate in found for part in candidate.detector.components()]
    assert {part.image_size for part in members} == {64}
    assert {part.backbone for part in members} == {"efficientnet_lite0"}
    assert not any("image_size" in candidate.settings for candidate in found)


def test_what_does_not_go_with_what_is_given_is_no_candidate():
    tiled = candidates({"tile_size": 64})
    assert tiled[0].label == "patchcore"
    assert len(tiled) > 5
    assert not any(candidate.detector.align for candidate in tiled)
    assert {c.detector.crop_size for c in candidates({"crop_size": 300})} == {300}
    with pytest.raises(ParameterError, match="leave tile_size out"):
        candidates({"tile_size": 64, "align": True})
    with pytest.raises(ParameterError, match="leave tile_size out"):
        candidates({"tile_size": 64}, {"padim": {"align": True}})
