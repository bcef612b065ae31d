"""Images dealt into shards, of which a detector can be fitted to each, and all put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anomalist.errors import ParameterError

#: Hashes of images that a model keeps at most, unless its own arrays name more.
MOST_DIGESTS = 2**17


@dataclass(frozen=True)
class Shard:
    """Some of the images of a fit: every so-manieth.

    Neighbours in the order of names, which tend to look alike, are dealt to different shards, so
    that all shards are alike.

    Parameters
    ----------
    index : int
        Which shard it is, from 0.
    shards : int
        How many there are.
    images : int
        How many images all of them have.

    Examples
    --------
    >>> shard = Shard(1, 3, 8)
    >>> shard.places.tolist(), len(shard)
    ([1, 4, 7], 3)
    """

    index: int
    shards: int
    images: int

    def __len__(self) -> int:
        return len(range(self.index, self.images, self.shards))

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Where its images stand among all."""
        return np.arange(self.index, self.images, self.shards)

    @property
    def slice(self) -> slice:
        """What picks its images of all."""
        return slice(self.index, None, self.shards)


def deal_shards(images: int, shards: int) -> list[Shard]:
    """Deal images into shards, none of which is empty.

    Raises
    ------
    ParameterError
        If shards are fewer than 1, or more than images.

    Examples
    --------
    >>> [len(shard) for shard in deal_shards(8, 3)]
    [3, 3, 2]
    """
    if not 1 <= shards <= images:
        raise ParameterError(
            f"{images} images can't be dealt into {shards} shards: choose from 1 to {images}"
        )
    return [Shard(index, shards, images) for index in range(shards)]


def spread_evenly(images: int, most: int) -> npt.NDArray[np.intp]:
    """Return places of all images, or of so many that are evenly spread.

    Examples
    --------
    >>> spread_evenly(3, 5).tolist(), spread_evenly(9, 3).tolist()
    ([0, 1, 2], [0, 4, 8])
    """
    count = min(images, most)
    return np.linspace(0, images - 1, count).round().astype(np.intp)
