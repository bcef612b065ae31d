"""``/v2``: the Open Inference Protocol, for clients that speak it already.

As KServe, Triton and others have it (github.com/kserve/open-inference-protocol), REST version, with
Triton's extension for binary tensors. A model takes ``image``, as the bytes of files or as pixels,
and what it answers is kept like every inspection.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from anomalist import __version__
from anomalist.errors import DataError, NotFoundError, ParameterError
from anomalist.server.api.asking import Asked, require
from anomalist.server.api.tensors import OUTPUTS, images_of, tensors_of
from anomalist.server.api.uploads import answers_of
from anomalist.server.inspecting import Upload
from anomalist.server.principals import Principal
from anomalist.server.registry import Answering
from anomalist.server.service import Service

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_LENGTH = "Inference-Header-Content-Length"
_PACKINGS = {"gzip": 31, "deflate": 15}
Who = require("inspect")


@router.get("", dependencies=[Who])
def server_metadata() -> dict[str, Any]:
    """Return what the server is."""
    return {"name": "anomalist", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live", dependencies=[Who])
def server_live() -> dict[str, bool]:
    """Answer that the process lives."""
    return {"live": True}


@router.get("/health/ready", dependencies=[Who])
def server_ready(service: Asked) -> Response:
    """Answer whether it inspects."""
    ready = service.inspector.fault() is None and bool(service.registry.all_answering())
    return JSONResponse({"ready": ready}, 200 if ready else 503)


@router.get("/models/{model}", dependencies=[Who])
@router.get("/models/{model}/versions/{version}", dependencies=[Who])
def model_metadata(service: Asked, model: str, version: str = "") -> dict[str, Any]:
    """Return what a model takes and gives."""
    answering = _answering(service, model, version)
    height, width = answering.detector.view.output_size
    return {
        "name": model,
        "versions": [str(answering.number)],
        "platform": f"anomalist_{answering.detector.name}",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {
                "name": name,
                "datatype": datatype,
                "shape": [-1, height, width] if name == "heatmap" else [-1],
            }
            for name, datatype in OUTPUTS.items()
        ],
    }


@router.get("/models/{model}/ready", dependencies=[Who])
@router.get("/models/{model}/versions/{version}/ready", dependencies=[Who])
def model_ready(service: Asked, model: str, version: str = "") -> dict[str, Any]:
    """Answer that a model inspects."""
    return {"name": model, "ready": bool(_answering(service, model, version))}


@router.post("/models/{model}/infer")
@router.post("/models/{model}/versions/{version}/infer")
async def infer(
    request: Request,
    service: Asked,
    model: str,
    version: str = "",
    principal: Principal = Who,
) -> Response:
    """Inspect the photographs of a tensor."""
    answering = _answering(service, model, version)
    most = service.settings.max_bytes
    body = _unpacked(await request.body(), request.headers.get("content-encoding"), most)
    asked, binary = _parts(body, request.headers.get(_LENGTH))
    images = images_of(asked, binary, service.settings.max_images)
    parameters = asked.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ParameterError("parameters is an object")
    camera, called = parameters.get("camera"), asked.get("id")
    uploads = [
        Upload(
            name=str(called or "photograph"),
            data=data,
            source="http",
            camera=None if camera is None else str(camera),
            token_id=principal.token_id,
        )
        for data in images
    ]
    found = await answers_of(service, uploads, model)
    rows = []
    for row in found:
        if isinstance(row, DataError):  # the protocol knows no error of one of several
            raise row
        rows.append(row)
    outputs, buffers = tensors_of(asked, rows, service.heatmaps)
    told: dict[str, Any] = {
        "model_name": model,
        "model_version": str(answering.number),
        "outputs": outputs,
    }
    if called:
        told["id"] = str(called)
    if not buffers:
        return JSONResponse(told)
    head = json.dumps(told).encode()
    return Response(
        b"".join([head, *buffers]),
        media_type="application/octet-stream",
        headers={_LENGTH: str(len(head))},
    )


def _answering(service: Service, model: str, version: str) -> Answering:
    answering = service.registry.answering(model)
    if version and version != str(answering.number):
        raise NotFoundError(
            f"version {version} of {model} doesn't answer: version {answering.number} does"
        )
    return answering


def _unpacked(body: bytes, packing: str | None, most: int) -> bytes:
    """Return a body as it was before it was packed, which may not be larger than one that isn't."""
    if packing in (None, "", "identity"):
        return body
    if packing not in _PACKINGS:
        raise ParameterError(f"Content-Encoding is {' or '.join(_PACKINGS)}, not {packing!r}")
    unpacking = zlib.decompressobj(_PACKINGS[packing])
    try:
        found = unpacking.decompress(body, most)
    except zlib.error as error:
        raise DataError(f"the body is no {packing}: {error}") from None
    if not unpacking.eof:
        raise DataError(f"the body is cut short, or has more than {most / 1e6:g} MB unpacked")
    return found


def _parts(body: bytes, length: str | None) -> tuple[dict[str, Any], bytes]:
    """Return the JSON of a body, and the binary tensors behind it."""
    end = len(body)
    if length is not None:
        if not (length.isascii() and length.isdigit() and int(length[:18]) <= len(body)):
            raise ParameterError(f"{_LENGTH} is {length!r}, of a body of {len(body)} bytes")
        end = int(length)
    try:
        asked = json.loads(body[:end])
    except (ValueError, RecursionError):
        raise DataError("the body is no JSON of an inference request") from None
    if not isinstance(asked, dict):
        raise DataError("an inference request is a JSON object")
    return asked, body[end:]
