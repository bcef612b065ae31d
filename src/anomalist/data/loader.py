"""Image sets become batches of pixels, decoded ahead in threads, and masks beside them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.ignoring import Filled, Ignored
from anomalist.data.imageset import ImageSet
from anomalist.data.source import Content
from anomalist.data.transforms import Transform
from anomalist.errors import ParameterError
from anomalist.origins import origin_of

if TYPE_CHECKING:
    # Its arithmetic takes long to import, for all who register nothing.
    from anomalist.data.registration import Registration

_MOST_WORKERS = 8
# Who waits for a storage takes no processor.
_FETCHERS = 16


class Chunk:
    """Some images one after the other: their hashes, and their pixels when they are asked for.

    Attributes
    ----------
    sha256s : list of str
        Hashes of the images, in order; empty where none were asked for.
    """

    def __init__(
        self,
        images: ImageSet,
        transform: Transform,
        pool: ThreadPoolExecutor,
        hashed: bool,
        skip: Callable[[str], bool],
        ignored: Ignored | None,
        registration: Registration | None,
    ) -> None:
        self._images, self._transform, self._hashed, self._skip = images, transform, hashed, skip
        self._registration = registration
        self._bits = transform.bit_depth
        # Of what is registered, what is ignored lies elsewhere in every photograph.
        self._ignored = ignored if registration is None else None
        self._sight = transform if self._ignored is None else Filled(transform, self._ignored)
        size = transform.output_size if registration is None else registration.frame
        self._pixels = np.empty((len(images), *size, 3), np.uint8)
        self._tasks = [pool.submit(self._prepare, i) for i in range(len(images))]
        self._left: list[tuple[int, Content | None]] = []
        self.sha256s: list[str] = []

    def __len__(self) -> int:
        return len(self._images)

    def finish(self) -> Chunk:
        """Wait until its images are read, as far as they must be."""
        for i, task in enumerate(self._tasks):
            sha256, content, decoded = task.result()
            if sha256 is not None:
                self.sha256s.append(sha256)
            if not decoded:
                self._left.append((i, content))
        self._tasks = []
        return self

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Return the transformed images, (B, H, W, 3), those that were to be skipped too."""
        for i, content in self._left:
            read = self._images[i].fetch() if content is None else content
            self.sha256s[i] = read.sha256  # a file may have changed since
            self._take(i, self._images[i].decode(read, self._bits))
        self._left = []
        return self._pixels

    def _prepare(self, i: int) -> tuple[str | None, Content | None, bool]:
        """Read an image; return its hash, what was read but not decoded, and if it was decoded."""
        sample = self._images[i]
        if not self._hashed:
            self._take(i, sample.read(self._bits))
            return None, None, True
        sha256 = sample.known_sha256()
        if sha256 is not None and self._skip(sha256):
            return sha256, None, False
        content = sample.fetch()
        if self._skip(content.sha256):
            return content.sha256, content, False
        self._take(i, sample.decode(content, self._bits))
        return content.sha256, None, True

    def _take(self, i: int, image: Image.Image) -> None:
        sample, pixels = self._images[i], self._transform(image)
        looked_at = pixels if self._ignored is None else self._ignored(pixels[None])[0]
        sample.looked_at(self._sight, looked_at)
        sample.viewed(image, self._bits)
        if self._registration is not None:
            interpolation = self._transform.interpolation
            image = self._registration.brings(interpolation).resized(image)
            motion = self._registration.find(image, sample.size(), interpolation)
            sample.keep_motion(self._registration.key, motion)
            pixels = self._registration.shown(image, motion, interpolation)
        self._pixels[i] = pixels


def load_chunks(
    images: ImageSet,
    transform: Transform,
    batch_size: int,
    *,
    hashed: bool = False,
    skip: Callable[[str], bool] = lambda _: False,
    ignored: Ignored | None = None,
    workers: int | None = None,
    registration: Registration | None = None,
) -> Iterator[Chunk]:
    """Read images some at a time, in order, a file once for both its hash and its pixels.

    Threads read and decode a few chunks ahead; how many there are changes the speed and nothing
    else. They end when the iterator is exhausted, closed or fails.

    Parameters
    ----------
    images : ImageSet
        What to read.
    transform : Transform
        Brings every image to one size.
    batch_size : int
        Images a chunk; the last may have fewer.
    hashed : bool
        Whether hashes are asked for.
    skip : callable, optional
        Told a hash, says whether the pixels will hardly be asked for. It is called by threads.
    ignored : Ignored, optional
        What counts for nothing in how images are told to look; pixels are given as they are.
    workers : int, optional
        Threads; by default one for each processor that is ours to use, 8 at most.
    registration : Registration, optional
        Shows the part alone, instead of the transform; the samples then keep their motion.

    Yields
    ------
    Chunk

    Raises
    ------
    DataError
        If an image can't be read; it names the first such file.
    ParameterError
        If ``batch_size`` or ``workers`` is less than 1.
    """
    if workers is None:
        workers = min(_processors(), _MOST_WORKERS)
        if len(images) and origin_of(images[0].path) is not None:
            workers = _FETCHERS
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value < 1:
            raise ParameterError(f"{name} must be at least 1, not {value}")
    return _chunks(images, transform, batch_size, hashed, skip, ignored, workers, registration)


def _chunks(
    images: ImageSet,
    transform: Transform,
    batch_size: int,
    hashed: bool,
    skip: Callable[[str], bool],
    ignored: Ignored | None,
    workers: int,
    registration: Registration | None,
) -> Iterator[Chunk]:
    # Enough that no thread waits for work while the caller is busy with a batch.
    ahead = max(2, -(-2 * workers // batch_size))
    pending: deque[Chunk] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="anomalist-loader")
    try:
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            pending.append(Chunk(chunk, transform, pool, hashed, skip, ignored, registration))
            if len(pending) > ahead:
                yield pending.popleft().finish()
        while pending:
            yield pending.popleft().finish()
    finally:
        pool.shutdown(cancel_futures=True)


def load_batches(
    images: ImageSet,
    transform: Transform,
    batch_size: int,
    *,
    workers: int | None = None,
    registration: Registration | None = None,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Read and transform images, batch by batch, in order; see `load_chunks`.

    Yields
    ------
    uint8 array of shape (B, H, W, 3)

    Raises
    ------
    DataError
        If an image can't be read; it names the first such file.
    ParameterError
        If ``batch_size`` or ``workers`` is less than 1.

    Examples
    --------
    >>> from anomalist.data import Sample
    >>> images = ImageSet([Sample("grey", image=np.zeros((90, 90), np.uint8))] * 5)
    >>> [batch.shape for batch in load_batches(images, Transform(64), batch_size=3)]
    [(3, 64, 64, 3), (2, 64, 64, 3)]
    """
    chunks = load_chunks(images, transform, batch_size, workers=workers, registration=registration)
    return (chunk.pixels() for chunk in chunks)


def _processors() -> int:
    """The processors that this process may use, which a container can make fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_masks(images: ImageSet, transform: Transform) -> npt.NDArray[np.bool_] | None:
    """Read and transform the ground-truth masks of images.

    Parameters
    ----------
    images : ImageSet
        Good images need no mask: theirs is empty. So is that of defects without one, where others
        have theirs.
    transform : Transform
        The one that the images pass through.

    Returns
    -------
    bool array of shape (N, H, W), or None
        None if the label of an image is unknown, or images are anomalous and none of them has a
        mask.

    Raises
    ------
    DataError
        If a mask can't be read or hasn't the size of its image.

    Examples
    --------
    >>> from anomalist.data import Sample
    >>> good = Sample("good.png", False, "good")
    >>> load_masks(ImageSet([good]), Transform(4)).any()
    np.False_
    >>> load_masks(ImageSet([good, Sample("cut.png", True, "cut")]), Transform(4))
    """
    if any(sample.label is None for sample in images):
        return None
    if not any(s.mask is not None for s in images if s.label) and any(s.label for s in images):
        return None
    masks = np.zeros((len(images), *transform.output_size), np.bool_)
    for sample, target in zip(images, masks, strict=True):
        mask = sample.read_mask() if sample.label else None
        if mask is not None:
            target[...] = transform.mask(mask)
    return masks
