"""Image files are opened: described by their headers, and decoded by who gets them right."""

from __future__ import annotations

import io
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

# Pillow registers these readers only when it meets an unknown file, which isn't safe in threads.
from PIL import AvifImagePlugin as _avif  # noqa: F401, N813
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL import TiffImagePlugin as _tiff  # noqa: F401, N813
from PIL import WebPImagePlugin as _webp  # noqa: F401, N813

from anomalist.data.foreign import HEAD, RAW, foreign, is_heif, is_raw
from anomalist.data.header import Header, white_of
from anomalist.data.jpeg import ends_early, orientation_of_jpeg, precision_of, read_deep_jpeg
from anomalist.data.netpbm import read_netpbm, white_of_netpbm
from anomalist.data.tiff import Tiff, is_tiff
from anomalist.errors import DataError, StorageError
from anomalist.origins import origin_of

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)
#: The same, for people.
KINDS = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
MAX_PIXELS = 100_000_000
# Only these: some of Pillow's other readers start programs.
_FORMATS = ("AVIF", "BMP", "JPEG", "PNG", "PPM", "WEBP")
_QUIET_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Most files say 1 / 2.2 or nothing, and mean sRGB.
_GAMMA = 1 / 2.2


class Picture:
    """An open image file: its header, and its pixels when they are asked for.

    Parameters
    ----------
    header : Header
        What its pixels are.
    file : binary file
        From its beginning.
    image : PIL.Image.Image, optional
        Where Pillow knows it.
    tiff : Tiff, optional
        Where it is one.
    """

    def __init__(
        self,
        header: Header,
        file: IO[bytes],
        image: Image.Image | None = None,
        tiff: Tiff | None = None,
    ) -> None:
        self.header = header
        self._file, self._image, self._tiff = file, image, tiff

    def upright(self) -> Image.Image:
        """Return the image as Pillow decodes it, turned as its orientation asks."""
        assert self._image is not None
        return upright_of(self._image)

    def damage(self) -> tuple[str, ...]:
        """Return what the decoded pixels tell of data that is missing."""
        image = self._image
        if image is None or self.header.format not in {"JPEG", "MPO"} or not ends_early(image):
            return ()
        return ("ends early: the rest of its pixels was made up as grey",)

    def values(self) -> npt.NDArray[Any]:
        """Return the samples (height, width, channels) of the upright image, as they are stored."""
        values = self._values()
        transparent = None if self._image is None else self._image.info.get("transparency")
        if transparent is not None and self.header.opacity == "straight":
            channels = self.header.channels
            if values.shape[2] == channels:
                clear = (values == np.asarray(transparent)).all(axis=2)
                opacity = np.where(clear, 0, np.iinfo(values.dtype).max).astype(values.dtype)
                values = np.concatenate([values, opacity[..., None]], axis=2)
        return turned(values, self.header.orientation)

    def _values(self) -> npt.NDArray[Any]:
        if self._tiff is not None:
            return self._tiff.values()
        header = self.header
        if self._image is None:
            return read_deep_jpeg(self._file, header.bits)
        if header.format == "PPM":
            read = read_netpbm(self._file)
            if read is not None:
                return read
        if header.format == "PNG" and self._image.mode in ("RGB", "RGBA"):
            # Loaded when the first such file comes: nobody else waits for it.
            import imagecodecs

            self._file.seek(0)
            return with_channels(imagecodecs.png_decode(self._file.read()))
        self._image.load()
        return with_channels(np.asarray(self._image))


@contextmanager
def opened(
    source: str | Path | bytes, name: str | Path | None, max_pixels: int
) -> Iterator[Picture]:
    """Open an image file; whatever is wrong with it, here or inside the block, is a DataError."""
    if name is None:
        name = "the image" if isinstance(source, bytes) else source
    with told_errors(name, max_pixels), open_source(source) as file:
        head = file.read(HEAD)
        if not head:
            raise DataError(f"{name} is empty: replace or remove it")
        # Its reader takes memory for all pixels on opening.
        check_pixels(name, _webp_size(head), max_pixels)
        file.seek(0)
        picture = _open_tiff(file, name) if is_tiff(head) else _open_other(file, head, name)
        header = picture.header
        check_pixels(name, (header.width, header.height), max_pixels)
        if header.unread:
            raise ValueError(header.unread)
        yield picture


def _open_tiff(file: IO[bytes], name: str | Path) -> Picture:
    if is_raw(name):
        raise DataError(f"{name} {RAW}")
    tiff = Tiff(file)
    header = tiff.page.header
    if header.reader == "values" or header.unread:
        return Picture(header, file, None, tiff)
    file.seek(0)
    try:
        image = Image.open(file, formats=("TIFF",))
        image.seek(header.page)
    except (UnidentifiedImageError, SyntaxError, EOFError):
        return Picture(tiff.without_pillow(), file, None, tiff)
    if image.size != header.size[::-1]:
        raise ValueError("its directories contradict each other")
    return Picture(header, file, image, tiff)


def _open_other(file: IO[bytes], head: bytes, name: str | Path) -> Picture:
    if is_heif(head):
        return _open_heif(file, head, name)
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        deep = _deep_jpeg(file)
        if deep is not None:
            return deep
        what = foreign(head, name)
        if what is not None:
            raise DataError(f"{name} {what}") from None
        raise
    return Picture(_header(image, file, head), file, image)


def _open_heif(file: IO[bytes], head: bytes, name: str | Path) -> Picture:
    try:
        # An extra, loaded when the first such file comes.
        from pillow_heif import HeifImageFile
    except ImportError:
        raise DataError(f"{name} {foreign(head, name)}") from None
    image: Image.Image = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return Picture(_header(image, file, head), file, image)


def _deep_jpeg(file: IO[bytes]) -> Picture | None:
    """A JPEG file of 12 bits, which Pillow doesn't know."""
    frame = precision_of(file)
    if frame is None or frame[0] != 12 or frame[3] not in (1, 3):
        return None
    bits, height, width, channels = frame
    header = Header(
        "JPEG",
        height,
        width,
        bits=bits,
        colours="grey" if channels == 1 else "rgb",
        white=white_of(bits),
        orientation=orientation_of_jpeg(file),
        reader="values",
    )
    return Picture(header, file)


def _header(image: Image.Image, file: IO[bytes], head: bytes) -> Header:
    """What Pillow has read of a header, and what it leaves out of it."""
    remarks = []
    frames = getattr(image, "n_frames", 1)
    # The second of these is the other eye's, or what makes highlights brighter.
    if frames > 1 and image.format != "MPO":
        remarks.append(f"has {frames} frames, of which the first was read")
    gamma = image.info.get("gamma")
    profile = image.info.get("icc_profile") or b""
    if gamma and not profile and "srgb" not in image.info and abs(gamma / _GAMMA - 1) > 0.05:
        remarks.append(f"says that its gamma is {gamma:.3g}, which was not applied")
    grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    cmyk = image.mode == "CMYK"
    header = Header(
        image.format or "",
        image.height,
        image.width,
        colours="cmyk" if cmyk else "grey" if grey else "rgb",
        orientation=_orientation(image),
        profile=profile,
        remarks=tuple(remarks),
    )
    if image.format == "PNG" and head[12:16] == b"IHDR" and head[24] == 16:
        clear = head[25] in (4, 6) or "transparency" in image.info
        return replace(
            header,
            bits=16,
            colours="grey" if head[25] in (0, 4) else "rgb",
            opacity="straight" if clear else "none",
            white=None,
            reader="values",
        )
    if image.format == "PPM":
        return _netpbm_header(header, image, file)
    return header


def _netpbm_header(header: Header, image: Image.Image, file: IO[bytes]) -> Header:
    if image.mode == "F":
        return replace(header, bits=32, numbers="float", white=1, reader="values")
    place = file.tell()
    white = white_of_netpbm(file) or 255
    file.seek(0)
    plain = file.read(2) in (b"P2", b"P3")
    file.seek(place)
    if white < 256 or (plain and image.mode != "I"):
        return header
    if plain and white < 2**16 - 1:  # Pillow has scaled it
        return replace(header, bits=16, white=2**16 - 1, reader="values")
    open_white = None if white == 2**16 - 1 else white
    return replace(header, bits=white.bit_length(), white=open_white, reader="values")


def with_channels(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return samples of grey, (height, width), as (height, width, 1); others as they are."""
    return values if values.ndim == 3 else values[..., None]


def turned(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Return samples of (height, width) or (height, width, channels), turned as EXIF numbers it.

    Examples
    --------
    >>> turned(np.array([[True, False]]), 6)
    array([[ True],
           [False]])
    """
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def open_source(source: str | Path | bytes) -> IO[bytes]:
    """Open a file, or its bytes, to read it; a DataError if it is no file."""
    return io.BytesIO(source) if isinstance(source, bytes) else open_file(source)


def open_file(path: str | Path) -> IO[bytes]:
    """Open a file to read it; a DataError if it is none."""
    if origin_of(path) is not None:
        from anomalist.storage import open_copy

        return open_copy(Path(path))
    if not stat.S_ISREG(Path(path).stat().st_mode):
        # A pipe would be waited for, and some devices never end.
        raise DataError(f"{path} can't be read as an image: it is a folder, a pipe or a device")
    return Path(path).open("rb")


@contextmanager
def told_errors(name: str | Path, max_pixels: int) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a DataError that names the image."""
    # warnings.catch_warnings would be undone in the wrong order by threads that read at once.
    if warnings.filters[:1] != [_QUIET_PILLOW]:
        warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {name}") from None
    except StorageError:  # nothing is wrong with the image
        raise
    except Image.DecompressionBombError:
        raise DataError(
            f"{name} has far more pixels than the limit of {max_pixels}: scale it down or cut it "
            "into pieces"
        ) from None
    except UnidentifiedImageError:
        raise DataError(
            f"{name} isn't an image that can be read ({KINDS}): replace or remove it"
        ) from None
    except Exception as error:  # Decoders meet damaged bytes with errors of almost any class.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{name} can't be read as an image: {reason}") from error


def check_pixels(name: str | Path, size: tuple[int, int], max_pixels: int) -> None:
    """Refuse an image of so many pixels, (width, height)."""
    width, height = size
    if width * height > max_pixels:
        raise DataError(
            f"{name} has {width} x {height} pixels, more than the limit of {max_pixels}: "
            "scale it down or cut it into pieces"
        )


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height that the first bytes of a WebP file tell, 0 of another (RFC 9649)."""
    kind = head[12:16]
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0, 0
    if kind == b"VP8X":
        return (
            int.from_bytes(head[24:27], "little") + 1,
            int.from_bytes(head[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return (
        int.from_bytes(head[26:28], "little") & 0x3FFF,
        int.from_bytes(head[28:30], "little") & 0x3FFF,
    )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation that is left to apply, as far as the header tells."""
    if image.format == "TIFF":  # Pillow turns these itself.
        return 1
    try:
        # Not the method of PNG files, which decodes all pixels to look behind them.
        orientation = int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:  # A damaged EXIF block takes nothing from the pixels.
        return 1
    return orientation if orientation in _TURNS else 1


def upright_of(image: Image.Image) -> Image.Image:
    """Return an image as Pillow decodes it, turned as its EXIF orientation asks."""
    turn = _TURNS.get(_orientation(image))
    image.load()
    return image if turn is None else image.transpose(turn)
