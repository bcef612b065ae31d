"""``anomalist export MODEL``: write a model as an ONNX or OpenVINO graph that does the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.cli.signatures import constant
from anomalist.errors import DataError

if TYPE_CHECKING:
    from anomalist.data import ImageSet

_MOST_IMAGES = 32


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("model", type=str, help="a file that fit wrote")
    arguments.add_argument(
        "--format",
        type=constant("anomalist.export.exporter", "Format"),
        default="onnx",
        help="what to write",
    )
    arguments.add_argument(
        "--out", type=str, required=True, help="the file to write: .onnx, or .xml for openvino"
    )
    arguments.add_argument(
        "--data",
        type=str,
        default=None,
        help=f"folder of images, of which up to {_MOST_IMAGES} are scored by the model and by its"
        " export; by default the thumbnails in the model, or drawn images",
    )
    arguments.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        help="largest difference allowed, as a share of the largest score and of the maps' spread",
    )
    arguments.add_argument(
        "--alpha",
        type=float,
        default=None,
        help="false-alarm rate of the thresholds it carries (default: that of the fit)",
    )
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.export.needed import check_installed

    check_installed(arguments.format)  # before torch is loaded, which takes seconds
    from anomalist.calibration import fewest_images
    from anomalist.detectors import load
    from anomalist.export.exporter import export
    from anomalist.files import check_writable

    if arguments.alpha is not None:
        fewest_images(arguments.alpha)  # refuses one that makes no sense before any work is done
    check_writable(arguments.out)
    images = None if arguments.data is None else _spread(Path(arguments.data))
    detector = load(arguments.model, device="cpu")
    try:
        report = export(
            detector,
            arguments.out,
            format=arguments.format,
            images=images,
            tolerance=arguments.tolerance,
            alpha=arguments.alpha,
        )
    except OSError as error:
        if error.filename is None:  # a full disk says nothing of the file
            error.filename = arguments.out
        raise
    output.fields |= dataclasses.asdict(report)
    output.result(
        f"{report.path}: {report.detector}, {report.format}, opset {report.opset}\n"
        f"same as the model on {report.images} images ({report.images_from}):"
        f" scores within {report.score_relative:.1e} of the largest,"
        f" maps within {report.map_relative:.1e} of their spread"
    )


def _spread(folder: Path) -> ImageSet:
    """Images from all over a folder, masks left out."""
    import numpy as np

    from anomalist.data import ImageSet, Sample, walk
    from anomalist.data.layout import existing_folder
    from anomalist.data.photographs import photographs

    files, _ = photographs(walk(existing_folder(folder)))
    if not files:
        raise DataError(f"{folder} holds no image to compare the export on")
    chosen = np.unique(np.linspace(0, len(files) - 1, min(len(files), _MOST_IMAGES)).astype(int))
    return ImageSet((Sample(files[i]) for i in chosen), str(folder))
