"""``anomalist benchmark DATA``: detectors x categories x seeds, resumable, with all tables."""

from __future__ import annotations

import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.building import build_detectors
from anomalist.cli.cluster import add_ray
from anomalist.cli.folders import add_folder_options, open_categories, results_place
from anomalist.cli.hyperparameters import add_detector_options
from anomalist.cli.options import add_evaluate_at, add_groups, add_split, add_store_options
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.cli.signatures import constant
from anomalist.cli.values import CommaList


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument(
        "data",
        type=str,
        nargs="+",
        help="folder in the layout of MVTec AD or VisA, or a plain folder; of several, categories"
        " that share a name are called after their folders, too",
    )
    arguments.add_argument(
        "--categories", type=CommaList(), default=None, help="which, by commas (default: all)"
    )
    add_folder_options(arguments)
    arguments.add_argument(
        "--seeds", type=CommaList(int), default=(0,), help="seeds, separated by commas"
    )
    arguments.add_argument(
        "--out",
        type=str,
        default="results",
        metavar="FOLDER",
        help="the results folder, or its address, such as s3://bucket/results",
    )
    arguments.add_argument(
        "--alpha",
        type=float,
        default=constant("anomalist.calibration", "DEFAULT_ALPHA"),
        help="false-alarm rate that thresholds are to have",
    )
    arguments.add_argument(
        "--calibrate",
        type=bool,
        default=True,
        help="get thresholds and p-values from the training images, at the cost of more fits",
    )
    add_groups(arguments)
    add_split(arguments)
    arguments.add_argument(
        "--oracle",
        action="store_true",
        help="report beside the result what the best epoch on the test set would have given",
    )
    add_evaluate_at(arguments)
    arguments.add_argument(
        "--metric",
        type=str,
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="a metric of one's own too: a function of a category's predictions, in a module of"
        " this folder or of those installed; may be given again",
    )
    arguments.add_argument(
        "--keep_models",
        action="store_true",
        help="keep fitted detectors in OUT/models, so that ensembles can be added later",
    )
    arguments.add_argument(
        "--tensorboard",
        type=str,
        default=None,
        help="folder for the course of trainings, for TensorBoard to show",
    )
    add_store_options(arguments)
    add_ray(
        arguments,
        "do the runs",
        cpus="as many as torch has threads here, or as the largest node has",
        memory="what earlier runs took and a fifth more, 3000 where there are none",
    )
    add_detector_options(arguments)
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.benchmark import benchmark, open_results
    from anomalist.cli.cluster import ray_executor
    from anomalist.cli.progress import BenchmarkProgress
    from anomalist.cli.table import print_summary
    from anomalist.features import FeatureStore

    dataset = open_categories(arguments, output)
    detectors = build_detectors(arguments, output)
    out = results_place(arguments, dataset, "results.csv")
    with (
        ray_executor(arguments) as executor,
        BenchmarkProgress(output, out, arguments.tensorboard) as progress,
    ):
        benchmark(
            dataset,
            detectors,
            out,
            categories=arguments.categories,
            seeds=arguments.seeds,
            alpha=arguments.alpha,
            calibrate=arguments.calibrate,
            groups=" ".join(arguments.groups),
            oracle=arguments.oracle,
            evaluate_at=arguments.evaluate_at,
            pro_limits=arguments.pro_limits,
            metrics=own_metrics(arguments),
            split=arguments.split,
            keep_models=arguments.keep_models,
            store=FeatureStore(**arguments.store),
            watcher=progress,
            command=arguments.command_line,
            executor=executor,
        )
    print_summary(open_results(out).inventory().records, out, output)


def own_metrics(arguments: Namespace) -> list[str]:
    """Return the names of one's own metrics, having made modules of this folder importable."""
    here = str(Path.cwd())
    if arguments.metric and here not in sys.path:
        sys.path.insert(0, here)
    return list(arguments.metric)
