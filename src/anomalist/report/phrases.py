"""How numbers and names are put into the sentences and cells of a report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup, escape

from anomalist.digits import shown
from anomalist.report.runs import Estimate, Results, Run
from anomalist.report.summary import where_pixels


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share in percent, without the sign.

    Examples
    --------
    >>> percent(0.98765), percent(0.5, 0), percent(None)
    ('98.77', '50', '–')
    """
    return "–" if value is None else f"{100 * value:.{digits}f}"


def number(value: float | None) -> str:
    """Return a cost or a threshold; a dash where there is none.

    Examples
    --------
    >>> number(0.0123456), number(1234.56), number(float("inf"))
    ('0.01235', '1235', '–')
    """
    return "–" if value is None or not math.isfinite(value) else shown(value)


def signed(value: float) -> str:
    """Return a difference in points, with a true minus.

    Examples
    --------
    >>> signed(-0.5)
    '\u22120.50'
    """
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def p_value(value: float) -> str:
    """Return what stands behind the letter p.

    Examples
    --------
    >>> p_value(0.0304), p_value(1e-9)
    ('= 0.030', '< 0.001')
    """
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def listed(names: Sequence[str]) -> str:
    """Join names as a sentence does.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a"]), listed([])
    ('a, b and c', 'a', '')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def span(shares: Mapping[str, float]) -> str:
    """Return the lowest and the highest of shares, and whose they are.

    Examples
    --------
    >>> span({"a": 0.5, "b": 0.25}), span({"a": 1.0, "b": 1.0})
    ('25.0 % (b) to 50.0 % (a)', '100.0 %')
    """
    low, high = (pick(shares, key=lambda name: shares[name]) for pick in (min, max))
    if shares[low] == shares[high]:
        return f"{percent(shares[low], 1)} %"
    return f"{percent(shares[low], 1)} % ({low}) to {percent(shares[high], 1)} % ({high})"


def ends(interval: tuple[float, float]) -> str:
    """Return the ends of an interval in percent, without the sign.

    Examples
    --------
    >>> ends((0.912, 1.0))
    '91.2 to 100.0'
    """
    return f"{percent(interval[0], 1)} to {percent(interval[1], 1)}"


def with_interval(estimate: Estimate) -> str:
    """Return a metric in percent with its interval, where it has one.

    Examples
    --------
    >>> with_interval(Estimate(0.95, (0.912, 0.98)))
    '95.00 % (95 % interval 91.2 to 98.0)'
    """
    text = f"{percent(estimate.value)} %"
    if estimate.interval is None:
        return text
    return f"{text} (95 % interval {ends(estimate.interval)})"


def breakable(name: str) -> Markup:
    """Return a name as HTML that breaks after its marks, and only in parts that no line holds.

    Examples
    --------
    >>> breakable("glass_512.a<b")
    Markup('glass_<wbr>512.<wbr>a&lt;<wbr>b')
    """
    parts = re.findall(r"[^\W_]{1,16}\W*_*|.", name, re.DOTALL)
    return Markup("<wbr>").join(escape(part) for part in parts)


def with_breaks(text: str, names: Iterable[str]) -> Markup:
    """Return a sentence as HTML in which names break as `breakable` ones do.

    Examples
    --------
    >>> with_breaks("glass<mad, by 0.22", ["glass", "glass<mad"])
    Markup('glass&lt;<wbr>mad, by 0.22')
    """
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first)) or "(?!)"
    parts = re.split(f"({pattern})", text)
    return Markup().join(breakable(p) if i % 2 else escape(p) for i, p in enumerate(parts))


def targets(results: Results) -> str:
    """Return the false-alarm rates that thresholds were set for; whose each is, if several.

    A threshold of before it was kept is taken for one at 5 %.
    """
    found = results.targets or {0.05: []}
    if len(found) == 1:
        return f"{100 * next(iter(found)):g} %"
    several = {d for d in results.detectors if sum(d in names for names in found.values()) > 1}
    parts = []
    for alpha, names in found.items():
        whose = [
            f"{name} on {listed(_categories(results, name, alpha))}" if name in several else name
            for name in names
        ]
        parts.append(f"{100 * alpha:g} % ({', '.join(whose)})")
    return listed(parts)


def _categories(results: Results, detector: str, alpha: float) -> list[str]:
    return sorted({run.category for run in results.runs if _is_at(run, detector, alpha)})


def _is_at(run: Run, detector: str, alpha: float) -> bool:
    return run.detector == detector and run.calibration.get("alpha") == alpha


def alphas(runs: Sequence[Run]) -> str:
    """Return the false-alarm rates of some runs, in percent.

    Examples
    --------
    >>> alphas([])
    '–'
    """
    found = {float(a) for run in runs if (a := run.calibration.get("alpha")) is not None}
    return " / ".join(f"{100 * alpha:g}" for alpha in sorted(found)) or "–"


def pixels_are(results: Results) -> str:
    """Say at what size the pixels of all runs were compared."""
    return where_pixels((run.detector, run.evaluated_at) for run in results.runs)
