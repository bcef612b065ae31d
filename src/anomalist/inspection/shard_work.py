"""What is done with one shard of the images to learn from, wherever it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from anomalist.conditions import learnt_look, widen_looks
from anomalist.data import ImageSet, Sample
from anomalist.data.copies import SIDE, pictures_of
from anomalist.data.ignoring import Sight
from anomalist.data.names import plural
from anomalist.data.remarks import Remarks
from anomalist.detectors import Detector
from anomalist.detectors.settling import Settled
from anomalist.detectors.shards import Shard, spread_evenly
from anomalist.errors import DataError
from anomalist.inspection.copies import MOST_PICTURES
from anomalist.origins import named

#: Called with a shard's number and how many of its images were read.
OnShard = Callable[[int, int], None]


@dataclass
class Told:
    """What reading images told beside what is learnt of them, small however many they are.

    Parameters
    ----------
    digests : list of bytes
        The SHA-256 of each.
    sizes : Counter
        How many have which height and width.
    looks : dict
        The range of each number of how they look.
    remarks : Remarks
        What reading them told.
    deep : int
        How many have 16 bits.
    pictures : uint8 array of shape (p, 128, 128)
        Small pictures of those that were asked for.
    """

    digests: list[bytes] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    looks: dict[str, list[float]] = field(default_factory=dict)
    remarks: Remarks = field(default_factory=Remarks)
    deep: int = 0
    pictures: npt.NDArray[np.uint8] = field(
        default_factory=lambda: np.empty((0, SIDE, SIDE), np.uint8)
    )

    def add(self, sample: Sample, sight: Sight, white: int | None = None) -> None:
        """Take in what is known of an image that was read.

        Parameters
        ----------
        sample : Sample
            The image.
        sight : Transform or Filled
            How the detector saw it.
        white : int, optional
            What no value of an image of 16 bits may exceed.

        Raises
        ------
        DataError
            If one does, or the file is gone.
        """
        self.digests.append(bytes.fromhex(sample.sha256()))
        self.sizes[sample.size()] += 1
        self.remarks.add(named(str(sample.path)), sample.remarks(sight.bit_depth))
        widen_looks(self.looks, learnt_look(sample.look(sight)))
        sample.forget_looks()
        peak = sample.peak()
        self.deep += peak > 0
        if white is not None and peak > white:
            raise DataError(
                f"{sample.path} has the value {peak}, above the {white} that the images looked at"
                f" first leave as white ({sight.bit_depth} bits): say what the camera has with"
                " --bit_depth"
            )

    def merge(self, other: Told) -> None:
        """Take in what was told of other images, but for digests and pictures."""
        self.sizes += other.sizes
        self.remarks.merge(other.remarks)
        widen_looks(self.looks, other.looks)
        self.deep += other.deep


@dataclass(frozen=True)
class Summarised:
    """What comes home of a shard.

    Parameters
    ----------
    summary : tuple of arrays and numbers
        What the detector joins.
    told : Told
        What reading the images told.
    """

    summary: Any
    told: Told


@dataclass(frozen=True, eq=False)
class ShardWork:
    """A shard, and all that it takes to learn from it; it can be pickled.

    Parameters
    ----------
    detector : Detector
        Its settings are what counts.
    shard : Shard
        Which of all images they are.
    images : ImageSet
        The images.
    settled : Settled
        What some of the images settled.
    depth_given : bool
        Whether somebody said how many bits the camera has, rather than those images.
    pictured : int array
        Of which of the images small pictures are kept.
    """

    detector: Detector
    shard: Shard
    images: ImageSet
    settled: Settled
    depth_given: bool
    pictured: npt.NDArray[np.intp]

    def __call__(self, progress: OnShard | None = None) -> Summarised:
        """Learn from the shard.

        Raises
        ------
        DataError
            If an image can't be read.
        """
        told = Told()
        sight = self.sight
        white = None if self.depth_given else 2**self.settled.bit_depth - 1
        seen = 0

        def look(done: int, _: int) -> None:
            nonlocal seen
            for sample in self.images[seen:done]:
                told.add(sample, sight, white)
            seen = done
            if progress is not None:
                progress(self.shard.index, done)

        summary = self.detector.summarise(
            self.images, self.shard, settled=self.settled, progress=look
        )
        told.pictures = pictures_of(self.images[self.pictured], self.settled.bit_depth)
        return Summarised(summary, told)

    @property
    def sight(self) -> Sight:
        """How the detector sees the images."""
        return self.detector.settled_by(self.settled).sight


@dataclass(frozen=True, eq=False)
class Home:
    """Where what comes home of the shards is put together, in their order.

    Parameters
    ----------
    images : ImageSet
        All N images to learn from.
    told : Told
        What reading them told.
    digests : uint8 array of shape (N, 32)
        The SHA-256 of each.
    pictured : int array
        Of which of them small pictures are kept.
    pictures : uint8 array of shape (p, 128, 128)
        These.
    """

    images: ImageSet
    told: Told
    digests: npt.NDArray[np.uint8]
    pictured: npt.NDArray[np.intp]
    pictures: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, images: ImageSet) -> Self:
        """Make room for what some images will tell."""
        pictured = spread_evenly(len(images), MOST_PICTURES)
        pictures = np.empty((len(pictured), SIDE, SIDE), np.uint8)
        return cls(images, Told(), np.empty((len(images), 32), np.uint8), pictured, pictures)

    def work(self, detector: Detector, shard: Shard, settled: Settled) -> ShardWork:
        """Return what is to be done with a shard."""
        pictured = np.flatnonzero(np.isin(shard.places, self.pictured))
        given = detector.bit_depth is not None
        return ShardWork(detector, shard, self.images[shard.slice], settled, given, pictured)

    def summaries(self, results: Iterable[Summarised], works: list[ShardWork]) -> Iterator[Any]:
        """Give what the detector joins, and keep the rest."""
        for work, result in zip(works, results, strict=True):
            places = work.shard.places
            self.told.merge(result.told)
            self.digests[places] = np.frombuffer(b"".join(result.told.digests), np.uint8).reshape(
                -1, 32
            )
            chosen = np.searchsorted(self.pictured, places[work.pictured])
            self.pictures[chosen] = result.told.pictures
            yield result.summary

    def unlike(self, sample: ImageSet) -> tuple[npt.NDArray[np.intp], list[str]]:
        """Find which images of a sample aren't the same, byte for byte, as one learnt from.

        Returns
        -------
        places : int array
            In the sample.
        notes : list of str
            How many are left out.
        """
        same = np.isin(_keys(sample.digests()), _keys(self.digests))
        notes = []
        if same.any():
            told = "image is" if same.sum() == 1 else "images are"
            notes.append(
                f"{same.sum()} of the {len(sample)} images drawn to calibrate aren't used: the"
                f" {told} the same as one learnt from"
            )
        return np.flatnonzero(~same), notes

    def notes(self, test: ImageSet) -> list[str]:
        """Tell of images that are the same, byte for byte, among them and those to test on."""
        notes = []
        keys = _keys(self.digests)
        if extra := len(keys) - len(np.unique(keys)):
            notes.append(
                f"{plural(extra, 'image')} to learn from {'is' if extra == 1 else 'are'} the same"
                " as another"
            )
        seen = np.isin(_keys(test.digests()), keys)
        if seen.any():
            notes.append(
                f"{plural(int(seen.sum()), 'image')} to test on"
                f" {'is' if seen.sum() == 1 else 'are'} among those to learn from, such as"
                f" {test[int(seen.argmax())].path}: what is measured on them says nothing"
            )
        return notes


def _keys(digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.bytes_]:
    """Digests as values that can be compared and sorted."""
    return np.ascontiguousarray(digests).view("S32").ravel()


#: Does the work of all shards, and gives what comes home in their order.
Runner = Callable[[Sequence[ShardWork], OnShard | None], Iterator[Summarised]]


def one_by_one(works: Sequence[ShardWork], progress: OnShard | None) -> Iterator[Summarised]:
    """Do the work of all shards in this process, one after the other."""
    for work in works:
        yield work(progress)
