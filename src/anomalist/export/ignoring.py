"""Which pixels are ignored, as text in the metadata of a graph."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt


def packed(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (H, W) as JSON values: its size, and its bits in rows, in zlib and base64.

    Examples
    --------
    >>> unpacked(packed(np.eye(3, dtype=bool))).sum()
    np.int64(3)
    """
    bits = base64.b64encode(zlib.compress(np.packbits(mask).tobytes())).decode()
    return {"size": list(mask.shape), "bits": bits}


def unpacked(values: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Return the mask of what `packed` returned.

    Raises
    ------
    ValueError
        If it is something else.
    """
    height, width = map(int, values["size"])
    room = -(-height * width // 8)
    stream = zlib.decompressobj()
    bits = np.frombuffer(stream.decompress(base64.b64decode(values["bits"]), room), np.uint8)
    if len(bits) != room:
        raise ValueError(f"{8 * len(bits)} bits aren't a mask of {height} x {width} pixels")
    return np.unpackbits(bits, count=height * width).astype(np.bool_).reshape(height, width)
