"""The contract of a detector: what it is built from, how it is fitted and asked."""

from __future__ import annotations

import copy
import dataclasses
import json
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.calibration import (
    DEFAULT_ALPHA,
    Calibration,
    Reference,
    affordable_split,
    all_differ,
    check_split,
    held_out_scores,
    hold_out,
    number_groups,
)
from anomalist.data import (
    DEPTHS,
    ImageSet,
    ImagesLike,
    Interpolation,
    Transform,
    as_image_set,
    bit_depth_of,
    is_constant,
    load_masks,
    of_as_many_pixels,
    scaled,
    usual_size,
)
from anomalist.data.ignoring import Sight
from anomalist.data.turning import Augmentation
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.display import detector_html
from anomalist.detectors.hyperparameters import check_hyperparameters
from anomalist.detectors.input_size import (
    asked_size,
    choose_input_size,
    choose_tiles,
    size_of_maps,
    transform_to,
)
from anomalist.detectors.recall import check_unseen, is_fitted_to, join_copies, places_of
from anomalist.detectors.registering import find_registration
from anomalist.detectors.saving import Saved
from anomalist.detectors.settings import presets
from anomalist.detectors.settling import Foreground, Settled, find_ignored
from anomalist.detectors.shards import MOST_DIGESTS, Shard, spread_evenly
from anomalist.errors import DataError, ParameterError
from anomalist.features import (
    Backbone,
    FeatureStore,
    Preparation,
    Progress,
    enlarge,
    pick_device,
)
from anomalist.predictions import Predictions
from anomalist.training import Training


@dataclass(kw_only=True, eq=False)
class Detector(Saved):
    """Base of all detectors: they see good images only, and score new ones.

    A subclass is a dataclass in a file of its own in this package. Its fields are its
    hyperparameters; it names its fitted arrays in ``fitted`` and gives :meth:`_fit` and
    :meth:`_score`. The command line, the benchmark and the shared checks find it by themselves.

    Parameters
    ----------
    backbone : str
        Frozen network: ``efficientnet_lite0`` (weights installed with anomalist), ``resnet18`` or
        ``wide_resnet50_2`` (torchvision V1 weights), or any timm model.
    layers : tuple of str, optional
        Layers whose feature maps are used, as module names (``layer2``) or strides (``stride8``).
        By default those of the method's paper; of a vision transformer, two middle blocks.
    weights : str, optional
        A local ``.safetensors`` or ``.pth`` file of the backbone's weights.
    image_size : int, (int, int) or "auto"
        Height and width in pixels to which images are resized; of one number the pixels of its
        square in the proportions of the photographs, or with ``crop_size`` the square itself; or
        ``auto`` for what ``smallest_defect`` needs. PatchCore's default is 384.
    smallest_defect : int, optional
        Width in pixels of the photographs of the smallest defect that is to be found.
    tile_size : int, optional
        Side in pixels of the photographs of tiles that are brought to ``image_size`` one by one, so
        that small defects of large photographs are seen; their features make one map.
    tile_overlap : int, optional
        Pixels of the photographs that neighbouring tiles share; a quarter of a tile by default.
    crop_size : int, optional
        Side in pixels of the centre crop taken after resizing.
    interpolation : str
        Filter of the resizing: ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``.
    bit_depth : int, optional
        Bits of the camera whose values 16-bit images hold, so that the highest is white: 8, 10, 12,
        14 or 16. By default the fewest that hold every value of the training images.
    ignore : str, optional
        A mask file, white where photographs are to be ignored, of their size or at least their
        proportions.
    ignore_box : tuple of (int, int, int, int)
        Boxes to be ignored: left, top, width and height in pixels of the photographs.
    foreground : str, optional
        ``auto`` ignores all but where good photographs show the part, and a little around it.
    align : bool
        Whether photographs of a part that turns or shifts are registered: how it lies is found in
        each, and the input shows the part alone, lying as in all others.
    augment : dict, optional
        Turned and mirrored copies of every good photograph that are learnt from beside it:
        ``turn`` is the range of their angles in degrees (360 for any), ``flip`` mirrors every other
        one, and ``copies`` is their number (4).
    batch_size : int
        Images that pass the backbone at once.
    device : str
        ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best that is there.
    seed : int
        Seed of everything random.
    """

    name: ClassVar[str]
    fitted: ClassVar[tuple[str, ...]]
    #: Whether it learns epoch by epoch.
    trained: ClassVar[bool] = False
    #: Whether it can be fitted to shards of the images, each elsewhere, and put together.
    shardable: ClassVar[bool] = False
    #: Into how many parts the images are dealt to score each by a copy fitted on the others.
    folds: ClassVar[int] = 5
    #: Hyperparameters that change how fast a result comes, not which.
    cost_only: ClassVar[tuple[str, ...]] = ("batch_size", "device", "memory_limit_mb")
    #: Layers where none are given; None leaves the choice to the backbone.
    default_layers: ClassVar[tuple[str, ...] | None] = None

    backbone: str = "efficientnet_lite0"
    layers: tuple[str, ...] | None = None
    weights: str | None = None
    image_size: int | tuple[int, int] | Literal["auto"] = 256
    smallest_defect: int | None = None
    tile_size: int | None = None
    tile_overlap: int | None = None
    crop_size: int | None = None
    interpolation: Interpolation = "bilinear"
    bit_depth: int | None = None
    ignore: str | None = None
    ignore_box: tuple[tuple[int, int, int, int], ...] = ()
    foreground: Foreground | None = None
    align: bool = False
    augment: dict[str, float | bool] | None = None
    batch_size: int = 8
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    @property
    def transform(self) -> Transform:
        """How images are brought to the backbone's input."""
        depth = getattr(self, "bit_depth_", self.bit_depth) or DEPTHS[-1]
        size = getattr(self, "input_size_", asked_size(self))
        return transform_to(size, self.crop_size, self.interpolation, depth)

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

    def _taken_by_backbone(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size in the photographs' proportions, or what was asked where that isn't taken."""
        asked = asked_size(self)
        if size != asked and choose_tiles(self, size) is None:
            try:
                self.make_backbone().shapes(*size)
            except ParameterError:
                return asked  # a transformer whose tokens have places
        return size

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

    @property
    def ignores(self) -> bool:
        """Whether it was asked to ignore a part of photographs."""
        return self.ignore is not None or bool(self.ignore_box) or self.foreground is not None

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
    def view(self) -> Transform:
        """How photographs are brought to the frame of its maps.

        It is the `transform`, unless that makes a frame of tiles larger than maps are kept.
        """
        if not self._cuts:
            return self.transform
        size = size_of_maps(self.transform.output_size)
        return dataclasses.replace(self.transform, image_size=size)

    @property
    def _cuts(self) -> bool:
        """Whether it cuts photographs into tiles."""
        settled: Settled | None = vars(self).get("settled_")
        return settled is not None and choose_tiles(self, settled.input_size) is not None

    @property
    def sight(self) -> Sight:
        """How it sees images, by which they are told to look usual or not."""
        return self.preparation.sight(self.transform)

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

    def ignored_in(self, images: ImageSet) -> npt.NDArray[np.bool_] | None:
        """Return where photographs are ignored, (N, H, W) as its maps; None where nothing is."""
        return self.preparation.ignored_in(images, self.view)

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """Make a detector with the settings of a shipped preset.

        Raises
        ------
        ParameterError
            If the detector has no such preset; the error lists those it has.

        Examples
        --------
        >>> from anomalist import PatchCore
        >>> PatchCore.preset("resnet18", coreset_ratio=0.01).layers
        ('layer2', 'layer3')
        """
        available = presets(cls.name)
        if name not in available:
            known = ", ".join(available) or "none"
            raise ParameterError(f"{cls.name} has no preset {name!r}; it has: {known}")
        return cls(**{**available[name], **overrides})

    def parameters(self) -> dict[str, Any]:
        """Return all hyperparameters by name, as plain JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return values

    def fit(
        self,
        images: ImagesLike,
        *,
        groups: Iterable[Hashable] | None = None,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Training | None = None,
    ) -> Self:
        """Learn what good looks like.

        What was learnt before is forgotten first: a fit that fails leaves nothing that could be
        taken for its result.

        Parameters
        ----------
        images : ImageSet, or path, array, image or bytes, or a sequence of them
            Good images; their masks and labels are not looked at, except to refuse bad ones.
        groups : iterable of hashable, optional
            One an image, equal for images that aren't independent, for what calibrates within a
            fit, such as an ensemble; see :meth:`calibrate`.
        store : FeatureStore, optional
            Keeps feature maps for other detectors, seeds and settings.
        progress : callable, optional
            Called with the number of images read and the total.
        training : Training, optional
            How the training of a detector that is ``trained`` is watched and kept.

        Returns
        -------
        Detector
            Itself.

        Raises
        ------
        DataError
            If there is no image, one is labelled anomalous or can't be read, none of them shows
            anything, or groups aren't one an image.
        WeightsError
            If the backbone's weights can't be had.
        """
        settled = None if hasattr(self, "backbone_") else vars(self).get("settled_")
        learner = dataclasses.replace(self)
        self.__dict__ = dict(vars(learner))
        given = as_image_set(images)
        check_good(given)
        # Once for all parts of it, and for every later image.
        learner.settled_ = settled or self.settle(given)
        check_shown(given, learner.bit_depth_)
        learner._learn(given, number_groups(groups, len(given)), store, progress, training)
        # All at once, for threads that ask meanwhile.
        self.__dict__ = vars(learner)
        return self

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

    def _learn(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training | None,
    ) -> None:
        self._forget()
        self.backbone_ = self.make_backbone()
        learnt = self.learnt_from(images)
        self._fit(self._features(learnt, store, progress, training, hashed=True, views=self.views))
        self.images_ = images.digests()

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

    def calibrate(
        self,
        images: ImagesLike,
        *,
        seen: bool = True,
        groups: Iterable[Hashable] | None = None,
        split: float = 0.0,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Training | None = None,
    ) -> Predictions:
        """Learn how good images score, which gives thresholds and p-values.

        With a ``split``, it is fitted too, to the share of the images that isn't held out, unless
        it is fitted to just these already; afterwards it is that detector.

        Parameters
        ----------
        images : ImageSet, or path, array, image or bytes, or a sequence of them
            Good images.
        seen : bool
            Whether they are those that it was fitted to, in any order. Each is then scored as if it
            hadn't been seen, which costs more and promises false alarms only nearly as often as
            asked for; other images keep the promise for certain.
        groups : iterable of hashable, optional
            One an image, equal for images that aren't independent, such as shots of one part or
            frames of one run: none of a group is used to score another, and what is promised is
            for an image of a new group. Without it, every image is a group of its own.
        split : float
            Share of the images, such as 0.3, that is held out of the fit to calibrate: dealt by
            its seed, whole groups of them, copies of an image with it. What is promised then holds
            for certain. 0 holds none out.
        store : FeatureStore, optional
            Keeps feature maps for other detectors, seeds and settings.
        progress : callable, optional
            Called with the number of images done and the total.
        training : Training, optional
            How the trainings of copies are kept, each beside the checkpoint that it names; with a
            ``split`` how its own training is.

        Returns
        -------
        Predictions
            Of the images, in their order, or of those held out, by a detector that hadn't seen
            them. What they say is in ``calibration_``, a
            :class:`~anomalist.calibration.Calibration`.

        Raises
        ------
        DataError
            If there is no image, or only one, or one group, that was seen or to be split, one is
            labelled anomalous, groups aren't one an image, or images aren't those that it was
            fitted to where ``seen``, or are among them where not.
        ParameterError
            If the detector isn't fitted, unless by a ``split``, or ``split`` is below 0 or not
            below 1.

        Examples
        --------
        >>> import tempfile
        >>> from anomalist import CFA, MVTecAD
        >>> from anomalist.data import make_sample_set
        >>> root = make_sample_set(
        ...     tempfile.mkdtemp(), image_size=64, train=10, good=1, per_defect=1,
        ...     categories=["brass_key"],
        ... )
        >>> detector = CFA(image_size=64, epochs=1)
        >>> good = detector.calibrate(MVTecAD(root).category("brass_key").train, split=0.3)
        >>> len(detector.images_), len(good)
        (7, 3)
        """
        check_split(split)
        if split:
            if not seen:
                raise ParameterError("split deals images that aren't held out yet: not seen=False")
            return self._split(images, split, groups, store, progress, training)
        model = copy.copy(self)
        model._check_fitted()
        given = as_image_set(images)
        check_good(given)
        numbers = number_groups(groups, len(given))
        if seen:
            places = places_of(model.images_, given)
            kept = Training() if training is None else training
            own = number_groups(numbers[places], len(given))
            good = model._held_out(given[places], own, store, progress, kept)[np.argsort(places)]
            method = model.held_out_method
            if not all_differ(numbers):
                method += "; images of one scene together"
        else:
            check_unseen(model.images_, given)
            good = model.predict(given, store=store, progress=progress)
            method = "images that it wasn't fitted to"
        self.calibrate_by(good, method=method, groups=numbers, retrained=seen and self.trains)
        return good

    def calibrate_by(
        self,
        good: Predictions,
        *,
        method: str,
        groups: Iterable[Hashable] | None = None,
        retrained: bool = False,
    ) -> None:
        """Take thresholds, p-values and what counts as usual from predictions that are there.

        Parameters
        ----------
        good : Predictions
            By this detector, of good images that it hadn't seen, or as if, such as some of those
            that :meth:`calibrate` gave.
        method : str
            How it was seen to that it hadn't seen them.
        groups : iterable of hashable, optional
            One an image, equal for images that aren't independent.
        retrained : bool
            Whether other trainings than its own made them.

        Raises
        ------
        DataError
            If there is none, one is labelled anomalous, or groups aren't one an image.
        """
        reference = Reference.of(good, groups, self.sight)
        self.calibration_ = Calibration.of(good, method=method, groups=groups, retrained=retrained)
        self.reference_ = reference

    def deal(
        self, images: ImageSet, split: float, groups: Iterable[Hashable] | None = None
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Deal images as :meth:`calibrate` does with a ``split``.

        Parameters
        ----------
        images : ImageSet
            N good images.
        split : float
            Share to hold out.
        groups : iterable of hashable, optional
            One an image, equal for images that aren't independent.

        Returns
        -------
        held_out : bool array of shape (N,)
        groups : int64 array of shape (N,)
            Those given, with copies of an image in its group.
        """
        numbers = join_copies(images, number_groups(groups, len(images)))
        return hold_out(len(images), split, seed=self.seed, groups=numbers), numbers

    def usual_split(self, images: int, alpha: float) -> float:
        """Return the share to hold out where fit and calibration are planned and nobody asks.

        It is 0 for all that don't train, or where `affordable_split` says so.

        Parameters
        ----------
        images : int
            Number of good images, or of independent scenes that they show.
        alpha : float
            The false-alarm rate that thresholds are to have.
        """
        return affordable_split(images, alpha) if self.trains else 0.0

    def _split(
        self,
        images: ImagesLike,
        split: float,
        groups: Iterable[Hashable] | None,
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training | None,
    ) -> Predictions:
        given = as_image_set(images)
        check_good(given)
        held_out, numbers = self.deal(given, split, groups)
        learnt, others = given[np.flatnonzero(~held_out)], given[np.flatnonzero(held_out)]
        if not hasattr(self, "backbone_") or not is_fitted_to(self.images_, learnt):
            self.fit(
                learnt,
                groups=numbers[~held_out],
                store=store,
                progress=progress,
                training=training,
            )
        good = self.calibrate(
            others, seen=False, groups=numbers[held_out], store=store, progress=progress
        )
        assert self.calibration_ is not None
        method = f"{len(others)} of {len(given)} images, held out of the fit at random"
        self.calibration_ = dataclasses.replace(self.calibration_, method=method)
        return good

    def _held_out(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training,
    ) -> Predictions:
        """Score the images that it was fitted to, in their order, each as if it hadn't been seen.

        Images of one group, of which each has the number, are never used to score each other.
        Copies fitted on the other folds do it, see
        :func:`~anomalist.calibration.held_out_scores`, unless a method has a cheaper way.

        Raises
        ------
        DataError
            If there are fewer than 2 images or groups.
        """
        of_folds: list[Training] = []

        def of_fold(fold: int) -> Training:
            kept = training.checkpoint
            own = Training(checkpoint=None if kept is None else f"{kept}.fold{fold}")
            of_folds.append(own)
            return own

        good = held_out_scores(
            self,
            images,
            folds=self.count_folds(int(groups.max(initial=0)) + 1),
            seed=self.seed if self.seeded else 0,
            groups=groups,
            store=store,
            progress=progress,
            training=of_fold,
        )
        for own in of_folds:
            training.resumed_seconds += own.resumed_seconds
            training.notes += own.notes
        return good

    def count_folds(self, groups: int) -> int:
        """Return into how many folds so many independent images are dealt to be held out."""
        return self.folds

    def check_calibrates(self, images: int) -> None:
        """Refuse a number of images on which it can be fitted, but not calibrated.

        Raises
        ------
        ParameterError
            If :meth:`calibrate` would fail on as many that were seen, from 2 up.
        """

    @property
    def held_out_method(self) -> str:
        """How :meth:`calibrate` sees to it that an image wasn't seen, in words."""
        return f"{self.folds} folds, each scored by a copy fitted on the others"

    @property
    def seeded(self) -> bool:
        """Whether the seed changes anything that it gives, but for what a ``split`` holds out."""
        return True

    @property
    def trains(self) -> bool:
        """Whether it, or a part of it, is ``trained``."""
        return any(part.trained for part in self.components())

    @property
    def label(self) -> str:
        """What it is called in tables and folders."""
        return self.name

    def _repr_html_(self) -> str:
        """Show the hyperparameters and what it was fitted to, as notebooks ask for."""
        return detector_html(self)

    def components(self) -> list[Detector]:
        """Return the detectors that must be fitted for this one: itself."""
        return [self]

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

    def predict(
        self,
        images: ImagesLike,
        *,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Score images.

        Parameters
        ----------
        images : ImageSet, or path, array, image or bytes, or a sequence of them
            Any images.
        store : FeatureStore, optional
            Keeps feature maps for other detectors, seeds and settings.
        progress : callable, optional
            Called with the number of images done and the total.

        Returns
        -------
        Predictions
            Raw scores and maps at the resolution of the detector's input, with the labels and
            masks that the image set knows.

        Raises
        ------
        DataError
            If there is no image, or one can't be read.
        ParameterError
            If the detector isn't fitted.
        """
        # A copy, as another thread may fit it anew meanwhile.
        model = copy.copy(self)
        model._check_fitted()
        return model._predict(as_image_set(images), store, progress)

    def _predict(
        self, images: ImageSet, store: FeatureStore | None, progress: Progress | None
    ) -> Predictions:
        return self._predicted(images, self._score, store, progress)

    def _predicted(
        self,
        images: ImageSet,
        score: Callable[[list[Tensor]], tuple[Tensor, Tensor]],
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Predictions that this way of scoring a batch of feature maps gives."""
        if len(images) == 0:
            raise DataError(f"{images.name or 'the image set'} has no image to score")
        size = self.view.output_size
        scores = np.empty(len(images), np.float32)
        maps = np.empty((len(images), *size), np.float32)
        pooled = []
        preparation = self.preparation
        done = 0
        for features in self._features(images, store, progress):
            pooled.append(torch.cat([maps.mean(dim=(2, 3)) for maps in features], dim=1).cpu())
            batch_scores, patch_scores = score(features)
            stop = done + len(batch_scores)
            scores[done:stop] = batch_scores.cpu().numpy()
            found = preparation.back(self._enlarge(patch_scores), images[done:stop], self.view)
            maps[done:stop] = found.cpu().numpy()
            done = stop
        masks = load_masks(images, self.view)
        return Predictions(
            images.paths,
            scores,
            maps,
            images.labels,
            masks,
            images.defects,
            images=images,
            transform=self.view,
            pooled=torch.cat(pooled).float().numpy(),
            ignored=self.ignored_in(images),
        )

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

    @abstractmethod
    def _fit(self, features: FeatureBatches) -> None:
        """Fit to the feature maps of good images."""

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

    @abstractmethod
    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return image scores (B,) and patch scores (B, h, w) of a batch's feature maps."""

    def _enlarge(self, patch_scores: Tensor) -> Tensor:
        """Bring patch scores (B, h, w) to the maps' resolution, smoothed where a method does."""
        return self._in_view(patch_scores, sigma=0.0)

    def _in_view(self, patch_scores: Tensor, sigma: float) -> Tensor:
        """Enlarge patch scores (B, h, w) to maps, smoothed by so many pixels of the input.

        Where photographs are registered they are maps of what the backbone sees.
        """
        if self.preparation.registration is not None:
            return enlarge(patch_scores, self.frame.output_size, sigma)
        size = self.view.output_size
        share = size[0] / self.transform.output_size[0]
        return enlarge(patch_scores, size, sigma * share)

    @property
    def alpha_(self) -> float:
        """The false-alarm rate that it was fitted for, or the usual one if none was told."""
        return float(self.summary_.get("alpha", DEFAULT_ALPHA))


def check_good(images: ImageSet) -> None:
    """Refuse to learn from no image, or from one that is labelled anomalous."""
    if len(images) == 0:
        raise DataError(f"{images.name or 'the training set'} has no image to learn from")
    for sample in images:
        if sample.label:
            raise DataError(f"{sample.path} is labelled anomalous: fit needs good images only")


def check_shown(images: ImageSet, bit_depth: int) -> None:
    """Refuse to learn from images of which every one has one value everywhere."""
    if all(is_constant(sample, bit_depth) for sample in images):
        raise DataError(
            f"{images[0].path} has one value everywhere, as all of the images to learn from"
            f" ({len(images)}): was there light, and no cap on the lens?"
        )
