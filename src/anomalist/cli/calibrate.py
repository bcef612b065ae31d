"""``anomalist calibrate MODEL --data FOLDER --out FILE``: a threshold from new good images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.folders import add_folder_options, folder_options
from anomalist.cli.options import add_device
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser

if TYPE_CHECKING:
    from anomalist.inspection import Recalibrated


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("model", type=str, help="a file that anomalist fit wrote")
    arguments.add_argument(
        "--data",
        type=str,
        required=True,
        help="folder of new good images that the model wasn't fitted to; 20 or more for a"
        " false-alarm rate of 5 %%",
    )
    arguments.add_argument(
        "--out", type=str, required=True, help="the model file to write, with the new threshold"
    )
    arguments.add_argument("--category", type=str, default=None, help="which, if there are several")
    add_folder_options(arguments)
    arguments.add_argument(
        "--alpha",
        type=float,
        default=None,
        help="false-alarm rate that the threshold is to have (default: that of the fit)",
    )
    add_device(arguments)
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.cli.progress import StageProgress
    from anomalist.inspection import open_model, recalibrate

    detector = open_model(arguments.model, device=arguments.device)
    with StageProgress(output) as progress:
        result = recalibrate(
            detector,
            arguments.data,
            arguments.out,
            category=arguments.category,
            **folder_options(arguments),
            alpha=arguments.alpha,
            progress=lambda done, total: progress("calibrate", done, total),
        )
    _show(result, output)
    output.fields |= result.as_dict()


def _show(result: Recalibrated, output: Output) -> None:
    for note in result.notes:
        output.result(f"Note: {note}")
    output.result(f"until now: {result.before.describe()}")
    if result.alarms is not None:
        output.result(f"  {result.alarms} of {result.images} new good images alarm at it")
    output.result(f"from now on: {result.rule.describe()}")
    if result.odd is not None:
        output.warn(f"warning: {result.odd.describe()}")
    output.result(f"model: {result.path} ({result.path.stat().st_size / 1e6:.1f} MB)")
