"""What a report comes to in words: four answers, a sentence or two on each, what is missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anomalist.digits import shown
from anomalist.metrics.comparison import Comparison
from anomalist.report import failures
from anomalist.report.phrases import (
    ends,
    listed,
    number,
    p_value,
    percent,
    pixels_are,
    signed,
    span,
    targets,
    with_interval,
)
from anomalist.report.runs import Results

_FEW = 3


@dataclass(frozen=True)
class Answer:
    """A question that a reader comes with, its answer in a word or two, and what to know of it."""

    question: str
    answer: str
    more: str


def answers(results: Results) -> list[Answer]:
    """Return which detector is best, how good it is, at what cost, and how sure that is.

    Where the best can't be told apart, the figures are those of the one with the highest value.
    """
    known = {d: e for d in results.detectors if (e := results.estimate(d, "image_AUROC"))}
    if not results.shared or not known:
        return []
    ranked = sorted(known, key=lambda d: -known[d].value)
    leader = ranked[0]
    ahead = results.ahead("image_AUROC")
    tied = [d for d in ranked if d in ahead] or [leader]
    return [
        _which(results, ranked, tied),
        _how_good(results, leader),
        _at_what_cost(results, leader, tied),
        _how_sure(results, ranked),
    ]


def _which(results: Results, ranked: list[str], tied: list[str]) -> Answer:
    question, leader = "Which is best", ranked[0]
    if len(ranked) == 1:
        return Answer(question, leader, "the only detector here")
    if len(tied) == 1:
        compared = results.compare(leader, ranked[1])
        points = "" if compared is None else f", by {100 * compared.difference:.2f} points"
        return Answer(question, leader, f"ahead of {ranked[1]}{points}")
    if len(tied) == len(ranked) > 2:
        more = f"no detector can be told from {leader}"
        if len(locating := results.ahead("pixel_PRO")) == 1:
            more += f"; {locating[0]} locates defects best"
        return Answer(question, "no clear winner", more)
    more = "can't be told apart on these images"
    if len(tied) > 2:
        others = f"{len(tied) - 2} more" if len(tied) > _FEW else tied[2]
        more = f"with {others}, {more}"
    return Answer(question, " ≈ ".join(tied[:2]), more)


def _how_good(results: Results, leader: str) -> Answer:
    estimate = results.estimate(leader, "image_AUROC")
    alarms = results.estimate(leader, "image_false_alarm_rate")
    hits = failures.overall(results).recall[leader].images
    parts = [] if hits is None else [f"finds {percent(hits, 1)} % of defects"]
    if alarms is not None:
        parts.append(f"{percent(alarms.value, 1)} % false alarms")
    more = "; ".join([f"image AUROC of {leader}", *parts])
    return Answer("How good", f"{percent(None if estimate is None else estimate.value)} %", more)


def _at_what_cost(results: Results, leader: str, tied: list[str]) -> Answer:
    speeds = {d: results.cost(d, "images_per_second") or 0.0 for d in tied}
    fit, memory = (results.cost(leader, name) for name in ("fit_seconds", "peak_memory_mb"))
    more = f"{leader} fits in {number(fit)} s a category, {number(memory)} MB at its peak"
    fastest = max(speeds, key=lambda d: speeds[d])
    if speeds[fastest] > 1.1 * speeds[leader] > 0:
        more += f"; {fastest} takes {_milliseconds(speeds[fastest])}"
    return Answer("At what cost", f"{_milliseconds(speeds[leader])} an image", more)


def _milliseconds(images_per_second: float) -> str:
    if images_per_second <= 0:
        return "– ms"
    time = 1000 / images_per_second
    return f"{shown(time, 3)} ms" if time < 1000 else f"{shown(time / 1000, 3)} s"


def _how_sure(results: Results, ranked: list[str]) -> Answer:
    leader = ranked[0]
    estimate = results.estimate(leader, "image_AUROC")
    runs = [results.of(leader, category)[0] for category in results.shared]
    images = sum(run.test_images for run in runs)
    interval = None if estimate is None else estimate.interval
    if interval is None or interval[0] == interval[1]:
        # Resampling images that are all in order moves nothing, which proves nothing.
        interval, parts = (
            None,
            ["" if interval is None else "all in the right order, which gives no interval"],
        )
    else:
        parts = [f"95 % interval of {leader}, {images} test images"]
    if len(ranked) > 1:
        compared = results.compare(leader, ranked[1])
        p = "too few images to test it" if compared is None else f"p {p_value(compared.p_value)}"
        parts.append(f"against {ranked[1]}: {p}")
    answer = f"{ends(interval)} %" if interval else f"{images} test images"
    return Answer("How sure", answer, "; ".join(parts))


def verdict(results: Results) -> list[tuple[str, str]]:
    """Return what the summary comes to: topics, with a sentence or two on each."""
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
    leader, value = ranked[0], with_interval(known[ranked[0]])
    if len(ranked) == 1:
        return f"{leader} reaches an image AUROC of {value}."
    ahead = results.ahead("image_AUROC")
    if len(ahead) == 1:
        lead = _lead(results.compare(leader, ranked[1]), ranked[1])
        return f"{leader} tells defective from good images best: image AUROC {value}, {lead}."
    tied = [d for d in ranked if d in ahead]
    names = listed([f"{d} ({percent(known[d].value)} %)" for d in tied])
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
        f"difference {signed(100 * low)} to {signed(100 * high)}, "
        f"p {p_value(comparison.p_value)}, DeLong's test on the same images)"
    )


def _location(results: Results) -> str:
    known = {d: e for d in results.detectors if (e := results.estimate(d, "pixel_PRO"))}
    if not known:
        return "it can't be measured: there are no masks of defects."
    if len({run.evaluated_at for run in results.runs}) > 1:
        where = pixels_are(results)
        return f"{where[0].lower()}{where[1:]}"
    leader = max(known, key=lambda d: known[d].value)
    value = f"pixel PRO {with_interval(known[leader])}"
    if len(known) == 1:
        return f"{leader} locates defects with a {value}."
    if len(ahead := results.ahead("pixel_PRO")) == 1:
        return f"{leader} locates defects best: {value}, above every other detector's interval."
    names = listed([d for d in ahead if d != leader])
    return (
        f"{leader} has the highest {value}, but its interval overlaps with that of {names}: not "
        "distinguishable."
    )


def _in_use(results: Results) -> str:
    """What the calibrated thresholds give."""
    sentences = []
    estimates = {d: results.estimate(d, "image_false_alarm_rate") for d in results.detectors}
    rates = {d: e.value for d, e in estimates.items() if e is not None}
    found = failures.overall(results).recall
    shares = {d: recall.images for d, recall in found.items() if recall.images is not None}
    parts = []
    if rates:
        parts.append(f"{span(rates)} of the good test images raise a false alarm")
    if shares:
        parts.append(f"{span(shares)} of the defective ones are found")
    if parts:
        sentences.append(
            f"with thresholds from good training images alone, set for at most {targets(results)}"
            f" false alarms, {listed(parts)}."
        )
    for alpha in results.targets:
        few = {
            run.detector: None
            for run in results.runs
            if run.calibration.get("alpha") == alpha
            and (
                run.calibration.get("image_threshold") is None
                or run.calibration.get("rate", alpha) > alpha
            )
        }
        if few:
            sentences.append(
                f"There are too few good training images to guarantee {100 * alpha:g} % in "
                f"some or all categories of {listed(list(few))}."
            )
    return " ".join(sentences)


def _cost(results: Results) -> str:
    speed = {d: results.cost(d, "images_per_second") or 0.0 for d in results.detectors}
    fit = {d: results.cost(d, "fit_seconds") or 0.0 for d in results.detectors}
    fastest, soonest = max(speed, key=lambda d: speed[d]), min(fit, key=lambda d: fit[d])
    if len(speed) == 1:
        return (
            f"{fastest} fits in {number(fit[fastest])} s a category and judges "
            f"{number(speed[fastest])} images a second."
        )
    slowest = min(speed, key=lambda d: speed[d])
    pace = f"{fastest} judges fastest, {number(speed[fastest])} images a second"
    if speed[slowest] < speed[fastest]:
        pace += f", and {slowest} slowest, {number(speed[slowest])}"
    return f"{pace}; {soonest} fits soonest, in {number(fit[soonest])} s a category."


def weakest(results: Results, kinds: Sequence[failures.Group]) -> list[str]:
    """Return for each detector the kinds of defect of which it finds the fewest images."""
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
            f"{detector} finds the smallest share of images, {percent(lowest, 1)} %, of "
            f"{listed([*names[:_FEW], *more])}."
        )
    return sentences
