"""Image sets become batches of pixels, decoded ahead in threads, and masks beside them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from anomalist.data.imageset import ImageSet, Sample
from anomalist.data.transforms import Transform
from anomalist.errors import ParameterError

_MOST_WORKERS = 8


def load_batches(
    images: ImageSet, transform: Transform, batch_size: int, *, workers: int | None = None
) -> Iterator[npt.NDArray[np.uint8]]:
    """Read and transform images, batch by batch, in order.

    Threads decode a few batches ahead; how many there are changes the speed and nothing else.
    They end when the iterator is exhausted, closed or fails.

    Parameters
    ----------
    images : ImageSet
        What to read.
    transform : Transform
        Brings every image to one size.
    batch_size : int
        Images a batch; the last may have fewer.
    workers : int, optional
        Threads; by default one for each processor that is ours to use, 8 at most.

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
    if workers is None:
        workers = min(_processors(), _MOST_WORKERS)
    for name, value in (("batch_size", batch_size), ("workers", workers)):
        if value < 1:
            raise ParameterError(f"{name} must be at least 1, not {value}")
    return _batches(images, transform, batch_size, workers)


def _batches(
    images: ImageSet, transform: Transform, batch_size: int, workers: int
) -> Iterator[npt.NDArray[np.uint8]]:
    # Enough that no thread waits for work while the caller is busy with a batch.
    ahead = max(2, -(-2 * workers // batch_size))
    pending: deque[tuple[npt.NDArray[np.uint8], list[Future[None]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="anomalist-loader")
    try:
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            batch = np.empty((len(chunk), *transform.output_size, 3), np.uint8)
            tasks = [
                pool.submit(_decode, sample, transform, pixels)
                for sample, pixels in zip(chunk, batch, strict=True)
            ]
            pending.append((batch, tasks))
            if len(pending) > ahead:
                yield _finished(*pending.popleft())
        while pending:
            yield _finished(*pending.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(sample: Sample, transform: Transform, pixels: npt.NDArray[np.uint8]) -> None:
    pixels[...] = transform(sample.read())


def _finished(batch: npt.NDArray[np.uint8], tasks: list[Future[None]]) -> npt.NDArray[np.uint8]:
    for task in tasks:
        task.result()
    return batch


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
        Good images need no mask: theirs is empty.
    transform : Transform
        The one that the images pass through.

    Returns
    -------
    bool array of shape (N, H, W), or None
        None if the label of an image is unknown, or an anomalous image has no mask.

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
    if any(sample.label is None or (sample.label and sample.mask is None) for sample in images):
        return None
    masks = np.zeros((len(images), *transform.output_size), np.bool_)
    for sample, target in zip(images, masks, strict=True):
        mask = sample.read_mask() if sample.label else None
        if mask is not None:
            target[...] = transform.mask(mask)
    return masks
