"""``GET /v1/inspections/ID/photograph`` and ``heatmap``: pictures of what was inspected."""

from __future__ import annotations

import io
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query
from fastapi.responses import Response
from PIL import Image

from anomalist.errors import NotFoundError
from anomalist.server.api.asking import Asked, require
from anomalist.server.database.tables import Inspection
from anomalist.server.decoding import MAX_SIDE
from anomalist.server.heatmaps import Heatmap
from anomalist.server.memory import Filters
from anomalist.server.principals import Principal
from anomalist.server.service import Service

router = APIRouter(prefix="/v1", tags=["inspections"])

Side = Annotated[
    int | None, Query(ge=16, le=MAX_SIDE, description="The longer side in pixels, at most.")
]
Who = Annotated[Principal, require("inspect")]

# What browsers show as it is.
_SHOWN = ("image/avif", "image/bmp", "image/jpeg", "image/png", "image/webp")
_SIDE = 1024
# What is found under an id never changes.
_HEADERS = {"Cache-Control": "private, max-age=31536000, immutable"}


@router.get("/inspections/{inspection_id}/photograph", response_class=Response)
def photograph(
    service: Asked,
    principal: Who,
    inspection_id: str,
    side: Side = None,
    form: Annotated[Literal["picture", "file"], Query(alias="as")] = "picture",
) -> Response:
    """Return a photograph as browsers show it, or with ``as=file`` the file as it came."""
    row = _find(service, principal, inspection_id)
    data = _there(service.photographs.get(row.sha256))
    if form == "file":
        headers = {**_HEADERS, "Content-Disposition": "attachment"}
        return Response(data, media_type=row.media_type, headers=headers)
    if side is None and row.media_type in _SHOWN and not _is_deep_png(data):
        return Response(data, media_type=row.media_type, headers=_HEADERS)
    depth = _heatmap(service, row).transform.bit_depth if row.heatmap else 16
    pixels = service.decoders.show(data, row.name, side or MAX_SIDE, depth).pixels
    return _picture(pixels, "JPEG")


@router.get("/inspections/{inspection_id}/heatmap", response_class=Response)
def heatmap(
    service: Asked,
    principal: Who,
    inspection_id: str,
    side: Side = None,
    form: Annotated[Literal["layer", "overlay", "map"], Query(alias="as")] = "layer",
) -> Response:
    """Return what was found where, as a picture.

    ``as=layer`` is clear where all is good, to be laid over the photograph; ``as=overlay`` is laid
    over it, with a line around what is above the threshold; ``as=map`` is the anomaly map in grey
    at the detector's resolution: black for a typical good pixel, half for the threshold.
    """
    row = _find(service, principal, inspection_id)
    kept = _heatmap(service, row)
    if form == "map":
        return _picture(kept.levels, "PNG")
    if form == "layer":
        scale = min(1.0, (side or _SIDE) / max(row.height, row.width))
        size = max(1, round(row.height * scale)), max(1, round(row.width * scale))
        return _picture(kept.layer(size), "PNG")
    data = _there(service.photographs.get(row.sha256))
    depth = kept.transform.bit_depth
    shown = service.decoders.show(data, row.name, side or _SIDE, depth).pixels
    return _picture(kept.over(shown), "JPEG")


def _find(service: Service, principal: Principal, inspection_id: str) -> Inspection:
    own = Filters(token_id=None if principal.may("review") else principal.token_id)
    return service.memory.get(inspection_id, own).inspection


def _heatmap(service: Service, row: Inspection) -> Heatmap:
    return Heatmap.from_bytes(_there(row.heatmap and service.heatmaps.get(row.heatmap)))


def _there(data: bytes | str | None) -> bytes:
    if not isinstance(data, bytes):
        raise NotFoundError("the picture is no longer kept; what was decided is")
    return data


def _is_deep_png(data: bytes) -> bool:
    """Whether it has 16 bits, of which browsers don't know how many the camera has."""
    return data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:25] == b"\x10"


def _picture(pixels: npt.NDArray[np.uint8], kind: Literal["JPEG", "PNG"]) -> Response:
    buffer = io.BytesIO()
    options = {"compress_level": 1} if kind == "PNG" else {"quality": 90}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return Response(buffer.getvalue(), media_type=f"image/{kind.lower()}", headers=_HEADERS)
