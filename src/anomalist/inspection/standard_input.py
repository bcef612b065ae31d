"""What comes from standard input: the bytes of one image, or a list of paths."""

from __future__ import annotations

import codecs
import io
import re
from typing import BinaryIO

# How kinds of images start; those that a line of text can start with, as far as text can't go on.
_IMAGE = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II(\*\0|\+\0)|MM(\0\*|\0\+)|RIFF....WEBP"
    rb"|BM.{4}\0{4}|P[1-7]\s+(#[^\n]*\n\s*)*\d+\s|....ftyp|\xff\x0a|\0\0\0\x0cJXL|\0\0\0\x0cjP",
    re.DOTALL,
)
# Of these it takes more bytes to tell than a first short line may have.
_MAY_BE = (b"BM", b"RIFF", *(b"P%d" % i for i in range(1, 8)))
_TEXT_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8)
_HEAD = 4096
_ENOUGH = 16


def image_or_lines(stdin: BinaryIO) -> bytes | BinaryIO:
    r"""Return the bytes of the image that standard input holds, or itself if it holds lines.

    The first bytes decide. Lines can be read as they come: no more is waited for than the first
    line.

    Parameters
    ----------
    stdin : binary stream
        Where nothing was read from yet.

    Returns
    -------
    bytes or binary stream
        All of the image, whole or not; or a stream of all that there is and will be.

    Examples
    --------
    >>> image_or_lines(io.BytesIO(b"\x89PNG\r\n\x1a\n..."))
    b'\x89PNG\r\n\x1a\n...'
    >>> image_or_lines(io.BytesIO(b"BMW.png\n/photos\n")).readlines()
    [b'BMW.png\n', b'/photos\n']
    """
    head = stdin.readline(_HEAD)
    while head.startswith(_MAY_BE) and len(head) < _ENOUGH and (more := stdin.readline(_HEAD)):
        head += more
    is_text = head.startswith(_TEXT_MARKS) or b"\0" not in head
    if _IMAGE.match(head) or not is_text:
        return head + stdin.read()
    return io.BufferedReader(_PutBack(head, stdin))


class _PutBack(io.RawIOBase):
    """A stream of which some was read that is still to come."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._head[: len(buffer)] or self._rest.readline(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)
