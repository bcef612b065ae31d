"""What can be watched of a server, in Prometheus' terms: names begin with ``anomalist_``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from anomalist.server.database import Database
from anomalist.server.database.tables import DriftWarning, Inspection, Model, Refit
from anomalist.server.registry import Answering, Registry

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one server.

    Parameters
    ----------
    database : Database
        Where warnings and refits are counted when metrics are asked for.
    registry : Registry
        The models.
    folder : Path
        The disk of which is watched.
    """

    def __init__(self, database: Database, registry: Registry, folder: Path) -> None:
        self._registry = CollectorRegistry()
        self._inspections = Counter(
            "anomalist_inspections",
            "Photographs inspected, by what was decided.",
            ("model", "decision", "source"),
            registry=self._registry,
        )
        self._inspection_seconds = Histogram(
            "anomalist_inspection_seconds",
            "From a photograph's arrival to the commit of its inspection.",
            ("model",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._requests = Counter(
            "anomalist_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "anomalist_request_seconds",
            "From a request's arrival to the begin of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Present(database, registry, folder))
        ProcessCollector(namespace="anomalist", registry=self._registry)

    def inspected(self, answering: Answering, rows: Sequence[Inspection]) -> None:
        """Count inspections that are committed."""
        seconds = self._inspection_seconds.labels(answering.name)
        for row in rows:
            self._inspections.labels(answering.name, row.decision or "none", row.source).inc()
            seconds.observe(row.seconds)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Parameters
        ----------
        method : str
            One of HTTP's; others are counted together.
        route : str
            The pattern that its path fits, such as ``/v1/inspections/{id}``: never the path.
        status : int
            Of the answer.
        seconds : float
            Until the answer began.
        """
        self._requests.labels(method if method in _METHODS else "other", route, status).inc()
        self._request_seconds.labels(route).observe(seconds)

    def told(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text, and its media type, in the format that is accepted."""
        encoder, media_type = choose_encoder(accept)
        return encoder(self._registry), media_type


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class _Present(Collector):
    """What is so at the moment of asking."""

    def __init__(self, database: Database, registry: Registry, folder: Path) -> None:
        self._database, self._registry, self._folder = database, registry, folder

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the gauges."""
        version = GaugeMetricFamily(
            "anomalist_answering_version",
            "The version of a model that answers, 0 where none does.",
            labels=["model"],
        )
        for name in self._registry.names():
            answering = self._registry.answering_or_none(name)
            version.add_metric([name], 0 if answering is None else answering.number)
        yield version
        warnings = GaugeMetricFamily(
            "anomalist_drift_warnings_open",
            "Warnings of a shift that no person has taken note of.",
            labels=["model"],
        )
        unsettled = (
            select(Model.name, func.count(DriftWarning.id))
            .outerjoin(
                DriftWarning,
                (DriftWarning.model_id == Model.id) & DriftWarning.settled.is_(None),
            )
            .group_by(Model.name)
        )
        running = select(func.count()).where(Refit.state.in_(("waiting", "running")))
        with self._database.reading() as session:
            for name, count in session.execute(unsettled):
                warnings.add_metric([name], count)
            refits = session.scalar(running) or 0
        yield warnings
        yield GaugeMetricFamily(
            "anomalist_refits_under_way", "Candidates that wait or are built.", value=refits
        )
        yield GaugeMetricFamily(
            "anomalist_disk_free_bytes",
            "Free on the disk of photographs and heatmaps.",
            value=shutil.disk_usage(self._folder).free,
        )
