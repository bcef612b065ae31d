"""Files to look at: from folders, globs and lists."""

from __future__ import annotations

import glob
import os
import os.path
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from anomalist.data import IMAGE_SUFFIXES, list_images
from anomalist.data.folder import MASK_FOLDERS, list_photographs
from anomalist.errors import DataError, ParameterError

STANDARD_INPUT = "-"
HEATMAPS = "heatmaps"
SHEET = "contact_sheet.png"
#: What lies in a folder of results and must not be taken for photographs.
OWN_PICTURES = (HEATMAPS, SHEET)


def list_inputs(
    inputs: Sequence[str], *, results: str | Path | None = None, stdin: BinaryIO | None = None
) -> Iterator[Path]:
    """Yield the image files that arguments of a command line mean, each once.

    Parameters
    ----------
    inputs : sequence of str
        Folders, whose images at any depth are meant, but for those in folders of masks
        (``ground_truth``, ``masks``) below them; files, whatever they are called; patterns such as
        ``parts/**/*.jpg``; or ``-`` for paths from standard input, one a line.
    results : str or Path, optional
        The folder of results, whose pictures are left out of folders and patterns.
    stdin : binary stream, optional
        Where ``-`` reads, as lines come.

    Raises
    ------
    DataError
        If an argument means no file. That a path from standard input leads nowhere is left to the
        one who opens it.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("b/2.png", "b/notes.txt", "1.png"):
    ...     (root / name).parent.mkdir(exist_ok=True)
    ...     (root / name).touch()
    >>> [path.name for path in list_inputs([str(root), str(root / "*.png")])]
    ['1.png', '2.png']
    """
    given = list(inputs)
    # Before the first is yielded, so that a slip is told before any work is done.
    for entry in given:
        if entry != STANDARD_INPUT and next(_meant(entry, results), None) is None:
            raise DataError(_nothing(entry))
    if STANDARD_INPUT in given and stdin is None:
        raise ParameterError("there is no standard input to read paths from")
    return _once(given, results, stdin)


def place_of(entry: str) -> str:
    """Return where an argument of a command line leads, from wherever the command is called.

    Examples
    --------
    >>> place_of("-"), place_of("/camera/../parts/")
    ('-', '/parts')
    """
    return entry if entry == STANDARD_INPUT else str(_absolute(entry))


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
    folder = Path(entry)
    if not glob.has_magic(entry) or folder.is_dir():
        next(folder.iterdir(), None)
    return list(_meant(entry, results)), {}


def _once(inputs: list[str], results: str | Path | None, stdin: BinaryIO | None) -> Iterator[Path]:
    seen = set()
    for entry in inputs:
        for path in _lines(stdin) if entry == STANDARD_INPUT else _meant(entry, results):
            key = str(_absolute(path))
            if key not in seen:
                seen.add(key)
                yield path


def _lines(stdin: BinaryIO | None) -> Iterator[Path]:
    for line in stdin or ():
        name = os.fsdecode(line.rstrip(b"\r\n"))
        if name:
            path = Path(name)
            try:
                is_folder = path.is_dir()
            except OSError:  # a name that is too long, which its reader tells
                is_folder = False
            yield from list_photographs(path) if is_folder else [path]


def _meant(entry: str, results: str | Path | None) -> Iterator[Path]:
    """The files that one argument means."""
    path = Path(entry)
    if path.is_dir():
        yield from _outside(list_photographs(path), results)
    elif path.exists() or path.is_symlink():
        yield path
    elif glob.has_magic(entry):
        for name in sorted(glob.glob(entry, recursive=True)):  # noqa: PTH207 - absolute ones, too
            match = Path(name)
            if match.is_dir():
                yield from _outside(list_photographs(match), results)
            elif match.suffix.lower() in IMAGE_SUFFIXES:
                yield from _outside([match], results)


def _outside(paths: Iterable[Path], results: str | Path | None) -> Iterator[Path]:
    """Leave out the pictures that lie in a folder of results."""
    own = [] if results is None else [_absolute(results) / name for name in OWN_PICTURES]
    starts = tuple(f"{place}{os.sep}" for place in own)
    for path in paths:
        if not f"{os.path.abspath(path)}{os.sep}".startswith(starts):  # noqa: PTH100 - as below
            yield path


def _absolute(path: str | Path) -> Path:
    # Not resolved: links are what their owner calls them.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _nothing(entry: str) -> str:
    if Path(entry).is_dir():
        if list_images(entry, recursive=True):
            return (
                f"{entry} holds nothing but masks, in a folder called {' or '.join(MASK_FOLDERS)}"
            )
        kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        return f"{entry} holds no image ({kinds})"
    if glob.has_magic(entry):
        return f"no image matches {entry}"
    return f"there is no file or folder {entry}"
