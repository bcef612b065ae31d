"""Very many paths, in the memory of their names."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload


class Paths(Sequence[Path]):
    """Paths in order, held as one text: a `Path` is made of each when it is asked for.

    A million of 60 characters take 68 MB so, and 400 as objects.

    Parameters
    ----------
    paths : iterable of Path
        The first of them; `append` adds others.

    Examples
    --------
    >>> paths = Paths([Path("parts/1.png"), Path("parts/2.png")])
    >>> paths.append(Path("parts/3.png"))
    >>> len(paths), paths[-1].name, [path.stem for path in paths[:2]]
    (3, '3.png', ['1', '2'])
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._names, self._ends = bytearray(), array("Q")
        for path in paths:
            self.append(path)

    def append(self, path: str | os.PathLike[str]) -> None:
        """Add a path at the end."""
        self._names += os.fsencode(path)
        self._ends.append(len(self._names))

    def text(self, place: int) -> str:
        """Return what was added there as it was written, which a `Path` may write otherwise."""
        start = self._ends[place - 1] if place else 0
        return os.fsdecode(bytes(self._names[start : self._ends[place]]))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> list[Path]: ...

    def __getitem__(self, index: int | slice) -> Path | list[Path]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Path(self.text(range(len(self))[index]))
