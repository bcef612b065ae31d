"""What the header of an image file says of its pixels, and by which reader they come out right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Numbers = Literal["unsigned", "signed", "float"]
Colours = Literal["grey", "rgb", "palette", "cmyk", "ycbcr", "lab"]
Opacity = Literal["none", "straight", "premultiplied"]
#: ``pillow`` gives 8 bits, ``values`` all bits that there are.
Reader = Literal["pillow", "values"]

#: Bits that cameras have; their values are often kept in 16.
DEPTHS = (8, 10, 12, 14, 16)


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels before any is decoded.

    Parameters
    ----------
    format : str
        Such as ``"TIFF"``.
    height, width : int
        In pixels, as they are stored.
    bits : int
        Of a sample.
    numbers : {"unsigned", "signed", "float"}
        What a sample is.
    colours : {"grey", "rgb", "palette", "cmyk", "ycbcr", "lab"}
        What the samples of a pixel mean.
    opacity : {"none", "straight", "premultiplied"}
        Whether a sample more is the opacity, and if colours were multiplied by it.
    unused : int
        Further samples of which the file doesn't say what they mean.
    white_is_zero : bool
        Whether grey goes from white to black.
    planes : bool
        Whether the samples of a pixel lie apart.
    white : int or None
        The value of white where the header tells it. None where it is a matter of the camera: 16
        bits hold what has 10, 12, 14 or 16.
    orientation : int
        As EXIF has it, where it is left to apply.
    reader : {"pillow", "values"}
        Who decodes it.
    page : int
        Its number in the file.
    profile : bytes
        The colour profile that goes with it.
    remarks : tuple of str
        What a person should know.
    unread : str
        Why its samples can't be read, and what to save instead; nothing where they can.
    """

    format: str
    height: int
    width: int
    bits: int = 8
    numbers: Numbers = "unsigned"
    colours: Colours = "rgb"
    opacity: Opacity = "none"
    unused: int = 0
    white_is_zero: bool = False
    planes: bool = False
    white: int | None = 255
    orientation: int = 1
    reader: Reader = "pillow"
    page: int = 0
    profile: bytes = b""
    remarks: tuple[str, ...] = ()
    unread: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width once the image is turned upright."""
        turned = self.orientation >= 5
        return (self.width, self.height) if turned else (self.height, self.width)

    @property
    def full(self) -> int:
        """The highest value that a sample of whole numbers can have, of 16 bits at most."""
        return 2**15 - 1 if (self.numbers, self.bits) == ("signed", 16) else 2**16 - 1

    @property
    def channels(self) -> int:
        """Samples that the colours take."""
        return {"grey": 1, "palette": 1, "cmyk": 4}.get(self.colours, 3)


def white_of(bits: int, numbers: Numbers = "unsigned") -> int | None:
    """Return the value of white of samples of so many bits, None where their bits don't tell it.

    Examples
    --------
    >>> white_of(12), white_of(16), white_of(16, "float")
    (4095, None, 1)
    """
    if numbers == "float":
        return 1
    # Whole bytes are what computers have, not cameras; those of 8 bits are too few to spare any.
    if bits in (16, 32, 64) or not 0 < bits < 64:
        return None
    return int(2 ** (bits - (numbers == "signed")) - 1)
