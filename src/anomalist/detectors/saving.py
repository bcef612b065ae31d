"""How a fitted detector becomes a model file, and one again; no code from a file is run."""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.calibration import Calibration, Reference
from anomalist.data import DEPTHS, Transform
from anomalist.data.copies import SIDE
from anomalist.detectors.hyperparameters import hyperparameter_kinds
from anomalist.detectors.input_size import asked_size, check_input_size
from anomalist.detectors.settling import Settled
from anomalist.errors import ModelFileError, ParameterError, WeightsError, is_out_of_memory
from anomalist.features import Backbone, NoDeviceError, Preparation, pick_device
from anomalist.models import (
    Layout,
    array_state,
    below,
    check_state,
    checked_summary,
    expect,
    read_model,
    saved_calibration,
    saved_reference,
    take_below,
    write_model,
)

_MAX_THUMBNAILS = 1000
_HEADER = {"detector": str, "parameters": dict[str, Any]}
_BACKBONE = {"layers": tuple[str, ...], "weights_sha256": str}
_DIGEST = 32


class Saved(ABC):
    """A fitted detector that can be written to a file and read again.

    Attributes
    ----------
    backbone_ : Backbone
        The frozen network.
    images_ : uint8 array of shape (n, 32)
        SHA-256 of the content of each image that it was fitted to, in their order.
    calibration_ : Calibration or None
        How good images score.
    reference_ : Reference or None
        What the good images look like that calibrated it, to hold new ones against.
    settled_ : Settled
        What was found out about the photographs before it learnt from any.
    summary_ : dict
        What is known of the fit, as JSON values.
    thumbnails_ : list of bytes
        JPEG files of some of the images.
    pictures_ : uint8 array of shape (p, 128, 128)
        Small grey pictures of the images, or of as many as are kept, evenly spread: by them near
        copies are found, see `~anomalist.data.copies.find_copies`.
    """

    name: ClassVar[str]
    #: Attributes that :meth:`save` writes: arrays, dictionaries of arrays, and JSON values.
    fitted: ClassVar[tuple[str, ...]]

    backbone: str
    crop_size: int | None
    align: bool
    bit_depth: int | None
    device: str
    backbone_: Backbone
    images_: npt.NDArray[np.uint8]
    settled_: Settled
    calibration_: Calibration | None
    reference_: Reference | None
    summary_: dict[str, Any]
    thumbnails_: list[bytes]
    pictures_: npt.NDArray[np.uint8]

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
        if self.reference_ is not None:
            header["reference"] = self.reference_.state()
        if len(self.pictures_):
            tensors["pictures"] = torch.from_numpy(self.pictures_)
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
        settled = self.settled_.arrays()
        tensors |= {f"preparation.{name}": torch.from_numpy(a) for name, a in settled.items()}
        tensors["images"] = torch.from_numpy(self.images_)
        header |= {
            "detector": self.name,
            "parameters": self.parameters(),
            "bit_depth": self.bit_depth_,
            "input_size": list(self.input_size_),
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
        except NoDeviceError as error:
            raise ModelFileError(
                f"{path} was fitted with device={error.device}, which this machine doesn't have:"
                " choose another with --device cpu (device='cpu' in Python)"
            ) from error
        except (ModelFileError, ParameterError, WeightsError) as error:
            raise ModelFileError(
                f"{path} is damaged: {error}; copy it again, or fit the detector again"
            ) from error
        except Exception as error:  # parts that don't fit meet operations of many kinds
            if is_out_of_memory(error):
                raise
            raise ModelFileError(
                f"{path} is damaged, its parts don't fit ({reprlib.repr(str(error))}): copy it"
                " again, or fit the detector again"
            ) from error

    @classmethod
    def _from_state(
        cls, header: dict[str, Any], tensors: dict[str, Tensor], device: str | None
    ) -> Self:
        """Make it again from what `_state` returned."""
        expect(header, _HEADER)
        parameters: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in header["parameters"].items()
        }
        unknown = parameters.keys() - hyperparameter_kinds(cls).keys()
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
        self.reference_ = saved_reference(header)
        self.summary_ = checked_summary(header.get("summary", {}))
        layout = {str(i): Layout(np.uint8, (f"of {i}",)) for i in range(len(thumbnails))}
        if len(thumbnails) > _MAX_THUMBNAILS:
            raise ModelFileError(f"it has {len(thumbnails)} thumbnails")
        arrays = array_state(thumbnails)
        check_state(arrays, layout)
        self.thumbnails_ = [arrays[name].tobytes() for name in layout]
        if "pictures" in left:
            pictures = array_state({"pictures": left.pop("pictures")})
            check_state(pictures, {"pictures": Layout(np.uint8, ("p", SIDE, SIDE))})
            self.pictures_ = pictures["pictures"]
        self._load_state(header, left, device)
        return self

    def _load_state(
        self, header: dict[str, Any], tensors: dict[str, Tensor], device: str | None
    ) -> None:
        """Take over the fitted state of `_state`: all tensors that there are."""
        expect(header, {"bit_depth": int, "backbone": _BACKBONE, "state": dict[str, Any]})
        left = dict(tensors)
        prepared = array_state(take_below("preparation.", left))
        self.settled_ = self._saved_view(header)
        self.settled_ = self.settled_.with_arrays(
            prepared, self.transform.output_size, ignores=self.ignores, aligns=self.align
        )
        weights = take_below("backbone.", left)
        images = array_state({"images": left.pop("images")} if "images" in left else {})
        check_state(images, {"images": Layout(np.uint8, ("n", _DIGEST))})
        self.images_ = images["images"]
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
        maps = self.preparation.shapes(self.backbone_, self.transform.output_size)
        check_state(state, self._layout(maps))
        self._restore()

    def _saved_view(self, header: dict[str, Any]) -> Settled:
        """How images are read and resized, which isn't all that was settled."""
        bit_depth: int = header["bit_depth"]
        if bit_depth not in DEPTHS or self.bit_depth not in (None, bit_depth):
            raise ModelFileError("its header garbles 'bit_depth'")
        # Files of earlier versions don't tell: their photographs were squeezed to a square.
        size = asked_size(self)
        if "input_size" in header:
            expect(header, {"input_size": tuple[int, int]})
            height, width = header["input_size"]
            size = height, width
            check_input_size(self, size)
        return Settled(bit_depth, size)

    @property
    def bit_depth_(self) -> int:
        """Bits of the camera whose values 16-bit images hold, which decide what is white."""
        return self.settled_.bit_depth

    @property
    def input_size_(self) -> tuple[int, int]:
        """Height and width to which images are resized, before a crop."""
        return self.settled_.input_size

    @property
    @abstractmethod
    def ignores(self) -> bool:
        """Whether it was asked to ignore a part of photographs."""

    @property
    @abstractmethod
    def preparation(self) -> Preparation:
        """What happens to images between the transform and the backbone."""

    @property
    @abstractmethod
    def transform(self) -> Transform:
        """How images are brought to the backbone's input."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Return all hyperparameters by name, as plain JSON values."""

    def _check_fitted(self) -> None:
        if not hasattr(self, "backbone_"):
            raise ParameterError(f"this {type(self).__name__} isn't fitted: call fit or load first")

    def _forget(self) -> None:
        """Drop what was learnt beside the fit, of other images."""
        self.calibration_ = None
        self.reference_ = None
        self.summary_ = {}
        self.thumbnails_ = []
        self.pictures_ = np.empty((0, SIDE, SIDE), np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        # What follows from the fitted arrays is rebuilt by the one who unpickles.
        return {n: value for n, value in vars(self).items() if not n.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()
        if hasattr(self, "backbone_"):
            self._restore()

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    @abstractmethod
    def __post_init__(self) -> None:
        """Check the hyperparameters."""

    @abstractmethod
    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        """What the fitted arrays must be for feature maps of shapes (C, h, w).

        It names a `Layout` for every array, as :meth:`save` does (``bank_``, or ``network_.shift``
        of a dictionary), and the type of every other value. Nothing of a model file that doesn't
        fit is scored with.
        """

    def _restore(self) -> None:  # noqa: B027 - most detectors have nothing to rebuild
        """Rebuild what follows from the fitted arrays, after loading and in another process."""
