"""Pictures below and beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

GAP = 6
"""Pixels between two pictures."""


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other."""
    height = sum(p.height + GAP for p in pictures) - GAP
    sheet = Image.new("RGB", (max(p.width for p in pictures), height), "white")
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + GAP
    return sheet


def beside(pictures: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """Pictures in a row."""
    width = sum(p.width + gap for p in pictures) - gap
    sheet = Image.new("RGB", (width, max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet
