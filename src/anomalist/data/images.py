"""Image files and arrays become RGB images and boolean masks, or an error that names the image."""

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

from anomalist.data.deep import Developed, develop, laid_on_black, peak_of, whole_of
from anomalist.data.emptiness import emptiness
from anomalist.data.foreign import HEAD, RAW, foreign, is_heif, is_raw
from anomalist.data.header import Header, Opacity, white_of
from anomalist.data.jpeg import ends_early, orientation_of_jpeg, precision_of, read_deep_jpeg
from anomalist.data.netpbm import read_netpbm, white_of_netpbm
from anomalist.data.profiles import profile_remark
from anomalist.data.tiff import Tiff, is_tiff
from anomalist.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)
MAX_PIXELS = 100_000_000
# Not even with eight bytes a pixel is an image of that many pixels larger.
_LARGE_FILE = 8 * MAX_PIXELS

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


def read_image(
    source: str | Path | bytes,
    *,
    name: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
    bit_depth: int = 16,
) -> Image.Image:
    """Read an image file as RGB, turned as its EXIF orientation asks.

    What the kinds of pixels become:

    - grey is copied to the three channels; 1-bit becomes black and white; where white is zero,
      grey is inverted;
    - more than 8 bits are scaled by what white is: what the header says (4095 of 12 bits that are
      packed, 1023 of a PGM file of that maximum), and in 16 bits ``2**bit_depth - 1``, whatever the
      image holds, so that the same grey has the same value in every image; values above it become
      white. Grey is rounded, colour keeps the upper 8 bits. 32-bit integers are taken as 16-bit;
    - floating point is scaled from 0..1 to 0..255; values beyond the range are an error, and so are
      negative ones, since guessing image by image would give equal parts unequal greys;
    - what is partly transparent is seen against black; an opacity of 0 everywhere is ignored;
    - CMYK, YCbCr and LAB are converted with Pillow's formulas, colour profiles are not applied.

    Of a file with several frames or pages the first is read; of a thumbnail and a photograph, the
    photograph. What is assumed or left out is told by `Sample.remarks`.

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
    bit_depth : int
        Bits of the camera whose values 16-bit files hold: 8, 10, 12, 14 or 16.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    DataError
        If the file is missing, empty, cut short, damaged, too large, of a kind that isn't read, or
        no image.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "grey.png"
    >>> Image.new("L", (3, 2), 128).save(path)
    >>> image = read_image(path)
    >>> image.mode, image.size, image.getpixel((0, 0))
    ('RGB', (3, 2), (128, 128, 128))
    """
    return develop_file(source, name=name, max_pixels=max_pixels, bit_depth=bit_depth).image


def develop_file(
    source: str | Path | bytes,
    *,
    name: str | Path | None = None,
    max_pixels: int = MAX_PIXELS,
    bit_depth: int = 16,
) -> Developed:
    """Return what `read_image` reads, and what is to be told of it."""
    with _opened(source, name, max_pixels) as picture:
        header = picture.header
        if header.reader == "values":
            found = develop(picture.values(), header, bit_depth)
        else:
            image, told = _rgb(picture.upright())
            found = Developed(image, (*picture.damage(), *told))
        return _with_remarks(found, header)


def develop_array(pixels: npt.NDArray[np.uint8 | np.uint16], bit_depth: int = 16) -> Developed:
    """Return the RGB image of an array: the one that `read_image` reads from a file of its pixels.

    Parameters
    ----------
    pixels : uint8 or uint16 array of shape (H, W), (H, W, 3) or (H, W, 4)
        Grey, RGB, or RGB and opacity.
    bit_depth : int
        As for `read_image`.

    Examples
    --------
    >>> develop_array(np.full((2, 3), 4095, np.uint16), 12).image.getpixel((0, 0))
    (255, 255, 255)
    """
    header = _header_of(pixels)
    if header.reader == "values":
        return _with_remarks(develop(_channels(pixels), header, bit_depth), header)
    return _with_remarks(Developed(*_rgb(Image.fromarray(pixels))), header)


def peak_of_file(source: str | Path | bytes, *, name: str | Path | None = None) -> int:
    """Return the highest value of an image whose white is a matter of the camera, 0 of others.

    Pixels are decoded only of those.

    Raises
    ------
    DataError
        If the file can't be read.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "deep.png"
    >>> Image.fromarray(np.full((2, 2), 4000, np.uint16)).save(path)
    >>> peak_of_file(path)
    4000
    """
    with _opened(source, name, MAX_PIXELS) as picture:
        if picture.header.white is not None:
            return 0
        return peak_of(picture.values(), picture.header)


def peak_of_array(pixels: npt.NDArray[np.uint8 | np.uint16]) -> int:
    """Return the highest value of an array of 16 bits, 0 of one of 8; see `peak_of_file`."""
    return peak_of(_channels(pixels), _header_of(pixels))


def pixels_of(image: Image.Image, name: str | Path) -> npt.NDArray[np.uint8 | np.uint16]:
    """Return the pixels of an image of Pillow, turned, as those of a file are.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode; its file, where it has one, may not have been read yet.
    name : str or Path
        What errors call it.

    Returns
    -------
    uint8 array of shape (H, W, 3), or uint16 array of shape (H, W)
        RGB, or grey of 16 bits. It shares no memory with the image.

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
        upright = _upright(image)
        if upright.mode.startswith("I"):
            return whole_of(np.asarray(upright), 2**16 - 1)[0]
        if upright.mode == "F":
            header = Header("", *upright.size[::-1], colours="grey", numbers="float", white=1)
            return np.array(develop(_channels(np.asarray(upright)), header).image)
        return np.array(_rgb(upright)[0])


def read_mask(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.bool_]:
    """Read a mask file: True where the pixel isn't black.

    So masks of 0 and 255, of 0 and 1, with numbered defects, 16-bit, in colour, with a palette or
    painted on a transparent ground all mean what they look like.

    Parameters
    ----------
    path : str or Path
        The file; not a JPEG, whose compression leaves specks of almost black.
    max_pixels : int
        As for `read_image`.

    Returns
    -------
    bool array of shape (H, W)
        Turned as the EXIF orientation asks.

    Raises
    ------
    DataError
        If the file can't be read, or is a JPEG.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mask.png"
    >>> Image.fromarray(np.array([[0, 1], [0, 255]], np.uint8)).save(path)
    >>> read_mask(path)
    array([[False,  True],
           [False,  True]])
    """
    with _opened(path, None, max_pixels) as picture:
        header = picture.header
        if header.format in {"JPEG", "MPO"}:
            raise DataError(
                f"{path} is a mask saved as JPEG, whose compression smears its edges: "
                "save it as PNG"
            )
        if header.reader == "values":
            values = picture.values()
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise ValueError("some of its values aren't numbers; save it with 8 or 16 bits")
            black = header.white if header.white_is_zero else 0
            inked: npt.NDArray[np.bool_] = (values[..., : header.channels] != black).any(axis=2)
            if header.opacity != "none":
                opacity = values[..., header.channels] != 0
                inked &= opacity | ~opacity.any()
            return inked
        mask: npt.NDArray[np.bool_] = np.asarray(_rgb(picture.upright())[0], np.bool_).max(axis=2)
        return mask


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
    with _opened(source, name, MAX_PIXELS) as picture:
        return picture.header.size


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
        if self._tiff is not None:  # which Pillow turns itself
            self._image.load()
            return self._image
        return _upright(self._image)

    def damage(self) -> tuple[str, ...]:
        """Return what the decoded pixels tell of data that is missing."""
        image = self._image
        if image is None or self.header.format not in {"JPEG", "MPO"} or not ends_early(image):
            return ()
        return ("ends early: the rest of its pixels was made up as grey",)

    def close(self) -> None:
        """Let go of what was opened, but for the file."""
        if self._image is not None:
            self._image.close()

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
        return _turned(values, self.header.orientation)

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
            return _channels(imagecodecs.png_decode(self._file.read()))
        self._image.load()
        return _channels(np.asarray(self._image))


@contextmanager
def _opened(
    source: str | Path | bytes, name: str | Path | None, max_pixels: int
) -> Iterator[Picture]:
    """Open an image file; whatever is wrong with it, here or inside the block, is a DataError."""
    if name is None:
        name = "the image" if isinstance(source, bytes) else source
    with _told(name, max_pixels), _open_source(source) as file:
        head = file.read(HEAD)
        if not head:
            raise DataError(f"{name} is empty: replace or remove it")
        # Its reader takes memory for all pixels on opening.
        _check_pixels(name, _webp_size(head), max_pixels)
        file.seek(0)
        picture = _open_tiff(file, name) if is_tiff(head) else _open_other(file, head, name)
        header = picture.header
        _check_pixels(name, (header.width, header.height), max_pixels)
        if header.unread:
            raise ValueError(header.unread)
        try:
            yield picture
        finally:
            picture.close()


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
    if image.mode == "CMYK":
        remarks.append("is in CMYK, which was converted without a profile")
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


def _header_of(pixels: npt.NDArray[Any]) -> Header:
    """What an array's pixels are."""
    deep = pixels.dtype == np.uint16
    opacity: Opacity = "straight" if pixels.ndim == 3 and pixels.shape[2] == 4 else "none"
    return Header(
        "",
        pixels.shape[0],
        pixels.shape[1],
        bits=16 if deep else 8,
        colours="grey" if pixels.ndim == 2 else "rgb",
        opacity=opacity,
        white=None if deep else 255,
        reader="values" if deep else "pillow",
    )


def _with_remarks(found: Developed, header: Header) -> Developed:
    """Add what the header tells, and whether the image shows anything."""
    remarks = [*header.remarks, *found.remarks]
    profile = profile_remark(header.profile, header.colours)
    if profile is not None:
        remarks.append(profile)
    empty = emptiness(found.image)
    if empty is not None:
        # An empty image uses no range, which is no news.
        remarks = [remark for remark in remarks if not remark.startswith("uses 1/")]
        remarks.append(empty)
    return replace(found, remarks=tuple(remarks)) if remarks else found


def _channels(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values if values.ndim == 3 else values[..., None]


def _turned(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Samples of (height, width, channels), turned as EXIF numbers it."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


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


def _rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """An image of 8 bits as RGB, and what is to be told of it."""
    if image.has_transparency_data:
        return laid_on_black(image.convert("RGBA"))
    return image.convert("RGB"), ()
