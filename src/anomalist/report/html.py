"""The report of a benchmark: one HTML file that needs no network and no other file."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from anomalist.calibration import DEFAULT_REVIEW
from anomalist.drawing import colour_map
from anomalist.files import write_text
from anomalist.metrics.comparison import Comparison
from anomalist.report import charts, failures
from anomalist.report.assets import asset, environment
from anomalist.report.copies import near_copies
from anomalist.report.gallery import gallery
from anomalist.report.runs import Estimate, Results, Run
from anomalist.report.stress import Stress, StressedRun
from anomalist.report.summary import headline_others, where_pixels
from anomalist.report.titles import METRIC_TITLES, ORACLE_TITLES, UNRANKED, metric_title

_HEADLINE = (
    "image_AUROC",
    "pixel_PRO",
    "pixel_AUROC",
    "image_F1_calibrated",
    "image_false_alarm_rate",
)
_FEW = 3
_MEAN = "mean"
_COSTS = {
    "fit_seconds": "Fit, s",
    "calibrate_seconds": "Calibrate, s",
    "images_per_second": "Images/s",
    "peak_memory_mb": "Peak MB",
}


@dataclass(frozen=True)
class Cell:
    """A metric as it is printed: in percent, with its interval and its spread over seeds."""

    value: str
    interval: str = ""
    deviation: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table: its heading, the cells of its metrics and what it cost."""

    name: str
    cells: list[Cell]
    costs: list[str]


@dataclass(frozen=True)
class Table:
    """Metrics, a line a detector or a category."""

    name: str
    columns: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class PublishedTable:
    """Published numbers of one category, detector by detector, below those measured here."""

    name: str
    columns: list[str]
    groups: list[tuple[str, tuple[str, list[Cell]], list[tuple[str, list[Cell], str, str]]]]


def write_report(
    runs: Sequence[Run],
    out: str | Path,
    *,
    published: Sequence[Mapping[str, Any]] = (),
    left_out: Sequence[str] = (),
    stressed: Sequence[StressedRun] = (),
    max_megabytes: float = 25.0,
) -> Path:
    """Write ``report.html``: which detector is best, by how much, at what cost, and what it misses.

    The same runs and pictures give the same bytes. Nothing is loaded when the file is read.

    Parameters
    ----------
    runs : sequence of Run
        Records of a benchmark, such as ``RunStore(out).records()``.
    out : str or Path
        The results folder. Test images come from its folder ``pictures``; what isn't there isn't
        shown.
    published : sequence of mapping
        Numbers of others to set beside these: ``detector``, ``backbone``, ``category`` (or
        ``mean``, over all that are named), ``metric``, ``value`` as a fraction, ``source`` and
        ``note``. Those of the same detector, backbone, source and note are one run of theirs; they
        stand beside all runs of that method, whatever these are called.
    left_out : sequence of str
        Lines on runs that the folder holds and the report doesn't show.
    stressed : sequence of StressedRun
        Runs of a stress test, for a section of their own.
    max_megabytes : float
        Size that the file stays below, by showing fewer images; what isn't images takes 5 MB and
        more.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    DataError
        If there is no run.
    """
    results, out = Results(runs), Path(out)
    filling = environment()
    filling.filters.update(percent=_percent, number=_number)
    template = filling.from_string(asset("report.html.j2"))
    page = {
        **_page(results, published, stressed),
        "left_out": left_out,
        "near_copies": near_copies(out, results.categories),
    }
    nothing = {"all": 0, "with_pictures": 0, "shown": 0, "wrong": 0, "wrong_shown": 0}
    frame = template.render(**page, images=[], counts=nothing)
    # A thousandth for what the sentences about the images add.
    budget = max_megabytes * 1e6 * 0.999 - len(frame.encode())
    images, counts = gallery(results, out, budget)
    target = out / "report.html"
    write_text(target, template.render(**page, images=images, counts=counts))
    return target


def _page(
    results: Results,
    published: Sequence[Mapping[str, Any]],
    stressed: Sequence[StressedRun],
) -> dict[str, Any]:
    detectors = results.detectors
    stress = Stress(stressed) if stressed else None
    styles = charts.styles(detectors)
    oracles = {
        n: t for n, t in ORACLE_TITLES.items() if any(_cells(results, n, results.categories))
    }
    others = _others(results)
    metrics = {**METRIC_TITLES, **others}
    kinds = failures.by_kind(results)
    return {
        "style": asset("base.css", "report.css"),
        "script": asset("base.js", "report.js"),
        "plotly": Markup(get_plotlyjs()),
        "results": results,
        "styles": styles,
        "verdict": _verdict(results),
        "summary": _table(
            results,
            "Summary",
            {n: METRIC_TITLES[n] for n in _HEADLINE} | others,
            results.shared,
            marks=True,
        ),
        "costs": list(_COSTS.values()),
        "metrics": metrics,
        "by_metric": _by_metric(results, {**metrics, **oracles}),
        "by_category": [
            _table(results, category, {**metrics, **oracles}, [category])
            for category in results.categories
        ],
        "oracles": oracles,
        "kinds": kinds,
        "sizes": failures.by_size(results),
        "weakest": _weakest(results, kinds),
        "published": _published(results, published),
        "stress": stress,
        "settings_of": [_repeat(results, detector) for detector in detectors],
        "commands": list(dict.fromkeys(run.command for run in results.runs if run.command)),
        "environments": _environments(results),
        "versions": sorted({run.version for run in results.runs}),
        "notes": _notes(results),
        "targets": _targets(results),
        "where_pixels": _where_pixels(results),
        "review": DEFAULT_REVIEW,
        "colours": [f"rgb({r} {g} {b})" for r, g, b in colour_map(np.linspace(0, 1, 16)).tolist()],
        "data": {
            "detectors": styles,
            "tradeoff": charts.tradeoff(results),
            "runs": charts.by_run(results),
            "stress": None if stress is None else stress.charts(),
        },
    }


def _others(results: Results) -> dict[str, str]:
    """Titles of the metrics that only some runs have."""
    names = headline_others(dict.fromkeys(n for run in results.runs for n in run.metrics))
    return {name: metric_title(name) for name in names}


def _table(
    results: Results,
    name: str,
    metrics: Mapping[str, str],
    categories: Sequence[str],
    *,
    marks: bool = False,
) -> Table:
    """A line a detector, a column a metric that at least one detector has."""
    columns = {n: title for n, title in metrics.items() if any(_cells(results, n, categories))}
    ahead = {n: results.ahead(n) if marks and n not in UNRANKED else [] for n in columns}
    rows = []
    for detector in _by_accuracy(results, categories):
        if not any(results.of(detector, category) for category in categories):
            continue
        cells = [
            _cell(results.estimate(detector, n, categories), _mark(detector, ahead[n], results))
            for n in columns
        ]
        costs = [_number(results.cost(detector, cost, categories)) for cost in _COSTS]
        rows.append(Row(detector, cells, costs))
    return Table(name, list(columns.values()), rows)


def _by_accuracy(results: Results, categories: Sequence[str]) -> list[str]:
    """Detectors, the highest image AUROC first."""

    def key(detector: str) -> float:
        estimate = results.estimate(detector, "image_AUROC", categories)
        return math.inf if estimate is None else -estimate.value

    return sorted(results.detectors, key=key)


def _by_metric(results: Results, metrics: Mapping[str, str]) -> list[Table]:
    """A table a metric: a line a category and the mean, a column a detector."""
    if len(results.categories) < 2:
        return []
    tables = []
    for name, title in metrics.items():
        if not any(_cells(results, name, results.categories)):
            continue
        lines = [(category, [category]) for category in results.categories]
        if results.shared:
            lines.append((_MEAN, results.shared))
        rows = [
            Row(line, [_cell(results.estimate(d, name, of)) for d in results.detectors], [])
            for line, of in lines
        ]
        tables.append(Table(title, results.detectors, rows))
    return tables


def _cells(results: Results, metric: str, categories: Sequence[str]) -> Iterator[bool]:
    return (results.estimate(d, metric, categories) is not None for d in results.detectors)


def _cell(estimate: Estimate | None, mark: str = "") -> Cell:
    if estimate is None:
        return Cell("–")
    interval = deviation = ""
    if estimate.interval is not None:
        low, high = estimate.interval
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
    if estimate.deviation is not None:
        deviation = f"± {100 * estimate.deviation:.2f}"
    return Cell(f"{100 * estimate.value:.2f}", interval, deviation, mark)


def _mark(detector: str, ahead: list[str], results: Results) -> str:
    if detector not in ahead or len(ahead) == len(results.detectors):
        return ""
    return "best" if len(ahead) == 1 else "tied"


def _verdict(results: Results) -> list[tuple[str, str]]:
    """What the summary comes to: topics, with a sentence or two on each."""
    if not results.shared:
        apart = "no category was run with every detector, so there is no mean to compare."
        return [("Nothing in common", apart)]
    topics = [
        ("Accuracy", _accuracy(results)),
        ("Location", _location(results)),
        ("In use", _in_use(results)),
        ("Cost", _cost(results)),
    ]
    return [(topic, sentence) for topic, sentence in topics if sentence]


def _accuracy(results: Results) -> str:
    known = {d: e for d in results.detectors if (e := results.estimate(d, "image_AUROC"))}
    if not known:
        return "it can't be measured: test images have no labels, or all the same."
    ranked = sorted(known, key=lambda d: -known[d].value)
    leader, value = ranked[0], _with_interval(known[ranked[0]])
    if len(ranked) == 1:
        return f"{leader} reaches an image AUROC of {value}."
    ahead = results.ahead("image_AUROC")
    if len(ahead) == 1:
        lead = _lead(results.compare(leader, ranked[1]), ranked[1])
        return f"{leader} tells defective from good images best: image AUROC {value}, {lead}."
    tied = [d for d in ranked if d in ahead]
    names = _listed([f"{d} ({_percent(known[d].value)} %)" for d in tied])
    lead = _lead(results.compare(leader, tied[1]), tied[1])
    return (
        f"on these test images, image AUROC doesn't tell the best apart: {names} are not "
        f"distinguishable. {leader} is {lead}."
    )


def _lead(comparison: Comparison | None, other: str) -> str:
    if comparison is None:
        return f"ahead of {other}, with too few images to test it"
    low, high = comparison.interval
    return (
        f"{100 * comparison.difference:.2f} points above {other} (95 % interval of the "
        f"difference {_signed(100 * low)} to {_signed(100 * high)}, "
        f"p {_p_value(comparison.p_value)}, DeLong's test on the same images)"
    )


def _location(results: Results) -> str:
    known = {d: e for d in results.detectors if (e := results.estimate(d, "pixel_PRO"))}
    if not known:
        return "it can't be measured: there are no masks of defects."
    if len({run.evaluated_at for run in results.runs}) > 1:
        where = _where_pixels(results)
        return f"{where[0].lower()}{where[1:]}"
    leader = max(known, key=lambda d: known[d].value)
    value = f"pixel PRO {_with_interval(known[leader])}"
    if len(known) == 1:
        return f"{leader} locates defects with a {value}."
    if len(ahead := results.ahead("pixel_PRO")) == 1:
        return f"{leader} locates defects best: {value}, above every other detector's interval."
    names = _listed([d for d in ahead if d != leader])
    return (
        f"{leader} has the highest {value}, but its interval overlaps with that of {names}: not "
        "distinguishable."
    )


def _where_pixels(results: Results) -> str:
    return where_pixels((run.detector, run.evaluated_at) for run in results.runs)


def _in_use(results: Results) -> str:
    """What the calibrated thresholds give."""
    sentences = []
    estimates = {d: results.estimate(d, "image_false_alarm_rate") for d in results.detectors}
    rates = {d: e.value for d, e in estimates.items() if e is not None}
    found = failures.overall(results).recall
    shares = {d: recall.images for d, recall in found.items() if recall.images is not None}
    parts = []
    if rates:
        parts.append(f"{_span(rates)} of the good test images raise a false alarm")
    if shares:
        parts.append(f"{_span(shares)} of the defective ones are found")
    if parts:
        sentences.append(
            f"with thresholds from good training images alone, set for at most {_targets(results)}"
            f" false alarms, {_listed(parts)}."
        )
    for alpha in results.targets:
        without = {
            run.detector: None
            for run in results.runs
            if run.calibration.get("alpha") == alpha
            and run.calibration.get("image_threshold") is None
        }
        if without:
            sentences.append(
                f"There are too few good training images for a threshold at {100 * alpha:g} % in "
                f"some or all categories of {_listed(list(without))}."
            )
    return " ".join(sentences)


def _targets(results: Results) -> str:
    """The false-alarm rates that thresholds were set for; whose each is, where there are several.

    A threshold of before it was kept is taken for one at 5 %.
    """
    targets = results.targets or {0.05: []}
    if len(targets) == 1:
        return f"{100 * next(iter(targets)):g} %"
    return _listed([f"{100 * a:g} % ({', '.join(names)})" for a, names in targets.items()])


def _span(shares: Mapping[str, float]) -> str:
    low, high = (pick(shares, key=lambda d: shares[d]) for pick in (min, max))
    if shares[low] == shares[high]:
        return f"{_percent(shares[low])} %"
    return f"{_percent(shares[low])} % ({low}) to {_percent(shares[high])} % ({high})"


def _cost(results: Results) -> str:
    speed = {d: results.cost(d, "images_per_second") or 0.0 for d in results.detectors}
    fit = {d: results.cost(d, "fit_seconds") or 0.0 for d in results.detectors}
    fastest, soonest = max(speed, key=lambda d: speed[d]), min(fit, key=lambda d: fit[d])
    if len(speed) == 1:
        return (
            f"{fastest} fits in {_number(fit[fastest])} s a category and judges "
            f"{_number(speed[fastest])} images a second."
        )
    slowest = min(speed, key=lambda d: speed[d])
    pace = f"{fastest} judges fastest, {_number(speed[fastest])} images a second"
    if speed[slowest] < speed[fastest]:
        pace += f", and {slowest} slowest, {_number(speed[slowest])}"
    return f"{pace}; {soonest} fits soonest, in {_number(fit[soonest])} s a category."


def _weakest(results: Results, kinds: Sequence[failures.Group]) -> list[str]:
    """For each detector, the kinds of defect of which it finds the smallest share of images."""
    sentences = []
    for detector in results.detectors:
        known = {
            f"{group.category} / {group.name}": recall
            for group in kinds
            if (recall := group.recall[detector].images) is not None
        }
        if not known:
            continue
        lowest = min(known.values())
        if lowest == 1:
            sentences.append(f"{detector} finds every defective image.")
            continue
        names = [name for name, recall in known.items() if recall == lowest]
        more = [f"{len(names) - _FEW} more kinds"] if len(names) > _FEW else []
        sentences.append(
            f"{detector} finds the smallest share of images, {_percent(lowest)} %, of "
            f"{_listed([*names[:_FEW], *more])}."
        )
    return sentences


def _published(results: Results, numbers: Sequence[Mapping[str, Any]]) -> list[PublishedTable]:
    """Tables of what others published of these detectors and categories, beside what is here."""
    titles = {**METRIC_TITLES, **ORACLE_TITLES}
    found: dict[tuple[str, ...], dict[str, dict[str, float]]] = {}
    for number in numbers:
        run_name = tuple(
            number.get(key) or "" for key in ("detector", "backbone", "source", "note")
        )
        of_run = found.setdefault(run_name, {})
        of_run.setdefault(number["category"], {})[number["metric"]] = number["value"]
    named = {category for of_run in found.values() for category in of_run} - {_MEAN}
    methods = {detector: results.method(detector) for detector in results.detectors}
    found = {name: of_run for name, of_run in found.items() if name[0] in methods.values()}
    tables = []
    means = [_MEAN] if len(results.shared) > 1 else []
    for category in (*means, *results.categories):
        of = results.shared if category == _MEAN else [category]
        values = {name: _theirs(of_run, of, named) for name, of_run in found.items()}
        columns = [m for m in titles if any(m in known for known in values.values())]
        groups = []
        for detector in results.detectors:
            theirs = [
                (backbone, [Cell(_percent(known.get(m), 2)) for m in columns], source, note)
                for (method, backbone, source, note), known in values.items()
                if known and method == methods[detector]
            ]
            if not theirs:
                continue
            cells = [_cell(results.estimate(detector, m, of)) for m in columns]
            backbones = sorted({run.backbone for c in of for run in results.of(detector, c)})
            groups.append((detector, (_listed(backbones), cells), theirs))
        if groups:
            title = f"mean over {len(of)} categories" if category == _MEAN else category
            tables.append(PublishedTable(title, [titles[m] for m in columns], groups))
    return tables


def _theirs(
    of_run: Mapping[str, Mapping[str, float]], categories: Sequence[str], named: set[str]
) -> dict[str, float]:
    """A published run's metrics on the same categories as ours, where that can be told."""
    if len(categories) > 1 and named and named <= set(categories):
        return dict(of_run.get(_MEAN, {}))
    known = [of_run.get(category, {}) for category in categories]
    metrics = [m for m in known[0] if all(m in values for values in known)]
    return {m: statistics.fmean(values[m] for values in known) for m in metrics}


def _repeat(results: Results, detector: str) -> dict[str, Any]:
    runs = [run for run in results.runs if run.detector == detector]
    hashes = list(dict.fromkeys(run.config_hash for run in runs))
    return {
        "detector": detector,
        "runs": runs,
        # Settings that differ between categories show once each.
        "settings": [
            (run, _settings(run))
            for run in (next(run for run in runs if run.config_hash == h) for h in hashes)
        ],
    }


def _environments(results: Results) -> list[tuple[str, list[str]]]:
    """Each environment as text, with the detectors that were run in it."""
    found: dict[str, dict[str, None]] = {}
    for run in results.runs:
        text = json.dumps(run.environment, indent=2, sort_keys=True, default=str)
        found.setdefault(text, {})[run.detector] = None
    return [(text, list(detectors)) for text, detectors in found.items()]


def _notes(results: Results) -> list[tuple[str, str]]:
    """What records note, and of which runs."""
    found: dict[str, dict[str, None]] = {}
    for run in results.runs:
        for note in run.notes:
            found.setdefault(note, {})[run.category] = None
    return [(note, _listed(list(categories))) for note, categories in found.items()]


def _settings(run: Run) -> list[tuple[str, str]]:
    """All settings of a run; those of the transform that the detector's own don't say."""
    values = {"detector": run.method, "backbone": run.backbone, **run.parameters}
    if (alpha := run.calibration.get("alpha")) is not None:
        values["alpha"] = alpha
    for name, value in run.transform.items():
        if values.get(name, value) != value or name not in values:
            values[f"transform: {name}"] = value
    return [(name, json.dumps(value, default=str)) for name, value in values.items()]


def _with_interval(estimate: Estimate) -> str:
    text = f"{_percent(estimate.value)} %"
    if estimate.interval is None:
        return text
    low, high = estimate.interval
    return f"{text} (95 % interval {100 * low:.1f} to {100 * high:.1f})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _number(value: float | None) -> str:
    """Three digits, or as many as stand before the point.

    Examples
    --------
    >>> _number(0.01234), _number(12.34), _number(1234.5)
    ('0.0123', '12.3', '1234')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
