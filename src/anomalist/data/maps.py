"""Anomaly maps that anyone's program wrote: one of an image in a file, or many in an array."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from anomalist.data.header import Header
from anomalist.data.images import MAX_PIXELS
from anomalist.data.names import read_names
from anomalist.data.picture import Picture, opened
from anomalist.errors import DataError

Values = npt.NDArray[np.float32 | np.float64]

#: Files of maps, those of the most exact values first.
MAP_SUFFIXES = (".npy", ".npz", ".tiff", ".tif", ".png")
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
_LOSSY = {".jpg", ".jpeg", ".webp"}

#: What a person types to save maps, of a program that hands out tensors.
SAVE_THEM = "np.savez('maps.npz', maps=maps, paths=paths)"

# What arrays of an archive are called that hold the maps, their images' paths and their scores.
_MAPS = ("maps", "anomaly_maps", "anomaly_map", "amaps", "heatmaps", "arr_0")
_PATHS = ("paths", "names", "image_paths", "image_path", "filenames", "files")
_SCORES = ("scores", "pred_scores", "pred_score", "anomaly_scores", "image_scores")

# Of more, they go to a file of their own.
_IN_MEMORY = 1 << 29


@dataclass(frozen=True, eq=False)
class AnomalyMap:
    """One map as a file has it.

    Parameters
    ----------
    values : array of shape (H, W)
        float32 where that holds every value exactly, else float64.
    bits : int
        Of a value in the file; 0 of floating point.
    """

    values: Values
    bits: int = 0


def read_map(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> AnomalyMap:
    """Read an anomaly map as it is stored: nothing is scaled, turned or clamped.

    Parameters
    ----------
    path : str or Path
        A TIFF (floating point or whole numbers), a PNG of 8 or 16 bits, an ``.npy``, or an
        ``.npz`` that holds one array, of shape (H, W), or with axes of length 1 more.
    max_pixels : int
        The largest width x height that is read.

    Raises
    ------
    DataError
        If it can't be read, is a picture in colours, holds no numbers or several maps, or a value
        isn't finite.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "000.npy"
    >>> np.save(path, np.array([[0.5, 2.0]], np.float16))
    >>> read_map(path).values
    array([[0.5, 2. ]], dtype=float32)
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind in (".npy", ".npz"):
        values, bits = _single(path), 0
        if values.dtype.kind in "ui":
            bits = 8 * values.dtype.itemsize
    elif kind in _PICKLES:
        raise DataError(f"{path} may hold code, and isn't opened: save its maps with {SAVE_THEM}")
    elif kind in _LOSSY:
        raise DataError(
            f"{path} is a {kind[1:].upper()}, which changes values: save the map as float TIFF or"
            " with np.save"
        )
    else:
        values, bits = _of_picture(path, max_pixels)
    if values.size == 0:
        raise DataError(f"the map {path} has no value")
    if values.size > max_pixels:
        raise DataError(f"the map {path} has more than {max_pixels} values")
    return AnomalyMap(_checked(values, f"the map {path}"), bits)


def _checked(values: npt.NDArray[Any], name: str) -> Values:
    """Return finite values as float32, or as float64 where that is needed for all to be exact."""
    if values.dtype.kind not in "fui" or values.dtype.itemsize > 8:
        raise DataError(f"{name} holds values of type {values.dtype.name}: save floats")
    narrow = values.dtype.newbyteorder("=") in (
        np.float16,
        np.float32,
        np.uint8,
        np.int8,
        np.uint16,
        np.int16,
    )
    found: Values = np.ascontiguousarray(values, np.float32 if narrow else np.float64)
    unfit = int(np.count_nonzero(~np.isfinite(found)))
    if unfit:
        raise DataError(
            f"{name} has {unfit} of {found.size} values that are no finite numbers (NaN or"
            " infinite): a measure of them would mean nothing"
        )
    return found


def _of_picture(path: Path, max_pixels: int) -> tuple[npt.NDArray[Any], int]:
    with opened(path, None, max_pixels) as picture:
        header = picture.header
        if header.unread:
            raise ValueError(header.unread)
        if header.remarks and "pages" in header.remarks[-1]:
            raise ValueError("it has several pages: save a file for each map")
        values = _samples(path, picture, header)
        return values, 0 if header.numbers == "float" else header.bits


def _samples(path: Path, picture: Picture, header: Header) -> npt.NDArray[Any]:
    """The one value of each pixel, whatever the file has for a picture's sake."""
    if header.reader == "values":
        values = picture.values()
        if header.opacity != "none":
            values = values[..., : header.channels]
        if header.white_is_zero:
            values = (header.white or header.full) - values
    else:
        image = picture.upright()
        if image.mode not in ("L", "I;16", "1"):
            image = image.convert("RGB")
        values = np.asarray(image)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8)
        values = values if values.ndim == 3 else values[..., None]
    if (values != values[..., :1]).any():
        raise DataError(
            f"{path} is a picture in colours, such as a heatmap or an overlay, off which no values"
            f" can be read: save the maps themselves, such as with {SAVE_THEM}"
        )
    return values[..., 0]


def _arrays(
    path: Path, wanted: Callable[[Sequence[str]], Iterable[str]]
) -> dict[str, npt.NDArray[Any]]:
    """The arrays that are wanted of an archive by their names, or that of an ``.npy``, unnamed.

    Nothing in them is run.
    """
    try:
        if path.suffix.lower() == ".npy":
            # Not closed by NumPy if it holds no array.
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
            return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in wanted(archive.files)}
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except DataError:
        raise
    except Exception as error:  # damaged archives end in errors of almost any class
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise DataError(
                f"{path} holds Python objects, which may hold code, or is damaged: save an array of"
                f" numbers, such as with {SAVE_THEM}"
            ) from error
        raise DataError(f"{path} can't be read as an array: {error}") from error


def _single(path: Path) -> npt.NDArray[Any]:
    def only(names: Sequence[str]) -> list[str]:
        known = [name for name in _MAPS if name in names] or list(names)
        if len(known) != 1:
            raise DataError(
                f"{path} holds {len(names)} arrays ({', '.join(names[:4])}): save the map alone, or"
                " call it maps"
            )
        return known

    (found,) = _arrays(path, only).values()
    # Axes of batch and channel; a map of one row or column keeps its two.
    kept = [n for n in found.shape if n != 1]
    if found.ndim > 2 and len(kept) == 2:
        found = found.reshape(kept)
    if found.ndim == 3:
        raise DataError(
            f"{path} holds an array of shape {found.shape}, many maps: give that file itself as"
            " --maps, with the images' names"
        )
    if found.ndim != 2:
        raise DataError(f"{path} holds an array of shape {found.shape}: a map is (H, W)")
    return found


@dataclass(frozen=True, eq=False)
class MapArray:
    """Many maps in one array, with the names of their images.

    Parameters
    ----------
    maps : array of shape (N, H, W)
        As it is stored; of an ``.npy`` it stays in the file.
    names : list of str, length N
        Paths or names of the images.
    scores : float64 array of shape (N,), or None
        Image scores, where they are in the file too.
    """

    maps: npt.NDArray[Any]
    names: list[str]
    scores: npt.NDArray[np.float64] | None = None


def read_map_array(path: str | Path, names: str | Path | None = None) -> MapArray:
    """Read the maps of many images from one file.

    Parameters
    ----------
    path : str or Path
        An ``.npy`` of shape (N, H, W) or (N, 1, H, W), or an ``.npz`` that holds such an array as
        ``maps``, and maybe ``paths`` and ``scores``.
    names : str or Path, optional
        A list with the path or name of an image a line, in the order of the maps.

    Raises
    ------
    DataError
        If it can't be read, or there isn't one name for each map.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "maps.npz"
    >>> np.savez(path, maps=np.zeros((2, 1, 4, 4)), paths=["good/0.png", "cut/0.png"])
    >>> found = read_map_array(path)
    >>> found.maps.shape, found.names
    ((2, 4, 4), ['good/0.png', 'cut/0.png'])
    """
    path = Path(path)

    def known(held: Sequence[str]) -> list[str]:
        called = [next((n for n in k if n in held), None) for k in (_MAPS, _PATHS, _SCORES)]
        if called[0] is None:
            raise DataError(
                f"{path} has no array called maps; it holds {', '.join(held) or 'nothing'}"
            )
        return [name for name in called if name is not None]

    arrays = _arrays(path, known)
    maps = next(iter(arrays.values()))
    listed, scores = None if names is None else read_names(names), None
    for name, values in arrays.items():
        if name in _PATHS and listed is None:
            listed = [str(entry) for entry in values.ravel().tolist()]
        elif name in _SCORES:
            scores = np.asarray(values, np.float64).ravel()
    if maps.ndim == 4 and 1 in (maps.shape[1], maps.shape[3]):
        maps = maps[:, 0] if maps.shape[1] == 1 else maps[..., 0]
    if maps.ndim != 3 or 0 in maps.shape:
        raise DataError(f"{path} holds an array of shape {maps.shape}: many maps are (N, H, W)")
    if listed is None:
        raise DataError(
            f"{path} doesn't say of which images its {len(maps)} maps are: give a list of their"
            f" names, one a line, with --names, or save them with {SAVE_THEM}"
        )
    for what, count in (
        ("names", len(listed)),
        ("scores", len(maps if scores is None else scores)),
    ):
        if count != len(maps):
            raise DataError(f"{path} holds {len(maps)} maps, but there are {count} {what}")
    return MapArray(maps, listed, scores)


def list_maps(folder: Path) -> list[Path]:
    """List the files below a folder that may be maps, in the order of their paths.

    Raises
    ------
    DataError
        If it isn't a folder, or holds none; it says what it holds instead.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    files = sorted(
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    maps = [path for path in files if path.suffix.lower() in MAP_SUFFIXES]
    if not maps:
        odd = next((p for p in files if p.suffix.lower() in _PICKLES | _LOSSY), None)
        if odd is not None:
            read_map(odd)
        raise DataError(
            f"{folder} holds no maps: they are {', '.join(MAP_SUFFIXES)}, one a test image"
        )
    return maps


class MapStack(Sequence[Values]):
    """Maps of any sizes that needn't fit in memory: beyond half a gigabyte they lie in a file.

    The file is a temporary one without a name, and goes when this does.

    Examples
    --------
    >>> stack = MapStack([np.zeros((2, 3), np.float32), np.ones((1, 1), np.float32)])
    >>> len(stack), stack[1]
    (2, array([[1.]], dtype=float32))
    """

    def __init__(self, maps: Iterable[Values] = (), *, in_memory: int = _IN_MEMORY) -> None:
        self._maps: list[Values] = []
        self._room = in_memory
        self._file: Any = None
        for values in maps:
            self.append(values)

    def append(self, values: Values) -> None:
        """Take in another map."""
        self._room -= values.nbytes
        if self._room < 0:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it goes with this object
                weakref.finalize(self, self._file.close)
            at = self._file.seek(0, 2)
            values.tofile(self._file)
            self._file.flush()
            kept = np.memmap(self._file, values.dtype, "r", offset=at, shape=values.shape)
            values = kept.view(np.ndarray)
        self._maps.append(values)

    def __len__(self) -> int:
        return len(self._maps)

    @overload
    def __getitem__(self, index: int) -> Values: ...

    @overload
    def __getitem__(self, index: slice) -> list[Values]: ...

    def __getitem__(self, index: int | slice) -> Values | list[Values]:
        return self._maps[index]

    def __iter__(self) -> Iterator[Values]:
        return iter(self._maps)


def checked_map(values: npt.NDArray[Any], name: str) -> AnomalyMap:
    """Return one map of an array as `read_map` returns one of a file."""
    bits = 8 * values.dtype.itemsize if values.dtype.kind in "ui" else 0
    return AnomalyMap(_checked(values, f"the map of {name}"), bits)
