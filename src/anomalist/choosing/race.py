"""Successive halving: all candidates are judged on few images, the better half of them on more."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomalist.calibration import number_groups
from anomalist.choosing.candidates import Candidate
from anomalist.choosing.choice import Choice, Row
from anomalist.choosing.judged import Judged, Verdict
from anomalist.data import ImageSet
from anomalist.detectors.judging import Judgement
from anomalist.digits import duration
from anomalist.errors import AnomalistError, ParameterError
from anomalist.features import Progress

# On fewer images than these little is told apart.
_FEWEST = 20
_ROUNDS = 4
# A bank grows with the images, and picking it takes more than that.
_GROWTH = 1.5
# Judging passes about three images for each that it is given, a fit one.
_FIT = 0.7
# Feature maps that are there save most of the work, but never all.
_LEAST_WORK = 0.1


@dataclass(eq=False)
class _Standing:
    """How far a candidate has come."""

    candidate: Candidate
    verdict: Verdict | None = None
    told: str = ""

    @property
    def images(self) -> int:
        return 0 if self.verdict is None else self.verdict.images

    @property
    def judgement(self) -> Judgement:
        assert self.verdict is not None
        return self.verdict.judgement


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
        self._started = time.monotonic()

    def run(self) -> Choice:
        """Judge round after round, and choose.

        Raises
        ------
        AnomalistError
            If the default can't be judged.
        ParameterError
            If no candidate is fast enough.
        """
        sizes = _sizes(len(self._images))
        live = self._standings
        for i, n in enumerate(sizes):
            self._seen.clear()
            if i:
                better = self._better_half(live)
                # A round in which the default would stand alone tells nothing.
                if sum(self._estimate(s, n) for s in better[:2]) > self._left(live):
                    self._short = True
                    break
                live = better
            self._round(live, n, len(sizes) - i)
        winner, notes = self._decided(live)
        if self._short:
            notes.append(self._time_note(sizes))
        if self._judged.taken_over:
            notes.append(f"{self._judged.taken_over} verdicts are from a choice that was stopped")
        return self._choice(winner, notes)

    def _round(self, live: list[_Standing], n: int, rounds: int) -> None:
        """Judge on so many images, the default first, as many as this round has time for."""
        places = _drawn(self._groups, n, self._seed)
        images, groups = self._images[places], number_groups(self._groups[places], n)
        until = math.inf
        for standing in live:
            if (
                standing is not self._default
                and self._passed() + self._estimate(standing, n) > until
            ):
                standing.told = f"no time to judge it on {n} images"
                self._short = True
                continue
            try:
                standing.verdict = self._judge(standing, images, groups)
            except AnomalistError as error:
                if standing is self._default:
                    raise
                standing.told = str(error)
            if standing is self._default:
                until = self._passed() + self._left(live) / rounds

    def _judge(
        self,
        standing: _Standing,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        *,
        checking: bool = False,
    ) -> Verdict:
        def tick(_done: int, _total: int) -> None:
            if self._progress is not None:
                self._progress(min(round(self._passed()), round(self._budget)), round(self._budget))

        verdict = self._judged(standing.candidate, images, groups, checking=checking, progress=tick)
        view = standing.candidate.view
        self._passes[view] = max(self._passes.get(view, 0.0), verdict.saved / verdict.images)
        self._seen.add(view)
        tick(0, 0)
        return verdict

    def _passed(self) -> float:
        return time.monotonic() - self._started

    def _left(self, live: list[_Standing]) -> float:
        """Seconds for judging, once the leader is to be checked, fitted and calibrated."""
        last = self._default.images
        leader = max((s for s in live if s.images == last), key=lambda s: s.judgement.score)
        checks = 0.0 if leader is self._default else self._whole(leader, last) * 2
        fit = _FIT * self._whole(leader, len(self._images))
        return self._budget - self._passed() - checks - fit

    def _whole(self, standing: _Standing, n: int) -> float:
        """Roughly the seconds of judging it on so many images, where no feature map is there."""
        known, pixels = standing.verdict, 1.0
        if known is None:
            known = self._default.verdict
            pixels = standing.candidate.pixels / self._default.candidate.pixels
        assert known is not None
        growth: float = max(1.0, n / known.images) ** _GROWTH
        return known.whole * pixels * growth

    def _estimate(self, standing: _Standing, n: int) -> float:
        """Roughly the seconds of judging it on so many images now."""
        whole, view = self._whole(standing, n), standing.candidate.view
        made = self._passes.get(view, 0.0) * n if view in self._seen else 0.0
        return max(whole - made, _LEAST_WORK * whole)

    def _better_half(self, live: list[_Standing]) -> list[_Standing]:
        """The default, and the better half of those that were judged as far and are fast enough."""
        last = self._default.images
        come = [s for s in live if s.images == last and not self._too_slow(s)]
        come.sort(key=lambda s: -s.judgement.score)
        others = [s for s in come if s is not self._default]
        return [self._default, *others[: max(1, math.ceil(len(come) / 2) - 1)]]

    def _too_slow(self, standing: _Standing) -> bool:
        if self._most_ms is None or 1000 * standing.judgement.seconds_per_image <= self._most_ms:
            return False
        standing.told = f"slower than {self._most_ms:g} ms"
        return True

    def _decided(self, live: list[_Standing]) -> tuple[_Standing, list[str]]:
        """The best of those that came farthest, if it is clearly ahead of the default."""
        default = self._default
        if self._too_slow(default):
            fast = [s for s in self._standings if s.images and not self._too_slow(s)]
            if not fast:
                quickest = min(
                    (s for s in self._standings if s.images),
                    key=lambda s: s.judgement.seconds_per_image,
                )
                takes = 1000 * quickest.judgement.seconds_per_image
                raise ParameterError(
                    f"no candidate takes at most {self._most_ms:g} ms an image here: the fastest,"
                    f" {quickest.candidate.label}, takes {takes:.0f}"
                )
            best = max(fast, key=lambda s: (s.images, s.judgement.score))
            return best, ["the default is too slow: the best of those that are fast enough"]
        ahead = []
        for standing in live:
            if standing is default or standing.images < default.images:
                continue
            lead, error = lead_of(standing.judgement, default.judgement)
            if lead > error:
                ahead.append((lead, standing))
            else:
                standing.told = standing.told or "not clearly ahead of the default"
        places = _drawn(self._groups, default.images, self._seed)
        images, groups = self._images[places], number_groups(self._groups[places], len(places))
        for _, standing in sorted(ahead, key=lambda pair: -pair[0]):
            checked, of_default = (
                self._judge(s, images, groups, checking=True).judgement for s in (standing, default)
            )
            lead, _ = lead_of(checked, of_default)
            if lead > 0:
                return standing, [
                    f"by the kinds of defect that check, score {checked.score:.3f} beside the"
                    f" default's {of_default.score:.3f}"
                ]
            standing.told = "ahead of the default, but not by the kinds of defect that check"
        return default, ["the default stays: none is ahead of it by what decides and what checks"]

    def _time_note(self, sizes: list[int]) -> str:
        """Say what the time was enough for, and roughly which is enough for all."""
        known = [s for s in self._standings if s.images]
        a_pass = float(np.mean([self._whole(s, sizes[0]) for s in known])) / sizes[0]
        runs, needed = len(self._standings), _FIT * self._whole(known[0], len(self._images))
        for n in sizes:
            needed += runs * a_pass * n * (n / sizes[0]) ** (_GROWTH - 1)
            runs = max(2, math.ceil(runs / 2))
        images = self._default.images
        return (
            f"in {duration(self._budget)}, {len(known)} of {len(self._standings)} candidates were"
            f" judged, the last on {images} of {len(self._images)} images; all would take about"
            f" {duration(needed)}"
        )

    def _choice(self, winner: _Standing, notes: list[str]) -> Choice:
        winner.told = "chosen"
        ordered = sorted(
            self._standings,
            key=lambda s: (s is not winner, -s.images, -s.judgement.score if s.images else 0.0),
        )
        rows = [
            Row(
                s.candidate.label,
                s.candidate.detector.name,
                s.candidate.settings,
                s.images,
                s.judgement if s.images else None,
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


def _sizes(n: int) -> list[int]:
    """On how many of the images each round is, the last on all.

    Examples
    --------
    >>> _sizes(209), _sizes(40), _sizes(12)
    ([26, 52, 104, 209], [20, 40], [12])
    """
    sizes = [n // 2**i for i in range(_ROUNDS)]
    return [size for size in reversed(sizes) if size == n or size >= _FEWEST]


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
