"""How rows of the memory are told as JSON, the same wherever they are told."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from anomalist.conditions import WATCHED
from anomalist.server.camera_watch import SHARE, CameraWatch
from anomalist.server.comparing import pictures_named
from anomalist.server.database.tables import (
    Audit,
    DriftWarning,
    Drop,
    Inspection,
    Promotion,
    Refit,
    Setting,
    Verdict,
    Version,
)
from anomalist.server.versions import History


def inspection_dict(
    row: Inspection, model: str, version: int, verdict: Verdict | None = None
) -> dict[str, Any]:
    """Return an inspection as JSON values.

    Parameters
    ----------
    row : Inspection
        As it was committed.
    model : str
        The model's name.
    version : int
        The version's number within its model.
    verdict : Verdict, optional
        The one that holds.
    """
    return {
        "id": row.id,
        "at": row.at.isoformat(),
        "model": model,
        "version": version,
        "source": row.source,
        "camera": row.camera,
        "name": row.name,
        "sha256": row.sha256,
        "width": row.width,
        "height": row.height,
        "score": row.score,
        "threshold": row.threshold,
        "alpha": row.alpha,
        "p_value": row.p_value,
        "decision": row.decision,
        "verdict": None if verdict is None else verdict.verdict,
        "regions": row.regions,
        "notes": row.notes,
        "seconds": row.seconds,
        "photograph": f"/v1/inspections/{row.id}/photograph" if row.kept else None,
        "heatmap": f"/v1/inspections/{row.id}/heatmap" if row.heatmap and row.kept else None,
    }


def verdict_dict(row: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON values."""
    return {
        "verdict": row.verdict,
        "kind": row.kind,
        "region": row.region,
        "note": row.note,
        "at": row.at.isoformat(),
        "by": row.by,
    }


def model_dict(history: History) -> dict[str, Any]:
    """Return what answers for a model as JSON values."""
    now, previous = history.answering, history.previous
    return {
        "name": history.name,
        "version": None if now is None else now.number,
        "fault": history.fault,
        "previous": None if previous is None else previous.number,
        "candidates": [version.number for version in history.candidates],
        "detector": None if now is None else now.detector.label,
        "rule": None if now is None else {**now.rule.as_dict(), "describe": now.rule.describe()},
    }


def history_dict(history: History) -> dict[str, Any]:
    """Return a model and all that was decided about it as JSON values."""
    numbers = {version.id: version.number for version in history.versions}
    return {
        **model_dict(history),
        "versions": [version_dict(version) for version in history.versions],
        "promotions": [decision_dict(promotion) for promotion in history.promotions],
        "drops": [decision_dict(drop) for drop in history.drops],
        "settings": [setting_dict(row, numbers[row.version_id]) for row in history.settings],
    }


def version_dict(row: Version) -> dict[str, Any]:
    """Return a version as JSON values."""
    return {
        "number": row.number,
        "state": row.state,
        "sha256": row.sha256,
        "kept": row.kept,
        "created": row.created.isoformat(),
        "by": row.by,
        "note": row.note,
        "parent": None if row.parent is None else row.parent.number,
        "card": row.card,
    }


def decision_dict(row: Promotion | Drop) -> dict[str, Any]:
    """Return what was decided about a version as JSON values."""
    return {
        "version": row.version.number,
        "at": row.at.isoformat(),
        "by": row.by,
        "note": row.note,
    }


def setting_dict(row: Setting, version: int) -> dict[str, Any]:
    """Return what decisions were set to as JSON values.

    Parameters
    ----------
    row : Setting
        As it was committed.
    version : int
        The number of the version that a threshold is for.
    """
    return {
        "alpha": row.alpha,
        "threshold": row.threshold,
        "version": version if row.threshold is not None else None,
        "at": row.at.isoformat(),
        "by": row.by,
        "note": row.note,
    }


def refit_dict(row: Refit, model: str, versions: Mapping[int, int]) -> dict[str, Any]:
    """Return a candidate that is being built, or was, as JSON values.

    Parameters
    ----------
    row : Refit
        As it was committed.
    model : str
        The model's name.
    versions : mapping of int to int
        Numbers of the model's versions, by their id.
    """
    comparison = copy.deepcopy(row.comparison)
    for side in pictures_named(comparison) if comparison is not None else ():
        side["picture"] = f"/v1/refits/{row.id}/pictures/{side['picture']}"
    return {
        "id": row.id,
        "model": model,
        "parent": versions[row.parent_id],
        "state": row.state,
        "stage": row.stage,
        "done": row.done,
        "total": row.total,
        "created": row.created.isoformat(),
        "started": None if row.started is None else row.started.isoformat(),
        "ended": None if row.ended is None else row.ended.isoformat(),
        "by": row.by,
        "note": row.note,
        "calibrate_on": row.calibrate_on,
        "learnt": len(row.learnt),
        "error": row.error,
        "version": None if row.version_id is None else versions[row.version_id],
        "comparison": comparison,
    }


def warning_dict(row: DriftWarning) -> dict[str, Any]:
    """Return a warning of drift as JSON values, as `DriftWatcher.warnings` gives it."""
    return {
        "id": row.id,
        "model": row.model.name,
        "version": row.version.number,
        "camera": row.camera,
        "at": row.at.isoformat(),
        "condition": row.condition,
        "text": row.text,
        "inspection": None if row.inspection is None else row.inspection.id,
        "since": None if row.since is None else row.since.id,
        "settled": None if row.settled is None else row.settled.isoformat(),
        "settled_by": row.settled_by,
    }


def watch_dict(watch: CameraWatch) -> dict[str, Any]:
    """Return what is known of a camera's photographs as JSON values.

    Evidence is told as how many times likelier a shift is than chance, as a decimal logarithm, for
    all numbers together: a shift is told from ``limit`` on.
    """
    conditions, shift = watch.conditions, watch.conditions.shift
    told = conditions.as_dict()
    numbers = {} if shift is None else shift.usual
    share = math.log10(max(len(numbers), 1))
    log10 = math.log(10)
    differences = {} if shift is None else told["shift"]["differences"]
    return {
        "camera": watch.camera,
        "photographs": conditions.total,
        "shown_again": 0 if shift is None else shift.again,
        "alarms": told["alarms"],
        "promised": told["promised"],
        "learnt_from": conditions.images,
        "failing": told["failing"],
        "limit": -math.log10(SHARE),
        "measures": [
            {
                "name": name,
                "what": WATCHED[name].what,
                "usual": list(usual),
                "difference": differences.get(name, {}).get("what"),
            }
            for name, usual in numbers.items()
        ],
        "evidence": [
            {
                "number": number,
                "at": at,
                **{name: round(value / log10 - share, 3) for name, value in evidence.items()},
            }
            for number, at, evidence in watch.path.points()
        ],
    }


def audit_dict(row: Audit) -> dict[str, Any]:
    """Return a row of the audit log as JSON values."""
    return {
        "id": row.id,
        "at": row.at.isoformat(),
        "by": row.by,
        "address": row.address,
        "action": row.action,
        "subject": row.subject,
        "detail": row.detail,
    }
