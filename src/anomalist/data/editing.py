"""Samples are changed at the depth that they have, before they become RGB of 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.deep import Developed, develop, whole_of
from anomalist.data.header import Header

Samples = npt.NDArray[np.uint8 | np.uint16]
#: Changes samples (H, W, 1) of grey or (H, W, 3) of colour, of which the second argument is white.
Edit = Callable[[Samples, int], Samples]

_TOP = 2**16 - 1


def edited_image(image: Image.Image, edit: Edit | None) -> Image.Image:
    """Change an RGB image of 8 bits; one whose channels are equal is changed as grey.

    Examples
    --------
    >>> image = edited_image(Image.new("RGB", (2, 1), (9, 9, 9)), lambda x, white: white - x)
    >>> image.getpixel((0, 0))
    (246, 246, 246)
    """
    if edit is None:
        return image
    pixels = np.asarray(image)
    grey = bool((pixels[..., :1] == pixels[..., 1:]).all())
    changed = edit(pixels[..., :1] if grey else pixels, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(changed, pixels.shape)))


def develop_edited(
    values: npt.NDArray[Any], header: Header, bit_depth: int, edit: Edit | None
) -> Developed:
    """Develop samples after an edit, as `~anomalist.data.deep.develop` does without one.

    Whole numbers of grey or RGB are changed as they are stored, so that their depth counts. What
    is anything else, or partly transparent, is changed once it is RGB.
    """
    if edit is None:
        return develop(values, header, bit_depth)
    plain = header.colours in ("grey", "rgb") and header.opacity == "none"
    if not plain or values.dtype.kind == "f":
        found = develop(values, header, bit_depth)
        return replace(found, image=edited_image(found.image, edit))
    shown, white = whole_of(
        values[..., : header.channels], _TOP if header.white is None else header.white
    )
    white = 2**bit_depth - 1 if header.white is None else white
    shown = np.minimum(shown, np.uint16(white))
    changed = white - edit(white - shown, white) if header.white_is_zero else edit(shown, white)
    known = None if header.white is None else white
    return develop(changed.astype(np.uint16), replace(header, white=known, unused=0), bit_depth)
