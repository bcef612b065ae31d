"""``anomalist stress DATA``: detectors under disturbed conditions, at stated levels, resumable."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.building import build_detectors
from anomalist.cli.cluster import add_ray
from anomalist.cli.folders import add_folder_options, open_categories, results_folder
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
        "data", type=str, help="folder in the layout of MVTec AD or VisA, or a plain folder"
    )
    arguments.add_argument(
        "--categories", type=CommaList(), default=None, help="which, by commas (default: all)"
    )
    add_folder_options(arguments)
    arguments.add_argument(
        "--conditions",
        type=CommaList(),
        default=None,
        help="which, separated by commas, each with levels where others than the usual are meant,"
        " as in brightness=0.8:1.2,jpeg: shots, contamination, brightness, gamma, gradient, focus,"
        " noise, jpeg, shift, turn, scale (default: all)",
    )
    arguments.add_argument(
        "--where",
        type=CommaList(),
        default=("test", "all"),
        help="change photographs among the test images alone, among all, or both in turn",
    )
    arguments.add_argument(
        "--seeds", type=CommaList(int), default=(0,), help="seeds, separated by commas"
    )
    arguments.add_argument(
        "--draws",
        type=int,
        default=constant("anomalist.benchmark.stress_runner", "DEFAULT_DRAWS"),
        help="seeds that shots have at least: which photographs are learnt from is drawn",
    )
    arguments.add_argument(
        "--out", type=str, default="results", metavar="FOLDER", help="the results folder"
    )
    arguments.add_argument(
        "--alpha",
        type=float,
        default=constant("anomalist.calibration", "DEFAULT_ALPHA"),
        help="false-alarm rate that thresholds are to have",
    )
    add_split(arguments)
    add_groups(arguments)
    add_evaluate_at(arguments)
    add_store_options(arguments)
    add_ray(
        arguments,
        "do all",
        cpus="as many as torch has threads here, or as the largest node has",
        memory="what earlier runs took and a fifth more, 3000 where there are none",
    )
    add_detector_options(arguments)
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.benchmark import RunStore, stress, stress_runs
    from anomalist.cli.cluster import ray_executor
    from anomalist.cli.progress import StressProgress
    from anomalist.features import FeatureStore
    from anomalist.report import Stress

    dataset = open_categories(arguments, output)
    detectors = build_detectors(arguments, output)
    out = results_folder(arguments, dataset, "stress.csv")
    with ray_executor(arguments) as executor, StressProgress(output, out) as progress:
        frame = stress(
            dataset,
            detectors,
            out,
            categories=arguments.categories,
            conditions=arguments.conditions,
            where=arguments.where,
            seeds=arguments.seeds,
            draws=arguments.draws,
            alpha=arguments.alpha,
            evaluate_at=arguments.evaluate_at,
            pro_limits=arguments.pro_limits,
            split=arguments.split,
            groups=" ".join(arguments.groups),
            store=FeatureStore(**arguments.store),
            watcher=progress,
            command=arguments.command_line,
            executor=executor,
        )
    runs = stress_runs(out, RunStore(out).inventory().records)
    verdict = Stress(runs).verdict() if runs else []
    for detector, sentence in verdict:
        output.result(f"{detector}: {sentence}")
    output.result(f"report: {out.resolve() / 'report.html'}\ntable: {out.resolve() / 'stress.csv'}")
    output.fields |= {
        "stress": frame.to_dict("records"),
        "weakest": dict(verdict),
        "out": out.resolve(),
        "report": out.resolve() / "report.html",
    }
