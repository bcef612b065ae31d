"""Image sets: samples in order, and what every data set offers: categories to fit and test."""

from __future__ import annotations

import hashlib
import json
import os.path
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from anomalist.data.many_samples import FileSamples, put_together
from anomalist.data.paths import Paths
from anomalist.data.sample import Sample
from anomalist.data.source import FileSource, array_sha256

if TYPE_CHECKING:
    from anomalist.data.understanding import Understanding


class ImageSet(Sequence[Sample]):
    """An ordered set of samples.

    An index gives a `Sample`; a slice, an index array or a boolean array gives an `ImageSet`. Of
    more than 65,536 files only names and what is said of them are held: a sample is made when it is
    asked for, and what was learnt of it by reading is forgotten when so many others were.

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
        self._samples = put_together(samples)
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
            return self._samples[int(index)]
        if isinstance(index, slice):
            return ImageSet(self._samples[index], self.name)
        chosen = np.asarray(index)
        if chosen.size == 0:  # NumPy takes an empty list for floats.
            chosen = chosen.astype(np.intp)
        places = np.arange(len(self))[chosen]
        if isinstance(self._samples, FileSamples):
            return ImageSet(self._samples.chosen(places), self.name)
        return ImageSet((self._samples[i] for i in places), self.name)

    def __repr__(self) -> str:
        return f"ImageSet({self.name!r}, {len(self)} images)"

    @property
    def paths(self) -> Sequence[Path]:
        """The image files, and what images in memory are called."""
        if isinstance(self._samples, FileSamples):
            return Paths(self._samples.paths())
        return [sample.path for sample in self]

    @property
    def labels(self) -> npt.NDArray[np.bool_] | None:
        """Array of shape (N,), True where anomalous; None if the label of any image is unknown."""
        if isinstance(self._samples, FileSamples):
            labels = [label for label, *_ in self._samples.said()]
        else:
            labels = [sample.label for sample in self]
        return None if None in labels else np.array(labels, np.bool_)

    @property
    def defects(self) -> list[str]:
        """The kind of defect of each image."""
        if isinstance(self._samples, FileSamples):
            return [defect for _, defect, _ in self._samples.said()]
        return [sample.defect for sample in self]

    def digests(self) -> npt.NDArray[np.uint8]:
        """Return the SHA-256 of each image's content, as an array of shape (N, 32)."""
        joined = b"".join(bytes.fromhex(sample.sha256()) for sample in self)
        return np.frombuffer(joined, np.uint8).reshape(len(self), 32).copy()

    def shared_with(self, others: ImageSet) -> list[Path]:
        """Return the images whose bytes are those of one of ``others``, whatever they are called.

        Arrays are compared with arrays: an array isn't the same as a file of its pixels.

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
        sizes = {sample.nbytes() for sample in others}
        alike = [sample for sample in self if sample.nbytes() in sizes]
        if not alike:
            return []
        sizes = {sample.nbytes() for sample in alike}
        known = {sample.sha256() for sample in others if sample.nbytes() in sizes}
        return [sample.path for sample in alike if sample.sha256() in known]

    def content_hash(self, digests: npt.NDArray[np.uint8] | None = None) -> str:
        """Return the SHA-256 of all that a result can depend on, as 64 hexadecimal digits.

        It covers, in order, each image's name below the folder that all files share, its label,
        kind of defect and group, its bytes, the name and bytes of its mask, and the bytes of the
        file that tells its saturation areas. Copies of the same
        data in other places have the same hash. An image in memory counts with its name as it is
        and its own hash, see `Sample.sha256`; a mask in memory has no name.

        Parameters
        ----------
        digests : uint8 array of shape (N, 32), optional
            What `digests` returned, so that no image is read for it.

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
        images = [sample.path for sample in self if sample.image is None]
        masks = [file for sample in self for file in sample.mask_files]
        folders = [file.absolute().parent for file in (*images, *masks)]
        root = os.path.commonpath(folders) if folders else ""

        def named(file: Path) -> str:
            return file.absolute().relative_to(root).as_posix()

        @cache
        def content(file: Path) -> str:  # one file can hold the outlines of all images
            return FileSource(file).sha256()

        digest = hashlib.sha256()
        for place, sample in enumerate(self):
            sha256 = sample.sha256() if digests is None else digests[place].tobytes().hex()
            name = named(sample.path) if sample.image is None else sample.path.as_posix()
            mask: object = None
            if isinstance(sample.mask, np.ndarray):
                mask = "", array_sha256(sample.mask)
            elif isinstance(sample.mask, Path):
                mask = named(sample.mask), content(sample.mask)
            elif sample.mask is not None:
                mask = [(named(file), content(file)) for file in sample.mask]
            entry = [(name, sha256), sample.label, sample.defect, mask]
            if sample.group is not None:
                entry.append(sample.group)
            if (told := sample.saturation) is not None:
                entry.append({"saturation": content(told) if told.is_file() else None})
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

    def understand(self, name: str) -> Understanding:
        """Return what the images of a category are taken for; DataError as `category`."""
        ...
