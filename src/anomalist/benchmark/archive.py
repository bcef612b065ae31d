"""The archive that the evaluation server of MVTec AD 2 takes: written as a stream, and read again.

For each private image it holds a map, ``anomaly_images/OBJECT/SPLIT/NAME.tiff``, 2-D float16, and
what is anomalous in it, ``anomaly_images_thresholded/OBJECT/SPLIT/NAME.png``, 0 and 255, both at
the size of the image.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from anomalist.errors import ResultsError

MAPS, BINARY = "anomaly_images", "anomaly_images_thresholded"

# The highest value that float16 has.
_LARGEST = float(np.finfo(np.float16).max)
# To which power of two the highest value of an archive is scaled: far from both of its ends.
_HIGH = 14
# Maps are smooth, and more work gains little.
_COMPRESSION = 5
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One private image of which the archive says something.

    Parameters
    ----------
    category, split, name : str
        The object, the folder, and the image's name without suffix.
    size : (int, int)
        Height and width of the image.
    """

    category: str
    split: str
    name: str
    size: tuple[int, int]

    @property
    def map_name(self) -> str:
        """What its map is called in the archive."""
        return f"{MAPS}/{self.category}/{self.split}/{self.name}.tiff"

    @property
    def binary_name(self) -> str:
        """What its binary map is called."""
        return f"{BINARY}/{self.category}/{self.split}/{self.name}.png"


def scale_of(highest: float) -> int:
    """Return the power of two by which maps are multiplied so that float16 holds them well.

    It is one for a whole archive, and exact: ranks stay what they are but for float16's rounding to
    11 bits. The highest absolute value comes to lie between 2**14 and 2**15, so that none becomes
    infinite, and values down to 2**-28 of it keep all bits that float16 has.

    Parameters
    ----------
    highest : float
        The highest absolute value of all maps.

    Examples
    --------
    >>> [scale_of(value) for value in (37.5, 1e9, 1.0, 0.0)]
    [9, -15, 14, 0]
    """
    return 0 if highest == 0 else _HIGH - math.floor(math.log2(highest))


def write_archive(
    path: Path,
    entries: Iterable[Entry],
    values_of: Callable[[Entry], tuple[npt.NDArray[np.floating], float]],
    scale: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write an archive, one image after the other. The same content gives the same bytes.

    Parameters
    ----------
    path : Path
        The file.
    entries : iterable of Entry
        What it holds, in order.
    values_of : callable
        Gives the map of an entry at the size of its image, and the threshold above which a pixel
        is anomalous.
    scale : int
        The power of two by which maps are multiplied.
    progress : callable, optional
        Called with the number of images written.

    Raises
    ------
    ResultsError
        If a value doesn't fit float16.
    """
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for done, entry in enumerate(entries, 1):
            values, threshold = values_of(entry)
            scaled = np.ldexp(values.astype(np.float64), scale)
            if not (np.abs(scaled) <= _LARGEST).all():
                raise ResultsError(f"{entry.map_name} has a value that float16 doesn't hold")
            buffer = io.BytesIO()
            tifffile.imwrite(
                buffer,
                scaled.astype(np.float16),
                photometric="minisblack",
                metadata=None,
                software=False,
            )
            _add(archive, entry.map_name, buffer)
            buffer = io.BytesIO()
            Image.fromarray((values > threshold).astype(np.uint8) * np.uint8(255)).save(
                buffer, "PNG"
            )
            _add(archive, entry.binary_name, buffer)
            if progress is not None:
                progress(done)
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _add(archive: tarfile.TarFile, name: str, buffer: io.BytesIO) -> None:
    member = tarfile.TarInfo(name)
    member.size = buffer.tell()
    member.mode = 0o644
    buffer.seek(0)
    archive.addfile(member, buffer)


def check_archive(
    path: Path,
    entries: Iterable[Entry],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Read an archive again, and refuse one that the server would, or would misread.

    Each image has exactly its two files, by name; every map is a TIFF of 2-D float16 of the size of
    its image, all finite, and every binary map a PNG of one channel of 0 and 255 of that size.

    Parameters
    ----------
    path : Path
        The file.
    entries : iterable of Entry
        What it must hold, and nothing else.
    progress : callable, optional
        Called with the number of files read.

    Raises
    ------
    ResultsError
        If it is anything else; it names the file.
    """
    missing = {name: e for e in entries for name in (e.map_name, e.binary_name)}
    seen = 0
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                entry = missing.pop(member.name, None)
                if entry is None:
                    raise ResultsError(f"{path} holds {member.name}, twice or of no image")
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    raise ResultsError(f"{member.name} in {path} isn't a file")
                wrong = _wrong(member.name, io.BytesIO(content.read()), entry)
                if wrong:
                    raise ResultsError(f"{member.name} in {path} {wrong}")
                seen += 1
                if progress is not None:
                    progress(seen)
            while stream.read(_AT_ONCE):  # to the checksum at its end
                pass
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ResultsError(f"{path} is damaged: {error}") from error
    if missing:
        raise ResultsError(f"{path} lacks {len(missing)} files, such as {next(iter(missing))}")


def _wrong(name: str, content: io.BytesIO, entry: Entry) -> str:
    """What is wrong with a file; nothing if it is as it should be."""
    is_map = name == entry.map_name
    try:
        if is_map:
            values = tifffile.imread(content)
        else:
            with Image.open(content, formats=("PNG",)) as image:
                if image.mode != "L":
                    return f"has pixels of kind {image.mode}, not one channel of 8 bits"
                values = np.asarray(image)
    except Exception as error:  # decoders meet damaged bytes with errors of any class
        return f"can't be read: {error}"
    if values.shape != entry.size:
        return f"has shape {values.shape}, its image {entry.size}"
    if is_map:
        if values.dtype != np.float16:
            return f"holds {values.dtype.name}, not float16"
        return "" if np.isfinite(values).all() else "holds values that aren't finite"
    return "" if np.isin(values, (0, 255)).all() else "holds values other than 0 and 255"
