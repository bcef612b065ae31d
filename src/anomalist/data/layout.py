"""What the layouts of data sets have in common: listing folders, pairing masks, naming mistakes."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from anomalist.data.images import IMAGE_SUFFIXES
from anomalist.errors import DataError


def list_images(folder: str | Path, *, recursive: bool = False) -> list[Path]:
    """List the image files in a folder.

    They are sorted by their path below the folder, written with forward slashes and compared
    character by character (``10.png`` before ``2.png``): the same order on every system. Hidden
    files and folders are left out.

    Parameters
    ----------
    folder : str or Path
        Where to look.
    recursive : bool
        Whether to look in all folders below it, too.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("2.png", "10.PNG", "notes.txt", "._2.png"):
    ...     (folder / name).touch()
    >>> [path.name for path in list_images(folder)]
    ['10.PNG', '2.png']
    """
    folder = Path(folder)
    found = {}
    for path in folder.rglob("*") if recursive else folder.iterdir():
        below = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts)
        if not hidden and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            found[below.as_posix()] = path
    return [found[name] for name in sorted(found)]


def sub_folders(folder: Path) -> list[Path]:
    """List the folders in a folder that aren't hidden, sorted by name."""
    return sorted(
        (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")),
        key=lambda path: path.name,
    )


def existing_folder(root: str | Path) -> Path:
    """Return ``root`` as a path.

    Raises
    ------
    DataError
        If it isn't a folder that can be listed.
    """
    root = Path(root)
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
    close = difflib.get_close_matches(name.lower(), categories, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(categories)}"
    raise DataError(f"{root} has no category {name!r}; {hint}")


def match_masks(
    images: Sequence[Path], folder: Path, mask_folder: Path, *, recursive: bool = False
) -> dict[Path, Path]:
    """Find the masks of images: the file of the same name, or with ``_mask`` added to its stem.

    Parameters
    ----------
    images : sequence of Path
        Image files below ``folder``.
    folder, mask_folder : Path
        The mask of ``folder/1.png`` is ``mask_folder/1_mask.png`` or ``mask_folder/1.png``, with
        any image suffix. ``mask_folder`` may be missing.
    recursive : bool
        Whether to look for masks in all folders below, too.

    Returns
    -------
    dict of Path to Path
        The mask by its image; an image without one isn't in it.

    Raises
    ------
    DataError
        If an image has two masks or a mask two images, or if there is both a mask without an image
        and an image without a mask, which smells of a slip in a name.
    """
    masks = list_images(mask_folder, recursive=recursive) if mask_folder.is_dir() else []
    by_stem = defaultdict(list)
    for mask in masks:
        by_stem[mask.relative_to(mask_folder).with_suffix("")].append(mask)
    matched: dict[Path, Path] = {}
    owners: dict[Path, Path] = {}
    for image in images:
        stem = image.relative_to(folder).with_suffix("")
        found = by_stem[stem.with_name(f"{stem.name}_mask")] + by_stem[stem]
        if len(found) > 1:
            raise DataError(
                f"{image} has two masks, {found[0]} and {found[1]}: rename or remove one"
            )
        if found:
            mask = found[0]
            if mask in owners:
                raise DataError(
                    f"the mask {mask} fits both {owners[mask]} and {image}: rename one of them"
                )
            owners[mask] = image
            matched[image] = mask
    stray = next((mask for mask in masks if mask not in owners), None)
    bare = next((image for image in images if image not in matched), None)
    if stray and bare:
        wanted = bare.relative_to(folder).with_suffix("").as_posix() + "_mask.png"
        raise DataError(
            f"the mask {stray} belongs to no image, while {bare} has no mask: rename it as the "
            f"image it belongs to ({mask_folder / wanted}, for one), or remove it"
        )
    return matched
