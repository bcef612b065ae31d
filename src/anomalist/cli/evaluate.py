"""``anomalist evaluate MODEL DATA``: measure a model on images known to be good or defective."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.folders import add_folder_options, folder_options
from anomalist.cli.options import add_device, add_evaluate_at
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser

if TYPE_CHECKING:
    from anomalist.inspection import Measured


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("model", type=str, help="a file that anomalist fit wrote")
    arguments.add_argument(
        "data", type=str, help="folder with good/ and kinds of defect, or of MVTec AD or VisA"
    )
    arguments.add_argument("--category", type=str, default=None, help="which, if there are several")
    add_folder_options(arguments)
    arguments.add_argument(
        "--alpha",
        type=float,
        default=None,
        help="false-alarm rate of the threshold (default: that of the fit)",
    )
    add_evaluate_at(arguments)
    arguments.add_argument(
        "--out",
        type=str,
        default=None,
        metavar="FOLDER",
        help="folder for metrics.json, metrics.csv and the page index.html",
    )
    arguments.add_argument(
        "--no_page",
        action="store_true",
        help="leave out index.html, the page in --out to look through the images with",
    )
    add_device(arguments)
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.cli.progress import StageProgress
    from anomalist.files import check_writable
    from anomalist.inspection import evaluate_model, open_model
    from anomalist.report.browser import INDEX

    if arguments.out is not None:
        check_writable(Path(arguments.out) / "metrics.json")
    page = None if arguments.no_page else arguments.out
    if page is not None and (Path(page) / "predictions.jsonl").exists():
        output.warn(f"{page} holds results of predict, whose page stays: no page is written")
        page = None
    detector = open_model(arguments.model, device=arguments.device)
    files: list[Path] = []

    def write(measured: Measured) -> None:
        if arguments.out is not None:
            files.extend(measured.write(arguments.out))

    with StageProgress(output) as progress:
        measured = evaluate_model(
            detector,
            arguments.data,
            category=arguments.category,
            **folder_options(arguments),
            alpha=arguments.alpha,
            evaluate_at=arguments.evaluate_at,
            pro_limits=arguments.pro_limits,
            page=page,
            measured=write,
            progress=lambda done, total: progress("predict", done, total),
        )
    output.result(measured)
    if page is not None:
        files.append(Path(page) / INDEX)
    for path in files:
        output.result(path)
    output.fields |= {**measured.as_dict(), "files": files}
