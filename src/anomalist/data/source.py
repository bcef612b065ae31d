"""Where the pixels of an image are, in a file or in memory, and what is kept of it once read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.deep import Developed
from anomalist.data.editing import Edit
from anomalist.data.header import DEPTHS
from anomalist.data.images import (
    develop_array,
    develop_file,
    image_size,
    peak_of_array,
    peak_of_file,
    pixels_of,
    read_bytes,
)
from anomalist.data.picture import open_file
from anomalist.data.sending import local, portable
from anomalist.errors import DataError, ObjectNotFoundError, StorageError
from anomalist.files import sha256_of
from anomalist.origins import origin_of

Pixels = npt.NDArray[np.uint8 | np.uint16]

ALLOWED = (
    "an image is a path, the bytes of a file, an image of Pillow, or an array of shape (H, W),"
    " (H, W, 3) or (H, W, 4) of uint8 or uint16"
)
# A file that changes twice within a tick of its file system's clock looks as if once.
_TICK_NS = 100_000_000


@dataclass(frozen=True, eq=False)
class Content:
    """An image that was read once: its hash and its pixels are of the same bytes.

    Parameters
    ----------
    name : str
        What errors call it.
    data : bytes or array
        The bytes of its file, or its pixels.
    sha256 : str
        Their hash, as 64 hexadecimal digits.
    state : tuple of int, optional
        Of its file when it was read.
    """

    name: str
    data: bytes | Pixels
    sha256: str
    state: tuple[int, ...] | None = None

    def decode(self, bit_depth: int = 16) -> Image.Image:
        """Return it as RGB; see `~anomalist.data.read_image`.

        Raises
        ------
        DataError
            If it is damaged, too large or no image.
        """
        return self.develop(bit_depth).image

    def develop(self, bit_depth: int = 16, edit: Edit | None = None) -> Developed:
        """Return it as RGB, and what is to be told of it; see :meth:`decode`.

        ``edit`` changes its samples before they become 8 bits.
        """
        if isinstance(self.data, bytes):
            return develop_file(self.data, name=self.name, bit_depth=bit_depth, edit=edit)
        return develop_array(self.data, bit_depth, edit)


class Source(Protocol):
    """What a sample asks for its image; any number of threads may ask at once."""

    def read(self, bit_depth: int) -> Image.Image:
        """Return the image as RGB."""
        ...

    def decode(self, content: Content, bit_depth: int) -> Image.Image:
        """Return what :meth:`fetch` gave as RGB."""
        ...

    def remarks(self, bit_depth: int | None) -> tuple[str, ...]:
        """Return what reading it told, with any bits where none are given."""
        ...

    def known_remarks(self, bit_depth: int) -> tuple[str, ...] | None:
        """Return what was told if it takes no reading."""
        ...

    def peak(self) -> int:
        """Return the highest value where white is a matter of the camera, else 0."""
        ...

    def keep_remarks(self, bit_depth: int, remarks: tuple[str, ...]) -> None:
        """Take over what reading the same content told elsewhere."""
        ...

    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        ...

    def sha256(self) -> str:
        """Return the hash of its content."""
        ...

    def known_sha256(self) -> str | None:
        """Return the hash if it takes no reading."""
        ...

    def fetch(self) -> Content:
        """Return all of it, of one read."""
        ...

    def nbytes(self) -> int:
        """Return how many bytes the hash is made of."""
        ...


@dataclass(frozen=True)
class _Known:
    """What was found out of a file, as of a state of it."""

    state: tuple[int, ...] | None = None
    sha256: str | None = None
    size: tuple[int, int] | None = None
    peak: int | None = None
    # What reading told, and with which bits of a camera.
    remarks: tuple[int, tuple[str, ...]] | None = None

    def told(self, bit_depth: int | None) -> tuple[str, ...] | None:
        """What was told by a read with these bits, or any; None before one."""
        if self.remarks is None or bit_depth not in (None, self.remarks[0]):
            return None
        return self.remarks[1]


def _of_read(found: Developed, bit_depth: int) -> dict[str, Any]:
    """What is kept of a read."""
    size = found.image.height, found.image.width
    return {"size": size, "peak": found.peak, "remarks": (bit_depth, found.remarks)}


def file_state(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file does; None if it isn't there."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # told by whoever opens it
        return None
    if origin_of(path) is not None:  # a copy of an object comes and goes
        return 0, stat.st_size, stat.st_mtime_ns, 0
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class FileSource:
    """A file; what was found out of it is kept for as long as it doesn't change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Replaced as a whole, so that threads need no lock.
        self._kept = _Known()

    def read(self, bit_depth: int) -> Image.Image:
        """Return the image as RGB, without taking its whole file into memory."""
        return self._develop(bit_depth).image

    def _develop(self, bit_depth: int) -> Developed:
        state = self._state()
        found = develop_file(self._path, bit_depth=bit_depth)
        self._keep(state, **_of_read(found, bit_depth))
        return found

    def decode(self, content: Content, bit_depth: int) -> Image.Image:
        """Return what :meth:`fetch` gave as RGB."""
        found = content.develop(bit_depth)
        self._keep(content.state, **_of_read(found, bit_depth))
        return found.image

    def remarks(self, bit_depth: int | None) -> tuple[str, ...]:
        """Return what reading it told."""
        told = self.known_remarks(bit_depth)
        return self._develop(bit_depth or DEPTHS[-1]).remarks if told is None else told

    def known_remarks(self, bit_depth: int | None) -> tuple[str, ...] | None:
        """Return what was told if the file is as it was when it was read for it."""
        return self._known(self._state()).told(bit_depth)

    def keep_remarks(self, bit_depth: int, remarks: tuple[str, ...]) -> None:
        """Take over what reading the same content told elsewhere."""
        self._keep(self._state(), remarks=(bit_depth, remarks))

    def peak(self) -> int:
        """Return the highest value where white is a matter of the camera, else 0."""
        state = self._state()
        peak = self._known(state).peak
        if peak is None:
            peak = peak_of_file(self._path)
            self._keep(state, peak=peak)
        return peak

    def size(self) -> tuple[int, int]:
        """Return height and width, from the file's header if they aren't known."""
        state = self._state()
        size = self._known(state).size
        if size is None:
            size = image_size(self._path)
            self._keep(state, size=size)
        return size

    def sha256(self) -> str:
        """Return the hash of the file's bytes, which need be no image."""
        state = self._state()
        sha256 = self._known(state).sha256
        if sha256 is None:
            try:
                sha256 = self._hash()
            except ObjectNotFoundError:
                raise DataError(f"there is no file {self._path}") from None
            except StorageError:  # nothing is wrong with the file
                raise
            except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
                reason = getattr(error, "strerror", None) or error
                raise DataError(f"{self._path} can't be read: {reason}") from error
            self._keep(state, sha256=sha256)
        return sha256

    def _hash(self) -> str:
        if origin_of(self._path) is None:
            return sha256_of(self._path)
        with open_file(self._path) as file:
            return hashlib.sha256(file.read()).hexdigest()

    def known_sha256(self) -> str | None:
        """Return the hash if the file is as it was when it was read for it."""
        return self._known(self._state()).sha256

    def fetch(self) -> Content:
        """Read the file once, for both its hash and its pixels."""
        state = self._state()
        data = read_bytes(self._path)
        sha256 = self._known(state).sha256
        if sha256 is None:
            sha256 = hashlib.sha256(data).hexdigest()
            self._keep(state, sha256=sha256)
        return Content(str(self._path), data, sha256, state)

    def nbytes(self) -> int:
        """Return the size of the file."""
        try:
            size = self._path.stat().st_size
            if not size and origin_of(self._path) is not None:  # a server didn't say
                return len(read_bytes(self._path))
            return size
        except OSError as error:
            raise DataError(f"{self._path} can't be read: {error.strerror or error}") from error

    def _state(self) -> tuple[int, ...] | None:
        return file_state(self._path)

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": portable(self._path), "_kept": self._kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._path, self._kept = local(state["_path"]), state["_kept"]

    def _known(self, state: tuple[int, ...] | None) -> _Known:
        kept = self._kept
        return kept if state is not None and kept.state == state else _Known(state)

    def _keep(self, state: tuple[int, ...] | None, **found: Any) -> None:
        if state is not None and abs(time.time_ns() - max(state[2:])) > _TICK_NS:
            self._kept = dataclasses.replace(self._known(state), **found)


class MemorySource:
    """The bytes of a file, or an array."""

    def __init__(self, name: str, data: bytes | Pixels) -> None:
        self._name = name
        self._data = data
        # Replaced as a whole, so that threads need no lock.
        self._kept = _Known()

    def read(self, bit_depth: int) -> Image.Image:
        """Return the image as RGB."""
        return self.decode(self._content(), bit_depth)

    def decode(self, content: Content, bit_depth: int) -> Image.Image:
        """Return what :meth:`fetch` gave as RGB."""
        return self._develop(content, bit_depth).image

    def _develop(self, content: Content, bit_depth: int) -> Developed:
        found = content.develop(bit_depth)
        self._kept = dataclasses.replace(self._kept, **_of_read(found, bit_depth))
        return found

    def remarks(self, bit_depth: int | None) -> tuple[str, ...]:
        """Return what reading it told."""
        told = self.known_remarks(bit_depth)
        if told is not None:
            return told
        return self._develop(self._content(), bit_depth or DEPTHS[-1]).remarks

    def known_remarks(self, bit_depth: int | None) -> tuple[str, ...] | None:
        """Return what was told, if it was read."""
        return self._kept.told(bit_depth)

    def keep_remarks(self, bit_depth: int, remarks: tuple[str, ...]) -> None:
        """Take over what reading the same content told elsewhere."""
        self._kept = dataclasses.replace(self._kept, remarks=(bit_depth, remarks))

    def peak(self) -> int:
        """Return the highest value where white is a matter of the camera, else 0."""
        peak = self._kept.peak
        if peak is None:
            if isinstance(self._data, bytes):
                peak = peak_of_file(self._data, name=self._name)
            else:
                peak = peak_of_array(self._data)
            self._kept = dataclasses.replace(self._kept, peak=peak)
        return peak

    def _content(self) -> Content:
        return Content(self._name, self._data, "")

    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        if not isinstance(self._data, bytes):
            height, width = self._data.shape[:2]
            return height, width
        size = self._kept.size
        if size is None:
            size = image_size(self._data, name=self._name)
            self._kept = dataclasses.replace(self._kept, size=size)
        return size

    def sha256(self) -> str:
        """Return the hash of the bytes, or of the array's shape, type and values."""
        sha256 = self._kept.sha256
        if sha256 is None:
            if isinstance(self._data, bytes):
                sha256 = hashlib.sha256(self._data).hexdigest()
            else:
                sha256 = array_sha256(self._data)
            self._kept = dataclasses.replace(self._kept, sha256=sha256)
        return sha256

    def known_sha256(self) -> str:
        """Return the hash: there is nothing to read."""
        return self.sha256()

    def fetch(self) -> Content:
        """Return what is there."""
        return Content(self._name, self._data, self.sha256())

    def nbytes(self) -> int:
        """Return the number of bytes."""
        return len(self._data) if isinstance(self._data, bytes) else self._data.nbytes

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self._data, np.ndarray):  # which pickling forgets
            self._data.flags.writeable = False


def held(name: str, image: object) -> bytes | Pixels:
    """Return an image in memory as what is kept of it: bytes, or an array that nobody writes to.

    Parameters
    ----------
    name : str
        What errors call it.
    image : bytes, PIL.Image.Image or array
        An array that can be written to is copied; one that can't be, such as a file mapped into
        memory for reading, is kept as it is. Of an image of Pillow the RGB pixels are
        kept, or grey of 16 bits.

    Raises
    ------
    DataError
        If it can't be taken for an image.

    Examples
    --------
    >>> held("frame", np.zeros((2, 3))[:1])
    Traceback (most recent call last):
    ...
    anomalist.errors.DataError: frame is an array of float64: an image has uint8 or uint16 ...
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, Image.Image):
        pixels = pixels_of(image, name)
        pixels.flags.writeable = False
        return pixels
    if not isinstance(image, np.ndarray):
        shown = f" ({image})" if isinstance(image, float | int) else ""
        raise DataError(f"{name} is of type {type(image).__name__}{shown}: {ALLOWED}")
    _check(name, image)
    return frozen(image)


def frozen(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of the same values, in the processor's byte order, that nobody writes to."""
    native = values.dtype.newbyteorder("=")
    link: Any = values
    while isinstance(link, np.ndarray) and not link.flags.writeable:
        link = link.base
    if isinstance(link, np.ndarray) or values.dtype != native:
        values = np.array(values, native, order="C")
        values.flags.writeable = False
    return values


def array_sha256(values: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of an array's shape, type and values.

    Examples
    --------
    >>> row = np.arange(4, dtype=np.uint8)
    >>> array_sha256(row.reshape(2, 2)) == array_sha256(row.reshape(1, 4))
    False
    """
    kind = json.dumps(["array", values.dtype.name, *values.shape])
    digest = hashlib.sha256(f"{kind}\n".encode())
    digest.update(np.ascontiguousarray(values).data.cast("B"))
    return digest.hexdigest()


def _check(name: str, array: npt.NDArray[Any]) -> None:
    kind, shape = array.dtype, array.shape
    if kind.name not in ("uint8", "uint16"):
        way = {
            "f": "scale values of 0..1 with (255 * array).round().astype('uint8')",
            "b": "take 255 * array.astype('uint8')",
            "i": "where they fit, take array.astype('uint8') or 'uint16'",
            "u": "where they fit, take array.astype('uint16')",
        }.get(kind.kind, "convert them")
        raise DataError(
            f"{name} is an array of {kind.name}: an image has uint8 or uint16 values; {way}"
        )
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4)):
        if array.size:
            return
        raise DataError(f"{name} is an array of shape {shape}, without a pixel")
    way = ""
    if len(shape) == 3 and shape[2] == 1:
        way = "; take array[..., 0]"
    elif len(shape) == 3 and shape[0] in (1, 3, 4):
        way = "; channels come last, as array.transpose(1, 2, 0) has them"
    raise DataError(
        f"{name} is an array of shape {shape}: an image is (H, W), (H, W, 3) or (H, W, 4){way}"
    )
