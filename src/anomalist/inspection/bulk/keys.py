"""What lies where in a place of results that are kept by parts."""

from __future__ import annotations

import re

from anomalist.data.walking import HEATMAPS, RESULTS_MARKER, SHEET

MANIFEST = "manifest.json"
MARKER = RESULTS_MARKER
LISTINGS, PARTS = "listing", "parts"
__all__ = ["HEATMAPS", "LISTINGS", "MANIFEST", "MARKER", "PARTS", "SHEET"]

_OURS = re.compile(
    rf"({LISTINGS}|{PARTS})/part-\d{{6,}}\.parquet|{HEATMAPS}/part-\d{{6,}}/[^/]+|{re.escape(SHEET)}"
)
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 80


def part_name(number: int) -> str:
    """Return what a part is called.

    Examples
    --------
    >>> part_name(12)
    'part-000012'
    """
    return f"part-{number:06d}"


def part_key(number: int) -> str:
    """Return where the rows of a part lie."""
    return f"{PARTS}/{part_name(number)}.parquet"


def listing_key(first: int) -> str:
    """Return where the objects of some parts are listed, of which one is the first."""
    return f"{LISTINGS}/{part_name(first)}.parquet"


def heatmap_key(part: int, row: int, path: str, format: str = "png") -> str:
    """Return where the picture of an object lies: no other has that name, whatever objects have.

    Examples
    --------
    >>> heatmap_key(3, 17, "s3://bucket/line 1/../bad#1.png")
    'heatmaps/part-000003/0017-bad_1.png'
    """
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return f"{HEATMAPS}/{part_name(part)}/{row:04d}-{_ODD.sub('_', stem)[:_LONGEST_NAME]}.{format}"


def is_ours(key: str) -> bool:
    """Tell whether an object among results is one that was written here.

    Examples
    --------
    >>> is_ours("parts/part-000001.parquet"), is_ours("parts/mine.parquet")
    (True, False)
    """
    return _OURS.fullmatch(key) is not None
