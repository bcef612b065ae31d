"""What reading images told, gathered for people."""

from __future__ import annotations

from collections.abc import Iterable

from anomalist.data.imageset import Sample
from anomalist.errors import DataError

_NAMED = 3
_OF_MANY = {"has": "have", "holds": "hold", "is": "are", "uses": "use", "ends": "end"}


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
