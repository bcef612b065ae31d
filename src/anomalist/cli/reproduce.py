"""``anomalist reproduce DATA``: published numbers of MVTec AD beside ours, run by run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.building import tell_idle
from anomalist.cli.hyperparameters import add_fields
from anomalist.cli.options import add_store_options
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.cli.signatures import detector_signatures, shared_signature
from anomalist.cli.values import CommaList

if TYPE_CHECKING:
    from anomalist.benchmark.reproduction import Row, Target

_SHARED = ("device", "batch_size")


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("data", type=str, help="folder of MVTec AD, or of some categories of it")
    arguments.add_argument(
        "--categories",
        type=CommaList(),
        default=None,
        help="which, by commas (default: those there; means are compared where all 15 are)",
    )
    arguments.add_argument(
        "--detectors",
        type=CommaList(),
        default=None,
        help="which, by commas (default: those that need no training; cfa and glass run when named,"
        " glass under its published settings for days without a GPU)",
    )
    arguments.add_argument(
        "--backbone",
        type=CommaList(),
        default=None,
        help="which, by commas (default: those published; a detector without the weights of any"
        " runs with the one installed with anomalist, beside numbers of others)",
    )
    arguments.add_argument(
        "--weights",
        type=str,
        default=None,
        help="a local file of the weights of the one --backbone",
    )
    arguments.add_argument(
        "--settings",
        type=CommaList(),
        default=None,
        help="which published runs, by commas (default: all that the weights at hand allow)",
    )
    arguments.add_argument(
        "--seeds", type=CommaList(int), default=(0,), help="seeds, separated by commas"
    )
    arguments.add_argument(
        "--oracle",
        action="store_true",
        help="measure every epoch on the test set, for published numbers that are of the best one",
    )
    arguments.add_argument(
        "--out", type=str, default="reproduction", metavar="FOLDER", help="the results folder"
    )
    shared = shared_signature().parameters
    for name in _SHARED:
        arguments.add_argument(
            f"--{name}",
            type=shared[name].hint,
            default=argparse.SUPPRESS,
            help=shared[name].text,
        )
    add_store_options(arguments)
    for name, signature in detector_signatures().items():
        if name != "ensemble":  # nobody published one
            add_fields(arguments, signature, f"{name}.")
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.benchmark import benchmark
    from anomalist.benchmark.reproduction import (
        ORIGINAL,
        UNTRAINED,
        compare,
        plan_reproduction,
        reproduction_frame,
        write_reproduction,
    )
    from anomalist.cli.progress import BenchmarkProgress
    from anomalist.data import open_dataset
    from anomalist.features import FeatureStore

    detectors = arguments.detectors or UNTRAINED
    tell_idle(arguments, detectors, output)
    dataset = open_dataset(arguments.data)
    categories = arguments.categories or dataset.categories
    for name in arguments.categories or ():
        dataset.category(name)
    shared = {n: arguments[n] for n in _SHARED if n in arguments}
    overrides = {}
    for name in detectors:
        own = arguments.get(name)
        overrides[name] = {**shared, **(vars(own) if own is not None else {})}
    output.note(
        "looking for the weights of published backbones (without a network, HF_HUB_OFFLINE=1 in the"
        " environment saves the wait)"
    )
    targets, left_out = plan_reproduction(
        detectors,
        categories,
        backbones=arguments.backbone,
        weights=arguments.weights,
        settings=arguments.settings,
        overrides=overrides,
    )
    out = Path(arguments.out)
    store = FeatureStore(**arguments.store)
    rows: list[Row] = []
    for folder, together in _by_folder(targets).items():
        with BenchmarkProgress(output, out / folder) as progress:
            records = benchmark(
                dataset,
                [target.detector for target in together],
                out / folder,
                categories=[name for name in categories if name in ORIGINAL],
                seeds=arguments.seeds,
                calibrate=False,
                # As published tables have it.
                evaluate_at="input",
                oracle=arguments.oracle,
                store=store,
                watcher=progress,
                command=arguments.command_line,
            )
        for target in together:
            rows += compare(target, records, dataset)
    write_reproduction(rows, left_out, out)
    _show(rows, left_out, out, output)
    output.fields |= {
        "rows": reproduction_frame(rows).to_dict("records"),
        "not_compared": left_out,
        "out": out.resolve(),
    }


def _by_folder(targets: list[Target]) -> dict[str, list[Target]]:
    """Targets that share a results folder, and with it one pass through the backbone."""
    folders: dict[str, list[Target]] = {}
    for target in targets:
        folders.setdefault(target.folder, []).append(target)
    return folders


def _show(rows: list[Row], left_out: list[str], out: Path, output: Output) -> None:
    from rich.table import Table

    from anomalist.benchmark.reproduction import reproduction_table, sources

    if rows:
        frame, notes = reproduction_table(rows)
        table = Table()
        for column in frame.columns:
            named = column in ("published run", "backbone", "category", "metric")
            table.add_column(column, justify="left" if named else "right")
        previous = None
        for values in frame.itertuples(index=False):
            if previous not in (None, values[0]):
                table.add_section()
            previous = values[0]
            table.add_row(*(value.replace("[", r"\[") for value in values))
        output.result(table)
        output.result(
            "percent; intervals are over test images, from the lowest to the highest of the seeds;"
            " one without width, where ours makes no error, says nothing"
        )
        for text in (*notes, "published runs:", *(f"  {source}" for source in sources(rows))):
            output.result(text)
    for text in ("not compared:", *(f"  {reason}" for reason in left_out)) if left_out else ():
        output.result(text)
    output.result(f"results: {out.resolve()} (reproduction.md, .csv; the runs in a folder each)")
