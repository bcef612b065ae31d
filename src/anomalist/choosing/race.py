"""Successive halving: all candidates are judged on few images, the better half of them on more."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomalist.calibration import number_groups
from anomalist.choosing.candidates import Candidate
from anomalist.choosing.choice import Choice, Row
from anomalist.choosing.judged import Judged, Question, Verdict
from anomalist.data import ImageSet
from anomalist.detectors.judging import OF_A_KIND, Judgement
from anomalist.digits import duration
from anomalist.errors import AnomalistError, ParameterError
from anomalist.features import Progress

# The share of the images that each round is on, and how many defects of a kind are made for it.
_ROUNDS = ((0.25, 5), (0.5, 10), (1.0, OF_A_KIND))
# On fewer images than these little is told apart.
_FEWEST = 20
# A bank grows with the images, and picking it takes more than that.
_GROWTH = 1.25
# A fit passes every image, and calibrating it scores every image.
_FIT = 2
# Feature maps that are there save most of the work, but never all.
_LEAST_WORK = 0.1


@dataclass(eq=False)
class _Standing:
    """How far a candidate has come."""

    candidate: Candidate
    verdict: Verdict | None = None
    #: In how many rounds it was judged.
    rounds: int = 0
    told: str = ""

    @property
    def judgement(self) -> Judgement:
        assert self.verdict is not None
        return self.verdict.judgement


class _OutOfTimeError(Exception):
    """What is being judged has to be left, so that there is time for the fit."""


class Race:
    """One choice under way.

    Parameters
    ----------
    images : ImageSet
        Good images.
    groups : int64 array
        The group of each.
    among : list of Candidate
        The default first.
    budget : float
        Seconds for this, and for the fit and calibration of what is chosen.
    judged : Judged
        What measures a candidate.
    most_ms : float, optional
        Milliseconds that an image may take.
    seed : int
        Seed of which images come to which round.
    progress : callable, optional
        Called with the seconds that have passed and those of the budget.
    """

    def __init__(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        among: list[Candidate],
        budget: float,
        judged: Judged,
        *,
        most_ms: float | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self._images, self._groups, self._seed = images, groups, seed
        self._standings = [_Standing(candidate) for candidate in among]
        self._default = self._standings[0]
        self._budget, self._most_ms = budget, most_ms
        self._judged, self._progress = judged, progress
        # Seconds that an image costs a backbone, by what it sees of it; what it saw in this round.
        self._passes: dict[str, float] = {}
        self._seen: set[str] = set()
        self._short = False
        self._questions = [_question(images, groups, share, k, seed) for share, k in _ROUNDS]
        self._started = time.monotonic()
        # When judging has to end, which is known once the default has been judged.
        self._end = math.inf

    def run(self) -> Choice:
        """Judge round after round, and choose.

        Raises
        ------
        AnomalistError
            If the default can't be judged.
        ParameterError
            If no candidate is fast enough.
        """
        live = self._standings
        for i, question in enumerate(self._questions):
            self._seen.clear()
            if i:
                better = self._better_half(live)
                # A round in which the default would stand alone tells nothing.
                if sum(self._estimate(s, question.work) for s in better[:2]) > self._left(live):
                    self._short = True
                    break
                live = better
            self._round(live, question, i + 1)
        winner, notes = self._decided(live)
        if self._short:
            notes.append(self._time_note())
        if self._judged.taken_over:
            notes.append(f"{self._judged.taken_over} verdicts are from a choice that was stopped")
        return self._choice(winner, notes)

    def _round(self, live: list[_Standing], question: Question, number: int) -> None:
        """Judge the default first, and then as many as this round has time for."""
        until = math.inf
        for standing in live:
            first = standing is self._default
            try:
                if not first and self._passed() + self._estimate(standing, question.work) > until:
                    raise _OutOfTimeError
                standing.verdict = self._judge(standing, question)
            except _OutOfTimeError:
                standing.told = f"no time for round {number}"
                self._short = True
                if first:
                    break
                continue
            except AnomalistError as error:
                if standing is self._default:
                    raise
                standing.told = str(error)
                continue
            standing.rounds = number
            if standing is self._default:
                self._end = self._budget - self._whole(standing, _FIT * len(self._images))
                rounds_left = len(self._questions) - number + 1
                until = self._passed() + self._left(live) / rounds_left

    def _judge(self, standing: _Standing, question: Question) -> Verdict:
        def tick(_done: int, _total: int) -> None:
            if self._progress is not None:
                self._progress(min(round(self._passed()), round(self._budget)), round(self._budget))
            if self._passed() > self._end:
                raise _OutOfTimeError

        verdict = self._judged(standing.candidate, question, tick)
        view = standing.candidate.view
        self._passes[view] = max(self._passes.get(view, 0.0), verdict.saved / verdict.work)
        self._seen.add(view)
        return verdict

    def _passed(self) -> float:
        return time.monotonic() - self._started

    def _left(self, live: list[_Standing]) -> float:
        """Seconds for judging, once the leader is to be checked, fitted and calibrated."""
        last = self._default.rounds
        leader = max((s for s in live if s.rounds == last), key=lambda s: s.judgement.score)
        checks = 0.0
        if leader is not self._default:
            work = self._questions[last - 1].work
            checks = self._whole(leader, work) + self._whole(self._default, work)
        fit = self._whole(leader, _FIT * len(self._images))
        return self._budget - self._passed() - checks - fit

    def _whole(self, standing: _Standing, work: int) -> float:
        """Roughly the seconds of so much work, where no feature map is there."""
        known, pixels = standing.verdict, 1.0
        if known is None:
            known = self._default.verdict
            pixels = standing.candidate.pixels / self._default.candidate.pixels
        assert known is not None
        more = work / known.work
        growth: float = more**_GROWTH if more > 1 else more
        return known.whole * pixels * growth

    def _estimate(self, standing: _Standing, work: int) -> float:
        """Roughly the seconds of so much work in this round."""
        whole, view = self._whole(standing, work), standing.candidate.view
        made = self._passes.get(view, 0.0) * work if view in self._seen else 0.0
        return max(whole - made, _LEAST_WORK * whole)

    def _better_half(self, live: list[_Standing]) -> list[_Standing]:
        """The default, and the better half of those that were judged as far and are fast enough."""
        last = self._default.rounds
        come = [s for s in live if s.rounds == last and not self._too_slow(s)]
        come.sort(key=lambda s: -s.judgement.score)
        others = [s for s in come if s is not self._default]
        kept = max(1, math.ceil(len(come) / 2) - 1)
        for standing in others[kept:]:
            standing.told = "in the worse half"
        return [self._default, *others[:kept]]

    def _too_slow(self, standing: _Standing) -> bool:
        if self._most_ms is None or 1000 * standing.judgement.seconds_per_image <= self._most_ms:
            return False
        standing.told = f"slower than {self._most_ms:g} ms"
        return True

    def _decided(self, live: list[_Standing]) -> tuple[_Standing, list[str]]:
        """The best of those that came farthest, if it is clearly ahead of the default."""
        default = self._default
        if self._too_slow(default):
            fast = [s for s in self._standings if s.rounds and not self._too_slow(s)]
            if not fast:
                quickest = min(
                    (s for s in self._standings if s.rounds),
                    key=lambda s: s.judgement.seconds_per_image,
                )
                takes = 1000 * quickest.judgement.seconds_per_image
                raise ParameterError(
                    f"no candidate takes at most {self._most_ms:g} ms an image here: the fastest,"
                    f" {quickest.candidate.label}, takes {takes:.0f}"
                )
            best = max(fast, key=lambda s: (s.rounds, s.judgement.score))
            return best, ["the default is too slow: the best of those that are fast enough"]
        ahead = []
        for standing in live:
            if standing is default or standing.rounds < default.rounds:
                continue
            lead, error = lead_of(standing.judgement, default.judgement)
            if lead > error and _ranks_as_well(standing.judgement, default.judgement):
                ahead.append((lead, standing))
            else:
                standing.told = standing.told or "not clearly ahead of the default"
        question = dataclasses.replace(self._questions[default.rounds - 1], checking=True)
        for _, standing in sorted(ahead, key=lambda pair: -pair[0]):
            try:
                checked = self._judge(standing, question).judgement
                of_default = self._judge(default, question).judgement
            except _OutOfTimeError:
                standing.told = "ahead of the default, but there was no time to check it"
                self._short = True
                return default, [
                    "the default stays: what is ahead of it couldn't be checked in time"
                ]
            lead, _ = lead_of(checked, of_default)
            if lead > 0 and _ranks_as_well(checked, of_default):
                return standing, [
                    f"by the kinds of defect that check, score {checked.score:.3f} beside the"
                    f" default's {of_default.score:.3f}"
                ]
            standing.told = "ahead of the default, but not by the kinds of defect that check"
        return default, ["the default stays: none is ahead of it by what decides and what checks"]

    def _time_note(self) -> str:
        """Say what the time was enough for, and roughly which is enough for all."""
        known = [s for s in self._standings if s.rounds]
        live, needed = len(self._standings), self._whole(known[0], _FIT * len(self._images))
        for question in self._questions:
            needed += live * float(np.mean([self._whole(s, question.work) for s in known]))
            live = max(2, math.ceil(live / 2))
        return (
            f"{duration(self._budget)} were enough for {len(known)} of {len(self._standings)}"
            f" candidates and {self._default.rounds} of {len(self._questions)} rounds; all would"
            f" take about {duration(needed)}"
        )

    def _choice(self, winner: _Standing, notes: list[str]) -> Choice:
        winner.told = "chosen"
        ordered = sorted(
            self._standings,
            key=lambda s: (s is not winner, -s.rounds, -s.judgement.score if s.rounds else 0.0),
        )
        rows = [
            Row(
                s.candidate.label,
                s.candidate.detector.name,
                s.candidate.settings,
                s.rounds,
                s.judgement if s.rounds else None,
                s.told,
            )
            for s in ordered
        ]
        chosen = winner.candidate
        return Choice(
            chosen.detector, chosen.label, tuple(rows), self._passed(), self._budget, tuple(notes)
        )


def lead_of(one: Judgement, other: Judgement) -> tuple[float, float]:
    """Return by how much a score is the higher, and the standard error of that.

    The error is that of a mean over kinds of defect, which were made alike for both.

    Examples
    --------
    >>> from anomalist.detectors.judging import KindJudged
    >>> good, fair = KindJudged(9, 1.0, 1.0, 1.0, 1.0), KindJudged(9, 0.5, 0.5, 0.5, 0.5)
    >>> one = Judgement({"cut": good, "stain": good}, 9, 9, 0.0, 0.0)
    >>> other = Judgement({"cut": good, "stain": fair}, 9, 9, 0.0, 0.0)
    >>> lead_of(one, other)
    (0.25, 0.25)
    """
    differences = [
        (a.image_AUROC + a.pixel_PRO - b.image_AUROC - b.pixel_PRO) / 2
        for a, b in ((one.kinds[kind], other.kinds[kind]) for kind in one.kinds)
    ]
    spread = np.std(differences, ddof=1) if len(differences) > 1 else 0.0
    return float(np.mean(differences)), float(spread / math.sqrt(len(differences)))


def _ranks_as_well(one: Judgement, other: Judgement) -> bool:
    """Whether it tells images with defects from good ones as well, as better maps don't make up."""
    return one.image_AUROC >= other.image_AUROC


def _question(
    images: ImageSet, groups: npt.NDArray[np.int64], share: float, of_a_kind: int, seed: int
) -> Question:
    """Ask on a share of the images."""
    n = max(round(share * len(images)), min(_FEWEST, len(images)))
    places = _drawn(groups, n, seed)
    return Question(images[places], number_groups(groups[places], len(places)), of_a_kind)


def _drawn(groups: npt.NDArray[np.int64], n: int, seed: int) -> npt.NDArray[np.intp]:
    """Places of n of the images, or a few more, whole groups of them; in fewer are those of more.

    Examples
    --------
    >>> _drawn(np.array([0, 0, 1, 1, 2, 2]), 4, seed=0).tolist()
    [0, 1, 4, 5]
    """
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    count = np.cumsum(np.bincount(groups)[order])
    taken = order[: int(np.searchsorted(count, n)) + 1]
    return np.flatnonzero(np.isin(groups, taken))
