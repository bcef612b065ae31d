"""Data sets by the name of their format, and `open_dataset`, which finds it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from anomalist.data.addressed import Addressed
from anomalist.data.folder import Folder
from anomalist.data.imageset import Dataset
from anomalist.data.known_layouts import LAYOUTS, KnownLayout, layout_of
from anomalist.data.kolektor import KolektorSDD, kolektor_items
from anomalist.data.layout import existing_folder
from anomalist.data.manifest import Manifest, manifests_in
from anomalist.data.manifest_rows import SUFFIXES
from anomalist.data.mvtec_ad import MVTecAD
from anomalist.data.mvtec_ad_2 import MVTecAD2
from anomalist.data.names import existing
from anomalist.data.reading import Reading
from anomalist.data.real_iad import RealIAD, real_iad_lists
from anomalist.data.visa import VisA, visa_folders
from anomalist.errors import DataError, ParameterError
from anomalist.storage import is_address

#: The names that ``format`` takes.
FORMATS = (
    "mvtec_ad",
    "mvtec_ad_2",
    "mvtec_loco",
    "visa",
    "btad",
    "mpdd",
    "real_iad",
    "kolektor_sdd",
    "kolektor_sdd2",
    "manifest",
    "folder",
)
_VARIANTS = ("visa", "real_iad", "manifest")


def open_dataset(
    root: str | Path,
    *,
    format: str | None = None,
    good: Iterable[str | Path] = (),
    bad: Iterable[str | Path] = (),
    masks: Iterable[str | Path] = (),
    exclude: Iterable[str | Path] = (),
    unnamed_good: bool = False,
    loose_good: bool = False,
) -> Dataset:
    """Open a data set in whatever format it is.

    Data sets of the field are recognised by their folders and files, MVTec AD and its like, or a
    single category of it, by names such as ``train`` and ``test``, and all else must be a plain
    `Folder`. The names of folders, at any depth, say which images are good, defective, masks and
    for tests, see `~anomalist.data.roles.meaning_of`; what none of them says is an error that shows
    the folders.

    Parameters
    ----------
    root : str or Path
        The folder of the data set, or a manifest; or the address of either, such as
        ``s3://bucket/parts``: its photographs are fetched when they are read, into the cache.
    format : str, optional
        One of `FORMATS`, to insist on it: what it needs and isn't there is an error. ``visa:SPLIT``
        names another list of VisA than ``1cls``; ``real_iad:LISTS@SIZE`` those of Real-IAD, such as
        ``real_iad:sv@512``; ``manifest:FILE`` one of several manifests.
    good, bad, masks : sequence of str or Path
        Folders of good images, of ones that aren't, and of masks, whatever their names say: names
        at any depth, or paths below ``root``. ``masks`` may name files of outlines, too. Of a
        manifest, ``good`` and ``bad`` are labels.
    exclude : sequence of str or Path
        Images to leave out: paths of images or folders, below ``root`` or not, or patterns.
        ``@FILE`` names a text file with one a line.
    unnamed_good : bool
        Whether to take all images for good where no name says anything of any.
    loose_good : bool
        Whether to do so also where others lie right in the folder, beside these folders.

    Raises
    ------
    DataError
        If there is no such folder, its layout is none of these or not the one that is insisted on,
        it isn't clear which images are good, a part of it can't be listed, or an argument names
        what isn't there.
    StorageError
        If what holds the address doesn't answer or refuses, or nothing is there.
    ParameterError
        If there is no such format, or folders are named for one that a list describes.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("fine", "odd"):
    ...     (root / name).mkdir()
    ...     (root / name / "1.png").touch()
    >>> open_dataset(root, good=["fine"]).category(root.name).test.defects
    ['odd']
    """
    if is_address(root):
        asked = {"good": good, "bad": bad, "masks": masks, "exclude": exclude}
        kept = {
            **{flag: list(_entries(value)) for flag, value in asked.items()},
            "format": format,
            "unnamed_good": unnamed_good,
            "loose_good": loose_good,
        }
        return Addressed(str(root), _open, kept)
    return _open(
        root,
        format=format,
        good=good,
        bad=bad,
        masks=masks,
        exclude=exclude,
        unnamed_good=unnamed_good,
        loose_good=loose_good,
    )


def _open(
    root: str | Path,
    *,
    format: str | None,
    good: Iterable[str | Path],
    bad: Iterable[str | Path],
    masks: Iterable[str | Path],
    exclude: Iterable[str | Path],
    unnamed_good: bool,
    loose_good: bool,
) -> Dataset:
    name, variant = _named(format)
    flags: dict[str, Any] = {
        flag: list(_entries(value))
        for flag, value in (("good", good), ("bad", bad), ("masks", masks))
    }
    given = [f"--{flag}" for flag, value in flags.items() if value]
    root = existing(root)
    if name == "manifest" or (name is None and root.is_file() and root.suffix.lower() in SUFFIXES):
        if flags.pop("masks"):
            raise ParameterError("--masks can't be given for a manifest, which names the masks")
        return Manifest(root, variant or None, **flags, exclude=exclude)
    root = existing_folder(root)
    listed = name
    if name is None and not given:
        listed = next((kind for kind, fits in _FOUND.items() if fits(root)), None)
    elif name is None and not flags["masks"] and manifests_in(root):
        flags.pop("masks")
        return Manifest(root, **flags, exclude=exclude)
    if listed in _LISTED and not (listed == "visa" and not variant and _is_plain(root)):
        if given:
            raise ParameterError(
                f"{' and '.join(given)} can't be given for {name}, whose files say which images"
                " are good"
            )
        return _LISTED[listed](root, variant, exclude)
    reading = Reading(
        root,
        **flags,
        exclude=exclude,
        unnamed_good=unnamed_good,
        loose_good=loose_good,
    )
    if name in LAYOUTS:
        return _CLASSES.get(name, KnownLayout)(reading, LAYOUTS[name])
    if name == "mvtec_ad" or (name is None and reading.is_split):
        layout = layout_of(reading) if name is None else None
        if layout is None:
            return MVTecAD.of(reading)
        return _CLASSES.get(layout.name, KnownLayout)(reading, layout)
    try:
        return Folder.of(reading)
    except DataError as error:
        if not reading.listing.files:
            raise DataError(
                f"{error}. (Nor is it VisA, with split_csv, or in the layout of MVTec AD, with"
                " train/good in it or in a folder of each category.)"
            ) from None
        raise


def _entries(value: Iterable[str | Path]) -> Iterable[str | Path]:
    return [value] if isinstance(value, str | Path) else value


def _named(format: str | None) -> tuple[str | None, str]:
    """A format's name, and what of it is meant where it has variants."""
    if format is None:
        return None, ""
    name, colon, variant = format.partition(":")
    if name not in FORMATS:
        raise ParameterError(f"there is no format {name!r}: give one of {', '.join(FORMATS)}")
    if colon and (name not in _VARIANTS or not variant):
        which = f"{name}:NAME" if name in _VARIANTS else f"{name} alone"
        raise ParameterError(f"the format {format!r} makes no sense: give {which}")
    return name, variant


def _is_plain(root: Path) -> bool:
    """Whether a folder has neither VisA's lists nor its folders: its scripts' layout, maybe."""
    return not (root / "split_csv").is_dir() and not visa_folders(root)


# Of layouts that are more than names of folders.
_CLASSES: dict[str | None, type[KnownLayout]] = {"mvtec_ad_2": MVTecAD2}

_LISTED: dict[str, Callable[[Path, str, Iterable[str | Path]], Dataset]] = {
    "visa": lambda root, variant, exclude: VisA(root, variant or None, exclude=exclude),
    "real_iad": RealIAD.of,
    "manifest": lambda root, _, exclude: Manifest(root, exclude=exclude),
    "kolektor_sdd": lambda root, _, exclude: KolektorSDD(root, exclude=exclude),
}
# What recognises them, the surest first.
_FOUND: dict[str, Callable[[Path], bool]] = {
    "visa": lambda root: not _is_plain(root),
    "real_iad": lambda root: bool(real_iad_lists(root)),
    "kolektor_sdd": kolektor_items,
    "manifest": lambda root: bool(manifests_in(root)),
}
