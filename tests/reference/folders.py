"""Slow, obvious listings: every path without a folder twice in it, and the first to each file."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jfif")
SYSTEM = ("$recycle.bin", "@eadir", "__macosx", "lost+found", "system volume information")


def list_all(root: Path) -> list[str]:
    """The paths below a folder of its image files, each real file once."""
    found: dict[str, str] = {}
    for path in sorted(_paths(root, "", (os.path.realpath(root),))):
        found.setdefault(os.path.realpath(root / path), path)
    return sorted(found.values())


def _paths(root: Path, below: str, above: tuple[str, ...]) -> list[str]:
    """All paths to image files that go through no folder twice."""
    found = []
    for name in sorted(entry.name for entry in (root / below).iterdir()):
        path = f"{below}/{name}" if below else name
        real = os.path.realpath(root / path)
        if name.startswith(".") or name.lower() in SYSTEM:
            continue
        if Path(real).is_dir():
            if real not in above:
                found += _paths(root, path, (*above, real))
        elif Path(real).is_file() and name.lower().endswith(SUFFIXES):
            found.append(path)
    return found
