"""Mutations that know nothing of a format."""

from __future__ import annotations

import numpy as np

_BYTES = np.array([0, 1, 0x7F, 0x80, 0xFE, 0xFF, 0x20, 0x7B, 0x5B, 0x22], np.uint8)
_NUMBERS = (0, 1, 2, 255, 256, 32767, 32768, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def mutated(
    content: bytes, rng: np.random.Generator, other: bytes = b"", *, head: bool = False
) -> bytes:
    """Return a content with some of its bytes changed, moved, lost, or taken from another.

    Parameters
    ----------
    content : bytes
        What to change.
    rng : Generator
        Draws the changes.
    other : bytes
        Of which a part may be spliced in.
    head : bool
        Change only the first 4096 bytes.
    """
    changed = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4, 16]))):
        end = min(len(changed), 4096) if head else len(changed)
        if end < 16:
            return bytes(changed)
        at = int(rng.integers(end))
        how = int(rng.integers(10))
        length = int(rng.integers(1, 1 + min(end, 64)))
        if how <= 2:
            changed[at] ^= 1 << int(rng.integers(8))
        elif how == 3:
            changed[at] = int(rng.choice(_BYTES))
        elif how == 4:
            width = int(rng.choice([2, 4, 8]))
            number = int(rng.choice(_NUMBERS)) % 256**width
            order = "little" if rng.random() < 0.5 else "big"
            changed[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
        elif how == 5:
            del changed[at : at + length]
        elif how == 6:
            changed[at:at] = rng.bytes(length)
        elif how == 7:
            changed[at:at] = changed[at : at + length] * int(rng.integers(1, 4))
        elif how == 8 and len(other) > 16:
            start = int(rng.integers(len(other)))
            changed[at : at + length] = other[start : start + int(rng.integers(1, 4096))]
        elif rng.random() < 0.3:
            del changed[at:]
    return bytes(changed)
