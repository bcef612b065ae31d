"""Netpbm files of more than 8 bits: what their first words say, and their samples."""

from __future__ import annotations

import re
from typing import IO, Any

import numpy as np
import numpy.typing as npt

# Comments go from # to the end of the line; one white space stands before the samples.
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_WORDS = re.compile(
    rb"(P[2356])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})\s"
)
_HEAD = 4096


def white_of_netpbm(file: IO[bytes]) -> int | None:
    """Return the value of white that a file's header tells, None if it isn't such a file.

    Examples
    --------
    >>> import io
    >>> white_of_netpbm(io.BytesIO(b"P5 2 1 1023 1234"))
    1023
    """
    file.seek(0)
    words = _WORDS.match(file.read(_HEAD))
    return None if words is None else int(words[4])


def read_netpbm(file: IO[bytes]) -> npt.NDArray[Any] | None:
    """Return the samples (height, width, channels) of a binary file of 16 bits, None of others.

    Raises
    ------
    ValueError
        If there are too few.
    """
    file.seek(0)
    words = _WORDS.match(file.read(_HEAD))
    if words is None or words[1] not in (b"P5", b"P6") or int(words[4]) < 256:
        return None
    channels = 1 if words[1] == b"P5" else 3
    width, height = int(words[2]), int(words[3])
    file.seek(words.end())
    data = file.read(2 * width * height * channels)
    if len(data) < 2 * width * height * channels:
        raise ValueError("it is cut short")
    return np.frombuffer(data, ">u2").astype(np.uint16).reshape(height, width, channels)
