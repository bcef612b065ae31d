"""What a detector makes of photographs before its method sees them, and of its maps after."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from anomalist.data import (
    DEPTHS,
    ImageSet,
    Interpolation,
    Transform,
    bit_depth_of,
    of_as_many_pixels,
    scaled,
    usual_size,
)
from anomalist.data.ignoring import Sight
from anomalist.data.turning import Augmentation
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.input_size import (
    asked_size,
    choose_input_size,
    choose_tiles,
    size_of_maps,
    transform_to,
)
from anomalist.detectors.recall import is_fitted_to
from anomalist.detectors.registering import find_registration
from anomalist.detectors.saving import Saved
from anomalist.detectors.settling import Foreground, Settled, find_ignored
from anomalist.errors import ParameterError
from anomalist.features import Backbone, FeatureStore, Preparation, Progress, enlarge, pick_device
from anomalist.training import Training


class Sighted(Saved):
    """A detector by how it sees photographs: from the file to feature maps, and back to its frame.

    Most of it is settled once, by all good photographs, before it learns from any.
    """

    # The hyperparameters, which `Detector` has as fields.
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    default_layers: ClassVar[tuple[str, ...] | None]
    layers: tuple[str, ...] | None
    weights: str | None
    image_size: int | tuple[int, int] | Literal["auto"]
    interpolation: Interpolation
    ignore: str | None
    ignore_box: tuple[tuple[int, int, int, int], ...]
    foreground: Foreground | None
    augment: dict[str, float | bool] | None
    batch_size: int
    seed: int

    @property
    def augmentation(self) -> Augmentation | None:
        """Which copies of photographs it learns from."""
        return None if self.augment is None else Augmentation.from_mapping(self.augment)

    @property
    def views(self) -> int:
        """Pictures of each photograph that it learns from: itself, and its copies if any."""
        made = self.augmentation
        return 1 if made is None else 1 + made.count

    def learnt_from(self, images: ImageSet) -> ImageSet:
        """Return the pictures that it learns from: each photograph, followed by its copies."""
        made = self.augmentation
        return images if made is None else made.of(images, self.seed)

    @property
    def transform(self) -> Transform:
        """How images are brought to the backbone's input."""
        depth = getattr(self, "bit_depth_", self.bit_depth) or DEPTHS[-1]
        size = getattr(self, "input_size_", asked_size(self))
        return transform_to(size, self.crop_size, self.interpolation, depth)

    @property
    def view(self) -> Transform:
        """How photographs are brought to the frame of its maps.

        It is the `transform`, unless that makes a frame of tiles larger than maps are kept.
        """
        if not self._cuts:
            return self.transform
        size = size_of_maps(self.transform.output_size)
        return dataclasses.replace(self.transform, image_size=size)

    @property
    def frame(self) -> Transform:
        """What brings an image of what the backbone sees, the part alone if registered, to it."""
        registration, plain = self.preparation.registration, self.transform
        if registration is None:
            return plain
        return dataclasses.replace(plain, image_size=registration.frame, crop_size=None)

    @property
    def source(self) -> Transform:
        """What brings photographs to the size that is enough of them."""
        registration, plain = self.preparation.registration, self.transform
        if registration is None:
            return plain
        return registration.brings(plain.interpolation, plain.bit_depth)

    @property
    def preparation(self) -> Preparation:
        """What happens to images between the transform and the backbone, and to maps afterwards.

        It is nothing until a fit has settled it.
        """
        settled: Settled | None = vars(self).get("settled_")
        if settled is None:
            return Preparation()
        tiles = choose_tiles(self, settled.input_size)
        return Preparation(settled.ignored, tiles, self.batch_size, settled.registration)

    @property
    def ignores(self) -> bool:
        """Whether it was asked to ignore a part of photographs."""
        return self.ignore is not None or bool(self.ignore_box) or self.foreground is not None

    @property
    def _cuts(self) -> bool:
        """Whether it cuts photographs into tiles."""
        settled: Settled | None = vars(self).get("settled_")
        return settled is not None and choose_tiles(self, settled.input_size) is not None

    @property
    def sight(self) -> Sight:
        """How it sees images, by which they are told to look usual or not."""
        return self.preparation.sight(self.transform)

    def ignored_in(self, images: ImageSet) -> npt.NDArray[np.bool_] | None:
        """Return where photographs are ignored, (N, H, W) as its maps; None where nothing is."""
        return self.preparation.ignored_in(images, self.view)

    def input_size_of(self, images: ImageSet) -> tuple[int, int]:
        """Return the height and width to which a fit to these images resizes them and all later.

        Parameters
        ----------
        images : ImageSet
            Good images, at least one.

        Raises
        ------
        DataError
            If the size of one can't be read.
        """
        return self._taken_by_backbone(choose_input_size(self, images))

    def planned(self, images: ImageSet) -> tuple[Transform, Preparation]:
        """Return how a fit to these images will see them, but for what only the fit finds out.

        Parameters
        ----------
        images : ImageSet
            Good images, at least one.

        Returns
        -------
        transform : Transform
        preparation : Preparation
            With tiles, if any.

        Raises
        ------
        DataError
            If an image can't be read.
        """
        size = self.input_size_of(images)
        depth = self.bit_depth or bit_depth_of(images)
        transform = transform_to(size, self.crop_size, self.interpolation, depth)
        return transform, Preparation(tiles=choose_tiles(self, size), at_once=self.batch_size)

    def settle(self, images: ImageSet) -> Settled:
        """Find out of good photographs what :meth:`fit` settles before it learns from any.

        Parameters
        ----------
        images : ImageSet
            Those to be fitted to, or enough of them to tell.

        Raises
        ------
        DataError
            If an image or a mask can't be read, or what is to be ignored makes no sense for them.
        """
        size = self.input_size_of(images)
        depth = self.bit_depth or bit_depth_of(images)
        transform = transform_to(size, self.crop_size, self.interpolation, depth)
        registration = None
        if self.align:
            scale = size[0] / usual_size(images)[0]
            registration = find_registration(
                images, transform, lambda shown: self._frame_of(shown, scale)
            )
        ignored = find_ignored(
            images,
            transform,
            registration,
            mask=self.ignore,
            boxes=self.ignore_box,
            foreground=self.foreground,
            batch_size=self.batch_size,
        )
        return Settled(depth, size, ignored, registration)

    def _taken_by_backbone(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size in the photographs' proportions, or what was asked where that isn't taken."""
        asked = asked_size(self)
        if size != asked and choose_tiles(self, size) is None:
            try:
                self.make_backbone().shapes(*size)
            except ParameterError:
                return asked  # a transformer whose tokens have places
        return size

    def _frame_of(self, shown: tuple[int, int], scale: float) -> tuple[int, int]:
        """The input's height and width for what is looked at, of so many pixels.

        An ``image_size`` that defects decide, which scales photographs so, scales it alike.
        """
        if isinstance(self.image_size, tuple):
            return self.image_size
        if self.image_size == "auto":
            return self._taken_by_backbone(scaled(shown, scale))
        return self._taken_by_backbone(of_as_many_pixels(self.image_size, shown))

    def unfitted(self, images: ImageSet) -> Self:
        """Return a copy to be fitted to a part of some images, with what is settled by all of them.

        Parameters
        ----------
        images : ImageSet
            All of the good images; if it is fitted to just these, they needn't be looked at again.

        Raises
        ------
        DataError
            As :meth:`settle`.
        """
        known = hasattr(self, "backbone_") and is_fitted_to(self.images_, images)
        return self.settled_by(self.settled_ if known else self.settle(images))

    def settled_by(self, settled: Settled) -> Self:
        """Return a copy that isn't fitted, but for which this is settled."""
        copied = dataclasses.replace(self, bit_depth=settled.bit_depth)
        copied.settled_ = settled
        return copied

    def make_backbone(self) -> Backbone:
        """Borrow the frozen network that the hyperparameters name."""
        device = pick_device(self.device)
        try:
            layers = self.layers or self.default_layers
            return Backbone(self.backbone, layers, weights=self.weights, device=device)
        except ParameterError:
            if self.layers is not None or self.default_layers is None:
                raise
            # A transformer has no strides to choose from.
            return Backbone(self.backbone, weights=self.weights, device=device)

    def _features(
        self,
        images: ImageSet,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Training | None = None,
        *,
        hashed: bool = False,
        views: int = 1,
    ) -> FeatureBatches:
        """The feature maps of the images, from the store or through the backbone.

        So many of them, one after the other, are pictures of one photograph.
        """
        source = FeatureStore(memory_limit_mb=0) if store is None else store
        preparation = self.preparation
        return FeatureBatches(
            lambda: source.features(
                self.backbone_,
                images,
                self.transform,
                preparation.photographs_at_once(self.batch_size),
                progress,
                preparation=preparation,
                hashed=hashed,
            ),
            len(images),
            images,
            training,
            progress,
            np.arange(len(images)) // views,
        )

    def _in_view(self, patch_scores: Tensor, sigma: float) -> Tensor:
        """Enlarge patch scores (B, h, w) to maps, smoothed by so many pixels of the input.

        Where photographs are registered they are maps of what the backbone sees.
        """
        if self.preparation.registration is not None:
            return enlarge(patch_scores, self.frame.output_size, sigma)
        size = self.view.output_size
        share = size[0] / self.transform.output_size[0]
        return enlarge(patch_scores, size, sigma * share)
