"""The runs that a report is about, and what they share: detectors, categories, means."""

# ruff: noqa: D102 (what each property holds is said where records are made)

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from anomalist.errors import DataError
from anomalist.metrics.comparison import Comparison, delong_test, mean_difference
from anomalist.metrics.proportions import wilson_interval


class Run(Protocol):
    """What the report needs of a record of one run; the record says what each field holds."""

    @property
    def detector(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def backbone(self) -> str: ...
    @property
    def weights_sha256(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def transform(self) -> Mapping[str, Any]: ...
    @property
    def metrics(self) -> Mapping[str, float | None]: ...
    @property
    def oracle(self) -> Mapping[str, float | None]: ...
    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def train_images(self) -> int: ...
    @property
    def test_images(self) -> int: ...
    @property
    def fit_seconds(self) -> float: ...
    @property
    def calibrate_seconds(self) -> float: ...
    @property
    def images_per_second(self) -> float: ...
    @property
    def peak_memory_mb(self) -> float: ...
    @property
    def config_hash(self) -> str: ...
    @property
    def data_hash(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def evaluated_at(self) -> str: ...
    @property
    def environment(self) -> Mapping[str, Any]: ...
    @property
    def calibration(self) -> Mapping[str, Any]: ...
    @property
    def curves(self) -> Mapping[str, Mapping[str, Sequence[float]]]: ...
    @property
    def images(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def command(self) -> str | None: ...


@dataclass(frozen=True)
class Estimate:
    """A metric's mean over categories and seeds, with what is known of its spread."""

    value: float
    interval: tuple[float, float] | None = None
    deviation: float | None = None


class Results:
    """Runs by detector, which is what runs of one configuration are called, category and seed.

    Parameters
    ----------
    runs : sequence of Run
        At least one.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        if not runs:
            raise DataError("a report needs at least one run")
        self.runs = list(runs)
        self.detectors = list(dict.fromkeys(run.detector for run in runs))
        self.categories = sorted({run.category for run in runs})
        self.seeds = sorted({run.seed for run in runs})
        self._by_pair: dict[tuple[str, str], list[Run]] = {}
        for run in sorted(runs, key=lambda run: run.seed):
            self._by_pair.setdefault((run.detector, run.category), []).append(run)

    @cached_property
    def shared(self) -> list[str]:
        """The categories that every detector was run on: only they make means comparable."""
        return [c for c in self.categories if all(self.of(d, c) for d in self.detectors)]

    def of(self, detector: str, category: str) -> list[Run]:
        """Return the runs of one detector on one category, a seed each, ascending."""
        return self._by_pair.get((detector, category), [])

    def method(self, detector: str) -> str:
        """Return which method goes by that name."""
        return next(run.method for run in self.runs if run.detector == detector)

    @cached_property
    def targets(self) -> dict[float, list[str]]:
        """The false-alarm rates that thresholds were set for, ascending, and whose."""
        found: dict[float, dict[str, None]] = {}
        for run in self.runs:
            if (alpha := run.calibration.get("alpha")) is not None:
                found.setdefault(alpha, {})[run.detector] = None
        return {alpha: list(found[alpha]) for alpha in sorted(found)}

    def first(self, detector: str, category: str) -> Run | None:
        """Return the run with the lowest seed."""
        return next(iter(self.of(detector, category)), None)

    def estimate(
        self, detector: str, metric: str, categories: Sequence[str] | None = None
    ) -> Estimate | None:
        """Return the mean of a metric, categories weighing the same; None where undefined.

        Pixels that were compared at different sizes have no mean.

        The interval takes categories for independent; seeds share their test images, so that more
        of them make it no narrower. The deviation is that of the seeds' means.
        """
        of_category, lows, highs = [], [], []
        by_seed: dict[int, list[float]] = {}
        categories = self.shared if categories is None else categories
        runs = [run for category in categories for run in self.of(detector, category)]
        if "pixel_" in metric and not _at_one_size(runs):
            return None
        for category in categories:
            values, down, up = [], [], []
            for run in self.of(detector, category):
                value = _value(run, metric)
                if value is None:
                    continue
                values.append(value)
                by_seed.setdefault(run.seed, []).append(value)
                if (interval := _interval(run, metric, value)) is not None:
                    down.append(value - interval[0])
                    up.append(interval[1] - value)
            if values:
                of_category.append(statistics.fmean(values))
                if len(down) == len(values):
                    lows.append(statistics.fmean(down))
                    highs.append(statistics.fmean(up))
        n = len(of_category)
        if not n:
            return None
        mean = statistics.fmean(of_category)
        interval = None
        if len(lows) == n:
            interval = (mean - math.hypot(*lows) / n, mean + math.hypot(*highs) / n)
        seeds = [statistics.fmean(values) for values in by_seed.values()]
        return Estimate(mean, interval, statistics.stdev(seeds) if len(seeds) > 1 else None)

    def cost(
        self, detector: str, name: str, categories: Sequence[str] | None = None
    ) -> float | None:
        """Return the mean of a field such as ``fit_seconds``; None where there is no run."""
        found = self.shared if categories is None else categories
        runs = [run for category in found for run in self.of(detector, category)]
        return statistics.fmean(getattr(run, name) for run in runs) if runs else None

    def compare(self, a: str, b: str, categories: Sequence[str] | None = None) -> Comparison | None:
        """Compare the image AUROC of two detectors on the same images of every category.

        By default of every shared one. Seeds share their images: their differences and standard
        errors are averaged, as if more seeds told nothing more. None where no category has two
        images of either class.
        """
        found = []
        for category in self.shared if categories is None else categories:
            if not (self.of(a, category) and self.of(b, category)):
                continue
            pairs = [
                (one, other)
                for one in self.of(a, category)
                for other in self.of(b, category)
                if one.seed == other.seed
            ] or [(self.of(a, category)[0], self.of(b, category)[0])]
            by_seed = [c for c in (_delong(one, other) for one, other in pairs) if c is not None]
            if by_seed:
                found.append(_mean_over_seeds(by_seed))
        return mean_difference(found) if found else None

    def ahead(self, metric: str, categories: Sequence[str] | None = None) -> list[str]:
        """Return the detector that leads in a metric and those that can't be told from it.

        Compared are means over the shared categories, or those that are given. For image AUROC, a
        detector is told from the leader if DeLong's test, held to 5 % over all comparisons by
        Holm's method, says so; for other metrics, if their 95 % intervals are apart. A list of one
        is a clear winner; pixels that were compared at different sizes have none.
        """
        of = self.shared if categories is None else categories
        if "pixel_" in metric and not _at_one_size([r for r in self.runs if r.category in of]):
            return []
        known = {d: e for d in self.detectors if (e := self.estimate(d, metric, of)) is not None}
        if len(known) < 2:
            return []
        leader = max(known, key=lambda d: known[d].value)
        others = [d for d in known if d != leader]
        if metric == "image_AUROC":
            compared = {d: self.compare(leader, d, of) for d in others}
            p_values = {d: 1.0 if c is None else c.p_value for d, c in compared.items()}
            worse = _holm(p_values)
        else:
            worse = {d for d in others if _apart(known[leader], known[d])}
        return [leader, *(d for d in others if d not in worse)]


def _at_one_size(runs: Sequence[Run]) -> bool:
    return len({run.evaluated_at for run in runs}) <= 1


def _value(run: Run, metric: str) -> float | None:
    value = run.oracle.get(metric) if metric.startswith("oracle_") else run.metrics.get(metric)
    return value if value is None or math.isfinite(value) else None


def _interval(run: Run, metric: str, value: float) -> tuple[float, float] | None:
    if metric == "image_false_alarm_rate":
        good = sum(image.get("label") is False for image in run.images)
        if not good:
            return None
        # Resampling gives a rate of 0 no width at all, Wilson's interval does.
        return wilson_interval(round(value * good), good)
    low_high = run.intervals.get(metric)
    return None if low_high is None else (low_high[0], low_high[1])


def _delong(one: Run, other: Run) -> Comparison | None:
    """DeLong's test on the images that two runs share and whose label is known."""
    scores = {image["path"]: image["score"] for image in other.images}
    both = [
        (image["score"], scores[image["path"]], image["label"])
        for image in one.images
        if image["path"] in scores and image.get("label") is not None
    ]
    try:
        return delong_test(*zip(*both, strict=True)) if both else None
    except DataError:
        return None


def _mean_over_seeds(by_seed: list[Comparison]) -> Comparison:
    together = mean_difference(by_seed)
    # mean_difference takes its parts for independent, which seeds on the same images aren't.
    error = statistics.fmean(c.standard_error for c in by_seed)
    return Comparison(
        together.difference, together.interval, together.p_value, error, together.level
    )


def _holm(p_values: Mapping[str, float], alpha: float = 0.05) -> set[str]:
    """Which hypotheses Holm's step-down method rejects."""
    rejected: set[str] = set()
    for i, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        if p_values[name] > alpha / (len(p_values) - i):
            break
        rejected.add(name)
    return rejected


def _apart(leader: Estimate, other: Estimate) -> bool:
    if leader.interval is None or other.interval is None:
        return False
    return leader.interval[0] > other.interval[1]
