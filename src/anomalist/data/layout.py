"""What data sets have in common: listing a folder, opening it, naming mistakes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from anomalist.data.names import difference, existing
from anomalist.data.walking import walk
from anomalist.errors import DataError


def list_images(folder: str | Path, *, recursive: bool = False) -> list[Path]:
    """List the image files in a folder.

    They are sorted by their path below the folder, written with forward slashes and compared
    character by character (``10.png`` before ``2.png``): the same order on every system. Links
    are followed, and each real file is listed once. Hidden files and folders, those that systems
    make, and pictures among results of ``anomalist predict`` are left out; `walk` tells of them.

    Parameters
    ----------
    folder : str or Path
        Where to look.
    recursive : bool
        Whether to look in all folders below it, too.

    Raises
    ------
    DataError
        If it isn't a folder that can be listed.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("2.png", "10.PNG", "notes.txt", "._2.png"):
    ...     (folder / name).touch()
    >>> [path.name for path in list_images(folder)]
    ['10.PNG', '2.png']
    """
    return list(walk(existing_folder(folder), recursive=recursive).files)


def existing_folder(root: str | Path) -> Path:
    """Return ``root`` as a path; one whose name has another Unicode form will do.

    Raises
    ------
    DataError
        If it isn't a folder that can be listed.
    """
    root = existing(root)
    try:
        next(root.iterdir(), None)
    except FileNotFoundError:
        raise DataError(f"there is no folder {root}") from None
    except NotADirectoryError:
        raise DataError(f"{root} is a file: give the folder that holds the images") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{root} can't be opened: {reason}") from error
    return root


def check_category(name: str, categories: Sequence[str], root: Path) -> None:
    """Raise a DataError that names the likely ones if ``name`` isn't among ``categories``."""
    if name in categories:
        return
    if told := difference(name, categories):
        raise DataError(f"{root} has no category {name!r}; {told}")
    close = difflib.get_close_matches(name.lower(), categories, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(categories)}"
    raise DataError(f"{root} has no category {name!r}; {hint}")
