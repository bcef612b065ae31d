"""Image files and arrays become RGB images and boolean masks, or an error that names the image."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.deep import Developed, develop, laid_on_black, peak_of, whole_of
from anomalist.data.editing import Edit, develop_edited, edited_image
from anomalist.data.emptiness import CONSTANT, emptiness
from anomalist.data.header import Header, Opacity
from anomalist.data.picture import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    check_pixels,
    open_file,
    opened,
    told_errors,
    upright_of,
    with_channels,
)
from anomalist.data.profiles import profile_remark

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "develop_array",
    "develop_file",
    "exif_turn",
    "image_size",
    "peak_of_array",
    "peak_of_file",
    "pixels_of",
    "read_bytes",
    "read_image",
]
# Not even with eight bytes a pixel is an image of that many pixels larger.
_LARGE_FILE = 8 * MAX_PIXELS


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
    edit: Edit | None = None,
) -> Developed:
    """Return what `read_image` reads, and what is to be told of it.

    ``edit`` changes the samples before they become 8 bits.
    """
    with opened(source, name, max_pixels) as picture:
        header = picture.header
        if header.reader == "values":
            found = develop_edited(picture.values(), header, bit_depth, edit)
        else:
            image, told = _rgb(picture.upright())
            found = Developed(edited_image(image, edit), (*picture.damage(), *told))
        return _with_remarks(found, header)


def develop_array(
    pixels: npt.NDArray[np.uint8 | np.uint16], bit_depth: int = 16, edit: Edit | None = None
) -> Developed:
    """Return the RGB image of an array: the one that `read_image` reads from a file of its pixels.

    Parameters
    ----------
    pixels : uint8 or uint16 array of shape (H, W), (H, W, 3) or (H, W, 4)
        Grey, RGB, or RGB and opacity.
    bit_depth : int
        As for `read_image`.
    edit : Edit, optional
        As for `develop_file`.

    Examples
    --------
    >>> develop_array(np.full((2, 3), 4095, np.uint16), 12).image.getpixel((0, 0))
    (255, 255, 255)
    """
    header = _header_of(pixels)
    if header.reader == "values":
        return _with_remarks(develop_edited(with_channels(pixels), header, bit_depth, edit), header)
    image, told = _rgb(Image.fromarray(pixels))
    return _with_remarks(Developed(edited_image(image, edit), told), header)


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
    with opened(source, name, MAX_PIXELS) as picture:
        if picture.header.white is not None:
            return 0
        return peak_of(picture.values(), picture.header)


def peak_of_array(pixels: npt.NDArray[np.uint8 | np.uint16]) -> int:
    """Return the highest value of an array of 16 bits, 0 of one of 8; see `peak_of_file`."""
    return peak_of(with_channels(pixels), _header_of(pixels))


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
    with told_errors(name, MAX_PIXELS):
        check_pixels(name, image.size, MAX_PIXELS)
        upright = upright_of(image)
        if upright.mode.startswith("I"):
            return whole_of(np.asarray(upright), 2**16 - 1)[0]
        if upright.mode == "F":
            header = Header("", *upright.size[::-1], colours="grey", numbers="float", white=1)
            return np.array(develop(with_channels(np.asarray(upright)), header).image)
        return np.array(_rgb(upright)[0])


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
    with opened(source, name, MAX_PIXELS) as picture:
        return picture.header.size


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
    with opened(source, name, MAX_PIXELS) as picture:
        return picture.header.orientation


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
    with told_errors(path, MAX_PIXELS), open_file(path) as file:
        if os.fstat(file.fileno()).st_size > _LARGE_FILE:
            image_size(path)  # tells of what is no image before memory is taken for it
        return file.read()


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
    if header.colours == "cmyk":
        remarks.append("is in CMYK, which was converted without a profile")
    profile = profile_remark(header.profile, header.colours)
    if profile is not None:
        remarks.append(profile)
    empty = emptiness(found.image)
    if empty is not None:
        if empty == CONSTANT:  # which uses no range, and that is no news
            remarks = [remark for remark in remarks if not remark.startswith("uses 1/")]
        remarks.append(empty)
    return replace(found, remarks=tuple(remarks)) if remarks else found


def _rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """An image of 8 bits as RGB, and what is to be told of it."""
    if image.has_transparency_data:
        return laid_on_black(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB"), ()
