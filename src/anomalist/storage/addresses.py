"""What is an address of an object storage, and what is a path."""

from __future__ import annotations

import os
import re

# One letter before the colon is a drive of Windows.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_address(entry: str | os.PathLike[str]) -> bool:
    r"""Tell whether an argument names a place by a scheme, rather than a path on this machine.

    Parameters
    ----------
    entry : str or path
        As it was given.

    Examples
    --------
    >>> is_address("s3://bucket/parts"), is_address("parts/a.png"), is_address(r"C:\parts")
    (True, False, False)
    """
    return isinstance(entry, str) and _SCHEME.match(entry) is not None
