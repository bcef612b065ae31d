"""What the chart of a camera's photographs shows: scores, p-values, alarms and looks in bins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from anomalist.conditions import LEVEL
from anomalist.errors import NotFoundError
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection
from anomalist.server.drift import DriftWatcher
from anomalist.server.registry import Answering
from anomalist.server.telling import warning_dict, watch_dict

#: Of p-values: with ten, each holds a tenth where photographs are like those that calibrate.
P_BINS = 10
_SPREAD = (0.05, 0.5, 0.95)
_COLUMNS = (
    Inspection.id, Inspection.at, Inspection.score, Inspection.p_value, Inspection.decision,
    Inspection.looks,
)  # fmt: skip


def drift_dict(
    database: Database,
    watcher: DriftWatcher,
    answering: Answering,
    camera: str | None = None,
    *,
    parts: int = 1000,
    bins: int = 50,
) -> dict[str, Any]:
    """Return what is watched of a model's photographs as JSON values.

    Parameters
    ----------
    database : Database
        Where inspections are.
    watcher : DriftWatcher
        Watches them.
    answering : Answering
        The version that answers.
    camera : str, optional
        Of which camera the ``watch`` and its bins are; empty for photographs that name none, by
        default the one that a photograph came from last.
    parts, bins : int
        As `series` takes them.

    Raises
    ------
    NotFoundError
        If no photograph came from that camera.
    """
    with watcher.reading:
        watches = watcher.watches(answering)
        cameras = [
            {
                "camera": watch.camera,
                "photographs": watch.conditions.total,
                "failing": list(watch.conditions.failing()),
            }
            for watch in watches
        ]
        chosen = max(watches, key=lambda watch: watch.seen, default=None)
        if camera is not None:
            name = camera or None
            chosen = next((watch for watch in watches if watch.camera == name), None)
            if chosen is None:
                known = ", ".join(str(watch.camera or "one without a name") for watch in watches)
                raise NotFoundError(
                    f"no photograph of camera {camera!r} was inspected by version"
                    f" {answering.number} of {answering.name}; there are {known or 'none'}"
                )
        watch = None if chosen is None else watch_dict(chosen)
    charts: dict[str, Any] = {"bins": [], "p_values": [0] * P_BINS}
    if chosen is not None:
        with database.reading() as session:
            charts = series(session, answering.version_id, chosen.camera, parts=parts, bins=bins)
    return {
        "model": answering.name,
        "version": answering.number,
        "level": LEVEL,
        "alpha": answering.rule.alpha,
        "threshold": answering.rule.threshold,
        "cameras": cameras,
        "watch": watch,
        **charts,
        "warnings": [warning_dict(row) for row in watcher.warnings(answering.model_id)],
    }


def series(
    session: Session, version_id: int, camera: str | None, *, parts: int, bins: int
) -> dict[str, Any]:
    """Return what the last photographs of a camera were like, as JSON values.

    Parameters
    ----------
    session : Session
        Reading.
    version_id : int
        Of the version that inspected them.
    camera : str or None
        None for photographs that name no camera.
    parts : int
        How many photographs at most, the last ones.
    bins : int
        Into how many bins at most they are parted, each of as many photographs.

    Returns
    -------
    dict
        ``bins``, the oldest first: of each the first and the last inspection and when they were,
        ``photographs``, ``alarms``, and 5 %, half and 95 % of ``score``, ``p_value`` and each of
        the ``looks`` (null where no photograph has one). ``p_values``: how many photographs have a
        p-value in each tenth from 0 to 1.
    """
    rows = session.execute(
        select(*_COLUMNS)
        .where(Inspection.version_id == version_id, Inspection.camera.is_not_distinct_from(camera))
        .order_by(Inspection.number.desc())
        .limit(parts)
    ).all()[::-1]
    each = max(-(-len(rows) // bins), 1)
    p_values = _numbers([row.p_value for row in rows])
    counts, _ = np.histogram(p_values[np.isfinite(p_values)], P_BINS, (0, 1))
    return {
        "bins": [_bin(rows[start : start + each]) for start in range(0, len(rows), each)],
        "p_values": counts.tolist(),
    }


def _bin(rows: list[Any] | Any) -> dict[str, Any]:
    looks: list[Mapping[str, float]] = [row.looks or {} for row in rows]
    names = dict.fromkeys(name for look in looks for name in look)
    return {
        "first": rows[0].id,
        "last": rows[-1].id,
        "from": rows[0].at.isoformat(),
        "to": rows[-1].at.isoformat(),
        "photographs": len(rows),
        "alarms": sum(row.decision == "anomalous" for row in rows),
        "score": _spread([row.score for row in rows]),
        "p_value": _spread([row.p_value for row in rows]),
        "looks": {name: _spread([look.get(name) for look in looks]) for name in names},
    }


def _spread(values: list[float | None]) -> list[float] | None:
    numbers = _numbers(values)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    spread: list[float] = np.quantile(numbers, _SPREAD).tolist()
    return spread


def _numbers(values: list[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
