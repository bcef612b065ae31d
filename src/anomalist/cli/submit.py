"""``anomalist submit DATA --detectors NAME --out FILE``: what MVTec AD 2's server takes."""

from __future__ import annotations

import dataclasses

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.building import build_detectors
from anomalist.cli.folders import add_folder_options, folder_options
from anomalist.cli.hyperparameters import add_detector_options
from anomalist.cli.options import add_store_options
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("data", type=str, help="the folder of MVTec AD 2")
    add_folder_options(arguments)
    arguments.add_argument(
        "--out", type=str, required=True, help="the archive to write, such as archive.tar.gz"
    )
    arguments.add_argument("--seed", type=int, default=0, help="seed of the detector")
    arguments.add_argument(
        "--incomplete",
        action="store_true",
        help="write the archive although objects or images are missing, which the server refuses",
    )
    add_store_options(arguments)
    add_detector_options(arguments)
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.benchmark import submit
    from anomalist.cli.progress import StageProgress
    from anomalist.data import open_dataset
    from anomalist.errors import ParameterError
    from anomalist.features import FeatureStore

    detectors = build_detectors(arguments, output)
    if len(detectors) != 1:
        raise ParameterError(
            f"an archive is of one detector, not of {', '.join(detectors)}: name one with"
            " --detectors"
        )
    (detector,) = detectors.values()
    dataset = open_dataset(arguments.data, **folder_options(arguments))
    with StageProgress(output) as progress:
        submission = submit(
            dataset,
            dataclasses.replace(detector, seed=arguments.seed),
            arguments.out,
            incomplete=arguments.incomplete,
            store=FeatureStore(**arguments.store),
            progress=progress,
        )
    output.result(submission)
    output.result(f"archive: {submission.path} ({submission.images} images, read again)")
    output.fields |= submission.as_dict()
