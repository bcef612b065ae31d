"""Inspections that were never inspected: rows as the server would have kept them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from anomalist.server.database.tables import Inspection, Version
from anomalist.server.service import Service

BEGIN = datetime(2026, 3, 1, 6, tzinfo=UTC)


def row(version: Version, index: int = 0, **values: Any) -> Inspection:
    """An inspection of the model of a version; one a minute."""
    given: dict[str, Any] = {
        "at": BEGIN + timedelta(minutes=index),
        "model_id": version.model_id,
        "version_id": version.id,
        "source": "http",
        "name": f"{index:04}.png",
        "sha256": f"{index:064x}",
        "media_type": "image/png",
        "bytes": 1000,
        "width": 64,
        "height": 64,
        "score": 0.5,
        "threshold": 1.0,
        "alpha": 0.05,
        "p_value": 0.5,
        "decision": "normal",
        "notes": [],
        "seconds": 0.01,
    }
    return Inspection(**{**given, **values})


def version(service: Service) -> Version:
    """The first version of the only model."""
    with service.database.session() as session:
        return session.scalars(select(Version).order_by(Version.id)).first()  # type: ignore[return-value]


def remember(service: Service, *values: dict[str, Any]) -> list[Inspection]:
    """Keep an inspection for each set of values, in their order."""
    first = version(service)
    with service.database.session() as session:
        begin = session.scalar(select(func.count()).select_from(Inspection)) or 0
        rows = [row(first, index, **given) for index, given in enumerate(values, begin)]
        session.add_all(rows)  # numbered in this order
    return rows
