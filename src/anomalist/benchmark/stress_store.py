"""What a results folder keeps of a stress test: a folder of records a case, and the table."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.store import RunStore
from anomalist.benchmark.stress_cases import Case
from anomalist.metrics import CALIBRATED_NAMES, METRIC_NAMES
from anomalist.metrics.proportions import wilson_interval

#: What the undisturbed run is called in the place of a condition.
BASELINE = "baseline"


@dataclass(frozen=True)
class StressRun:
    """What one detector gave in one case; ``case`` is None of the undisturbed run."""

    case: Case | None
    record: RunRecord

    @property
    def condition(self) -> str:
        """Name of the condition."""
        return BASELINE if self.case is None else self.case.condition

    @property
    def level(self) -> float | None:
        """Its level."""
        return None if self.case is None else self.case.level

    @property
    def where(self) -> str | None:
        """What is disturbed."""
        return None if self.case is None else self.case.where

    def row(self) -> dict[str, Any]:
        """Return its row of ``stress.csv``."""
        record = self.record
        return {
            "detector": record.detector,
            "category": record.category,
            "condition": self.condition,
            "level": self.level,
            "where": self.where,
            "seed": record.seed,
            "train_images": record.train_images,
            "test_images": record.test_images,
            **{name: record.metrics.get(name) for name in (*METRIC_NAMES, *CALIBRATED_NAMES)},
            **record.metrics,
            "notes": "; ".join(record.notes),
        }


def with_hits(record: RunRecord) -> RunRecord:
    """Return a record with ``image_hit_rate`` among its metrics, and Wilson's interval of it.

    It is the share of defective test images above the threshold, None where there are none or
    there is no threshold.
    """
    threshold = record.calibration.get("image_threshold")
    scores = [image["score"] for image in record.images if image["label"]]
    rate, intervals = None, dict(record.intervals)
    if threshold is not None and scores:
        hits = sum(score > threshold for score in scores)
        rate = hits / len(scores)
        intervals["image_hit_rate"] = wilson_interval(hits, len(scores))
    metrics = {**record.metrics, "image_hit_rate": rate}
    return dataclasses.replace(record, metrics=metrics, intervals=intervals)


def case_store(out: str | Path, case: Case) -> RunStore:
    """Return where the records of a case are, which is laid out as a benchmark's folder."""
    return RunStore(Path(out) / "stress" / case.key)


def case_hash(data_hash: str, case: Case) -> str:
    """Return what stands for the images of a case, of what stands for the undisturbed ones."""
    return hashlib.sha256(f"{data_hash} {case.key}".encode()).hexdigest()


def stress_runs(out: str | Path, undisturbed: Sequence[RunRecord]) -> list[StressRun]:
    """Return all runs of a stress test that agree with undisturbed ones, in the order of tables.

    Parameters
    ----------
    out : str or Path
        The results folder.
    undisturbed : sequence of RunRecord
        What its tables show. A run of other settings, images or another version than these isn't
        returned. With no run of a case at all, nothing is.
    """
    known = {(r.detector, r.category): (r.config_hash, r.data_hash, r.version) for r in undisturbed}
    found = []
    for folder in (Path(out) / "stress").glob("*_*_*"):
        case = Case.parse(folder.name)
        if case is None:
            continue
        for record in RunStore(folder).inventory().everything:
            state = known.get((record.detector, record.category))
            if state is None:
                continue
            config, data, version = state
            expected = (config, case_hash(data, case), version)
            if (record.config_hash, record.data_hash, record.version) == expected:
                found.append(StressRun(case, record))
    if not found:
        return []
    conditions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for run in found:
        conditions[run.record.detector, run.record.category].add(run.condition)
    for record in map(with_hits, undisturbed):
        disturbed = conditions.get((record.detector, record.category), ())
        if disturbed:
            found.append(StressRun(None, record))
        if "shots" in disturbed:
            found.append(StressRun(Case("shots", record.train_images, "train"), record))
    return sorted(found, key=_place)


def _place(run: StressRun) -> tuple[Any, ...]:
    order = () if run.case is None else run.case.order
    return run.record.detector, run.record.category, order, run.record.seed


def stress_frame(runs: Iterable[StressRun]) -> pd.DataFrame:
    """Return the table of ``stress.csv``: one row a detector, category, condition, level and seed.

    The undisturbed run has the condition ``baseline`` and no level; where there are runs of
    ``shots``, it is there as that of all images too.
    """
    return pd.DataFrame([run.row() for run in runs])
