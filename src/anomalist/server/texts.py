"""Words that people and clients send, which every database can keep."""

from __future__ import annotations

import unicodedata

from anomalist.errors import ParameterError

_LONGEST = 200


def plain_text(value: str, what: str, longest: int = _LONGEST, *, lines: bool = False) -> str:
    """Return words without the space around them.

    Parameters
    ----------
    value : str
        As it came.
    what : str
        What it is, for the message.
    longest : int
        Characters that it may have.
    lines : bool
        Whether it may have several lines.

    Raises
    ------
    ParameterError
        If it is longer, or has characters that are none of a text: PostgreSQL keeps no NUL, and
        halves of characters can't be sent anywhere.

    Examples
    --------
    >>> plain_text(" scratch ", "kind")
    'scratch'
    """
    text = value.strip()
    if len(text) > longest:
        raise ParameterError(f"{what} has {len(text)} characters: {longest} are the most")
    for char in text:
        if unicodedata.category(char) in ("Cc", "Cs") and not (lines and char in "\r\n\t"):
            raise ParameterError(f"{what} has the character U+{ord(char):04X}, which is no text")
    return text
