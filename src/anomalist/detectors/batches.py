"""The feature maps that a detector is fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from torch import Tensor

from anomalist.data import ImageSet
from anomalist.features import Progress
from anomalist.training import Training


class FeatureBatches:
    """The feature maps of an image set, batch by batch; every iteration is a pass over all.

    Parameters
    ----------
    make : callable
        Starts a pass.
    count : int
        Number of images, which is its length.
    images : ImageSet, optional
        The images, for detectors that make others of them.
    training : Training, optional
        How a training on them is watched and kept.
    progress : callable, optional
        Called by a training with the number of images seen and the total of all epochs.
    owners : int array of shape (count,), optional
        Which photograph each is a picture of, as turned copies of one aren't independent; by
        default each of its own.
    """

    def __init__(
        self,
        make: Callable[[], Iterator[list[Tensor]]],
        count: int,
        images: ImageSet | None = None,
        training: Training | None = None,
        progress: Progress | None = None,
        owners: npt.NDArray[np.intp] | None = None,
    ) -> None:
        self._make = make
        self._count = count
        self.images = images
        self.training = training or Training()
        self.progress = progress
        self.owners = np.arange(count) if owners is None else owners

    def __iter__(self) -> Iterator[list[Tensor]]:
        return self._make()

    def __len__(self) -> int:
        return self._count
