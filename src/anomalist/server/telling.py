"""How rows of the memory are told as JSON, the same wherever they are told."""

from __future__ import annotations

from typing import Any

from anomalist.server.database.tables import Inspection, Verdict


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
