"""Charts as SVG, drawn on the server; axes are told in HTML beside them, so that text never scales.

A plot is 1000 wide and 100 high, stretched to whatever room there is; lines keep their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT = 1000.0, 100.0
# Of the range, above and below what is shown.
_MARGIN = 0.06
# Of a bar's room, on either side of it.
_GAP = 0.08


#: A low, a middle and a high value.
Spread = Sequence[float]


@dataclass(frozen=True)
class Plot:
    """A drawn plot and what its axis of values goes from and to.

    Parameters
    ----------
    svg : Markup
        The picture.
    low, high : float
        The values at its lower and upper end.
    """

    svg: Markup
    low: float
    high: float


def spreads(values: Sequence[Spread | None], rule: float | None = None) -> Plot | None:
    """Draw low, middle and high values one after the other, as a band with a line.

    Parameters
    ----------
    values : sequence of (float, float, float) or None
        A low, a middle and a high one each; None where there is none.
    rule : float, optional
        A value at which a dashed line is drawn.

    Returns
    -------
    Plot or None
        None where there is no value at all.

    Examples
    --------
    >>> plot = spreads([(0.0, 1.0, 2.0), None, (1.0, 2.0, 3.0)], rule=4.0)
    >>> round(plot.low, 2), round(plot.high, 2)
    (-0.24, 4.24)
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = _range([v for one in known for v in one] + ([] if rule is None else [rule]))
    shapes: list[Markup] = []
    for run in _runs(values):
        top = [(_across(i, len(values)), _up(value[2], low, high)) for i, value in run]
        bottom = [(_across(i, len(values)), _up(value[0], low, high)) for i, value in run]
        middle = [(_across(i, len(values)), _up(value[1], low, high)) for i, value in run]
        shapes.append(_shape("polygon", "band", _widened(top) + _widened(bottom)[::-1]))
        shapes.append(_shape("polyline", "middle", _widened(middle)))
    return Plot(_svg(shapes, low, high, rule), low, high)


def lines(
    series: Sequence[Sequence[float]], rule: float | None = None, least: float = 0.0
) -> Plot | None:
    """Draw values one after the other, a line each; at most four are told apart.

    Parameters
    ----------
    series : sequence of sequences of float
        All of one length.
    rule : float, optional
        A value at which a dashed line is drawn.
    least : float
        Lower values are drawn at this one.
    """
    cut = [[max(value, least) for value in one] for one in series]
    if not cut or not cut[0]:
        return None
    low, high = _range([v for one in cut for v in one] + ([] if rule is None else [rule]))
    shapes = [
        _shape(
            "polyline",
            f"line line-{number}",
            _widened([(_across(i, len(one)), _up(v, low, high)) for i, v in enumerate(one)]),
        )
        for number, one in enumerate(cut, start=1)
    ]
    return Plot(_svg(shapes, low, high, rule), low, high)


def bars(
    values: Sequence[float], rule: float | None = None, most: float | None = None
) -> Plot | None:
    """Draw values from 0 as bars.

    Parameters
    ----------
    values : sequence of float
        None below 0.
    rule : float, optional
        A value at which a dashed line is drawn.
    most : float, optional
        Where the axis ends at the latest.
    """
    if not values:
        return None
    high = max([*values, rule or 0.0]) * (1 + _MARGIN) or 1.0
    high = high if most is None else min(high, most)
    each = _WIDTH / len(values)
    shapes = []
    for i, value in enumerate(values):
        top = _up(value, 0, high)
        kind = "bar-over" if rule is not None and value > rule else "bar-under"
        shapes.append(
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.2f}" width="{:.1f}" height="{:.2f}"/>'
            ).format(kind, (i + _GAP) * each, top, (1 - 2 * _GAP) * each, _HEIGHT - top)
        )
    return Plot(_svg(shapes, 0.0, high, rule), 0.0, high)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or abs(high) * _MARGIN or 1.0
    return low - margin, high + margin


def _across(index: int, count: int) -> float:
    return _WIDTH * (index + 0.5) / count


def _up(value: float, low: float, high: float) -> float:
    return _HEIGHT * (high - value) / (high - low)


def _runs(values: Sequence[Spread | None]) -> list[list[tuple[int, Spread]]]:
    """The stretches without a gap, with the place of each value."""
    runs: list[list[tuple[int, Spread]]] = [[]]
    for i, value in enumerate(values):
        if value is not None:
            runs[-1].append((i, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _widened(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A single point as a short line, which can be seen."""
    if len(points) > 1:
        return points
    ((x, y),) = points
    return [(max(x - 8, 0), y), (min(x + 8, _WIDTH), y)]


def _shape(name: str, kind: str, points: list[tuple[float, float]]) -> Markup:
    at = " ".join(f"{x:.1f},{y:.2f}" for x, y in points)
    return Markup('<{} class="{}" points="{}"/>').format(Markup(name), kind, at)


def _svg(shapes: list[Markup], low: float, high: float, rule: float | None) -> Markup:
    if rule is not None:
        y = f"{_up(rule, low, high):.2f}"
        line = '<line class="rule" x1="0" x2="1000" y1="{}" y2="{}"/>'
        shapes = [*shapes, Markup(line).format(y, y)]
    head = '<svg class="plot" viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">'
    return Markup(head) + Markup("").join(shapes) + Markup("</svg>")
