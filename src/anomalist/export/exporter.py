"""`export`: trace a detector, write it, run what was written, and keep it only if it's the same."""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

import anomalist
from anomalist.data import ImageSet, as_image_set, make_sample_set, open_dataset
from anomalist.detectors import Detector, Ensemble
from anomalist.errors import ExportError, ParameterError
from anomalist.export.graph import Graph
from anomalist.export.ignoring import packed
from anomalist.export.needed import NEEDED
from anomalist.export.runtime import (
    ExportedDetector,
    OnnxDetector,
    OpenVINODetector,
    required,
)
from anomalist.features import Backbone
from anomalist.files import write_text
from anomalist.predictions import Predictions

Format = Literal["onnx", "openvino"]

OPSET = 20
_LARGEST = 2**31 - 2**20
_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
_RUNNERS: dict[str, type[ExportedDetector]] = {"onnx": OnnxDetector, "openvino": OpenVINODetector}


@dataclass(frozen=True)
class ExportReport:
    """What was exported, and how far what was written differs from the detector.

    Attributes
    ----------
    path : str
        The file.
    detector : str
        Name of the method.
    format : str
        ``onnx`` or ``openvino``.
    opset : int
        Version of the ONNX operators.
    images : int
        Images that both scored.
    images_from : str
        Where they came from.
    score_difference, map_difference : float
        Largest absolute difference.
    score_relative, map_relative : float
        The same as a share of the largest absolute score, and of the spread of all map values.
    decisions_changed : int or None
        Images on the other side of the threshold; None without one.
    tolerance : float
        What the relative differences didn't exceed.
    versions : dict
        Of what exported and what ran it.
    """

    path: str
    detector: str
    format: Format
    opset: int
    images: int
    images_from: str
    score_difference: float
    score_relative: float
    map_difference: float
    map_relative: float
    decisions_changed: int | None
    tolerance: float
    versions: dict[str, str]


def export(
    detector: Detector,
    path: str | Path,
    *,
    format: Format = "onnx",
    images: ImageSet | None = None,
    tolerance: float = 1e-4,
    alpha: float | None = None,
) -> ExportReport:
    """Write a fitted detector as one float32 graph, and see to it that it does the same.

    The graph takes uint8 ``pixels`` (B, 3, H, W), RGB as the transform gives them, for any B, and
    gives ``score`` (B,) and ``map`` (B, H, W), raw as `predict` does: normalisation, backbone,
    search, enlarging and smoothing are inside. What stays outside, reading and resizing, is told
    by the metadata, which also carry the thresholds of a calibrated detector.

    What was written is run on images, from their files on, and held against the detector. Beside
    the graph stands ``<path>_parity.json`` with what came of it.

    Parameters
    ----------
    detector : Detector
        Fitted; any method but SPADE.
    path : str or Path
        The file to write, ``.onnx`` or ``.xml`` (and ``.bin`` beside it).
    format : {"onnx", "openvino"}
        What to write.
    images : ImageSet, optional
        Images to compare on. By default the thumbnails that the detector keeps of its training
        images, or a few of the sample set.
    tolerance : float
        Largest difference allowed: of scores as a share of the largest absolute score, of map
        values as a share of their spread (the highest minus the lowest over all maps).
    alpha : float, optional
        False-alarm rate of the thresholds in the metadata; by default that of the fit.

    Returns
    -------
    ExportReport

    Raises
    ------
    ExportError
        If the extra isn't installed, the method can't be exported, or the export differs by more
        than the tolerance; nothing is written then.
    ParameterError
        If the detector isn't fitted or an argument makes no sense.
    """
    path = Path(path)
    if format not in get_args(Format):
        raise ParameterError(f"format must be onnx or openvino, not {format!r}")
    if path.suffix != _SUFFIXES[format]:
        raise ParameterError(f"a file of format {format} ends in {_SUFFIXES[format]}, not {path}")
    if not (tolerance > 0 and math.isfinite(tolerance)):
        raise ParameterError(f"tolerance must be positive, not {tolerance}")
    if images is not None and len(images) == 0:
        raise ParameterError("export needs at least one image to compare on")
    for module in NEEDED[format]:
        required(module)
    detector._check_fitted()
    alpha = detector.alpha_ if alpha is None else alpha
    detector = _on_cpu(detector)
    graph = Graph(detector).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
        images_from = "those given"
        if images is None:
            images, images_from = _some_images(detector, Path(folder) / "images")
        expected = detector.predict(images)
        written = Path(folder) / path.name
        _write_onnx(graph, detector, alpha, written.with_suffix(".onnx"))
        if format == "openvino":
            _write_openvino(written.with_suffix(".onnx"), written)
        got = _RUNNERS[format](written, threads=torch.get_num_threads()).predict(
            images, batch_size=detector.batch_size
        )
        threshold = detector.calibration_.threshold(alpha) if detector.calibration_ else math.inf
        report = ExportReport(
            path=str(path),
            detector=detector.label,
            format=format,
            opset=OPSET,
            images=len(images),
            images_from=images_from,
            **_differences(expected, got, threshold),
            tolerance=tolerance,
            versions={"anomalist": anomalist.__version__}
            | {name: version(name) for name in ("torch", *NEEDED[format])},
        )
        if not max(report.score_relative, report.map_relative) <= tolerance:
            raise ExportError(
                f"the exported {detector.label} differs from the detector: scores by up to"
                f" {report.score_relative:.2g} of the largest, maps by up to"
                f" {report.map_relative:.2g} of their spread, on {len(images)} images; tolerance"
                f" {tolerance:g}; nothing was written"
            )
        # The graph last: whoever sees it finds all that belongs to it.
        write_text(
            path.with_name(f"{path.stem}_parity.json"), json.dumps(asdict(report), indent=2) + "\n"
        )
        for suffix in (".bin", path.suffix):
            made = written.with_suffix(suffix)
            if made.exists():
                made.replace(path.with_suffix(suffix))
    return report


def _on_cpu(detector: Detector) -> Detector:
    """Itself, or a copy on the CPU, where graphs are traced."""
    if detector.backbone_.device.type == "cpu":
        return detector
    header, tensors = detector._state()
    moved = type(detector)._from_state(json.loads(json.dumps(header)), tensors, "cpu")
    moved.thumbnails_ = detector.thumbnails_
    return moved


def _some_images(detector: Detector, folder: Path) -> tuple[ImageSet, str]:
    if detector.thumbnails_:
        return as_image_set(detector.thumbnails_), "thumbnails of its training images"
    name = "bottle_mouth"
    make_sample_set(folder, train=1, good=2, per_defect=1, categories=[name])
    return open_dataset(folder).category(name).test, f"the sample set's {name}"


def _differences(expected: Predictions, got: Predictions, threshold: float) -> dict[str, Any]:
    """Largest differences, absolute and relative; a share of nothing is 0 or infinite."""

    def share(difference: float, scale: float) -> float:
        return difference / scale if scale > 0 else (math.inf if difference else 0.0)

    scores = float(np.abs(got.scores - expected.scores).max())
    maps = float(np.abs(got.maps - expected.maps).max())
    changed = (got.scores > threshold) != (expected.scores > threshold)
    return {
        "score_difference": scores,
        "score_relative": share(scores, float(np.abs(expected.scores).max())),
        "map_difference": maps,
        "map_relative": share(maps, float(np.ptp(expected.maps))),
        "decisions_changed": int(changed.sum()) if math.isfinite(threshold) else None,
    }


def _write_onnx(graph: Graph, detector: Detector, alpha: float, path: Path) -> None:
    height, width = detector.transform.output_size
    example = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # exporters deprecate their own parts
            graph(example)  # what is made once and kept must be made of real numbers
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=["pixels"],
                output_names=["score", "map"],
                dynamic_shapes={"pixels": {0: batch}},
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
            assert program is not None
            model = program.model_proto
    except ExportError:
        raise
    except Exception as error:  # an exporter's errors are of any class
        reason = str(error.__cause__ or error).strip().splitlines()
        raise ExportError(
            f"{detector.label} can't be exported: tracing it failed with {type(error).__name__}:"
            f" {reason[0] if reason else 'no reason given'}"
        ) from error
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ExportError(
            f"{detector.label} can't be exported: its scoring counts the images of a batch in a way"
            " that fixes their number; in _score, take it from a tensor's shape, not from len()"
        )
    size = model.ByteSize()
    if size > _LARGEST:
        raise ExportError(
            f"{detector.label} can't be exported: it takes {size / 2**30:.1f} GB, and one ONNX file"
            " holds 2 GB; fit it with fewer dimensions or a smaller bank"
        )
    for name, value in _metadata(detector, alpha).items():
        model.metadata_props.add(key=f"anomalist.{name}", value=json.dumps(value))
    required("onnx").save(model, str(path))


def _metadata(detector: Detector, alpha: float) -> dict[str, Any]:
    backbones: list[Backbone] = [
        m.backbone_ for m in (detector.members_ if isinstance(detector, Ensemble) else [detector])
    ]
    values: dict[str, Any] = {
        "version": anomalist.__version__,
        "detector": detector.label,
        "parameters": detector.parameters(),
        "input": "pixels: uint8, 0 to 255, RGB, (batch, 3, height, width), after the transform",
        "output": "score: (batch,); map: (batch, height, width); float32, higher is more anomalous",
        "transform": detector.transform.as_dict(),
        "backbone": [{"name": b.name, "weights_sha256": b.weights_sha256} for b in backbones],
    }
    ignored = detector.preparation.ignored
    if ignored is not None:
        values["ignored"] = packed(ignored.mask)
    calibration = detector.calibration_
    if calibration is not None:
        values["alpha"] = alpha
        values["calibration"] = f"{len(calibration.scores)} images, {calibration.method}"
        values["rate"] = calibration.rate(alpha)
        values["threshold"] = calibration.threshold(alpha)
        values["pixel_threshold"] = calibration.pixel_threshold(alpha)
    return values


def _write_openvino(source: Path, path: Path) -> None:
    openvino, onnx = required("openvino"), required("onnx")
    model = openvino.convert_model(str(source))
    for entry in onnx.load(str(source), load_external_data=False).metadata_props:
        model.set_rt_info(entry.value, entry.key.split(".", 1))
    openvino.save_model(model, str(path), compress_to_fp16=False)
