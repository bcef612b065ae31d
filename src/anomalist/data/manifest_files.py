"""The files that a manifest means, wherever it was written."""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from anomalist.data.names import common_end, composed, existing
from anomalist.data.walking import Listing
from anomalist.errors import ObjectNotFoundError
from anomalist.storage import is_address

_SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.\-]+)://+")
_DRIVE = re.compile(r"^[a-zA-Z]:[\\/]")


class ManifestFiles:
    r"""Finds files by the paths of a manifest.

    They are paths below the manifest's folder or that of the data set, or anywhere. Where there is
    no such file, one is looked for in the data set whose path ends alike: for addresses such as
    ``s3://bucket/parts/7.png``, for paths of other machines and those with backslashes. The longest
    common end wins; of two that are as long neither is meant. Where no file is
    even called like that, an address is looked up where it leads.

    Parameters
    ----------
    listing : Listing
        Of the folder of the data set.
    base : Path
        The manifest's folder.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist.data import walk
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("good/7.png", "bad/7.png"):
    ...     (root / name).parent.mkdir()
    ...     (root / name).touch()
    >>> files = ManifestFiles(walk(root), root)
    >>> found = [files.find(name) for name in ("good/7.png", "s3://bin/x/bad/7.png", "7.png")]
    >>> [path and path.parent.name for path in found], files.by_end
    (['good', 'bad', None], ['s3://bin/x/bad/7.png'])
    """

    def __init__(self, listing: Listing, base: Path) -> None:
        self.root, self.base = listing.root, base
        self.by_end: list[str] = []
        # As text: of tens of thousands, each path would cost more than all else.
        self._there: dict[str, Path] = {}
        self._named: dict[str, list[tuple[list[str], Path]]] = defaultdict(list)
        start = len(str(listing.root).rstrip(os.sep)) + 1
        for path in listing.files:
            name = composed(str(path)[start:].replace(os.sep, "/"))
            self._there[name] = path
            parts = name.split("/")
            self._named[parts[-1]].append((parts, path))

    def find(self, entry: str) -> Path | None:
        """Return the file that an entry means, None where there is none or more than one."""
        for text in _readings(entry):
            if (found := self._there_as(text)) is not None:
                return found
        found = next(filter(None, map(self._ending_as, _readings(entry))), None)
        if found is not None:
            self.by_end.append(entry)
        elif is_address(entry) and not any(map(self._named_alike, _readings(entry))):
            with suppress(ObjectNotFoundError):
                found = existing(entry)
        return found

    def _there_as(self, text: str) -> Path | None:
        path = Path(text)
        if path.is_absolute():
            return path if path.is_file() else None
        for folder in dict.fromkeys((self.base, self.root)):
            if folder == self.root:
                known = self._there.get(composed(posixpath.normpath(text)))
                if known is not None:
                    return known
            if (folder / text).is_file():
                return folder / text
        return None

    def _named_alike(self, text: str) -> bool:
        return composed(posixpath.basename(text)) in self._named

    def _ending_as(self, text: str) -> Path | None:
        parts = [part for part in composed(text).split("/") if part not in ("", ".", "..")]
        if not parts:
            return None
        alike = [(common_end(parts, there), path) for there, path in self._named.get(parts[-1], ())]
        most = max((common for common, _ in alike), default=0)
        best = [path for common, path in alike if common == most]
        return best[0] if len(best) == 1 else None


def _readings(entry: str) -> Iterator[str]:
    """What an entry may be meant as, as it is written first."""
    scheme = _SCHEME.match(entry)
    texts = [entry[scheme.end(1) + 3 :] if scheme else entry]
    if scheme and scheme[1].lower() != "file":
        texts = [entry[scheme.end() :]]
    if "\\" in entry:
        plain = texts[0].replace("\\", "/")
        texts.append(plain[2:] if _DRIVE.match(plain) else plain)
    elif _DRIVE.match(entry):
        texts.append(entry[2:])
    yield from _unique(text for written in texts for text in (written, unquote(written)))


def _unique(texts: Iterable[str]) -> Iterator[str]:
    yield from dict.fromkeys(text for text in texts if text and "\0" not in text)
