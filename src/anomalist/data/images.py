"""Image files and arrays become RGB images, or an error that names the image."""

from __future__ import annotations

import io
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

# Pillow registers these readers only when it meets an unknown file, which isn't safe in threads.
from PIL import TiffImagePlugin as _tiff  # noqa: F401, N813
from PIL import WebPImagePlugin as _webp  # noqa: F401, N813

from anomalist.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
MAX_PIXELS = 100_000_000
# Not even with eight bytes a pixel is an image of that many pixels larger.
_LARGE_FILE = 8 * MAX_PIXELS

# Only these: some of Pillow's other readers start programs.
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
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


def read_image(
    source: str | Path | bytes, *, name: str | Path | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Read an image file as RGB, turned as its EXIF orientation asks.

    What the kinds of pixels become:

    - grey is copied to the three channels; 1-bit becomes black and white;
    - 16-bit grey is scaled with its full range, 0..65535 to 0..255, so that the same grey has the
      same value in every image; 32-bit integers are taken as 16-bit grey;
    - floating point is scaled from 0..1 to 0..255; values beyond the range are an error, since
      guessing it image by image would give equal parts unequal greys;
    - 16-bit colour keeps the upper 8 bits;
    - transparency is composited on black;
    - CMYK, YCbCr and LAB are converted with Pillow's formulas, colour profiles are not applied.

    Of a file with several frames or pages the first is read.

    Parameters
    ----------
    source : str, Path or bytes
        A file with one of ``IMAGE_SUFFIXES``, though its content decides, not its name; or the
        bytes of such a file.
    name : str or Path, optional
        What errors call it; by default its path.
    max_pixels : int
        The largest width x height that is decoded; a small file can hold a huge image. Pillow's
        own limit, twice ``PIL.Image.MAX_IMAGE_PIXELS``, holds as well.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    DataError
        If the file is missing, empty, cut short, damaged, too large or no image.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "grey.png"
    >>> Image.new("L", (3, 2), 128).save(path)
    >>> image = read_image(path)
    >>> image.mode, image.size, image.getpixel((0, 0))
    ('RGB', (3, 2), (128, 128, 128))
    """
    with _opened(source, name, max_pixels) as image:
        return _rgb(_upright(image))


def image_of(pixels: npt.NDArray[np.uint8 | np.uint16]) -> Image.Image:
    """Return the RGB image of an array: the one that `read_image` reads from a file of its pixels.

    Parameters
    ----------
    pixels : uint8 or uint16 array of shape (H, W), (H, W, 3) or (H, W, 4)
        Grey, RGB, or RGB and opacity.

    Examples
    --------
    >>> image_of(np.full((2, 3), 65535, np.uint16)).getpixel((0, 0))
    (255, 255, 255)
    """
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        pixels = (pixels >> 8).astype(np.uint8)
    image = Image.fromarray(pixels)
    return image if image.mode == "RGB" else _rgb(image)


def pixels_of(image: Image.Image, name: str | Path) -> npt.NDArray[np.uint8]:
    """Return the pixels of an image of Pillow, turned and brought to RGB as those of a file.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode; its file, where it has one, may not have been read yet.
    name : str or Path
        What errors call it.

    Returns
    -------
    uint8 array of shape (H, W, 3)
        It shares no memory with the image.

    Raises
    ------
    DataError
        If it can't be read.

    Examples
    --------
    >>> pixels_of(Image.new("L", (3, 2), 7), "grey").shape
    (2, 3, 3)
    """
    with _told(name, MAX_PIXELS):
        _check_pixels(name, image.size, MAX_PIXELS)
        return np.array(_rgb(_upright(image)))


def image_size(source: str | Path | bytes, *, name: str | Path | None = None) -> tuple[int, int]:
    """Return height and width in pixels as `read_image` gives them, from the file's header only.

    Parameters
    ----------
    source : str, Path or bytes
        The file, or its bytes.
    name : str or Path, optional
        What errors call it; by default its path.

    Raises
    ------
    DataError
        If the file is missing, empty or no image.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "wide.png"
    >>> Image.new("RGB", (30, 20)).save(path)
    >>> image_size(path)
    (20, 30)
    """
    with _opened(source, name, MAX_PIXELS) as image:
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def read_bytes(path: str | Path) -> bytes:
    """Return the bytes of an image file, to be hashed and decoded.

    Raises
    ------
    DataError
        If the file can't be read, or is so large that it can't be an image.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.png"
    >>> path.write_bytes(b"not decoded yet")
    15
    >>> read_bytes(path)
    b'not decoded yet'
    """
    with _told(path, MAX_PIXELS), _open_file(path) as file:
        if Path(path).stat().st_size > _LARGE_FILE:
            image_size(path)  # tells of what is no image before memory is taken for it
        return file.read()


def exif_turn(source: str | Path | bytes, *, name: str | Path | None = None) -> int:
    """Return the EXIF orientation by which `read_image` turns a file: 1 for none, 8 at most.

    Raises
    ------
    DataError
        If the file is missing, empty or no image.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "upright.png"
    >>> Image.new("RGB", (3, 2)).save(path)
    >>> exif_turn(path)
    1
    """
    with _opened(source, name, MAX_PIXELS) as image:
        if image.format == "TIFF":
            turn = int(image.getexif().get(ExifTags.Base.Orientation, 1))
            return turn if turn in _TURNS else 1
        return _orientation(image)


def turned(mask: npt.NDArray[np.bool_], orientation: int) -> npt.NDArray[np.bool_]:
    """Return a mask turned as an EXIF orientation asks.

    Examples
    --------
    >>> turned(np.array([[True, False]]), 6)
    array([[ True],
           [False]])
    """
    turn = _TURNS.get(orientation)
    image = Image.fromarray(mask.view(np.uint8))
    return mask if turn is None else np.array(image.transpose(turn)).astype(np.bool_)


@contextmanager
def _opened(
    source: str | Path | bytes, name: str | Path | None, max_pixels: int
) -> Iterator[Image.Image]:
    """Open an image file; whatever is wrong with it, here or inside the block, is a DataError."""
    if name is None:
        name = "the image" if isinstance(source, bytes) else source
    with _told(name, max_pixels), _open_source(source) as file:
        head = file.read(30)
        if not head:
            raise DataError(f"{name} is empty: replace or remove it")
        # Its reader takes memory for all pixels on opening.
        _check_pixels(name, _webp_size(head), max_pixels)
        file.seek(0)
        with Image.open(file, formats=_FORMATS) as image:
            _check_pixels(name, image.size, max_pixels)
            yield image


def _open_source(source: str | Path | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else _open_file(source)


def _open_file(path: str | Path) -> IO[bytes]:
    if not stat.S_ISREG(Path(path).stat().st_mode):
        # A pipe would be waited for, and some devices never end.
        raise DataError(f"{path} can't be read as an image: it is a folder, a pipe or a device")
    return Path(path).open("rb")


@contextmanager
def _told(name: str | Path, max_pixels: int) -> Iterator[None]:
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
    except Image.DecompressionBombError:
        raise DataError(
            f"{name} has far more pixels than the limit of {max_pixels}: scale it down or cut it "
            "into pieces"
        ) from None
    except UnidentifiedImageError:
        kinds = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise DataError(
            f"{name} isn't an image that can be read ({kinds}): replace or remove it"
        ) from None
    except Exception as error:  # Decoders meet damaged bytes with errors of almost any class.
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise DataError(f"{name} can't be read as an image: {reason}") from error


def _check_pixels(name: str | Path, size: tuple[int, int], max_pixels: int) -> None:
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


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    image.load()
    return image if turn is None else image.transpose(turn)


def _is_deep(image: Image.Image) -> bool:
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def _rgb(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        image = Image.fromarray(_eight_bits(image))
    elif image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")


def _deep_values(image: Image.Image) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = np.asarray(image)
    transparent = image.info.get("transparency")
    return values if transparent is None else np.where(values == transparent, 0, values)


def _eight_bits(image: Image.Image) -> npt.NDArray[np.uint8]:
    values = _deep_values(image)
    top = 1 if image.mode == "F" else 65535
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):
        raise ValueError(
            f"its {values.dtype} values go from {low} to {high}, not within 0..{top}; save it with "
            "8 or 16 bits"
        )
    if image.mode == "F":
        return np.rint(values * np.float32(255)).astype(np.uint8)
    # 65535 = 255 * 257, and 257 is odd: this rounds to the nearest with no ties.
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
