"""Very many samples: names and what is said of them are held, samples made when asked for."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from anomalist.data.paths import Paths
from anomalist.data.sample import Sample
from anomalist.data.sending import Sent, local, portable

#: So many samples are held as they are, with all that was learnt of them by reading: about 100 MB.
MOST_HELD = 65_536

#: Label, kind of defect and group of a sample.
Said = tuple[bool | None, str, str | None]
_Masks = tuple[Any, Path | None]


def put_together(samples: Iterable[Sample]) -> Sequence[Sample]:
    """Return samples in order: a few, or any that are in memory, as they are; very many by name.

    Parameters
    ----------
    samples : iterable of Sample
        No more than `MOST_HELD` wait as objects where all are files.

    Examples
    --------
    >>> put_together(Sample(f"{i}.png") for i in range(2))
    (Sample(path=...('0.png'), ...), Sample(path=...('1.png'), ...))
    """
    if isinstance(samples, FileSamples):
        return samples
    left = iter(samples)
    first = tuple(islice(left, MOST_HELD + 1))
    if len(first) <= MOST_HELD:
        return first
    many = FileSamples()
    for sample in chain(first, left):
        if not many.take(sample):
            return (*many, sample, *left)
    return many


class FileSamples(Sequence[Sample]):
    """Samples of files, of which as many are kept for the next who asks as were asked for last.

    What is chosen of them shares their names. A process that it is sent to gets those that are
    chosen; places of objects are made there when one is asked for.
    """

    def __init__(self) -> None:
        self._columns = _Columns()
        self._chosen: npt.NDArray[np.int64] | None = None

    def take(self, sample: Sample) -> bool:
        """Add a sample at the end; False if it is more than a file, and so isn't added."""
        return self._columns.take(sample)

    def chosen(self, places: npt.NDArray[np.integer[Any]]) -> FileSamples:
        """Return those at some places, in their order."""
        found = FileSamples()
        found._columns = self._columns
        found._chosen = self._places[places].astype(np.int64)
        return found

    def paths(self) -> Iterator[Path]:
        """Yield the files."""
        return map(self._columns.path, self._places.tolist())

    def said(self) -> Iterator[Said]:
        """Yield label, kind of defect and group of each."""
        return map(self._columns.said, self._places.tolist())

    @property
    def _places(self) -> npt.NDArray[np.int64]:
        if self._chosen is None:
            return np.arange(len(self._columns))
        return self._chosen

    def __len__(self) -> int:
        return len(self._columns) if self._chosen is None else len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> FileSamples: ...

    def __getitem__(self, index: int | slice) -> Sample | FileSamples:
        if isinstance(index, slice):
            return self.chosen(np.arange(*index.indices(len(self))))
        place = range(len(self))[index]
        return self._columns.sample(place if self._chosen is None else int(self._chosen[place]))

    def __getstate__(self) -> dict[str, Any]:
        return {"_columns": self._columns.some(self._places), "_chosen": None}


class _Columns:
    """What is known of files by name, place by place."""

    def __init__(self) -> None:
        self._paths = Paths()
        # Sizes and stamps of the places of objects that came from another machine; see `Sent`.
        self._sent = array("q")
        self._codes = array("L")
        self._kinds: dict[Said, int] = {}
        self._said: list[Said] = []
        # Few have one: whoever learns from millions tests on fewer.
        self._masks: dict[int, _Masks] = {}
        self.sample = lru_cache(maxsize=MOST_HELD)(self._made)

    def take(self, sample: Sample) -> bool:
        if not sample.is_plain:
            return False
        said = sample.label, sample.defect, sample.group
        self._append(sample.path, said, (sample.mask, sample.saturation))
        return True

    def _append(self, path: str | Path, said: Said, masks: _Masks) -> None:
        code = self._kinds.setdefault(said, len(self._said))
        if code == len(self._said):
            self._said.append(said)
        if masks != (None, None):
            self._masks[len(self)] = masks
        self._paths.append(path)
        self._codes.append(code)

    def path(self, place: int) -> Path:
        if not self._sent:
            return self._paths[place]
        size, stamp = self._sent[2 * place : 2 * place + 2]
        if size < 0:
            return self._paths[place]
        found: Path = local(Sent(self._paths.text(place), size, stamp))
        return found

    def said(self, place: int) -> Said:
        return self._said[self._codes[place]]

    def _made(self, place: int) -> Sample:
        label, defect, group = self.said(place)
        mask, saturation = map(local, self._masks.get(place, (None, None)))
        return Sample(self.path(place), label, defect, mask, group=group, saturation=saturation)

    def some(self, places: npt.NDArray[np.int64]) -> _Columns:
        """Return those at some places, to go to another machine."""
        found = _Columns()
        for place in places.tolist():
            path = portable(self.path(place))
            masks = tuple(map(portable, self._masks.get(place, (None, None))))
            if isinstance(path, Sent):
                found._sent.extend((path.size, path.stamp))
                path = path.address
            else:
                found._sent.extend((-1, 0))
            found._append(path, self.said(place), masks)
        return found

    def __len__(self) -> int:
        return len(self._codes)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "sample"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.sample = lru_cache(maxsize=MOST_HELD)(self._made)
