"""TIFF files: what their directories say, which page is the photograph, and its samples."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from anomalist.data.foreign import RAW
from anomalist.data.header import Colours, Header, Numbers, Opacity, white_of

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

# Of more pages than that, such as a film, sizes aren't compared.
_LOOKED_AT = 64
# A page of less than half the height and width of another is its thumbnail.
_THUMBNAIL = 4
_MOST_SAMPLES = 16
# Of four channels of 16 bits, as many pixels as an image may have.
_LARGEST = 800_000_000
_REDUCED, _MASK = 1, 4
_OPACITIES = get_args(Opacity)

_COLOURS: dict[int, Colours] = {
    0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "ycbcr", 8: "lab",
}  # fmt: skip
_UNREAD_COLOURS = {
    4: "a mask of transparency", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32844: "LogL", 32845: "LogLuv",
    51177: "depth",
}  # fmt: skip
_RAW_COLOURS = {32803, 34892}
_DNG_VERSION = 50706
_NUMBERS: dict[int, Numbers] = {1: "unsigned", 2: "signed", 3: "float", 4: "unsigned"}

# Those whose decoders are told how much memory to take; the pixels of others come from Pillow.
_BOUNDED = {1, 5, 8, 32773, 32946, 34925, 50000}
# Those that Pillow has.
_KNOWN = _BOUNDED | {2, 3, 4, 6, 7, 32771, 32809, 34926}


@dataclass(frozen=True)
class Page:
    """One directory of a file: where it is, and what it says.

    Parameters
    ----------
    place : tuple of int
        Its number, and that of each sub-directory on the way to it.
    header : Header
        Of its image.
    compression : int
        As the format numbers them.
    reduced, mask : bool
        Whether it says that it is a smaller copy of another page, or its mask.
    """

    place: tuple[int, ...]
    header: Header
    compression: int
    reduced: bool
    mask: bool


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins so is a TIFF, BigTIFF included."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Tiff:
    """An open TIFF file.

    Parameters
    ----------
    file : binary file
        At its beginning; it stays open.

    Attributes
    ----------
    page : Page
        The photograph: the first page that isn't a thumbnail.

    Raises
    ------
    ValueError
        If it holds nothing that is read; the error says what it holds.
    """

    def __init__(self, file: IO[bytes]) -> None:
        # Loaded when the first such file comes: nobody else waits for it.
        import tifffile

        logger = logging.getLogger("tifffile")
        if not logger.handlers:  # what it has to say of a file would be printed
            logger.addHandler(logging.NullHandler())
        self._size = file.seek(0, 2)
        file.seek(0)
        self._tiff: TiffFile = tifffile.TiffFile(file, name="image")
        count = len(self._tiff.pages)
        if count == 0:
            raise ValueError("it has no page")
        pages = list(_pages(self._tiff, min(count, _LOOKED_AT)))
        self.page = _chosen(pages, count)

    def values(self) -> npt.NDArray[Any]:
        """Return the samples of the photograph, (height, width, channels), as they are stored."""
        page = _at(self._tiff, self.page.place)
        if any(length == 0 for length in page.databytecounts):
            # They would be taken for zeros.
            raise ValueError("parts of its pixels are missing")
        held = sum(page.databytecounts)
        needed = math.prod(page.shaped) * page.bitspersample // 8
        # Memory for all of it is taken before the first is read.
        if needed > _LARGEST:
            raise ValueError(f"its samples take {needed / 1e9:.1f} GB: save it with 16 bits")
        if held > self._size or (page.compression == 1 and held < needed):
            raise ValueError("it is cut short, or its directory is damaged")
        values: npt.NDArray[Any] = page.asarray(squeeze=False, maxworkers=1)
        # Planes, depth, height, width, samples that lie together.
        return np.moveaxis(values[:, 0], 0, 2).reshape(*values.shape[2:4], -1)

    def without_pillow(self) -> Header:
        """Return the header for the case that Pillow doesn't know the file after all."""
        header = replace(self.page.header, reader="values")
        if self.page.compression in _BOUNDED and header.colours not in ("palette", "ycbcr"):
            return header
        return replace(header, unread=f"it holds {_kind(header)}: save it as RGB or grey")


def _pages(tiff: TiffFile, count: int) -> Iterator[Page]:
    """The pages, each followed by its sub-directories."""
    for i in range(count):
        page = _at(tiff, (i,))
        yield _page(page, (i,))
        for j in range(min(len(page.subifds or ()), _LOOKED_AT)):
            yield _page(_at(tiff, (i, j)), (i, j))


def _at(tiff: TiffFile, place: tuple[int, ...]) -> TiffPage:
    pages: Any = tiff.pages
    for i in place[:-1]:
        pages = pages[i].pages
    found: TiffPage = pages[place[-1]].aspage()
    return found


def _chosen(pages: list[Page], count: int) -> Page:
    """The photograph; a page that can't be read is refused only if it would be it."""
    largest = max(page.header.height * page.header.width for page in pages)
    full = [page for page in pages if not (page.reduced or page.mask)] or pages

    def is_thumbnail(page: Page) -> bool:
        return page.header.height * page.header.width * _THUMBNAIL <= largest

    chosen = next((page for page in full if not is_thumbnail(page)), full[0])
    # Sub-directories and smaller copies belong to a page, and are no photographs of their own.
    others = [p for p in full if len(p.place) == 1 and not is_thumbnail(p)]
    more = len(others) - 1 + max(count - _LOOKED_AT, 0)
    remarks = list(chosen.header.remarks)
    if chosen is not pages[0]:
        size = f"{chosen.header.width} x {chosen.header.height} pixels"
        remarks.append(f"holds a thumbnail first; the photograph of {size} was read")
    elif more > 0:
        remarks.append(f"has {more + 1} pages, of which the first was read")
    return replace(chosen, header=replace(chosen.header, remarks=tuple(remarks)))


def _page(page: TiffPage, place: tuple[int, ...]) -> Page:
    tags = page.tags
    photometric = int(page.photometric)
    if photometric in _RAW_COLOURS or _DNG_VERSION in tags:
        raise ValueError(f"it {RAW}")
    remarks: tuple[str, ...] = ()
    samples = int(page.samplesperpixel)
    if 262 not in tags:
        # Whoever leaves it out means what most mean.
        photometric = 2 if samples >= 3 else int(page.bitspersample != 1)
        remarks = ("has a header that doesn't say which value is black; 0 was taken to be",)
    colours = _COLOURS.get(photometric, "rgb")
    channels = Header("TIFF", 1, 1, colours=colours).channels
    more = samples - channels
    opacity: Opacity = "none"
    extra = tuple(int(kind) for kind in page.extrasamples)
    if more >= 1 and (not extra or extra[0] in (1, 2)) and (extra or more == 1):
        opacity = "premultiplied" if extra[:1] == (1,) else "straight"
    bits: Any = page.bitspersample
    same = not isinstance(bits, tuple) or len(set(bits)) == 1
    bits = int(bits[0] if isinstance(bits, tuple) else bits)
    kind = page.tags.valueof(339) or 1
    kinds = set(kind) if isinstance(kind, tuple) else {kind}
    numbers = _NUMBERS.get(int(min(kinds)), "unsigned")
    compression = int(page.compression)
    header = Header(
        "TIFF",
        int(page.imagelength),
        int(page.imagewidth),
        bits=bits,
        numbers=numbers,
        colours=colours,
        opacity=opacity,
        unused=max(more - (opacity != "none"), 0),
        white_is_zero=photometric == 0,
        planes=int(page.planarconfig) == 2 and samples > 1,
        white=white_of(bits, numbers),
        remarks=remarks,
    )
    if photometric not in (1, 2) and header.white is None:
        # Ink and the like come from programs; white that is zero has its black at the far end.
        header = replace(header, white=header.full)
    by_pillow = (
        len(place) == 1
        and 262 in tags
        and numbers == "unsigned"
        and same
        and bits in (1, 2, 4, 8)
        and (bits == 8 or samples == 1)
        # Where planes are said of a single channel, too, Pillow loses its inversion.
        and int(page.planarconfig) == 1
        and header.unused == 0
        and opacity in {"grey": ("none", "straight"), "rgb": _OPACITIES}.get(colours, ("none",))
    )
    unread = _unread(page, header, photometric, kinds, same, compression, by_pillow)
    profile = page.tags.valueof(34675)
    header = replace(
        header,
        reader="pillow" if by_pillow else "values",
        orientation=_orientation(page),
        page=place[0],
        profile=profile if isinstance(profile, bytes) else b"",
        unread=unread,
    )
    kind_of_page = int(page.subfiletype)
    return Page(
        place,
        header,
        compression,
        reduced=bool(kind_of_page & _REDUCED),
        mask=bool(kind_of_page & _MASK),
    )


def _unread(
    page: TiffPage,
    header: Header,
    photometric: int,
    kinds: set[int],
    same: bool,
    compression: int,
    by_pillow: bool,
) -> str:
    """Why a page can't be read, in words; nothing where it can."""
    if photometric not in _COLOURS:
        what = _UNREAD_COLOURS.get(photometric, f"colours of kind {photometric}")
        return f"it holds {what}: save it as RGB or grey"
    if len(kinds) > 1 or not kinds <= _NUMBERS.keys():
        return "its samples are complex numbers, or of several kinds: save it with 8 or 16 bits"
    if not same:
        return f"its samples have {page.bitspersample} bits: save it with 8 or 16 bits each"
    if header.numbers != "float" and header.bits not in (*range(1, 17), 32, 64):
        return f"it has samples of {header.bits} bits: save it with 16 bits"
    if header.numbers == "float" and header.bits not in (16, 32, 64):
        return f"it has floating-point samples of {header.bits} bits: save it with 16 bits"
    if compression not in _KNOWN or (not by_pillow and compression not in _BOUNDED):
        name = getattr(page.compression, "name", compression)
        return (
            f"it holds {_kind(header)} compressed as {name}: save it without compression, or with"
            " LZW or Deflate"
        )
    if compression == 1 and header.colours == "ycbcr" and tuple(page.subsampling or ()) != (1, 1):
        return "it holds YCbCr of few colours a pixel without JPEG: save it as RGB"
    if not by_pillow and header.colours in ("palette", "ycbcr"):
        return f"it holds {_kind(header)}: save it as RGB"
    if page.imagedepth != 1:
        return "it holds a volume: save its slices as images"
    if page.samplesperpixel > _MOST_SAMPLES:
        return f"it has {page.samplesperpixel} channels: save three of them as RGB"
    if page.samplesperpixel < header.channels:
        return f"it has {page.samplesperpixel} channels, too few for {header.colours}"
    if page.is_tiled and page.tilelength * page.tilewidth > 4 * max(
        header.height * header.width, 2**20
    ):
        return "its tiles are far larger than itself"
    return ""


def _kind(header: Header) -> str:
    planes = " in planes" if header.planes else ""
    return f"{header.numbers} {header.colours} of {header.bits} bits{planes}"


def _orientation(page: TiffPage) -> int:
    value = page.tags.valueof(274)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
