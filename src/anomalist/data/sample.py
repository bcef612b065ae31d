"""A sample: an image, be it a file or in memory, and what is known of it."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.changed import Change, ChangedSource
from anomalist.data.decoded import Decoded, DecodedSource
from anomalist.data.ignoring import Sight
from anomalist.data.images import exif_turn
from anomalist.data.looks import Look
from anomalist.data.masks import Mask
from anomalist.data.motion import Motion
from anomalist.data.names import existing
from anomalist.data.saturation import Defect, read_defect, read_saturations
from anomalist.data.sending import local, portable
from anomalist.data.source import (
    Content,
    FileSource,
    MemorySource,
    Source,
    array_sha256,
    file_state,
    frozen,
    held,
)
from anomalist.data.truth import Photograph, read_truth, share_remarks
from anomalist.data.views import View, view_of
from anomalist.errors import DataError
from anomalist.storage import is_address

#: What is told of a photograph that can't be registered.
UNREGISTERED = "is too unlike the good photographs to be aligned with them"
_PATHS = (str, os.PathLike)
_State = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """An image and what is known of it.

    The image is a file or, where ``image`` is given, in memory. Its hash and size are found out
    when they are first asked for, and kept; those of a file for as long as its size and time of
    change are the same. Threads can share a sample, and it can be pickled. Samples are equal when
    what they say is, images and masks in memory compared by their hash.

    Parameters
    ----------
    path : str or Path
        The image file, its address, or what the image is called.
    label : bool or None
        True if anomalous, False if normal, None if unknown.
    defect : str
        Kind of defect: ``"good"`` for a normal image, ``""`` if unknown.
    mask : str, Path, several of them, array of shape (H, W), or None
        The ground-truth mask, where there is one: a file, several that mark a defect each, or True
        (or any number but 0) where the image is anomalous. A file that ends in ``.json`` holds
        outlines of LabelMe or COCO; what the values of others mean, `read_mask` says.
    image : bytes, PIL.Image.Image, array or None
        An image that isn't a file: the bytes of one, an image of Pillow, or a uint8 or uint16
        array of shape (H, W), (H, W, 3) RGB or (H, W, 4) RGB and opacity. The pixels of an array
        mean what they mean in a file, see `read_image`. An array that can be written to is copied,
        so that writing to it later changes nothing here; one that can't be is kept as it is. Of an
        image of Pillow, the array of its RGB pixels is kept, or of 16 bits of grey.
    saturation : str or Path, optional
        Where the mask has a file for each defect, as in MVTec LOCO: the file that tells from which
        area on each counts as found whole, see `read_saturations`.

    Raises
    ------
    DataError
        If ``image`` or ``mask`` is of another type or shape.

    Examples
    --------
    >>> Sample("new.png")
    Sample(path=...('new.png'), label=None, defect='', mask=None)
    >>> frame = Sample("frame", image=np.zeros((48, 64), np.uint8))
    >>> frame
    Sample(path=...('frame'), ..., image=<uint8 array of shape (48, 64)>)
    >>> frame.size(), frame.read().mode
    ((48, 64), 'RGB')
    """

    path: Path
    label: bool | None = None
    defect: str = ""
    mask: Path | tuple[Path, ...] | npt.NDArray[np.bool_] | None = None
    image: bytes | Image.Image | npt.NDArray[Any] | None = None
    group: str | None = None
    saturation: Path | None = None
    _source: Source = field(init=False)
    _looks: dict[Sight, Look] = field(init=False)
    # What the mask told when it was last read, as of a state of its files.
    _told: tuple[_State, tuple[str, ...]] | None = field(init=False, default=None)
    _changes: tuple[Change, ...] = field(init=False, default=())
    _view: View | None = field(init=False, default=None)
    # By which it is registered, by the key of each registration; None where it can't be.
    _motions: dict[str, Motion | None] = field(init=False)

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("path", _path(self.path))
        put("_looks", {})
        put("_motions", {})
        if self.mask is not None:
            put("mask", _held_mask(str(self.path), self.mask))
        if self.saturation is not None:
            put("saturation", _path(self.saturation))
        if self.image is None:
            put("_source", FileSource(self.path))
        else:
            data = held(str(self.path), self.image)
            put("image", data)
            put("_source", MemorySource(str(self.path), data))

    @classmethod
    def decoded(cls, name: str, decoded: Decoded, *, sha256: str, nbytes: int) -> Sample:
        """Return an image that was decoded and resized elsewhere.

        Parameters
        ----------
        name : str
            What the image is called.
        decoded : Decoded
            What is left of it.
        sha256 : str
            Hash of the bytes that were decoded.
        nbytes : int
            How many they were.
        """
        made = cls(Path(name))
        object.__setattr__(made, "_source", DecodedSource(name, decoded, sha256, nbytes))
        return made

    def changed(self, change: Change) -> Sample:
        """Return the sample with its image as something changed it, each time that it is read.

        Nothing is copied or kept. The hash is that of the content and of what changed it, and the
        mask moves with the image.

        Examples
        --------
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Inverted:
        ...     key: str = "inverted"
        ...     def image(self, samples, white, rng):
        ...         return white - samples
        ...     def mask(self, mask):
        ...         return mask
        >>> dark = Sample("frame", image=np.zeros((48, 64), np.uint8))
        >>> light = dark.changed(Inverted())
        >>> light.read().getpixel((0, 0)), light.sha256() == dark.sha256()
        ((255, 255, 255), False)
        """
        made = copy.copy(self)
        for name, value in (
            ("_source", ChangedSource(self._source, change)),
            ("_changes", (*self._changes, change)),
            ("_looks", {}),
            ("_motions", {}),
            ("_told", None),
            ("_view", None),
        ):
            object.__setattr__(made, name, value)
        return made

    def marked(self, label: bool, defect: str, mask: npt.NDArray[np.bool_] | None = None) -> Sample:
        """Return the sample with another truth, its image as it is.

        Parameters
        ----------
        label : bool
            True if anomalous.
        defect : str
            Kind of defect, ``"good"`` for a normal image.
        mask : bool array of shape (H, W), optional
            True where it is, before any change moves it.

        Examples
        --------
        >>> frame = Sample("frame", image=np.zeros((48, 64), np.uint8))
        >>> frame.marked(True, "cut", np.ones((48, 64), bool)).label
        True
        """
        made = copy.copy(self)
        held = None if mask is None else _held_mask(str(self.path), mask)
        truth = {"label": label, "defect": defect, "mask": held, "saturation": None}
        for name, value in {**truth, "_told": None}.items():
            object.__setattr__(made, name, value)
        return made

    def read(self, bit_depth: int = 16) -> Image.Image:
        """Return the image as RGB, as `read_image` does.

        Parameters
        ----------
        bit_depth : int
            Bits of the camera whose values images of 16 bits hold.

        Raises
        ------
        DataError
            If it can't be read.
        """
        return self._source.read(bit_depth)

    def decode(self, content: Content, bit_depth: int = 16) -> Image.Image:
        """Return as RGB what `fetch` gave.

        Raises
        ------
        DataError
            If it is damaged, too large or no image.
        """
        return self._source.decode(content, bit_depth)

    def remarks(self, bit_depth: int | None = None) -> tuple[str, ...]:
        """Return what reading the image told, or assumed: short clauses without its name.

        They are kept when the image is read, and it is read for them where it hasn't been.

        Parameters
        ----------
        bit_depth : int, optional
            With which it is read, see `read`; by default as it was last, or as 16 bits.

        Raises
        ------
        DataError
            If it can't be read.

        Examples
        --------
        >>> Sample("dark", image=np.zeros((48, 64), np.uint8)).remarks()
        ('has one value everywhere',)
        """
        told = self._source.remarks(bit_depth)
        return (*told, UNREGISTERED) if None in self._motions.values() else told

    def known_remarks(self, bit_depth: int) -> tuple[str, ...] | None:
        """Return the `remarks` if they are known without reading the image, else None."""
        return self._source.known_remarks(bit_depth)

    def keep_remarks(self, bit_depth: int, remarks: tuple[str, ...]) -> None:
        """Take over what reading the same content told, so that it needn't be read for that."""
        self._source.keep_remarks(bit_depth, remarks)

    def peak(self) -> int:
        """Return the highest value of an image of 16 bits, of which white is the camera's matter.

        It is 0 of all others, which aren't decoded for it.

        Raises
        ------
        DataError
            If it can't be read.

        Examples
        --------
        >>> Sample("a", image=np.full((4, 4), 900, np.uint16)).peak()
        900
        """
        return self._source.peak()

    def size(self) -> tuple[int, int]:
        """Return height and width in pixels, as `read` gives them.

        Raises
        ------
        DataError
            If it can't be read.
        """
        return self._source.size()

    def sha256(self) -> str:
        """Return the SHA-256 of the image as 64 hexadecimal digits.

        It is that of the file's bytes, or of the bytes given, whatever they mean; of an array, it
        is made of its shape, type and values. So two arrays of the same pixels have one hash, and
        an array has another than a file with its pixels.

        Raises
        ------
        DataError
            If the file can't be read.
        """
        return self._source.sha256()

    def known_sha256(self) -> str | None:
        """Return the hash if it is known without reading the file, else None."""
        return self._source.known_sha256()

    def fetch(self) -> Content:
        """Return hash and pixels of one read, of which the pixels needn't be decoded.

        Raises
        ------
        DataError
            If the file can't be read.
        """
        return self._source.fetch()

    def look(self, sight: Sight) -> Look:
        """Return how the image looks to a detector, on the whole.

        It is kept from when the image was last transformed for it, and so costs a reading only
        where none was.

        Raises
        ------
        DataError
            If the image can't be read.
        """
        known = self._looks.get(sight)
        if known is not None:
            return known
        return self.looked_at(sight, sight(self.read(sight.bit_depth)))

    def known_look(self, sight: Sight) -> Look | None:
        """Return what `look` would where that is known without reading the image."""
        return self._looks.get(sight)

    def keep_look(self, sight: Sight, look: Look) -> None:
        """Keep how the image looks, as it was learnt of another sample with its content."""
        self._looks[sight] = look

    def forget_looks(self) -> None:
        """Drop how the image looks, of which millions of samples would keep too much."""
        self._looks.clear()

    def looked_at(self, sight: Sight, pixels: npt.NDArray[np.uint8]) -> Look:
        """Keep how the image looks, of pixels (H, W, 3) as a detector sees them."""
        look = self._looks[sight] = Look.of(pixels)
        return look

    def motion(self, registration: str) -> tuple[Motion | None] | None:
        """Return by which motion it was registered, alone in a tuple; None if that isn't known.

        Parameters
        ----------
        registration : str
            The key of a `~anomalist.data.registration.Registration`.
        """
        known = self._motions
        return (known[registration],) if registration in known else None

    def keep_motion(self, registration: str, motion: Motion | None) -> None:
        """Keep by which motion it is registered, None if it can't be, which is then a remark."""
        self._motions[registration] = motion

    def view(self, side: int, bit_depth: int = 16) -> Image.Image:
        """Return the image as RGB as people look at it, see `~anomalist.data.views.view_size`.

        It costs no reading where `keep_view` was called before the image was last read.

        Parameters
        ----------
        side : int
            Most pixels of the longer side.
        bit_depth : int
            As for `read`.

        Raises
        ------
        DataError
            If the image can't be read.

        Examples
        --------
        >>> Sample("frame", image=np.zeros((480, 640), np.uint8)).view(320).size
        (320, 240)
        """
        kept = self._view
        if kept is not None and (kept.side, kept.bit_depth) == (side, bit_depth) and kept.image:
            return kept.image
        return view_of(self.read(bit_depth), side)

    def keep_view(self, side: int, bit_depth: int = 16) -> None:
        """Make and keep the `view` when the image is next read for a detector."""
        object.__setattr__(self, "_view", View(side, bit_depth))

    def viewed(self, image: Image.Image, bit_depth: int) -> None:
        """Make the view that is to be kept, if one is, of an image that was read."""
        asked = self._view
        if asked is not None and asked.image is None and asked.bit_depth == bit_depth:
            view = View(asked.side, bit_depth, view_of(image, asked.side))
            object.__setattr__(self, "_view", view)

    def drop_view(self) -> None:
        """Keep the view no longer."""
        object.__setattr__(self, "_view", None)

    def nbytes(self) -> int:
        """Return the number of bytes of the file, of the bytes or of the array.

        Raises
        ------
        DataError
            If the file can't be read.
        """
        return self._source.nbytes()

    def read_mask(self) -> npt.NDArray[np.bool_] | None:
        """Return the ground-truth mask, (H, W) as `size` tells; None where there is none.

        Raises
        ------
        DataError
            If mask or image can't be read, or they differ in size.
        """
        mask = self._read_mask()
        return None if mask is None else mask.pixels

    def read_defects(self) -> list[Defect]:
        """Return the defects of an image of MVTec LOCO one by one, with their saturation areas.

        Raises
        ------
        DataError
            If the image has no mask, ``saturation`` isn't known, or either can't be read.
        """
        if self.saturation is None:
            raise DataError(f"no file tells the saturation areas of the defects of {self.path}")
        if not self.mask_files:
            raise DataError(f"{self.path} has no file for each of its defects")
        listed, size = read_saturations(self.saturation), self.size()
        found = [read_defect(m, size, listed, listed=self.saturation) for m in self.mask_files]
        for change in self._changes:
            moved = ((change.mask(defect.pixels), defect.saturation) for defect in found)
            # What is moved out of the picture is no defect of it, or only a part of one.
            found = [Defect(m, min(area, m.sum())) for m, area in moved if m.any()]
        return found

    @property
    def is_plain(self) -> bool:
        """Whether it is a file as it lies there, with a mask, if any, that is one, too."""
        held_in_memory = self.image is not None or isinstance(self.mask, np.ndarray)
        return type(self._source) is FileSource and not held_in_memory and not self._changes

    @property
    def mask_files(self) -> tuple[Path, ...]:
        """The files of the mask, none where there is none or it is in memory."""
        if self.mask is None or isinstance(self.mask, np.ndarray):
            return ()
        return self.mask if isinstance(self.mask, tuple) else (self.mask,)

    def mask_remarks(self) -> tuple[str, ...]:
        """Return what reading the mask told, as clauses that go on from its name.

        They are kept for as long as its files stay the same; before a first read, it is read.

        Raises
        ------
        DataError
            If mask or image can't be read, or they differ in size.

        Examples
        --------
        >>> mask = np.ones((2, 2), bool)
        >>> Sample("frame", True, "cut", mask, np.zeros((2, 2), np.uint8)).mask_remarks()
        ('marks every pixel of its image',)
        """
        kept = self._told
        if kept is not None and kept[0] == self._mask_state():
            return kept[1]
        mask = self._read_mask()
        return () if mask is None else mask.remarks

    def _read_mask(self) -> Mask | None:
        if self.mask is None:
            return None
        state, size = self._mask_state(), self.size()
        if isinstance(self.mask, np.ndarray):
            if self.mask.shape != size:
                raise DataError(
                    f"the mask is {self.mask.shape[1]} x {self.mask.shape[0]} pixels, but its image"
                    f" {self.path} is {size[1]} x {size[0]}"
                )
            found = Mask(self.mask, share_remarks(self.mask))
        else:
            found = read_truth(self.mask_files, Photograph(self.path, size, self._turn))
        for change in self._changes:
            found = replace(found, pixels=change.mask(found.pixels))
        # Replaced as a whole, so that threads need no lock.
        object.__setattr__(self, "_told", (state, found.remarks))
        return found

    def _mask_state(self) -> _State:
        """What changes when the mask or its image does."""
        if isinstance(self.mask, np.ndarray):
            return ()
        files = (*self.mask_files, *([self.path] if self.image is None else []))
        return tuple(file_state(path) for path in files)

    def _turn(self) -> int:
        """The EXIF orientation by which the image was turned."""
        if isinstance(self.image, np.ndarray):
            return 1
        if isinstance(self.image, bytes):
            return exif_turn(self.image, name=self.path)
        return exif_turn(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {name: portable(value) for name, value in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: local(value) for name, value in state.items()})

    def _identity(self) -> tuple[Any, ...]:
        mask = array_sha256(self.mask) if isinstance(self.mask, np.ndarray) else self.mask
        image = None if self.image is None else self.sha256()
        changes = tuple(change.key for change in self._changes)
        known = self.path, self.label, self.defect, mask, image, self.group, self.saturation
        return *known, changes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sample):
            return NotImplemented
        return self is other or self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((self.path, self.label, self.defect))

    def __repr__(self) -> str:
        mask = self.mask
        shown = f"<array of shape {mask.shape}>" if isinstance(mask, np.ndarray) else repr(mask)
        text = f"path={self.path!r}, label={self.label}, defect={self.defect!r}, mask={shown}"
        if isinstance(self.image, np.ndarray):
            text += f", image=<{self.image.dtype} array of shape {self.image.shape}>"
        elif self.image is not None:
            text += f", image=<{self.nbytes()} bytes>"
        if self.group is not None:
            text += f", group={self.group!r}"
        if self.saturation is not None:
            text += f", saturation={self.saturation!r}"
        return f"Sample({text})"


def _path(entry: str | os.PathLike[str]) -> Path:
    return existing(str(entry)) if is_address(entry) else Path(entry)


def _held_mask(name: str, mask: object) -> Path | tuple[Path, ...] | npt.NDArray[np.bool_]:
    if isinstance(mask, _PATHS):
        return _path(mask)
    if isinstance(mask, tuple | list) and mask and all(isinstance(p, _PATHS) for p in mask):
        return tuple(map(_path, mask))
    if not isinstance(mask, np.ndarray):
        raise DataError(
            f"the mask of {name} is of type {type(mask).__name__}: give a path, several of them,"
            " or an array"
        )
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise DataError(
            f"the mask of {name} is an array of {mask.dtype.name} of shape {mask.shape}: it must be"
            " (H, W), of bool or whole numbers; of floating-point ones, say from where on a pixel"
            " is anomalous: array > 0.5"
        )
    return frozen(mask if mask.dtype == np.bool_ else mask != 0)
