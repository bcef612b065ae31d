"""Near copies side by side, for a person to judge."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.drawing.placing import beside, stack
from anomalist.drawing.text import captions
from anomalist.errors import DataError

#: Pairs that a sheet shows at most.
MOST_PAIRS = 24
#: How the picture of a category's near copies is called, in ``pictures`` of a results folder.
NEAR_COPIES = "{category}_near_copies.png"
_COLUMNS = 3
_SIDE = 192


def copies_sheet(
    pairs: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], str, str]],
) -> Image.Image:
    """Lay pairs of pictures out in rows: what was learnt from left, what is tested on right.

    Parameters
    ----------
    pairs : sequence of (uint8 array of shape (H, W), uint8 array of shape (H, W), str, str)
        Grey pictures, and what each is called; the first `MOST_PAIRS` are shown.

    Returns
    -------
    PIL image

    Raises
    ------
    DataError
        If there is no pair.

    Examples
    --------
    >>> picture = np.zeros((128, 128), np.uint8)
    >>> copies_sheet([(picture, picture, "train/1.png", "test/7.png, likeness 0.99")]).size
    (386, 234)
    """
    if not pairs:
        raise DataError("a sheet of copies takes a pair or more")
    shown = []
    for learnt, tested, learnt_name, tested_name in pairs[:MOST_PAIRS]:
        pictures = [
            Image.fromarray(picture).convert("RGB").resize((_SIDE, _SIDE))
            for picture in (learnt, tested)
        ]
        row = beside(pictures, gap=2)
        lines = [f"learnt from: {learnt_name}", f"tested on: {tested_name}"]
        shown.append(stack([captions(lines, row.width), row]))
    rows = [beside(shown[i : i + _COLUMNS], gap=18) for i in range(0, len(shown), _COLUMNS)]
    return stack(rows)


def near_copies(out: Path, categories: Sequence[str]) -> list[tuple[str, str]]:
    """Return the categories with near copies, each with their picture as text for a page.

    Raises
    ------
    DataError
        If a picture is damaged.
    """
    found = []
    for category in categories:
        path = out / "pictures" / NEAR_COPIES.format(category=category)
        if path.is_file():
            stream = io.BytesIO()
            try:
                with Image.open(path) as sheet:
                    sheet.save(stream, "WEBP", quality=78, method=4)
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{path} is damaged: delete it, and the report is written without what it shows"
                ) from error
            text = base64.b64encode(stream.getvalue()).decode()
            found.append((category, f"data:image/webp;base64,{text}"))
    return found
