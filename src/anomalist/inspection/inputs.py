"""Files to look at: from folders, patterns and lists."""

from __future__ import annotations

import os
import os.path
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from anomalist.data import Listing, walk
from anomalist.data.names import (
    Pattern,
    cleaned,
    difference,
    existing,
    is_pattern,
    names_of,
    plural,
    split_pattern,
)
from anomalist.data.photographs import photographs
from anomalist.data.picture import KINDS
from anomalist.errors import DataError, ParameterError
from anomalist.files import absolute

STANDARD_INPUT = "-"


class Inputs(Iterator[Path]):
    """The image files that arguments mean, each once; see `list_inputs`, which makes one."""

    def __init__(
        self, inputs: Sequence[str], results: str | Path | None, stdin: BinaryIO | None
    ) -> None:
        self._results = results
        self._listings: list[Listing] = []
        self._masks: dict[Path, None] = {}  # in their order, each once
        # Looked for before the first is yielded, so that a slip is told before any work is done.
        self._found = [
            None if entry == STANDARD_INPUT else self._meant(entry, told=True) for entry in inputs
        ]
        self._stdin = stdin
        self._paths = self._once()

    def __iter__(self) -> Inputs:
        return self

    def __next__(self) -> Path:
        return next(self._paths)

    @property
    def unreadable(self) -> list[tuple[Path, str]]:
        """Folders that can't be listed and links that can't be followed, with the reason."""
        return [found for listing in self._listings for found in listing.unreadable]

    def notes(self) -> list[str]:
        """Return what a person should know of what was left out, a line each."""
        notes = [note for listing in self._listings for note in listing.notes()]
        if self._masks:
            mask = next(iter(self._masks))
            notes.append(f"left out {plural(len(self._masks), 'mask')}, such as {mask}")
        return list(dict.fromkeys(notes))

    def _once(self) -> Iterator[Path]:
        seen = set()
        for found in self._found:
            for path in self._lines() if found is None else found:
                key = absolute(path)
                if key not in seen:
                    seen.add(key)
                    yield path

    def _lines(self) -> Iterator[Path]:
        for name in names_of(self._stdin or ()):
            try:
                path = existing(name)
                is_folder = path.is_dir()
            except (OSError, ValueError):  # a name that can't be, which its reader tells
                path, is_folder = Path(name), False
            yield from self._meant(name, told=False) if is_folder else [path]

    def _meant(self, entry: str, *, told: bool) -> list[Path]:
        """The files that one argument means."""
        path = existing(entry)
        if path.is_dir():
            listing = walk(path, results=self._results)
            found, masks = photographs(listing)
        elif path.exists() or path.is_symlink():
            return [path]
        elif is_pattern(entry):
            found, masks, listing = _matching(entry, self._results)
        else:
            raise DataError(_no_path(entry))
        if told and not found and not listing.unreadable:
            raise DataError(_nothing(entry, path, listing, masks))
        self._listings.append(listing)
        self._masks |= dict.fromkeys(masks)
        return found


def list_inputs(
    inputs: Sequence[str], *, results: str | Path | None = None, stdin: BinaryIO | None = None
) -> Inputs:
    """Yield the image files that arguments of a command line mean, each once.

    Parameters
    ----------
    inputs : sequence of str
        Folders, whose images at any depth are meant, but for masks and pictures among earlier
        results; files, whatever they are called; patterns such as ``parts/**/*.jpg``, which mean
        those of a folder's images that they match; or ``-`` for paths from standard input, one a
        line. What is there by its name is no pattern. Names are the same in all Unicode forms.
    results : str or Path, optional
        The folder of results, whose pictures are left out of folders and patterns.
    stdin : binary stream, optional
        Where ``-`` reads, as lines come.

    Returns
    -------
    Inputs
        An iterator; its ``notes()`` tell what was left out, and ``unreadable`` which folders can't
        be listed.

    Raises
    ------
    DataError
        If an argument means no file. That a path from standard input leads nowhere is left to the
        one who opens it.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("b/2.png", "b/notes.gif", "1.png"):
    ...     (root / name).parent.mkdir(exist_ok=True)
    ...     (root / name).touch()
    >>> found = list_inputs([str(root), str(root / "*.png")])
    >>> [path.name for path in found], found.notes()
    (['1.png', '2.png'], ["left out 1 file ... 1 .gif such as ...notes.gif"])
    """
    if STANDARD_INPUT in inputs and stdin is None:
        raise ParameterError("there is no standard input to read paths from")
    return Inputs(list(inputs), results, stdin)


def place_of(entry: str) -> str:
    """Return where an argument of a command line leads, from wherever the command is called.

    Examples
    --------
    >>> place_of("-"), place_of("/camera/../parts/")
    ('-', '/parts')
    """
    return entry if entry == STANDARD_INPUT else absolute(entry)


def files_of(entry: str, results: str | Path | None = None) -> tuple[list[Path], dict[str, str]]:
    """Return the image files that a folder or a pattern means now, and what can't be looked into.

    Parameters
    ----------
    entry : str
        A folder, which need not be there, or a pattern.
    results : str or Path, optional
        The folder of results, whose pictures are left out.

    Returns
    -------
    files : list of Path
        In their order.
    unreadable : dict of str to str
        Folders, and why they can't be read.

    Raises
    ------
    OSError
        If the folder itself can't be read.
    """
    folder = existing(entry)
    if not is_pattern(entry) or folder.is_dir():
        next(folder.iterdir(), None)
        listing = walk(folder, results=results)
        found, _ = photographs(listing)
    else:
        found, _, listing = _matching(entry, results)
    return found, {str(path): reason for path, reason in listing.unreadable}


def _matching(entry: str, results: str | Path | None) -> tuple[list[Path], list[Path], Listing]:
    """The images, and the masks, of a folder that match a pattern."""
    base, parts = split_pattern(entry)
    pattern = Pattern(parts)
    if not base.is_dir():
        return [], [], Listing(base)
    start = len(base.parts)
    listing = walk(base, results=results, enters=pattern.enters)
    found, masks = photographs(listing)
    return (
        [path for path in found if pattern.matches(path.parts[start:])],
        [path for path in masks if pattern.matches(path.parts[start:])],
        listing,
    )


def _nothing(entry: str, path: Path, listing: Listing, masks: list[Path]) -> str:
    if masks:
        return f"{entry} holds nothing but masks, such as {masks[0]}"
    more = "".join(f"; {note}" for note in listing.notes())
    if not path.is_dir():
        return f"no image matches {entry}{more}"
    return f"{entry} holds no image ({KINDS}){more}"


def _no_path(entry: str) -> str:
    path = Path(cleaned(entry))
    try:
        beside = os.listdir(path.parent)  # noqa: PTH208
    except OSError:
        beside = []
    told = difference(path.name, beside)
    return f"there is no file or folder {entry}{': ' * bool(told)}{told}"
