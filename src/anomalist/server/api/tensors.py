"""Tensors of the Open Inference Protocol: photographs in, what was found out."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.errors import DataError, ParameterError
from anomalist.server.blobs import Blobs
from anomalist.server.database.tables import Inspection
from anomalist.server.heatmaps import Heatmap

#: What can be asked for, and of which type it is. The heatmap comes where it is asked for by name.
OUTPUTS = {
    "score": "FP64",
    "threshold": "FP64",
    "p_value": "FP64",
    "decision": "BYTES",
    "inspection": "BYTES",
    "heatmap": "FP32",
}
_INPUT = "image"
_ASK = (
    "image is one tensor: of BYTES, shape [N], the bytes of image files (base64 in JSON), or of"
    " UINT8, shape [N, H, W, 3], [H, W, 3] or [H, W]"
)


def images_of(asked: dict[str, Any], binary: bytes, most: int) -> list[bytes]:
    """Return the files of the photographs in a request; of pixels, PNG files are made.

    Parameters
    ----------
    asked : dict
        The request.
    binary : bytes
        What came behind it.
    most : int
        Photographs that may come.

    Raises
    ------
    DataError
        If there is none, or it isn't what it says.
    ParameterError
        If there are too many.
    """
    inputs = asked.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise DataError(_ASK)
    tensor = inputs[0]
    if tensor.get("name") != _INPUT:
        raise DataError(f"the input is called {_INPUT!r}, not {tensor.get('name')!r}")
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not 1 <= len(shape) <= 4
        or not all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 2**31 for n in shape)
    ):
        raise DataError(f"{_ASK}; not of shape {shape}")
    if tensor.get("datatype") not in ("BYTES", "UINT8"):
        raise DataError(f"{_ASK}; not of {tensor.get('datatype')}")
    values = _values_of(tensor, binary)
    if tensor["datatype"] == "BYTES":
        images = list(values) if isinstance(values, list) else list(_split(values))
        if len(images) != math.prod(shape):
            raise DataError(f"the tensor of shape {shape} has {len(images)} elements")
    else:
        images = [_png(pixels) for pixels in _pixels(values, shape, most)]
    if len(images) > most:
        raise ParameterError(f"one request brings at most {most} photographs")
    return images


def _values_of(tensor: dict[str, Any], binary: bytes) -> bytes | list[bytes]:
    """What a tensor holds: bytes one after the other, or files that came in JSON."""
    parameters = tensor.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        if size != len(binary):
            raise DataError(f"binary_data_size is {size}, but {len(binary)} bytes came")
        return binary
    data = tensor.get("data")
    flat = _flat(data) if isinstance(data, list) else []
    if tensor.get("datatype") == "BYTES":
        try:
            return [base64.b64decode(one, validate=True) for one in flat]
        except (TypeError, ValueError, binascii.Error):
            raise DataError("in JSON, the bytes of an image file are a text in base64") from None
    try:
        return bytes(flat)
    except (TypeError, ValueError):
        raise DataError("UINT8 holds whole numbers from 0 to 255") from None


def _flat(values: list[Any]) -> list[Any]:
    """Elements of lists in lists, in their order; as deep as a tensor can be."""
    for _ in range(4):
        if not any(isinstance(one, list) for one in values):
            break
        values = [each for one in values for each in (one if isinstance(one, list) else [one])]
    return values


def _split(values: bytes) -> Iterator[bytes]:
    """Elements of a binary tensor of BYTES, each behind its length."""
    at = 0
    while at < len(values):
        end = at + 4 + int.from_bytes(values[at : at + 4], "little")
        if end > len(values):
            raise DataError("a binary tensor of BYTES is cut short")
        yield values[at + 4 : end]
        at = end


def _pixels(
    values: bytes | list[bytes], shape: list[int], most: int
) -> Iterator[npt.NDArray[np.uint8]]:
    if len(shape) not in (2, 3, 4) or (len(shape) > 2 and shape[-1] != 3):
        raise DataError(f"{_ASK}; not of shape {shape}")
    if len(shape) == 4 and shape[0] > most:
        raise ParameterError(f"one request brings at most {most} photographs")
    if not isinstance(values, bytes) or len(values) != math.prod(shape):
        raise DataError(f"the tensor of shape {shape} has {len(values)} elements")
    pixels = np.frombuffer(values, np.uint8).reshape(shape)
    yield from pixels if len(shape) == 4 else [pixels]


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def tensors_of(
    asked: dict[str, Any], rows: Sequence[Inspection], heatmaps: Blobs
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Return the outputs that a request asks for, and the binary tensors among them.

    Raises
    ------
    DataError
        If it asks for one that isn't known.
    """
    parameters = asked.get("parameters") or {}
    all_binary = parameters.get("binary_data_output") is True
    wanted = asked.get("outputs") or [{"name": name} for name in OUTPUTS if name != "heatmap"]
    if not isinstance(wanted, list):
        raise DataError("outputs is a list")
    outputs, buffers = [], []
    for one in wanted:
        name = one.get("name") if isinstance(one, dict) else one
        if not isinstance(name, str) or name not in OUTPUTS:
            raise DataError(f"an output is one of {', '.join(OUTPUTS)}, not {name!r}")
        own = (one.get("parameters") if isinstance(one, dict) else None) or {}
        binary = own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary
        values = _output(name, rows, heatmaps)
        shape = list(values.shape) if isinstance(values, np.ndarray) else [len(values)]
        output: dict[str, Any] = {"name": name, "datatype": OUTPUTS[name], "shape": shape}
        if binary is True:
            buffers.append(_packed(values))
            output["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            flat = values.ravel().tolist() if isinstance(values, np.ndarray) else values
            output["data"] = [None if v != v else v for v in flat]  # JSON has no NaN
        outputs.append(output)
    return outputs, buffers


def _output(name: str, rows: Sequence[Inspection], heatmaps: Blobs) -> npt.NDArray[Any] | list[str]:
    if name == "decision":
        return [row.decision or "" for row in rows]
    if name == "inspection":
        return [row.id for row in rows]
    if name == "heatmap":
        kept = [heatmaps.get(row.heatmap) if row.heatmap else None for row in rows]
        if any(one is None for one in kept):
            raise DataError("a heatmap is no longer kept")
        return np.stack([Heatmap.from_bytes(one).values() for one in kept if one is not None])
    values = [getattr(row, name) for row in rows]
    return np.array([math.nan if value is None else value for value in values], "<f8")


def _packed(values: npt.NDArray[Any] | list[str]) -> bytes:
    if isinstance(values, np.ndarray):
        return values.tobytes()
    texts = [text.encode() for text in values]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
