"""An answer in the shape of ``DetectAnomalies``, for those who come from Lookout for Vision.

The service ended in October 2025. Its clients ask
``POST /2020-11-20/projects/PROJECT/models/VERSION/detect``; pointed at this server, with a model's
name for the project, they go on. Amazon's clients sign requests with a secret that this server
doesn't keep: the token comes as their session token instead.
"""

from __future__ import annotations

import base64
import io
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from PIL import Image

from anomalist.errors import (
    AnomalistError,
    BusyError,
    DataError,
    NotFoundError,
    ServerError,
    UnavailableError,
)
from anomalist.server.api.asking import Asked, require
from anomalist.server.api.uploads import answers_of
from anomalist.server.database.tables import Inspection
from anomalist.server.heatmaps import Heatmap
from anomalist.server.inspecting import Upload
from anomalist.server.principals import Principal
from anomalist.server.service import Service

router = APIRouter(prefix="/2020-11-20", tags=["lookout for vision"])

_LATEST = "$LATEST"
_BACKGROUND, _ANOMALY = "#FFFFFF", "#23A436"
_COLOURS = np.array([(0xFF, 0xFF, 0xFF), (0x23, 0xA4, 0x36)], np.uint8)
_FAULTS = (
    (NotFoundError, 404, "ResourceNotFoundException"),
    (BusyError, 503, "ThrottlingException"),
    (UnavailableError, 503, "InternalServerException"),
    (ServerError, 503, "InternalServerException"),
    (AnomalistError, 400, "ValidationException"),
)


@router.post("/projects/{project}/models/{version}/detect")
async def detect_anomalies(
    request: Request,
    service: Asked,
    principal: Annotated[Principal, require("inspect")],
    project: str,
    version: str,
) -> JSONResponse:
    """Inspect the photograph that is the body; ``version`` is the one that answers."""
    try:
        found = await _inspected(service, principal, project, version, await request.body())
        return JSONResponse({"DetectAnomalyResult": _result(service, found)})
    except AnomalistError as error:
        status, name = next((s, n) for kind, s, n in _FAULTS if isinstance(error, kind))
        headers = {"x-amzn-ErrorType": name, **({"Retry-After": "1"} if status == 503 else {})}
        return JSONResponse({"Message": str(error), "error": str(error)}, status, headers)


async def _inspected(
    service: Service, principal: Principal, project: str, version: str, data: bytes
) -> Inspection:
    answering = service.registry.answering(project)
    if version not in (_LATEST, str(answering.number)):
        raise NotFoundError(
            f"version {version} of {project} doesn't answer: {answering.number} does, or {_LATEST}"
        )
    if answering.rule.threshold is None:
        raise DataError(f"{project} has no threshold: {answering.rule.describe()}")
    upload = Upload(name="photograph", data=data, source="http", token_id=principal.token_id)
    (found,) = await answers_of(service, [upload], project)
    if isinstance(found, DataError):
        raise found
    return found


def _result(service: Service, row: Inspection) -> dict[str, Any]:
    anomalous = row.decision == "anomalous"
    # How rare it is among good ones; of one that isn't anomalous, how usual.
    p_value = row.p_value if row.p_value is not None else float(not anomalous)
    result: dict[str, Any] = {
        "Source": {"Type": "direct"},
        "IsAnomalous": anomalous,
        "Confidence": 1 - p_value if anomalous else p_value,
    }
    kept = service.heatmaps.get(row.heatmap) if row.heatmap else None
    if kept is None:
        return result
    mask = Heatmap.from_bytes(kept).mask((row.height, row.width)) & anomalous
    share = float(mask.mean())
    result["Anomalies"] = [
        _area("background", 1 - share, _BACKGROUND),
        *([_area("anomaly", share, _ANOMALY)] if share else []),
    ]
    buffer = io.BytesIO()
    Image.fromarray(_COLOURS[mask.astype(np.uint8)]).save(buffer, "PNG", compress_level=1)
    result["AnomalyMask"] = base64.b64encode(buffer.getvalue()).decode()
    return result


def _area(name: str, share: float, colour: str) -> dict[str, Any]:
    return {"Name": name, "PixelAnomaly": {"TotalPercentageArea": share, "Color": colour}}
