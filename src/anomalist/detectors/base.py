"""The contract of a detector: what it is built from, how it is fitted, asked, saved and loaded."""

from __future__ import annotations

import dataclasses
import json
import reprlib
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
import numpy.typing as npt
import torch
import yaml
from torch import Tensor

from anomalist.calibration import DEFAULT_ALPHA, Calibration, held_out_scores
from anomalist.data import ImageSet, Interpolation, Transform, load_masks
from anomalist.data.images import MAX_PIXELS
from anomalist.detectors.model_file import (
    Layout,
    array_state,
    check_state,
    conforms,
    read_model,
    write_model,
)
from anomalist.errors import DataError, ModelFileError, ParameterError, WeightsError
from anomalist.features import Backbone, FeatureStore, Progress
from anomalist.predictions import Predictions
from anomalist.training import Training as Training

Entry = TypeVar("Entry")

_MAX_NEIGHBOURHOOD = 31
_MAX_THUMBNAILS = 1000
_HEADER = {"detector": str, "parameters": dict[str, Any]}
_BACKBONE = {"layers": tuple[str, ...], "weights_sha256": str}


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
    """

    def __init__(
        self,
        make: Callable[[], Iterator[list[Tensor]]],
        count: int,
        images: ImageSet | None = None,
        training: Training | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._make = make
        self._count = count
        self.images = images
        self.training = training or Training()
        self.progress = progress

    def __iter__(self) -> Iterator[list[Tensor]]:
        return self._make()

    def __len__(self) -> int:
        return self._count


@dataclass(kw_only=True, eq=False)
class Detector(ABC):
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
    image_size : int or (int, int)
        Side, or height and width, in pixels to which images are resized.
    crop_size : int, optional
        Side in pixels of the centre crop taken after resizing.
    interpolation : str
        Filter of the resizing: ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``.
    batch_size : int
        Images that pass the backbone at once.
    device : str
        ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best that is there.
    seed : int
        Seed of everything random.
    """

    name: ClassVar[str]
    #: Attributes that :meth:`save` writes: arrays, dictionaries of arrays, and JSON values.
    fitted: ClassVar[tuple[str, ...]]
    #: Whether it learns epoch by epoch.
    trained: ClassVar[bool] = False
    #: Into how many parts the images are dealt to score each by a copy fitted on the others.
    folds: ClassVar[int] = 5
    #: Hyperparameters that change how fast a result comes, not which.
    cost_only: ClassVar[tuple[str, ...]] = ("batch_size", "device", "memory_limit_mb")
    #: Layers where none are given; None leaves the choice to the backbone.
    default_layers: ClassVar[tuple[str, ...] | None] = None

    backbone: str = "efficientnet_lite0"
    layers: tuple[str, ...] | None = None
    weights: str | None = None
    image_size: int | tuple[int, int] = 256
    crop_size: int | None = None
    interpolation: Interpolation = "bilinear"
    batch_size: int = 8
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in _kinds(type(self)).items():
            value = getattr(self, name)
            if not conforms(value, kind):
                raise ParameterError(f"{name} must be {_in_words(kind)}, not {reprlib.repr(value)}")
        if self.batch_size < 1:
            raise ParameterError(f"batch_size must be at least 1, not {self.batch_size}")
        if self.seed < 0:
            raise ParameterError(f"seed must not be negative, not {self.seed}")
        # A wrong size must be told before any work is done.
        height, width = self.transform.output_size
        if height * width > MAX_PIXELS:
            raise ParameterError(
                f"image_size {self.image_size} makes more than {MAX_PIXELS} pixels: lower it"
            )
        # A method that smooths, or averages neighbourhoods, has these.
        sigma = getattr(self, "sigma", 0.0)
        if not 0 <= sigma <= max(height, width):
            raise ParameterError(
                f"sigma must not be negative, nor above the image's side, not {sigma}"
            )
        side = getattr(self, "neighbourhood", 1)
        if side % 2 == 0 or not 1 <= side <= _MAX_NEIGHBOURHOOD:
            raise ParameterError(
                f"neighbourhood must be odd and positive, at most {_MAX_NEIGHBOURHOOD}, not {side}"
            )

    @property
    def transform(self) -> Transform:
        """How images are brought to the backbone's input."""
        return Transform(self.image_size, self.crop_size, self.interpolation)

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
        images: ImageSet,
        *,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Training | None = None,
    ) -> Self:
        """Learn what good looks like.

        Parameters
        ----------
        images : ImageSet
            Good images; their masks and labels are not looked at, except to refuse bad ones.
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
            If there is no image, an image is labelled anomalous or can't be read.
        WeightsError
            If the backbone's weights can't be had.
        """
        check_good(images)
        self.backbone_ = self.make_backbone()
        self._fit(self._features(images, store, progress, training))
        self._forget()
        return self

    def _forget(self) -> None:
        """Drop what was learnt beside the fit, of other images."""
        self.calibration_: Calibration | None = None
        #: What is known of the training, as JSON values, and JPEG files of some of its images.
        self.summary_: dict[str, Any] = {}
        self.thumbnails_: list[bytes] = []

    def score_held_out(
        self,
        images: ImageSet,
        *,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Training | None = None,
    ) -> Predictions:
        """Score the images that it was fitted to, each as if it hadn't been seen.

        Copies fitted on the other folds do it, see
        :func:`~anomalist.calibration.held_out_scores`, unless the method has a cheaper way, for
        which images must come in the order in which it was fitted to them. Where
        ``training`` names a checkpoint, those of the folds lie beside it.

        Raises
        ------
        DataError
            If there are fewer than 2 images.
        """

        def of_fold(fold: int) -> Training:
            kept = None if training is None else training.checkpoint
            return Training(checkpoint=None if kept is None else f"{kept}.fold{fold}")

        return held_out_scores(
            self,
            images,
            folds=self.folds,
            seed=self.seed,
            store=store,
            progress=progress,
            training=of_fold,
        )

    @property
    def held_out_method(self) -> str:
        """How :meth:`score_held_out` sees to it that an image wasn't seen, in words."""
        return f"{self.folds} folds, each scored by a copy fitted on the others"

    def calibrate(
        self,
        images: ImageSet,
        *,
        seen: bool = True,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn how good images score, which gives thresholds and p-values.

        Parameters
        ----------
        images : ImageSet
            Good images.
        seen : bool
            Whether they are those that it was fitted to. Each is then scored as if it hadn't been
            seen, which costs more and promises false alarms only nearly as often as asked for;
            other images keep the promise for certain.
        store : FeatureStore, optional
            Keeps feature maps for other detectors, seeds and settings.
        progress : callable, optional
            Called with the number of images done and the total.

        Returns
        -------
        Detector
            Itself, with ``calibration_`` set, a :class:`~anomalist.calibration.Calibration`.

        Raises
        ------
        DataError
            If there is no image, or only one that was seen, or one is labelled anomalous.
        ParameterError
            If the detector isn't fitted.
        """
        self._check_fitted()
        check_good(images)
        if seen:
            good = self.score_held_out(images, store=store, progress=progress)
            self.calibration_ = Calibration.of(good, method=self.held_out_method)
        else:
            good = self.predict(images, store=store, progress=progress)
            self.calibration_ = Calibration.of(good, method="images that it wasn't fitted to")
        return self

    @property
    def label(self) -> str:
        """What it is called in tables and folders."""
        return self.name

    def parts(self) -> list[Detector]:
        """Return the detectors that must be fitted for this one: itself."""
        return [self]

    def make_backbone(self) -> Backbone:
        """Make the frozen network that the hyperparameters name."""
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
        images: ImageSet,
        *,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Score images.

        Parameters
        ----------
        images : ImageSet
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
        self._check_fitted()
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
        size = self.transform.output_size
        scores = np.empty(len(images), np.float32)
        maps = np.empty((len(images), *size), np.float32)
        done = 0
        for features in self._features(images, store, progress):
            batch_scores, patch_scores = score(features)
            stop = done + len(batch_scores)
            scores[done:stop] = batch_scores.cpu().numpy()
            maps[done:stop] = self._enlarge(patch_scores).cpu().numpy()
            done = stop
        masks = load_masks(images, self.transform)
        return Predictions(images.paths, scores, maps, images.labels, masks, images.defects)

    def _features(
        self,
        images: ImageSet,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Training | None = None,
    ) -> FeatureBatches:
        """The feature maps of the images, from the store or through the backbone."""
        source = FeatureStore(memory_limit_mb=0) if store is None else store
        return FeatureBatches(
            lambda: source.features(
                self.backbone_, images, self.transform, self.batch_size, progress
            ),
            len(images),
            images,
            training,
            progress,
        )

    @abstractmethod
    def _fit(self, features: FeatureBatches) -> None:
        """Fit to the feature maps of good images."""

    @abstractmethod
    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return image scores (B,) and patch scores (B, h, w) of a batch's feature maps."""

    def _enlarge(self, patch_scores: Tensor) -> Tensor:
        """Bring patch scores (B, h, w) to the input's resolution, smoothed where a method does."""
        return enlarge(patch_scores, self.transform.output_size, sigma=0.0)

    @property
    def alpha_(self) -> float:
        """The false-alarm rate that it was fitted for, or the usual one if none was told."""
        return float(self.summary_.get("alpha", DEFAULT_ALPHA))

    def _check_fitted(self) -> None:
        if not hasattr(self, "backbone_"):
            raise ParameterError(f"this {type(self).__name__} isn't fitted: call fit or load first")

    def save(self, path: str | Path) -> None:
        """Write the fitted detector to one file: a JSON header and safetensors, backbone included.

        The file is written whole or not at all.

        Raises
        ------
        ParameterError
            If the detector isn't fitted.
        OSError
            If the file can't be written.
        """
        self._check_fitted()
        header, tensors = self._state()
        tensors |= {
            f"thumbnail.{i}": torch.from_numpy(np.frombuffer(jpeg, np.uint8).copy())
            for i, jpeg in enumerate(self.thumbnails_)
        }
        write_model(path, {**header, "summary": self.summary_}, tensors)

    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What a file keeps: a header of JSON values, and tensors."""
        state: dict[str, Any] = {}
        for name in self.fitted:
            value = getattr(self, name)
            if isinstance(value, dict):
                state |= {f"{name}.{key}": entry for key, entry in value.items()}
            else:
                state[name] = value
        header, tensors = self._calibration_state()
        tensors |= {
            f"state.{name}": torch.as_tensor(value).cpu().contiguous()
            for name, value in state.items()
            if isinstance(value, np.ndarray | Tensor)
        }
        tensors |= {f"backbone.{name}": t for name, t in self.backbone_.state().items()}
        header |= {
            "detector": self.name,
            "parameters": self.parameters(),
            "backbone": {
                "layers": self.backbone_.layers,
                "weights_sha256": self.backbone_.weights_sha256,
            },
            "state": {name: v for name, v in state.items() if f"state.{name}" not in tensors},
        }
        return header, tensors

    def _calibration_state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        if self.calibration_ is None:
            return {}, {}
        state = self.calibration_.state()
        arrays = {n: torch.from_numpy(v) for n, v in state.items() if isinstance(v, np.ndarray)}
        header = {"calibration": {n: v for n, v in state.items() if n not in arrays}}
        return header, {f"calibration.{name}": tensor for name, tensor in arrays.items()}

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> Self:
        """Read a detector that :meth:`save` wrote; no code from the file is run.

        Parameters
        ----------
        path : str or Path
            The file.
        device : str, optional
            Where to run, instead of the device that it was fitted with.

        Raises
        ------
        ModelFileError
            If the file is damaged, of another version, of another detector, or made for a device
            that this machine doesn't have.
        ParameterError
            If this machine doesn't have the given device.
        """
        header, tensors = read_model(path)
        if header.get("detector") != cls.name:
            held = reprlib.repr(header.get("detector"))
            raise ModelFileError(f"{path} holds a detector {held}, not a {cls.name}")
        return cls.rebuild(path, header, tensors, device)

    @classmethod
    def rebuild(
        cls,
        path: str | Path,
        header: dict[str, Any],
        tensors: dict[str, Tensor],
        device: str | None,
    ) -> Self:
        """Make it of what `read_model` read from a file; see :meth:`load`."""
        if device is not None:
            pick_device(device)
        try:
            return cls._from_state(header, tensors, device)
        except _NoDeviceError as error:
            raise ModelFileError(
                f"{path} was fitted with device={error.device}, which this machine doesn't have:"
                " choose another with --device cpu (device='cpu' in Python)"
            ) from error
        except (ModelFileError, ParameterError, WeightsError) as error:
            raise ModelFileError(
                f"{path} is damaged: {error}; copy it again, or fit the detector again"
            ) from error
        except MemoryError:
            raise
        except Exception as error:  # parts that don't fit meet operations of many kinds
            raise ModelFileError(
                f"{path} is damaged, its parts don't fit ({reprlib.repr(str(error))}): copy it"
                " again, or fit the detector again"
            ) from error

    @classmethod
    def _from_state(
        cls, header: dict[str, Any], tensors: dict[str, Tensor], device: str | None
    ) -> Self:
        """Make it again from what `_state` returned."""
        _expect(header, _HEADER)
        parameters: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in header["parameters"].items()
        }
        unknown = parameters.keys() - _kinds(cls).keys()
        if unknown:
            name = reprlib.repr(min(unknown))
            raise ModelFileError(f"{cls.name} has no hyperparameter {name}")
        if device is not None:
            parameters["device"] = device
        self = cls(**parameters)
        left = dict(tensors)
        thumbnails = take_below("thumbnail.", left)
        calibration = take_below("calibration.", left)
        # What is quick to check comes first: a network takes longest to make.
        self._forget()
        self.calibration_ = saved_calibration(header, calibration)
        self.summary_ = checked_summary(header.get("summary", {}))
        layout = {str(i): Layout(np.uint8, (f"of {i}",)) for i in range(len(thumbnails))}
        if len(thumbnails) > _MAX_THUMBNAILS:
            raise ModelFileError(f"it has {len(thumbnails)} thumbnails")
        arrays = array_state(thumbnails)
        check_state(arrays, layout)
        self.thumbnails_ = [arrays[name].tobytes() for name in layout]
        self._load_state(header, left, device)
        return self

    def _load_state(
        self, header: dict[str, Any], tensors: dict[str, Tensor], device: str | None
    ) -> None:
        """Take over the fitted state of `_state`: all tensors that there are."""
        _expect(header, {"backbone": _BACKBONE, "state": dict[str, Any]})
        left = dict(tensors)
        weights = take_below("backbone.", left)
        arrays = array_state(take_below("state.", left))
        if left:
            raise ModelFileError(f"it holds {reprlib.repr(min(left))}, which doesn't belong there")
        self.backbone_ = Backbone.from_state(
            self.backbone,
            header["backbone"]["layers"],
            weights,
            header["backbone"]["weights_sha256"],
            device=pick_device(self.device),
        )
        state = {**header["state"], **arrays}
        for name in self.fitted:
            value = below(f"{name}.", state)
            if not value and name not in state:
                raise ModelFileError(f"{name} is missing")
            setattr(self, name, value or state[name])
        maps = self.backbone_.shapes(*self.transform.output_size)
        check_state(state, self._layout(maps))
        self._restore()

    @abstractmethod
    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        """What the fitted arrays must be for feature maps of shapes (C, h, w).

        It names a `Layout` for every array, as :meth:`save` does (``bank_``, or ``network_.shift``
        of a dictionary), and the type of every other value. Nothing of a model file that doesn't
        fit is scored with.
        """

    def _restore(self) -> None:  # noqa: B027 - most detectors have nothing to rebuild
        """Rebuild after loading what follows from the fitted arrays."""


def check_good(images: ImageSet) -> None:
    """Refuse to learn from no image, or from one that is labelled anomalous."""
    if len(images) == 0:
        raise DataError(f"{images.name or 'the training set'} has no image to learn from")
    for sample in images:
        if sample.label:
            raise DataError(f"{sample.path} is labelled anomalous: fit needs good images only")


class _NoDeviceError(ParameterError):
    """A device that isn't there."""

    def __init__(self, message: str, device: str) -> None:
        super().__init__(message)
        self.device = device


@cache
def _kinds(detector: type[Detector]) -> dict[str, Any]:
    """Type hints of the hyperparameters."""
    hints = get_type_hints(detector)
    return {field.name: hints[field.name] for field in dataclasses.fields(detector)}


def _in_words(kind: Any) -> str:
    """A type hint for people.

    Examples
    --------
    >>> _in_words(int | tuple[int, int]), _in_words(float | None)
    ('a whole number or a list', 'a finite number or null')
    """
    plain = {int: "a whole number", float: "a finite number", str: "text", type(None): "null"}
    if get_origin(kind) is Literal:
        return " or ".join(str(value) for value in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_in_words(part) for part in get_args(kind))
    return plain.get(kind, "a list")


def _expect(header: dict[str, Any], kinds: dict[str, Any]) -> None:
    for key, kind in kinds.items():
        if not conforms(header, {key: kind}):
            raise ModelFileError(f"its header lacks or garbles {key!r}")


#: What is known of the images that a detector was fitted to; none of it, or all.
SUMMARY = {
    "alpha": float,
    "name": str,
    "images": int,
    "left_out": int,
    "sizes": tuple[tuple[int, int, int], ...],
    "data_hash": str,
    "known_images": tuple[str, ...],
    "version": str,
}


def checked_summary(summary: Any) -> dict[str, Any]:
    """Return the summary of a header.

    Raises
    ------
    ModelFileError
        If a value makes no sense.
    """
    if not isinstance(summary, dict):
        raise ModelFileError("its header lacks or garbles 'summary'")
    for key, kind in SUMMARY.items():
        if key in summary and not conforms(summary[key], kind):
            raise ModelFileError(f"its summary garbles {key!r}")
    if not 0 < summary.get("alpha", 0.05) < 1:
        raise ModelFileError("its summary garbles 'alpha'")
    return dict(summary)


def saved_calibration(header: dict[str, Any], tensors: dict[str, Tensor]) -> Calibration | None:
    """Return the calibration of a header and its arrays, if there is one.

    Raises
    ------
    ModelFileError
        If it makes no sense.
    """
    values = header.get("calibration", {})
    if not isinstance(values, dict):
        raise ModelFileError("its header lacks or garbles 'calibration'")
    state = {**values, **array_state(tensors)}
    return Calibration.from_state(state) if state else None


def take_below(prefix: str, entries: dict[str, Entry]) -> dict[str, Entry]:
    """Return the entries `below` a prefix, and take them out."""
    taken = below(prefix, entries)
    for name in taken:
        del entries[prefix + name]
    return taken


def below(prefix: str, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the entries whose names begin with a prefix, under what follows it.

    Examples
    --------
    >>> below("state.", {"state.bank": 1, "backbone.bank": 2})
    {'bank': 1}
    """
    return {n.removeprefix(prefix): e for n, e in entries.items() if n.startswith(prefix)}


def presets(detector: str) -> dict[str, dict[str, Any]]:
    """Return the shipped presets of a detector: hyperparameters by preset name.

    Examples
    --------
    >>> sorted(presets("patchcore"))
    ['efficientnet_lite0', 'resnet18', 'wide_resnet50_2']
    """
    folder = files("anomalist.detectors") / "presets" / detector
    found = {}
    if folder.is_dir():
        for file in sorted(folder.iterdir(), key=lambda f: f.name):
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
            found[file.name.removesuffix(".yaml")] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in values.items()
            }
    return found


def pick_device(device: str) -> torch.device:
    """Return the device of that name, or the best that is there for ``auto``.

    Raises
    ------
    ParameterError
        If there is no such device on this machine.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    kind, _, number = device.partition(":")
    if kind not in there or (number and not (number.isascii() and number.isdigit())):
        raise ParameterError(f"device must be auto, cpu, cuda or mps, not {reprlib.repr(device)}")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not there[kind] or (number and len(number) > 3) or int(number or 0) >= count:
        raise _NoDeviceError(
            f"this machine has no {device} device: choose --device auto or cpu", device
        )
    return torch.device(device)


def enlarge(patch_scores: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Interpolate patch scores bilinearly to the input's size and smooth them.

    Both steps are linear and separable, so together they are one small matrix a side.

    Parameters
    ----------
    patch_scores : Tensor of shape (B, h, w)
        A score a patch.
    size : (int, int)
        Height and width to reach, in pixels.
    sigma : float
        Standard deviation of the Gaussian in pixels, cut at four of it, mirrored at borders as by
        ``scipy.ndimage.gaussian_filter``; 0 leaves it out.

    Returns
    -------
    Tensor of shape (B, H, W)

    Examples
    --------
    >>> enlarge(torch.ones(1, 2, 2), (8, 8), sigma=4.0).round(decimals=5).unique()
    tensor([1.])
    """
    rows = _operator(patch_scores.shape[1], size[0], sigma).to(patch_scores.device)
    columns = _operator(patch_scores.shape[2], size[1], sigma).to(patch_scores.device)
    return rows @ patch_scores @ columns.T


@lru_cache(maxsize=16)
def _operator(source: int, target: int, sigma: float) -> Tensor:
    """The (target, source) matrix that interpolates bilinearly, then smooths."""
    # Half-pixel centres, the border repeated: what torch calls align_corners=False.
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(position.astype(int), max(source - 2, 0))
    matrix = np.zeros((target, source))
    rows = np.arange(target)
    matrix[rows, left] = 1 - (position - left)
    matrix[rows, np.minimum(left + 1, source - 1)] += position - left
    if sigma > 0:
        matrix = _gaussian(target, sigma) @ matrix
    return torch.from_numpy(matrix.astype(np.float32))


def _gaussian(size: int, sigma: float) -> npt.NDArray[np.float64]:
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    mirrored = np.pad(np.arange(size), radius, mode="symmetric")
    matrix = np.zeros((size, size))
    for i in range(size):
        np.add.at(matrix[i], mirrored[i : i + 2 * radius + 1], kernel)
    return matrix
