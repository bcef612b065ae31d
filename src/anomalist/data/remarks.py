"""What reading images told, of one and of many."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from anomalist.data.deep import bits_of
from anomalist.data.emptiness import CONSTANT
from anomalist.data.sample import Sample
from anomalist.errors import DataError

_NAMED = 3
_OF_MANY = {"has": "have", "holds": "hold", "is": "are", "uses": "use", "ends": "end"}


def is_constant(sample: Sample, bit_depth: int = 16) -> bool:
    """Whether an image has one value everywhere.

    Raises
    ------
    DataError
        If it can't be read.
    """
    return CONSTANT in sample.remarks(bit_depth)


def bit_depth_of(samples: Iterable[Sample]) -> int:
    """Return the bits of the camera whose values images of 16 bits hold.

    They are the fewest of 8, 10, 12, 14 and 16 that hold every value of all images; 16 where none
    of them has 16 bits. Only pixels of those that have are decoded for it.

    Parameters
    ----------
    samples : iterable of Sample
        Images of one camera.

    Raises
    ------
    DataError
        If one can't be read.

    Examples
    --------
    >>> import numpy as np
    >>> ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    >>> bit_depth_of([Sample("a", image=ramp), Sample("b", image=ramp // 2)])
    12
    """
    return bits_of(sample.peak() for sample in samples)


def gather_remarks(samples: Iterable[Sample], *, bit_depth: int | None = None) -> list[str]:
    """Return what reading images told, the same of many in one line with some of their names.

    Parameters
    ----------
    samples : iterable of Sample
        Those that were read cost nothing, others are read. One that can't be is left to the one
        who needs it.
    bit_depth : int, optional
        With which they are read, see `Sample.read`; by default as they were last.

    Returns
    -------
    list of str
        In the order in which they were first told.

    Examples
    --------
    >>> import numpy as np
    >>> black = [Sample(f"{i}.png", image=np.zeros((8, 8), np.uint8)) for i in range(5)]
    >>> gather_remarks(black[:1])
    ['0.png has one value everywhere']
    >>> gather_remarks(black)
    ['5 images have one value everywhere: 0.png, 1.png, 2.png, ...']
    """
    told = Remarks()
    for sample in samples:
        with suppress(DataError):
            told.add(sample.path, sample.remarks(bit_depth))
    return told.lines()


class Remarks:
    """What was told of any number of images, of which but some names are kept.

    Examples
    --------
    >>> told = Remarks()
    >>> for name in ("a.png", "b.png"):
    ...     told.add(name, ("has 2 pages, of which the first was read",))
    >>> told.lines()
    ['2 images have 2 pages, of which the first was read: a.png, b.png']
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, list[str]]] = {}

    def add(self, name: str | Path, remarks: Iterable[str]) -> None:
        """Take in what was told of one image."""
        for remark in remarks:
            count, names = self._told.get(remark, (0, []))
            self._told[remark] = count + 1, [*names, str(name)][:_NAMED]

    def merge(self, others: Remarks) -> None:
        """Take in what was told of other images."""
        for remark, (count, names) in others._told.items():
            known, some = self._told.get(remark, (0, []))
            self._told[remark] = known + count, [*some, *names][:_NAMED]

    def lines(self) -> list[str]:
        """Return a line a remark, in the order in which they were first told."""
        return [_line(remark, *told) for remark, told in self._told.items()]


def _line(remark: str, count: int, names: list[str]) -> str:
    if count == 1:
        return f"{names[0]} {remark}"
    verb, _, rest = remark.partition(" ")
    words = f"{_OF_MANY.get(verb, verb)} {rest}".replace(" its ", " their ")
    shown = ", ".join([*names, *(["..."] if count > _NAMED else [])])
    return f"{count} images {words}: {shown}"
