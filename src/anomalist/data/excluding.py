"""Images that are left out on request: by their paths, by folders, by patterns, by lists."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from anomalist.data.names import Pattern, cleaned, difference, existing, is_pattern, read_names
from anomalist.data.tree import is_below
from anomalist.data.walking import Listing
from anomalist.errors import DataError
from anomalist.files import absolute


@dataclass(frozen=True, eq=False)
class Excluded:
    """Images to leave out, and the folders that were named for it."""

    files: frozenset[Path] = frozenset()
    folders: tuple[str, ...] = ()

    def covers(self, path: Path) -> bool:
        """Say whether a folder is left out whole."""
        place = absolute(path)
        return any(place == f or place.startswith(f + os.sep) for f in self.folders)


def excluded(listing: Listing, entries: Iterable[str | Path]) -> Excluded:
    """Find the images that entries mean: paths, below a folder or not, folders and patterns.

    Parameters
    ----------
    listing : Listing
        Of the folder.
    entries : iterable of str or Path
        ``@FILE`` names a file with one a line.

    Raises
    ------
    DataError
        If one means no image.
    """
    wanted = list(_entries(entries))
    if not wanted:
        return Excluded()
    root = listing.root
    start = len(root.parts)
    files = {absolute(path): path for path in listing.files}
    found: set[Path] = set()
    folders: list[str] = []
    for entry in wanted:
        match: list[Path] = []
        for candidate in (existing(entry), existing(root / cleaned(entry))):
            place = absolute(candidate)
            if place in files:
                match = [files[place]]
            elif candidate.is_dir() and absolute(root) != place:
                match = [p for q, p in files.items() if q.startswith(place + os.sep)]
                folders += [place] if is_below(Path(place), Path(absolute(root))) else []
                if place in folders:
                    break
            if match:
                break
        else:
            if is_pattern(entry):
                below = Pattern(Path(cleaned(entry)).parts)
                whole = Pattern(Path(absolute(cleaned(entry))).parts)
                match = [
                    p
                    for q, p in files.items()
                    if below.matches(p.parts[start:]) or whole.matches(Path(q).parts)
                ]
            if not match:
                raise DataError(_no_image(entry, listing))
        found.update(match)
    return Excluded(frozenset(found), tuple(folders))


def _entries(entries: Iterable[str | Path]) -> Iterator[str]:
    for entry in map(str, [entries] if isinstance(entries, str | Path) else entries):
        if entry.startswith("@"):
            yield from read_names(existing(entry[1:]))
        else:
            yield entry


def _no_image(entry: str, listing: Listing) -> str:
    names = [p.relative_to(listing.root).as_posix() for p in listing.files]
    told = difference(cleaned(entry), names)
    return f"{entry} is to be left out, but {listing.root} has no such image: " + (
        told or "give its path, or its path below that folder, or a pattern"
    )
