"""JPEG files: what their markers tell that Pillow doesn't (ITU-T T.81, annex B)."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

_START = b"\xff\xd8\xff"
# Markers of a frame: of all ways of coding but those of other tables in between.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}
_BLOCK = 8
_NOTHING = 128


def precision_of(file: IO[bytes]) -> tuple[int, int, int, int] | None:
    """Return bits, height, width and channels that a JPEG file tells; None of another file.

    Raises
    ------
    ValueError
        If it is coded in a way that no reader here knows.
    """
    file.seek(0)
    if file.read(2) != _START[:2]:
        return None
    while True:
        marker = file.read(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            return None
        if marker[1] == 0xFF:
            file.seek(-1, 1)
            continue
        length = int.from_bytes(file.read(2), "big")
        if marker[1] in _FRAMES:
            frame = file.read(6)
            if len(frame) < 6:
                return None
            if marker[1] in _LOSSLESS:
                raise ValueError("it is a lossless JPEG: save it as PNG or TIFF")
            return (
                frame[0],
                int.from_bytes(frame[1:3], "big"),
                int.from_bytes(frame[3:5], "big"),
                frame[5],
            )
        if length < 2 or marker[1] in (0xD9, 0xDA):
            return None
        file.seek(length - 2, 1)


def orientation_of_jpeg(file: IO[bytes]) -> int:
    """Return the EXIF orientation of a JPEG file that Pillow doesn't open."""
    file.seek(0)
    head = file.read(2**16)
    place = head.find(b"Exif\0\0")
    exif = Image.Exif()
    try:
        if place >= 0:
            exif.load(head[place:])
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # A damaged EXIF block takes nothing from the pixels.
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def read_deep_jpeg(file: IO[bytes], bits: int) -> npt.NDArray[Any]:
    """Return the samples (height, width, channels) of a JPEG file of 12 bits, as grey or RGB."""
    # Loaded when the first such file comes: nobody else waits for it.
    import imagecodecs

    file.seek(0)
    values: npt.NDArray[Any] = imagecodecs.jpeg_decode(file.read(), bitspersample=bits)
    return values.reshape(*values.shape[:2], -1)


def ends_early(image: Image.Image) -> bool:
    """Whether the last of a decoded JPEG's pixels were made up for data that isn't there.

    A reader fills the blocks of which it has no data with one grey. Where only fine detail is
    missing, as of a progressive file, and where bytes were changed, pixels don't tell.

    Parameters
    ----------
    image : PIL.Image.Image
        As it was decoded, not turned.
    """
    if image.mode not in ("L", "RGB"):
        return False
    width, height = image.size
    last = image.getpixel((width - 1, height - 1))
    if last not in (_NOTHING, (_NOTHING,) * 3):
        return False
    # The last whole block, and the first: an image on a ground of that grey has it in both.
    right, bottom = (side - 1 - (side - 1) % _BLOCK for side in (width, height))
    corners = ((right, bottom, width, height), (0, 0, _BLOCK, _BLOCK))
    ends = [np.asarray(image.crop(box)) for box in corners]
    return bool((ends[0] == _NOTHING).all() and not (ends[1] == _NOTHING).all())
