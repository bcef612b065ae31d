"""Images that were decoded and resized elsewhere, such as in a process that may die of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.images import develop_file, image_size
from anomalist.data.picture import MAX_PIXELS, opened
from anomalist.data.source import Content
from anomalist.data.transforms import Transform
from anomalist.errors import DataError


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a transform needs of an image, without the image.

    Parameters
    ----------
    pixels : uint8 array of shape (h, w, 3)
        RGB, resized as the transform resizes, not yet cropped.
    size : (int, int)
        Height and width of the image itself.
    bit_depth : int
        With which it was read.
    format : str
        Of the file, such as ``"PNG"``.
    remarks : tuple of str
        What reading it told.
    """

    pixels: npt.NDArray[np.uint8]
    size: tuple[int, int]
    bit_depth: int
    format: str
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, data: bytes, name: str, transform: Transform, *, max_pixels: int = MAX_PIXELS
    ) -> Self:
        """Decode and resize the bytes of an image file.

        Raises
        ------
        DataError
            If they are damaged, too large or no image.

        Examples
        --------
        >>> import io
        >>> buffer = io.BytesIO()
        >>> Image.new("RGB", (90, 60), "red").save(buffer, "PNG")
        >>> decoded = Decoded.of(buffer.getvalue(), "red.png", Transform(32, crop_size=24))
        >>> decoded.pixels.shape, decoded.size, decoded.format
        ((32, 32, 3), (60, 90), 'PNG')
        """
        with opened(data, name, max_pixels) as picture:
            header = picture.header
        found = develop_file(data, name=name, max_pixels=max_pixels, bit_depth=transform.bit_depth)
        pixels = np.array(transform.resized(found.image))
        return cls(pixels, header.size, transform.bit_depth, header.format, found.remarks)

    @classmethod
    def to_show(
        cls, data: bytes, name: str, side: int, *, bit_depth: int = 16, max_pixels: int = MAX_PIXELS
    ) -> Self:
        """Decode the bytes of an image file for people: at most ``side`` pixels wide and high.

        Raises
        ------
        DataError
            If they are damaged, too large or no image.

        Examples
        --------
        >>> import io
        >>> buffer = io.BytesIO()
        >>> Image.new("RGB", (90, 60), "red").save(buffer, "PNG")
        >>> Decoded.to_show(buffer.getvalue(), "red.png", side=30).pixels.shape
        (20, 30, 3)
        """
        height, width = image_size(data, name=name)
        scale = min(1.0, side / max(height, width))
        shown = max(1, round(height * scale)), max(1, round(width * scale))
        transform = Transform(shown, interpolation="lanczos", bit_depth=bit_depth)
        return cls.of(data, name, transform, max_pixels=max_pixels)


class DecodedSource:
    """An image of which `Decoded` is all that there is.

    Transforming what it reads gives the bits that transforming the image gives, as resizing to the
    same size changes nothing.
    """

    def __init__(self, name: str, decoded: Decoded, sha256: str, nbytes: int) -> None:
        self._name, self._decoded = name, decoded
        self._sha256, self._nbytes = sha256, nbytes

    def read(self, bit_depth: int) -> Image.Image:
        """Return the resized image as RGB."""
        if bit_depth != self._decoded.bit_depth:
            raise DataError(
                f"{self._name} was decoded for {self._decoded.bit_depth} bits, not {bit_depth}"
            )
        return Image.fromarray(self._decoded.pixels)

    def decode(self, content: Content, bit_depth: int) -> Image.Image:
        """Return the resized image as RGB."""
        return self.read(bit_depth)

    def remarks(self, bit_depth: int | None) -> tuple[str, ...]:
        """Return what reading the image told."""
        return self._decoded.remarks

    def known_remarks(self, bit_depth: int | None) -> tuple[str, ...]:
        """Return what reading the image told."""
        return self._decoded.remarks

    def keep_remarks(self, bit_depth: int, remarks: tuple[str, ...]) -> None:
        """Leave what was told as it is."""

    def peak(self) -> int:
        """Say that white isn't known: the samples are gone."""
        raise DataError(f"{self._name} was decoded already: its highest value isn't known")

    def size(self) -> tuple[int, int]:
        """Return height and width of the image itself."""
        return self._decoded.size

    def sha256(self) -> str:
        """Return the hash of the bytes that were decoded."""
        return self._sha256

    def known_sha256(self) -> str:
        """Return the hash of the bytes that were decoded."""
        return self._sha256

    def fetch(self) -> Content:
        """Return the resized pixels."""
        return Content(self._name, self._decoded.pixels, self._sha256)

    def nbytes(self) -> int:
        """Return how many bytes were decoded."""
        return self._nbytes
