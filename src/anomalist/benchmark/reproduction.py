"""Published numbers beside our own, each run repeated under the protocol it was published with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anomalist.benchmark.published import MEAN, Published, published
from anomalist.benchmark.records import RunRecord
from anomalist.data import Category, Dataset, image_size
from anomalist.detectors import DETECTORS, Detector, presets
from anomalist.errors import DataError, ParameterError, WeightsError
from anomalist.features import find_weights
from anomalist.features.weights import timm_name
from anomalist.files import write_text
from anomalist.metrics.bootstrap import Interval
from anomalist.report import to_markdown

ORIGINAL = {
    "bottle": (209, 83, 900),
    "cable": (224, 150, 1024),
    "capsule": (219, 132, 1000),
    "carpet": (280, 117, 1024),
    "grid": (264, 78, 1024),
    "hazelnut": (391, 110, 1024),
    "leather": (245, 124, 1024),
    "metal_nut": (220, 115, 700),
    "pill": (267, 167, 800),
    "screw": (320, 160, 1024),
    "tile": (230, 117, 840),
    "toothbrush": (60, 42, 1024),
    "transistor": (213, 100, 1024),
    "wood": (247, 79, 1024),
    "zipper": (240, 151, 1024),
}
"""Training images, test images and their side in pixels, of each category of MVTec AD."""

UNTRAINED = tuple(
    dict.fromkeys(n.detector for n in published() if not DETECTORS[n.detector].trained)
)
"""Detectors with published numbers that need no training, so that repeating them takes minutes."""

# What a protocol doesn't fix, or can't bring along.
_FREE = ("seed", "weights", "textures")

# Published numbers are rounded to a tenth of a percent.
_ROUNDING = 0.0005


@dataclass(frozen=True, eq=False)
class Target:
    """A detector to run, and the published numbers that it is to be held against.

    Parameters
    ----------
    folder : str
        Where its results go, below the results folder.
    detector : Detector
        Unfitted, with the settings of the published run as far as they can be had.
    numbers : tuple of Published
        Of one published run, or, for a backbone that nobody published, of all.
    unlike : str
        Why none of the numbers is comparable; empty where they are.
    """

    folder: str
    detector: Detector
    numbers: tuple[Published, ...]
    unlike: str = ""


@dataclass(frozen=True, eq=False)
class Row:
    """A published number beside ours.

    Parameters
    ----------
    number : Published
        The published one.
    backbone : str
        Of ours.
    ours : float or None
        Mean over seeds; None where our run has no such number.
    interval : (float, float) or None
        From the lowest to the highest end of the seeds' 95 % bootstrap intervals.
    unlike : str
        Why the two aren't comparable; empty where they are.
    """

    number: Published
    backbone: str
    ours: float | None
    interval: Interval | None
    unlike: str

    @property
    def difference(self) -> float | None:
        """Ours minus the published one; None where they aren't comparable."""
        return None if self.unlike or self.ours is None else self.ours - self.number.value

    @property
    def inside(self) -> bool | None:
        """Whether the published number lies in our interval, to the digits it is given with.

        None where the two aren't comparable, and where ours makes no error on these images: neither
        do resamples of them, so the interval has no width and says nothing.
        """
        if self.unlike or self.interval is None or self.interval[0] == self.interval[1]:
            return None
        low, high = self.interval
        return low - _ROUNDING <= self.number.value <= high + _ROUNDING


def plan_reproduction(
    detectors: Sequence[str],
    categories: Sequence[str],
    *,
    backbones: Sequence[str] | None = None,
    weights: str | None = None,
    settings: Sequence[str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[list[Target], list[str]]:
    """Find which published runs can be repeated with the weights at hand.

    A detector none of whose published backbones has weights here is run with its default backbone
    instead, and its numbers are then not comparable. So is any backbone that is named and that
    nobody published.

    Parameters
    ----------
    detectors : sequence of str
        Names of detectors.
    categories : sequence of str
        Categories of MVTec AD; means are compared where all 15 are there.
    backbones : sequence of str, optional
        Which backbones; by default those published.
    weights : str, optional
        A file of the weights of the one backbone that is named.
    settings : sequence of str, optional
        Which published runs; by default all.
    overrides : mapping of str to mapping, optional
        Hyperparameters by detector. What they change of a protocol makes numbers not comparable.

    Returns
    -------
    targets : list of Target
        What to run.
    left_out : list of str
        Published runs that can't be repeated, and why.

    Raises
    ------
    DataError
        If no category is one of MVTec AD.
    ParameterError
        If a detector or a setting is unknown, or weights are given without one backbone.
    WeightsError
        If a backbone is unknown or the file of weights is missing.

    Examples
    --------
    >>> targets, left_out = plan_reproduction(
    ...     ["padim"], ["bottle"], backbones=["efficientnet_lite0"]
    ... )
    >>> targets[0].detector.backbone, targets[0].unlike
    ('efficientnet_lite0', 'other backbone, not comparable')
    """
    _check_plan(detectors, categories, backbones, weights, settings)
    whole = set(ORIGINAL) <= set(categories)
    wanted = {*categories, *((MEAN,) if whole else ())}
    at_hand = _Weights()
    targets: list[Target] = []
    left_out: list[str] = []
    for name in detectors:
        own = {"weights": weights, **(overrides or {}).get(name, {})}
        runs: dict[str, list[Published]] = {}
        for number in published(name):
            if settings is None or number.setting in settings:
                runs.setdefault(number.setting, []).append(number)
        if not runs:
            left_out.append(f"{name}: no published number is known here")
            continue
        found = []
        for setting, numbers in runs.items():
            first = numbers[0]
            if backbones is not None and first.backbone not in backbones:
                continue
            of_these = tuple(n for n in numbers if n.category in wanted)
            if first.preset is None:
                left_out.append(f"{setting}: {first.differences}")
            elif not of_these:
                left_out.append(f"{setting}: published as a mean over all 15 categories alone")
            elif at_hand.has(first.backbone, own["weights"], setting):
                detector, unlike = _repeat(first, own)
                folder = setting.removeprefix(f"{name}-")
                found.append(Target(folder, detector, of_these, unlike))
        known = {run[0].backbone for run in runs.values()}
        stand_ins = [b for b in backbones if b not in known] if backbones else []
        if backbones is None and not found:
            stand_ins = [Detector.backbone]
        everything = tuple(n for run in runs.values() for n in run if n.category in wanted)
        repeatable = tuple(n for n in everything if n.preset is not None)
        for backbone in stand_ins:
            if repeatable and at_hand.has(backbone, own["weights"], f"{name} with {backbone}"):
                values = {**presets(name).get(backbone, {}), "backbone": backbone, **own}
                unlike = "other backbone, not comparable"
                found.append(Target(backbone, DETECTORS[name](**values), repeatable, unlike))
        targets += found
    left_out += at_hand.missing()
    left_out += [
        f"{name}: not a category of MVTec AD" for name in categories if name not in ORIGINAL
    ]
    if not whole:
        left_out.append(
            f"means over all 15 categories: the categories are {', '.join(sorted(categories))}"
        )
    return targets, left_out


def _check_plan(
    detectors: Sequence[str],
    categories: Sequence[str],
    backbones: Sequence[str] | None,
    weights: str | None,
    settings: Sequence[str] | None,
) -> None:
    for name in detectors:
        if name not in DETECTORS:
            raise ParameterError(f"no detector {name!r}; there are {', '.join(DETECTORS)}")
    known = dict.fromkeys(n.setting for n in published() if n.detector in detectors)
    for setting in settings or ():
        if setting not in known:
            raise ParameterError(
                f"no published run {setting!r} of {', '.join(detectors)}; there are"
                f" {', '.join(known) or 'none'}"
            )
    if not set(categories) & set(ORIGINAL):
        raise DataError(
            f"{', '.join(categories)}: not of MVTec AD, whose numbers these are; its categories are"
            f" {', '.join(ORIGINAL)}"
        )
    for backbone in backbones or ():
        timm_name(backbone)
    if weights is not None:
        if backbones is None or len(backbones) != 1:
            raise ParameterError("--weights is of one backbone: name it with --backbone")
        find_weights(backbones[0], weights)


class _Weights:
    """Which backbones have weights here; each is looked for once, since the hub may be far."""

    def __init__(self) -> None:
        self._why_not: dict[tuple[str, str | None], str] = {}
        self._wanted_by: dict[str, list[str]] = {}

    def has(self, backbone: str, file: str | None, wanted_by: str) -> bool:
        if (backbone, file) not in self._why_not:
            self._why_not[backbone, file] = ""
            try:
                find_weights(backbone, file)
            except WeightsError as error:
                self._why_not[backbone, file] = str(error)
        if reason := self._why_not[backbone, file]:
            self._wanted_by.setdefault(reason, []).append(wanted_by)
        return not reason

    def missing(self) -> list[str]:
        return [f"{', '.join(runs)}: {reason}" for reason, runs in self._wanted_by.items()]


def _repeat(number: Published, own: Mapping[str, Any]) -> tuple[Detector, str]:
    """The detector with the settings of a published run, and what is changed of them here."""
    kind = DETECTORS[number.detector]
    assert number.preset is not None
    as_published = kind.preset(number.preset, **number.overrides)
    ours = dataclasses.replace(as_published, **own)
    changed = [
        f"{field.name} {getattr(ours, field.name)}"
        for field in dataclasses.fields(ours)
        if field.name not in (*_FREE, *kind.cost_only)
        and getattr(ours, field.name) != getattr(as_published, field.name)
    ]
    return ours, f"changed here: {', '.join(changed)}" if changed else ""


def compare(target: Target, records: Sequence[RunRecord], dataset: Dataset) -> list[Row]:
    """Hold a target's published numbers against the records of its run.

    Parameters
    ----------
    target : Target
        What was run.
    records : sequence of RunRecord
        Of its detector, any number of categories and seeds.
    dataset : Dataset
        That they are of, to see whether its categories are those of MVTec AD.

    Returns
    -------
    list of Row
        One a published number. Where the published run chose its epoch on the test set, ours is
        what the same choice gives, if the epochs were measured there, without an interval.
    """
    by_category: dict[str, list[RunRecord]] = {}
    for record in records:
        if record.detector == target.detector.label:
            by_category.setdefault(record.category, []).append(record)
    altered = {name: _unlike_original(dataset.category(name)) for name in by_category}
    rows = []
    for number in target.numbers:
        names = list(ORIGINAL) if number.category == MEAN else [number.category]
        of_names = [by_category[name] for name in names]
        like_for_like, unlike = _choice(number, of_names[0][0])
        values = [_over_seeds(runs, number, like_for_like) for runs in of_names]
        ours, interval = _mean(values)
        reasons = [target.unlike, unlike, *dict.fromkeys(altered[name] for name in names)]
        why = "; ".join(reason for reason in reasons if reason)
        rows.append(Row(number, target.detector.backbone, ours, interval, why))
    return rows


def _choice(number: Published, record: RunRecord) -> tuple[bool, str]:
    """Whether ours is to be chosen on the test set as the published number was, and what isn't."""
    if number.metric == "pixel_PRO":
        return False, f"its PRO is another: {number.pro_definition}"
    if number.selection == "none":
        return False, ""
    if not number.selection.startswith("best epoch on the test set"):
        return False, f"{number.selection}; ours is the last epoch"
    if not record.epochs:
        return False, f"{number.selection}; ours is the last epoch, --oracle gives ours as well"
    return True, ""


def _over_seeds(
    runs: list[RunRecord], number: Published, oracle: bool
) -> tuple[float | None, Interval | None]:
    """Mean of our metric over seeds, and the interval around all of them."""
    metric = number.metric
    if not oracle:
        values = [run.metrics.get(metric) for run in runs]
    elif number.selection.endswith("for each metric"):
        values = [max((e[metric] or 0.0 for e in run.epochs), default=None) for run in runs]
    else:
        values = [run.oracle.get(f"oracle_{metric}") for run in runs]
    known = [value for value in values if value is not None]
    if len(known) < len(runs):
        return None, None
    ends = [run.intervals[metric] for run in runs if metric in run.intervals]
    interval = None
    if ends and not oracle:
        interval = (min(low for low, _ in ends), max(high for _, high in ends))
    return float(np.mean(known)), interval


def _mean(
    values: list[tuple[float | None, Interval | None]],
) -> tuple[float | None, Interval | None]:
    """Mean over categories, whose images are independent, so that squared half-widths add."""
    known = [value for value, _ in values if value is not None]
    if len(known) < len(values):
        return None, None
    intervals = [interval for _, interval in values if interval is not None]
    if len(intervals) < len(values):
        return float(np.mean(known)), None
    if len(values) == 1:
        return known[0], intervals[0]
    middle, n = float(np.mean(known)), len(values)
    below = math.hypot(*(v - low for v, (low, _) in zip(known, intervals, strict=True))) / n
    above = math.hypot(*(high - v for v, (_, high) in zip(known, intervals, strict=True))) / n
    return middle, (middle - below, middle + above)


def _unlike_original(category: Category) -> str:
    """What tells a category from that of MVTec AD; empty where nothing does."""
    train, test, side = ORIGINAL[category.name]
    found = len(category.train), len(category.test), max(image_size(category.train[0].path))
    if found == (train, test, side):
        return ""
    return (
        f"{category.name} here has {found[0]} training and {found[1]} test images of {found[2]}"
        f" pixels, that of MVTec AD {train} and {test} of {side}"
    )


def reproduction_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the table of ``reproduction.csv``: one row a published number, values as fractions."""
    return pd.DataFrame(
        [
            {
                "detector": row.number.detector,
                "backbone": row.backbone,
                "category": row.number.category,
                "metric": row.number.metric,
                "ours": row.ours,
                "low": None if row.interval is None else row.interval[0],
                "high": None if row.interval is None else row.interval[1],
                "published": row.number.value,
                "difference": row.difference,
                "inside": row.inside,
                "not_comparable": row.unlike,
                "setting": row.number.setting,
                "published_backbone": row.number.backbone,
                "source": row.number.source,
                "protocol": row.number.protocol,
                "selection": row.number.selection,
                "verified": row.number.verified,
                "differences": row.number.differences,
            }
            for row in rows
        ]
    )


def reproduction_table(rows: Sequence[Row]) -> tuple[pd.DataFrame, list[str]]:
    """Return the table that people read, in percent, and the notes that its numbers refer to."""
    notes = list(dict.fromkeys(row.unlike for row in rows if row.unlike))
    cells = []
    for row in rows:
        inside = f"[{notes.index(row.unlike) + 1}]" if row.unlike else "–"
        if row.inside is not None:
            inside = "yes" if row.inside else "no"
        cells.append(
            {
                "published run": row.number.setting,
                "backbone": row.backbone,
                "category": row.number.category,
                "metric": row.number.metric,
                "ours": _percent(row.ours),
                "95 % interval": "–"
                if row.interval is None
                else f"{_percent(row.interval[0])} to {_percent(row.interval[1])}",
                "published": f"{100 * row.number.value:.1f}",
                "difference": "–" if row.difference is None else f"{100 * row.difference:+.2f}",
                "published inside": inside,
            }
        )
    return pd.DataFrame(cells), [f"[{i}] {note}" for i, note in enumerate(notes, start=1)]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def write_reproduction(rows: Sequence[Row], left_out: Sequence[str], out: str | Path) -> None:
    """Write ``reproduction.csv`` and ``reproduction.md`` into the results folder."""
    out = Path(out)
    write_text(out / "reproduction.csv", reproduction_frame(rows).to_csv(index=False))
    lines = ["# Published numbers beside ours", ""]
    if rows:
        table, notes = reproduction_table(rows)
        lines += ["Percent; intervals are over test images.", "", to_markdown(table)]
        if notes:
            lines += ["Not comparable:", "", *(f"- {note}" for note in notes), ""]
        lines += ["Published runs:", "", *(f"- {text}" for text in sources(rows)), ""]
    if left_out:
        lines += ["Not compared:", "", *(f"- {text}" for text in left_out), ""]
    write_text(out / "reproduction.md", "\n".join(lines))


def sources(rows: Sequence[Row]) -> list[str]:
    """Return where each published run comes from, and what ours doesn't repeat of it."""
    texts = {}
    for number in (row.number for row in rows):
        doubt = "" if number.verified else " (second-hand)"
        texts[number.setting] = (
            f"{number.setting}: {number.source}{doubt}; {number.protocol};"
            f" what differs here: {number.differences}"
        )
    return list(texts.values())
