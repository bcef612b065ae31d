"""What reading images told, of one and of many."""

from __future__ import annotations

from collections.abc import Iterable

from anomalist.data.deep import bits_of
from anomalist.data.emptiness import CONSTANT
from anomalist.data.imageset import Sample
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
    told: dict[str, list[str]] = {}
    for sample in samples:
        try:
            remarks = sample.remarks(bit_depth)
        except DataError:
            continue
        for remark in remarks:
            told.setdefault(remark, []).append(str(sample.path))
    return [_line(remark, names) for remark, names in told.items()]


def _line(remark: str, names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} {remark}"
    verb, _, rest = remark.partition(" ")
    words = f"{_OF_MANY.get(verb, verb)} {rest}".replace(" its ", " their ")
    shown = ", ".join([*names[:_NAMED], *(["..."] if len(names) > _NAMED else [])])
    return f"{len(names)} images {words}: {shown}"
