"""From a photograph that comes in to a decision that is remembered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from anomalist.calibration import finite_or_none
from anomalist.data import ImageSet, Sample
from anomalist.errors import DataError
from anomalist.inspection import Finding, Rule
from anomalist.predictions import Predictions
from anomalist.server.blobs import Blobs
from anomalist.server.database import Database
from anomalist.server.database.tables import Inspection
from anomalist.server.registry import Answering, Registry

# A p-value up to which a part that passes is set aside for a person.
_UNSURE = 0.2


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A photograph as it comes in.

    Parameters
    ----------
    name : str
        What it is called, for people.
    data : bytes
        The file.
    source : str
        ``http``, ``page``, ``folder``, ``mqtt`` or ``camera``.
    camera : str, optional
        Which camera or station it comes from.
    token_id : int, optional
        The token that asks.
    key : str, optional
        What the client calls the request: one that is sent again is kept once.
    """

    name: str
    data: bytes
    source: str
    camera: str | None = None
    token_id: int | None = None
    key: str | None = None


class Watcher(Protocol):
    """Sees what is scored, in its order, before it is committed."""

    def add(
        self, answering: Answering, predictions: Predictions, cameras: Sequence[str | None]
    ) -> list[dict[str, float] | None]:
        """Return the numbers by which a shift is told, of each photograph."""


class Inspector:
    """Scores photographs, and remembers what was found before it is answered.

    Parameters
    ----------
    database : Database
        Where inspections are kept.
    registry : Registry
        The models.
    photographs, heatmaps : Blobs
        Where files are kept.
    watcher : Watcher, optional
        Sees all photographs that are scored.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        photographs: Blobs,
        heatmaps: Blobs,
        watcher: Watcher | None = None,
    ) -> None:
        self._database, self._registry = database, registry
        self._photographs, self._heatmaps, self._watcher = photographs, heatmaps, watcher
        #: Called with inspections of one model once they are committed.
        self.on_inspected: list[Callable[[Answering, list[Inspection]], None]] = []

    def inspect(
        self, uploads: Sequence[Upload], model: str | None = None
    ) -> list[Inspection | DataError]:
        """Score photographs by the version that answers now, and keep what is found.

        Parameters
        ----------
        uploads : sequence of Upload
            One or more.
        model : str, optional
            Its name; without one, the only model.

        Returns
        -------
        list of Inspection or DataError
            Of each; an error where it can't be read.

        Raises
        ------
        NotFoundError
            If there is no such model.
        BusyError
            If too many wait.
        """
        answering = self._registry.answering(model)
        return [self._one(upload, answering) for upload in uploads]

    def _one(self, upload: Upload, answering: Answering) -> Inspection | DataError:
        began = time.perf_counter()
        try:
            sample = Sample(upload.name, image=upload.data)  # type: ignore[arg-type]
            predictions = answering.detector.predict(ImageSet([sample]))
            (found,) = answering.rule.judge(answering.detector, predictions)
            height, width = sample.size()
        except DataError as error:
            return error
        looks = None
        if self._watcher is not None:
            (looks,) = self._watcher.add(answering, predictions, [upload.camera])
        row = Inspection(
            model_id=answering.model_id,
            version_id=answering.version_id,
            token_id=upload.token_id,
            source=upload.source,
            camera=upload.camera,
            name=upload.name,
            sha256=self._photographs.put(upload.data),
            media_type="application/octet-stream",
            bytes=len(upload.data),
            width=width,
            height=height,
            score=found.score,
            threshold=finite_or_none(answering.rule.threshold or 0.0),
            alpha=answering.rule.alpha,
            p_value=found.p_value,
            decision=decide(answering.rule, found),
            regions=None if found.regions is None else [vars(r) for r in found.regions],
            notes=list(found.notes),
            looks=looks,
            heatmap=None,
            seconds=time.perf_counter() - began,
            key=upload.key,
        )
        with self._database.session() as session:
            session.add(row)
        for tell in self.on_inspected:
            tell(answering, [row])
        return row


def decide(rule: Rule, found: Finding) -> str | None:
    """Return ``normal``, ``anomalous`` or, where a good one is rarely like that, ``unsure``."""
    if found.decision != "normal" or rule.given:
        return found.decision
    return "unsure" if found.p_value is not None and found.p_value <= _UNSURE else "normal"
