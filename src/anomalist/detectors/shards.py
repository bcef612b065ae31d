"""Images dealt into shards, of which a detector can be fitted to each, and all put together."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from anomalist.data import DEPTHS, ImageSet
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.seeing import Sighted
from anomalist.detectors.settling import Settled
from anomalist.errors import ParameterError
from anomalist.features import Progress

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


class Shardable(Sighted):
    """A detector that may be fitted shard by shard, each elsewhere, and put together."""

    shardable: ClassVar[bool]

    def check_shards(self, shards: list[Shard], input_size: tuple[int, int]) -> None:
        """Refuse shards in which it can't be fitted, before any work.

        Parameters
        ----------
        shards : list of Shard
            All of them.
        input_size : (int, int)
            What `input_size_of` gives for images of all shards.

        Raises
        ------
        ParameterError
            If it can't be fitted so at all, or its ceiling of memory is too low.
        """
        for name, given in (("augment", self.augment is not None), ("align", self.align)):
            if given:
                raise ParameterError(f"{name} works in one fit to all images, not shard by shard")
        if not self.shardable:
            raise ParameterError(
                f"{self.label} can't be fitted shard by shard: what it learns of some images"
                " doesn't add up with what it learns of others; patchcore, padim and dfm can"
            )
        learner = dataclasses.replace(self)
        learner.settled_ = Settled(self.bit_depth or DEPTHS[-1], input_size)
        frame = learner.transform.output_size
        learner._check_shards(shards, learner.preparation.shapes(self.make_backbone(), frame))

    def summarise(
        self,
        images: ImageSet,
        shard: Shard,
        *,
        settled: Settled,
        progress: Progress | None = None,
    ) -> Any:
        """Learn from a shard what `join` needs, if it is ``shardable``; it isn't changed itself.

        Parameters
        ----------
        images : ImageSet
            The good images of the shard.
        shard : Shard
            Which of all images they are.
        settled : Settled
            What `settle` gave, of images of any shard.
        progress : callable, optional
            Called with the number of images read and the total.

        Returns
        -------
        tuple of arrays and numbers
            Which can be pickled.

        Raises
        ------
        DataError
            If an image can't be read.
        """
        learner = dataclasses.replace(self)
        learner.settled_ = settled
        learner.backbone_ = self.make_backbone()
        return learner._summarise(learner._features(images, progress=progress, hashed=True), shard)

    def join(self, summaries: Iterable[Any], shards: list[Shard], *, settled: Settled) -> Self:
        """Fit to what `summarise` gave of every shard, in their order.

        It is the fit to all images, whatever shards they are dealt into: of PaDiM and DFM but for
        rounding, of PatchCore with another coreset, whose radius is told.
        :func:`~anomalist.inspection.fit_shards` does all of it. What the images' contents are,
        `keep_digests` must be told.

        Raises
        ------
        ParameterError
            If its ceiling of memory is too low.
        """
        learner = dataclasses.replace(self)
        learner._forget()
        learner.settled_ = settled
        learner.backbone_ = self.make_backbone()
        learner._join(iter(summaries), shards)
        self.__dict__ = vars(learner)
        return self

    def keep_digests(self, digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
        """Keep the hashes of images that it was fitted to shard by shard: of all, or of many.

        Parameters
        ----------
        digests : uint8 array of shape (N, 32)
            SHA-256 of the content of each, in their order.

        Returns
        -------
        int array
            Which of the images they are that are kept: all up to 131,072; of more as many, evenly
            spread, and those that the detector itself names.
        """
        kept = self._named_images(spread_evenly(len(digests), MOST_DIGESTS))
        self.images_ = digests[kept]
        return kept

    def _check_shards(self, shards: list[Shard], maps: list[tuple[int, int, int]]) -> None:
        """Refuse shards of images with feature maps (C, h, w), for which memory is too little."""

    def _summarise(self, features: FeatureBatches, shard: Shard) -> Any:
        """Return what is to be joined of a shard's feature maps, where it is ``shardable``."""
        raise NotImplementedError

    def _join(self, summaries: Iterator[Any], shards: list[Shard]) -> None:
        """Fit to what `_summarise` gave of every shard, in their order."""
        raise NotImplementedError

    def _named_images(self, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the images to keep, with those that fitted arrays name, and name them by these."""
        return kept

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is called in tables and folders."""
