"""Colour profiles: whether colours mean what they mean without one."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

# Levels by which a colour may differ before a person would see it as another.
_ALIKE = 12
_LARGEST = 2**22


def profile_remark(profile: bytes, colours: str) -> str | None:
    """Return what is to be told of a profile that isn't applied, None if it changes hardly a thing.

    Parameters
    ----------
    profile : bytes
        As files hold it (ICC.1).
    colours : str
        ``"grey"`` or anything else for RGB; of others nothing is known.

    Examples
    --------
    >>> srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    >>> profile_remark(srgb.tobytes(), "rgb")
    """
    if not profile or len(profile) > _LARGEST or colours in ("cmyk", "lab"):
        return None
    return _remark(profile, "L" if colours == "grey" else "RGB")


@lru_cache(maxsize=64)
def _remark(profile: bytes, mode: str) -> str | None:
    steps = (0, 64, 128, 192, 255)
    if mode == "L":
        pixels = [bytes([v]) for v in range(0, 256, 5)]
    else:
        pixels = [bytes([r, g, b]) for r in steps for g in steps for b in steps]
    image = Image.frombytes(mode, (len(pixels), 1), b"".join(pixels))
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = " ".join(ImageCms.getProfileDescription(given).split())[:60]
        shown = ImageCms.profileToProfile(
            image, given, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except Exception:  # a damaged profile, or one of other colours, which no reader applies
        return None
    assert shown is not None
    differs = max(
        abs(a - b) for a, b in zip(image.convert("RGB").tobytes(), shown.tobytes(), strict=True)
    )
    if differs <= _ALIKE:
        return None
    return f"has the colour profile '{name}', which was not applied"
