"""The contract of a detector: what it is built from, how it is fitted and asked."""

from __future__ import annotations

import copy
import dataclasses
import json
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.calibration import number_groups
from anomalist.data import ImageSet, ImagesLike, Interpolation, as_image_set, load_masks
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.calibrating import Calibrated
from anomalist.detectors.display import detector_html
from anomalist.detectors.good_images import check_good, check_shown
from anomalist.detectors.hyperparameters import check_hyperparameters
from anomalist.detectors.settings import presets
from anomalist.detectors.settling import Foreground
from anomalist.detectors.shards import Shardable
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore, Progress
from anomalist.predictions import Predictions
from anomalist.training import Training


@dataclass(kw_only=True, eq=False)
class Detector(Calibrated, Shardable):
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
        Side of the square that has as many pixels as the input, or its height and width, or
        ``auto`` by ``smallest_defect``. PatchCore has 384.
    smallest_defect : int, optional
        Width in pixels of the photographs of the smallest defect that is to be found.
    tile_size : int, optional
        Side in pixels of the photographs of tiles that are brought to ``image_size`` one by one, so
        that small defects of large photographs are seen; their features make one map.
    tile_overlap : int, optional
        Pixels of the photographs that neighbouring tiles share; a quarter of a tile by default.
    crop_size : int, optional
        Side in pixels of the centre crop taken after resizing to a square.
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
        Whether a part that turns or shifts is found in each photograph, and looked at alone, lying
        as in all others.
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

    @abstractmethod
    def _fit(self, features: FeatureBatches) -> None:
        """Fit to the feature maps of good images."""

    @abstractmethod
    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return image scores (B,) and patch scores (B, h, w) of a batch's feature maps."""

    def _enlarge(self, patch_scores: Tensor) -> Tensor:
        """Bring patch scores (B, h, w) to the maps' resolution, smoothed where a method does."""
        return self._in_view(patch_scores, sigma=0.0)

    def components(self) -> list[Detector]:
        """Return the detectors that must be fitted for this one: itself."""
        return [self]

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
