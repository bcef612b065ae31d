from __future__ import annotations

import pytest

from anomalist.report.metric_tables import by_detector, overview
from anomalist.report.phrases import alphas, targets
from anomalist.report.provenance import notes
from anomalist.report.ranking import Ranking, ranking, scale
from anomalist.report.runs import Results
from anomalist.report.verdict import Answer, answers
from tests.report.test_html import Record, record

STYLES = {name: {"colour": f"#00000{i}"} for i, name in enumerate("abc")}


def answered(*records: Record) -> dict[str, Answer]:
    return {one.question: one for one in answers(Results(records))}


def test_a_clear_winner_is_named_with_its_lead_its_cost_and_how_sure_that_is() -> None:
    strong, weak = record("a", "bottle", 0, 1.5, n=40), record("b", "bottle", 0, 0.1, n=40)
    strong.images_per_second = 8.0
    found = answered(weak, strong)
    assert found["Which is best"].answer == "a"
    assert found["Which is best"].more.startswith("ahead of b, by ")
    auroc = strong.metrics["image_AUROC"]
    assert auroc is not None
    assert found["How good"].answer == f"{100 * auroc:.2f} %"
    assert "% of defects" in found["How good"].more
    assert "% false alarms" in found["How good"].more
    assert found["At what cost"].answer == "125 ms an image"
    assert found["At what cost"].more == "a fits in 2 s a category, 800 MB at its peak"
    assert found["How sure"].answer == f"{100 * (auroc - 0.1):.1f} to {100 * (auroc + 0.1):.1f} %"
    assert "12 test images; against b: p < 0.001" in found["How sure"].more


def test_two_that_can_not_be_told_apart_are_both_named_and_the_faster_one_told() -> None:
    a, b, c = record("a", "x", 0, 3.0), record("b", "x", 0, 3.0), record("c", "x", 0, -9.0, n=4)
    a.images_per_second, b.images_per_second = 1.0, 1.0
    first = max((a, b), key=lambda r: r.metrics["image_AUROC"] or 0)
    other = a if first is b else b
    other.images_per_second = 4.0
    found = answered(a, b, c)
    assert found["Which is best"].answer in ("a ≈ b", "b ≈ a")
    assert found["At what cost"].answer == "1 s an image"
    assert f"; {other.detector} takes 250 ms" in found["At what cost"].more


def test_where_no_detector_can_be_told_from_the_best_there_is_no_winner() -> None:
    found = answered(*(record(name, "bottle") for name in "abc"))
    assert found["Which is best"].answer == "no clear winner"


def test_one_detector_is_compared_with_nothing() -> None:
    found = answered(record("a", "bottle"))
    assert found["Which is best"].more == "the only detector here"
    assert "against" not in found["How sure"].more


def test_an_interval_of_no_width_is_none() -> None:
    perfect = record("a", "bottle", 0, 50.0)
    perfect.intervals["image_AUROC"] = (1.0, 1.0)
    sure = answered(perfect)["How sure"]
    assert sure.answer == "12 test images"
    assert "no interval" in sure.more


def test_there_are_no_answers_without_labels_or_without_a_category_in_common() -> None:
    unknown = record("a", "bottle")
    unknown.metrics = dict.fromkeys(unknown.metrics)
    assert answers(Results([unknown])) == []
    assert ranking(Results([unknown]), STYLES) is None
    apart = Results([record("a", "bottle"), record("b", "screw")])
    assert answers(apart) == []
    assert ranking(apart, STYLES) is None


# The figure


def ranked(*records: Record) -> Ranking:
    found = ranking(Results(records), STYLES)
    assert found is not None
    return found


def test_the_best_stands_first_at_its_place_between_the_ends_of_its_interval() -> None:
    good, bad = record("a", "bottle"), record("b", "bottle")
    for run, value, speed in ((good, 0.95, 10.0), (bad, 0.8, 40.0)):
        run.metrics["image_AUROC"], run.intervals["image_AUROC"] = (
            value,
            (value - 0.05, value + 0.02),
        )
        run.images_per_second = speed
    found = ranked(bad, good)
    assert [line.name for line in found.lines] == ["a", "b"]
    assert found.ticks == [("70", 0.0), ("80", 33.33), ("90", 66.67), ("100", 100.0)]
    line = found.lines[0]
    assert (line.low, line.place, line.high) == (66.67, 83.33, 90.0)
    assert (line.milliseconds, line.share) == ("100", 100.0)
    assert (found.lines[1].milliseconds, found.lines[1].share) == ("25", 25.0)
    assert line.categories == []


def test_each_category_has_a_place_of_its_own() -> None:
    a, b = record("a", "bottle"), record("a", "screw")
    a.metrics["image_AUROC"], b.metrics["image_AUROC"] = 1.0, 0.5
    a.intervals, b.intervals = {}, {}
    line = ranked(a, b).lines[0]
    assert line.categories == [("bottle: 100.00 %", 100.0), ("screw: 50.00 %", 16.67)]
    assert (line.place, line.low, line.interval) == (58.33, None, "")


def test_what_has_masks_alone_is_ranked_by_them() -> None:
    run = record("a", "bottle")
    run.metrics["image_AUROC"] = None
    assert ranked(run).metric == "Pixel PRO"


@pytest.mark.parametrize("lowest", [-1.0, 0.0, 12.3, 50.0, 79.9, 80.0, 98.7, 99.91, 99.999, 100.0])
def test_a_scale_holds_what_is_drawn_and_few_ticks(lowest: float) -> None:
    start, ticks = scale(lowest)
    assert start <= max(lowest, 0)
    assert (ticks[0], ticks[-1]) == (start, 100)
    assert 3 <= len(ticks) <= 5


# The false-alarm rate of each run


def test_each_line_tells_the_false_alarm_rate_that_was_asked_for_where_there_are_several() -> None:
    a, b = record("a", "bottle"), record("b", "bottle")
    same = Results([a, b])
    assert "Alpha, %" not in overview(same).costs
    b.calibration["alpha"] = 0.125
    table = by_detector(Results([a, b]), "", {"image_AUROC": "Image AUROC"}, ["bottle"])
    assert table.costs[0] == "Alpha, %"
    assert {row.name: row.costs[0] for row in table.rows} == {"a": "5", "b": "12.5"}
    assert alphas([a, b]) == "5 / 12.5"


def test_a_detector_of_several_false_alarm_rates_is_named_with_its_categories() -> None:
    bottle, screw, other = record("a", "bottle"), record("a", "screw"), record("b", "screw")
    screw.calibration["alpha"] = 0.1
    results = Results([bottle, screw, other])
    assert targets(results) == "5 % (a on bottle, b) and 10 % (a on screw)"


# What is noted


def test_a_note_of_several_detectors_is_told_once_with_whose_it_is() -> None:
    records = [record(name, category) for name in "ab" for category in ("bottle", "screw")]
    for run in records:
        run.notes = ("few scenes",)
        if run.category == "screw":
            run.notes += (f"{run.detector}: the light has changed",)
    assert notes(Results(records)) == [
        ("few scenes", "bottle and screw"),
        ("the light has changed", "screw (a, b)"),
    ]
