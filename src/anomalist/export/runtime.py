"""Exported detectors: from image files to scores and maps, without torch."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anomalist.data import ImagesLike, Transform, as_image_set
from anomalist.errors import AnomalistError, ModelFileError, ParameterError
from anomalist.export.ignoring import unpacked
from anomalist.export.needed import not_installed
from anomalist.predictions import Predictions

Float32 = npt.NDArray[np.float32]


def required(module: str) -> Any:
    """Import a module of the ``export`` extra.

    Raises
    ------
    ExportError
        If it isn't installed.

    Examples
    --------
    >>> required("json").loads("1")
    1
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise not_installed([module], error) from error


class ExportedDetector(ABC):
    """A detector read from a graph that :func:`~anomalist.export.export` wrote.

    Parameters
    ----------
    path : str or Path
        The file.
    threads : int, optional
        Processor threads; by default as many as the runtime likes.

    Attributes
    ----------
    metadata : dict of str to str
        What the file says of itself; values are JSON.
    transform : Transform
        How images are brought to the graph's input.
    ignored : bool array of shape (H, W), or None
        True where a pixel counts for nothing, in the frame of maps.
    threshold, pixel_threshold : float or None
        Score and map value above which an image and a pixel count as anomalous, at the false-alarm
        rate ``alpha``; None where the detector wasn't calibrated.
    alpha, rate : float or None
        That rate, and what the thresholds promise, which is higher where few images calibrated.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or no exported detector.
    ExportError
        If the runtime isn't installed.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        path = Path(path)
        if not path.is_file():
            raise ModelFileError(f"no exported detector at {path}")
        if threads is not None and threads < 1:
            raise ParameterError(f"threads must be at least 1, not {threads}")
        try:
            self.metadata = dict(self._open(path, threads))
            known = {
                name.removeprefix("anomalist."): json.loads(value)
                for name, value in self.metadata.items()
                if name.startswith("anomalist.")
            }
            self.detector: str = known["detector"]
            self.version: str = known["version"]
            self.transform = Transform.from_dict(known["transform"])
            self.ignored = unpacked(known["ignored"]) if "ignored" in known else None
        except AnomalistError:
            raise
        except Exception as error:  # runtimes have error classes of their own
            raise ModelFileError(f"{path} isn't a detector that anomalist exported") from error
        self.alpha: float | None = known.get("alpha")
        self.rate: float | None = known.get("rate", self.alpha)
        self.threshold: float | None = known.get("threshold")
        self.pixel_threshold: float | None = known.get("pixel_threshold")

    @abstractmethod
    def _open(self, path: Path, threads: int | None) -> Mapping[str, str]:
        """Make the graph ready and return its metadata."""

    @abstractmethod
    def __call__(self, pixels: npt.NDArray[np.uint8]) -> tuple[Float32, Float32]:
        """Run the graph on transformed images.

        Parameters
        ----------
        pixels : uint8 array of shape (B, 3, H, W)
            RGB, as the transform gives it; normalising is the graph's business.

        Returns
        -------
        scores : float32 array of shape (B,)
        maps : float32 array of shape (B, H, W)
        """

    def predict(self, images: ImagesLike, *, batch_size: int = 8) -> Predictions:
        """Score images, as the detector that was exported does.

        Parameters
        ----------
        images : ImageSet, an image, or several
            Files, their bytes, images of Pillow or arrays, of any size; see
            `~anomalist.data.as_image_set`.
        batch_size : int
            Images that pass the graph at once.

        Returns
        -------
        Predictions
            Raw scores and maps; images that aren't files are named by their number.

        Raises
        ------
        DataError
            If an image can't be read.
        ParameterError
            If there is no image, or ``batch_size`` is less than 1.
        """
        images = as_image_set(images)
        if batch_size < 1 or len(images) == 0:
            raise ParameterError("predict needs at least one image and a batch_size of at least 1")
        scores, maps = [], []
        for start in range(0, len(images), batch_size):
            batch = [
                self.transform(image.read(self.transform.bit_depth))
                for image in images[start : start + batch_size]
            ]
            pixels = np.ascontiguousarray(np.stack(batch).transpose(0, 3, 1, 2))
            batch_scores, batch_maps = self(pixels)
            scores.append(batch_scores)
            maps.append(batch_maps)
        joined, mask = np.concatenate(maps), self.ignored
        return Predictions(
            images.paths,
            np.concatenate(scores),
            joined,
            images=images,
            ignored=None if mask is None else np.broadcast_to(mask, joined.shape),
        )


class OnnxDetector(ExportedDetector):
    """A detector in an ONNX file, run by ONNX Runtime on the CPU; see :class:`ExportedDetector`."""

    def _open(self, path: Path, threads: int | None) -> Mapping[str, str]:
        runtime = required("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        self._session = runtime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        properties: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return properties

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> tuple[Float32, Float32]:
        """Run the graph on transformed images (B, 3, H, W)."""
        scores, maps = self._session.run(["score", "map"], {"pixels": pixels})
        return scores, maps


class OpenVINODetector(ExportedDetector):
    """A detector in an OpenVINO ``.xml`` and ``.bin``, on the CPU; see :class:`ExportedDetector`.

    It computes in float32, also where the processor would offer less precision for speed.
    """

    def _open(self, path: Path, threads: int | None) -> Mapping[str, str]:
        openvino = required("openvino")
        core = openvino.Core()
        model = core.read_model(str(path))
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._compiled = core.compile_model(model, "CPU", settings)
        kept: dict[str, Any] = model.get_rt_info(["anomalist"]).value
        return {f"anomalist.{name}": str(value) for name, value in kept.items()}

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> tuple[Float32, Float32]:
        """Run the graph on transformed images (B, 3, H, W)."""
        results = self._compiled({"pixels": pixels})
        return results["score"].copy(), results["map"].copy()
