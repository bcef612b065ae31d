"""The report of a benchmark: one HTML file that needs no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from anomalist.calibration import DEFAULT_REVIEW
from anomalist.drawing import colour_map
from anomalist.files import write_text
from anomalist.report import charts, failures, metric_tables, provenance
from anomalist.report.assets import asset, environment
from anomalist.report.copies import near_copies
from anomalist.report.gallery import gallery
from anomalist.report.phrases import (
    alphas,
    breakable,
    number,
    percent,
    pixels_are,
    targets,
    with_breaks,
)
from anomalist.report.published import published_tables
from anomalist.report.ranking import ranking
from anomalist.report.runs import Results, Run
from anomalist.report.stress import Stress, StressedRun
from anomalist.report.verdict import answers, verdict, weakest


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
    filling.filters.update(
        percent=percent, number=number, breakable=breakable, with_breaks=with_breaks
    )
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
    detectors, categories = results.detectors, results.categories
    stress = Stress(stressed) if stressed else None
    styles = charts.styles(detectors)
    titles = metric_tables.all_titles(results)
    kinds = failures.by_kind(results)
    return {
        "style": asset("base.css", "report.css"),
        "script": asset("base.js", "report.js"),
        "plotly": Markup(get_plotlyjs()),
        "results": results,
        "answers": answers(results),
        "ranking": ranking(results, styles),
        "verdict": verdict(results),
        "summary": metric_tables.overview(results),
        "by_metric": metric_tables.by_metric(results, titles),
        "by_category": [
            metric_tables.by_detector(results, category, titles, [category])
            for category in categories
        ],
        "oracles": metric_tables.oracle_titles(results),
        "kinds": kinds,
        "sizes": failures.by_size(results),
        "weakest": weakest(results, kinds),
        "published": published_tables(results, published),
        "stress": stress,
        "settings_of": [provenance.repetition(results, detector) for detector in detectors],
        "commands": list(dict.fromkeys(run.command for run in results.runs if run.command)),
        "environments": provenance.environments(results),
        "versions": sorted({run.version for run in results.runs}),
        "notes": provenance.notes(results),
        "alphas": alphas,
        "targets": targets(results),
        "where_pixels": pixels_are(results),
        "review": DEFAULT_REVIEW,
        "colours": [f"rgb({r} {g} {b})" for r, g, b in colour_map(np.linspace(0, 1, 16)).tolist()],
        "data": {
            "detectors": styles,
            "tradeoff": charts.tradeoff(results),
            "runs": charts.by_run(results),
            "stress": None if stress is None else stress.charts(),
        },
    }
