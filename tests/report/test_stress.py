from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from anomalist.report import Stress, write_report
from tests.report.test_html import Opened, Page, Record, record


@dataclass
class Stressed:
    """A run of a stress test."""

    condition: str
    level: float | None
    where: str | None
    record: Record


def run(
    condition: str,
    level: float | None = None,
    where: str | None = None,
    *,
    auroc: float = 0.98,
    alarms: float | None = 0.05,
    detector: str = "patchcore",
    category: str = "bottle",
) -> Stressed:
    made = record(detector, category)
    made.metrics = {**made.metrics, "image_AUROC": auroc, "image_false_alarm_rate": alarms}
    made.intervals = {"image_AUROC": (auroc - 0.1, min(auroc + 0.01, 1))}
    return Stressed(condition, level, where, made)


def small_test(detector: str = "patchcore", category: str = "bottle") -> list[Stressed]:
    of = {"detector": detector, "category": category}
    return [
        run("baseline", **of),  # type: ignore[arg-type]
        run("shots", 4, "train", auroc=0.7, alarms=None, **of),  # type: ignore[arg-type]
        run("shots", 40, "train", **of),  # type: ignore[arg-type]
        run("brightness", 0.8, "test", auroc=0.97, alarms=0.3, **of),  # type: ignore[arg-type]
        run("brightness", 1.1, "test", auroc=0.85, alarms=0.8, **of),  # type: ignore[arg-type]
        run("brightness", 1.2, "test", auroc=0.8, alarms=0.7, **of),  # type: ignore[arg-type]
        run("brightness", 1.2, "all", auroc=0.96, **of),  # type: ignore[arg-type]
        run("jpeg", 50, "test", auroc=0.95, alarms=0.1, **of),  # type: ignore[arg-type]
    ]


def test_the_weakest_point_is_named() -> None:
    stress = Stress(small_test())
    assert stress.verdict() == [
        (
            "patchcore",
            "weakest under brightness: image AUROC falls from 98.0 % to 80.0 % at 1.2, below 90.0 %"
            " from 1.1 on. False alarms rise most under brightness: from 5.0 % to 80.0 % at 1.1."
            " With 4 photographs, image AUROC is 70.0 %.",
        )
    ]
    steady = [run("baseline"), run("turn", 5, "all", auroc=0.975, alarms=0.05)]
    assert Stress(steady).verdict()[0][1] == (
        "image AUROC stays at 98.0 % within a point, whatever is done. False alarms stay at 5.0 %"
        " or below."
    )
    good = [run("baseline"), run("turn", 5, "test")]
    for one in good:
        one.record.metrics = dict.fromkeys(one.record.metrics)
    assert Stress(good).verdict() == [("patchcore", "nothing could be measured.")]
    few = [run("baseline"), run("shots", 4, "train", auroc=0.7, alarms=None)]
    assert Stress(few).verdict()[0][1].startswith("weakest under shots: image AUROC falls from 98")


def test_what_contamination_costs_is_told() -> None:
    runs = [run("baseline"), run("turn", 5, "test")]
    for level, hits in ((0, 0.8), (0.1, 0.3), (0.4, 0.0)):
        runs.append(run("contamination", level, "train"))
        runs[-1].record.metrics["image_hit_rate"] = hits
    assert (
        Stress(runs)
        .verdict()[0][1]
        .endswith(
            " With 10 % of defects among the photographs learnt from, 30.0 % of defects are found,"
            " without 80.0 %."
        )
    )


def test_levels_of_either_side_are_told_apart() -> None:
    runs = [run("baseline")] + [
        run("scale", level, "test", auroc=auroc)
        for level, auroc in ((0.9, 0.5), (0.95, 0.95), (1.05, 0.6), (1.1, 0.7))
    ]
    assert "falls from 98.0 % to 50.0 % at 0.9." in Stress(runs).verdict()[0][1]


def test_the_undisturbed_run_is_a_point_of_each_curve() -> None:
    charts = Stress(small_test()).charts()
    of = charts["points"]["bottle"]
    assert [point[:2] for point in of["brightness"]["test"]["image_AUROC"]["patchcore"]] == [
        [0.8, 97],
        [1, 98],
        [1.1, 85],
        [1.2, 80],
    ]
    assert [point[:2] for point in of["shots"]["train"]["image_AUROC"]["patchcore"]] == [
        [4, 70],
        [8, 98],
    ]
    assert charts["conditions"]["shots"]["ticks"] == [[4, "4"], [8, "all"]]
    assert charts["conditions"]["jpeg"]["ticks"] == [[50, "50"], [100, "none"]]
    low, high = of["jpeg"]["test"]["image_AUROC"]["patchcore"][0][2:]
    assert (low, high) == pytest.approx((85, 96))
    assert charts["alpha"] == [5]


def test_the_report_has_a_section_only_of_a_stress_test(tmp_path: Path) -> None:
    plain = Page(write_report([record("patchcore", "bottle")], tmp_path).read_text())
    assert "Under stress" not in plain.words
    assert plain.data["report-data"]["stress"] is None
    runs = small_test()
    path = write_report([runs[0].record], tmp_path, stressed=runs)
    page = Page(path.read_text(encoding="utf-8"))
    assert "weakest under brightness" in page.words.replace("\u00a0", " ")
    assert "80.0 at 1.2" in page.words  # the table of the worst levels, without JavaScript
    assert "http" not in "".join(str(e.get("src")) for e in page.all("script"))


@pytest.mark.parametrize("width", [400, 1280])
def test_curves_are_drawn_at_every_width(browser: Any, tmp_path: Path, width: int) -> None:
    runs = [
        run
        for detector in ("padim", "patchcore")
        for category in ("bottle", "screw")
        for run in small_test(detector, category)
    ]
    records = [run.record for run in runs if run.condition == "baseline"]
    opened = Opened(browser, write_report(records, tmp_path, stressed=runs), width)
    page = opened.page
    assert page.locator("#stress .js-plotly-plot").count() == 5  # shots have no false alarms
    assert page.evaluate("document.documentElement.scrollWidth") == width
    traces = "byId => document.getElementById(byId).data.map(trace => trace.y)"
    before = page.evaluate(traces, "stress-brightness-metric")
    assert before == [[97, 98, 85, 80]] * 2
    page.select_option("#stress-where", "all")
    assert page.evaluate(traces, "stress-brightness-metric") == [[98, 96]] * 2
    assert page.locator("#stress-jpeg-metric .empty").count() == 1
    page.select_option("#stress-category", "screw")
    assert page.evaluate(traces, "stress-brightness-metric") == [[98, 96]] * 2
    assert opened.problems == []
    assert len(opened.requests) == 1
    opened.context.close()
