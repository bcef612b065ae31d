"""How rows of the memory are told as JSON, the same wherever they are told."""

from __future__ import annotations

from typing import Any

from anomalist.server.database.tables import Inspection


def inspection_dict(row: Inspection, model: str) -> dict[str, Any]:
    """Return an inspection as JSON values.

    Parameters
    ----------
    row : Inspection
        As it was committed.
    model : str
        The model's name.
    """
    return {
        "id": row.id,
        "at": row.at.isoformat(),
        "model": model,
        "version": row.version_id,
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
        "regions": row.regions,
        "notes": row.notes,
        "seconds": row.seconds,
        "photograph": f"/v1/inspections/{row.id}/photograph" if row.kept else None,
        "heatmap": f"/v1/inspections/{row.id}/heatmap" if row.heatmap and row.kept else None,
    }
