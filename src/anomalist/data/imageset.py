"""Samples, the image sets they make, and what every data set offers: categories to fit and test."""

from __future__ import annotations

import hashlib
import json
import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from anomalist.errors import DataError
from anomalist.files import sha256_of


@dataclass(frozen=True)
class Sample:
    """An image file and what is known of it.

    Attributes
    ----------
    path : Path
        The image file.
    label : bool or None
        True if anomalous, False if normal, None if unknown.
    defect : str
        Kind of defect: ``"good"`` for a normal image, ``""`` if unknown.
    mask : Path or None
        File of the ground-truth mask, where there is one.

    Examples
    --------
    >>> Sample(Path("new.png"))
    Sample(path=...('new.png'), label=None, defect='', mask=None)
    """

    path: Path
    label: bool | None = None
    defect: str = ""
    mask: Path | None = None


class ImageSet(Sequence[Sample]):
    """An ordered set of samples.

    An index gives a `Sample`; a slice, an index array or a boolean array gives an `ImageSet`.

    Parameters
    ----------
    samples : iterable of Sample
        What it holds, in order.
    name : str
        For messages, such as ``"bottle/train"``.

    Examples
    --------
    >>> good, cut = Sample(Path("a.png"), False, "good"), Sample(Path("b.png"), True, "cut")
    >>> images = ImageSet([good, cut])
    >>> images.labels, images.defects
    (array([False,  True]), ['good', 'cut'])
    >>> images[images.labels].defects
    ['cut']
    """

    def __init__(self, samples: Iterable[Sample], name: str = "") -> None:
        self._samples = tuple(samples)
        self.name = name

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Sample: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | npt.NDArray[Any]) -> ImageSet: ...

    def __getitem__(
        self, index: int | np.integer[Any] | slice | Sequence[int] | npt.NDArray[Any]
    ) -> Sample | ImageSet:
        if isinstance(index, int | np.integer):
            return self._samples[index]
        if isinstance(index, slice):
            return ImageSet(self._samples[index], self.name)
        chosen = np.asarray(index)
        if chosen.size == 0:  # NumPy takes an empty list for floats.
            chosen = chosen.astype(np.intp)
        return ImageSet((self._samples[i] for i in np.arange(len(self))[chosen]), self.name)

    def __repr__(self) -> str:
        return f"ImageSet({self.name!r}, {len(self)} images)"

    @property
    def paths(self) -> list[Path]:
        """The image files."""
        return [sample.path for sample in self]

    @property
    def labels(self) -> npt.NDArray[np.bool_] | None:
        """Array of shape (N,), True where anomalous; None if the label of any image is unknown."""
        labels = [sample.label for sample in self]
        return None if None in labels else np.array(labels, np.bool_)

    @property
    def defects(self) -> list[str]:
        """The kind of defect of each image."""
        return [sample.defect for sample in self]

    def digests(self) -> npt.NDArray[np.uint8]:
        """Return the SHA-256 of each image's content, as an array of shape (N, 32)."""
        joined = b"".join(bytes.fromhex(sha256_of(path)) for path in self.paths)
        return np.frombuffer(joined, np.uint8).reshape(len(self), 32).copy()

    def shared_with(self, others: ImageSet) -> list[Path]:
        """Return the images whose bytes are those of one of ``others``, whatever they are called.

        Raises
        ------
        DataError
            If a file can't be read.

        Examples
        --------
        >>> import tempfile
        >>> paths = [Path(tempfile.mkdtemp()) / name for name in ("a.png", "b.png", "c.png")]
        >>> for path, content in zip(paths, (b"same", b"same", b"not same")):
        ...     _ = path.write_bytes(content)
        >>> a, b, c = (ImageSet([Sample(path)]) for path in paths)
        >>> [path.name for path in a.shared_with(b)], a.shared_with(c)
        (['a.png'], [])
        """
        try:
            sizes = {path.stat().st_size for path in others.paths}
            alike = [path for path in self.paths if path.stat().st_size in sizes]
            if not alike:
                return []
            sizes = {path.stat().st_size for path in alike}
            known = {sha256_of(p) for p in others.paths if p.stat().st_size in sizes}
            return [path for path in alike if sha256_of(path) in known]
        except OSError as error:
            raise DataError(f"{error.filename} can't be read: {error.strerror or error}") from error

    def content_hash(self) -> str:
        """Return the SHA-256 of all that a result can depend on, as 64 hexadecimal digits.

        It covers, in order, each image's name below the folder that all files share, its label and
        kind of defect, its bytes, and the name and bytes of its mask. Copies of the same data in
        other places have the same hash.

        Raises
        ------
        DataError
            If a file can't be read.

        Examples
        --------
        >>> import tempfile
        >>> hashes = set()
        >>> for _ in range(2):
        ...     path = Path(tempfile.mkdtemp()) / "a.png"
        ...     _ = path.write_bytes(b"the same bytes elsewhere")
        ...     hashes.add(ImageSet([Sample(path)]).content_hash())
        >>> len(hashes)
        1
        """
        files = [file.absolute() for sample in self for file in (sample.path, sample.mask) if file]
        root = os.path.commonpath([file.parent for file in files]) if files else ""

        def described(file: Path | None) -> tuple[str, str] | None:
            if file is None:
                return None
            try:
                return file.absolute().relative_to(root).as_posix(), sha256_of(file)
            except OSError as error:
                raise DataError(f"{file} can't be read: {error.strerror or error}") from error

        digest = hashlib.sha256()
        for sample in self:
            entry = (described(sample.path), sample.label, sample.defect, described(sample.mask))
            digest.update(json.dumps(entry).encode() + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True)
class Category:
    """One kind of object or texture: good images to fit, others to test.

    Attributes
    ----------
    name : str
        Such as ``"bottle"``.
    train : ImageSet
        Good images only.
    test : ImageSet
        Good and anomalous images, none of them in ``train``; may be empty.
    """

    name: str
    train: ImageSet
    test: ImageSet


class Dataset(Protocol):
    """What every data set offers: a name, where it is, and categories."""

    @property
    def name(self) -> str:
        """Name of the data set."""
        ...

    @property
    def root(self) -> Path:
        """The folder that it was opened from."""
        ...

    @property
    def categories(self) -> list[str]:
        """The names of its categories."""
        ...

    def category(self, name: str) -> Category:
        """Return the category of that name; DataError if there is none or it can't be used."""
        ...
