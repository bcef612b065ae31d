"""``anomalist measure --maps FOLDER --data DATA``: anyone's maps and scores on this ruler."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.folders import add_folder_options, folder_options
from anomalist.cli.options import add_evaluate_at
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument(
        "--maps",
        type=str,
        default=None,
        help="folder with an anomaly map for each test image (float TIFF, NPY, NPZ, PNG of 8 or 16"
        " bits), or an NPY or NPZ file of all, (N, H, W)",
    )
    arguments.add_argument(
        "--data", type=str, required=True, help="data set, or folder with good/ and kinds of defect"
    )
    arguments.add_argument("--category", type=str, default=None, help="which, if there are several")
    arguments.add_argument(
        "--scores",
        type=str,
        default=None,
        help="CSV of image scores, with columns such as path and score (default: those in the NPZ,"
        " else each map's highest value)",
    )
    arguments.add_argument(
        "--names",
        type=str,
        default=None,
        help="list of image names, one a line, in the order of the maps of an NPY file",
    )
    arguments.add_argument(
        "--incomplete",
        action="store_true",
        help="measure without test images that have no map or score, instead of refusing",
    )
    arguments.add_argument(
        "--image_size",
        type=int,
        default=None,
        help="of maps of a crop: the side that images were resized to before it",
    )
    arguments.add_argument(
        "--crop_size", type=int, default=None, help="of maps of a crop: its side"
    )
    add_folder_options(arguments)
    add_evaluate_at(arguments)
    arguments.add_argument(
        "--out", type=str, default=None, help="folder for metrics.json and metrics.csv"
    )
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.cli.progress import StageProgress
    from anomalist.data import Transform
    from anomalist.errors import ParameterError
    from anomalist.files import check_writable
    from anomalist.inspection import measure_maps

    if arguments.out is not None:
        check_writable(Path(arguments.out) / "metrics.json")
    transform = None
    if arguments.crop_size is not None or arguments.image_size is not None:
        if arguments.crop_size is None or arguments.image_size is None:
            raise ParameterError("a crop is told by both --image_size and --crop_size")
        transform = Transform(arguments.image_size, arguments.crop_size)
    with StageProgress(output) as progress:
        measured = measure_maps(
            arguments.maps,
            arguments.data,
            scores=arguments.scores,
            names=arguments.names,
            category=arguments.category,
            **folder_options(arguments),
            evaluate_at=arguments.evaluate_at,
            pro_limits=arguments.pro_limits,
            transform=transform,
            incomplete=arguments.incomplete,
            progress=lambda done, total: progress("read", done, total),
        )
    output.result(measured)
    files = [] if arguments.out is None else measured.write(arguments.out)
    for path in files:
        output.result(path)
    output.fields |= {**measured.as_dict(), "files": files}
