"""``anomalist demo``: draw the sample set, run every detector and an ensemble on it, report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from anomalist.benchmark import RunStore, benchmark
from anomalist.cli.options import command_parser
from anomalist.cli.progress import BenchmarkProgress, console
from anomalist.cli.table import print_summary
from anomalist.data import MVTecAD, make_sample_set
from anomalist.detectors import DETECTORS, Detector

_SHORT = {"meta_epochs": 30, "epochs": 5}


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("--out", type=str, default="anomalist-demo", help="the results folder")
    arguments.add_argument("--seed", type=int, default=0, help="of the sample set and detectors")
    return arguments


def quick(detector: type[Detector], seed: int) -> Detector:
    """Make a detector at its defaults, but with a shorter training where it has a long one."""
    own = {field.name for field in dataclasses.fields(detector)}
    short: dict[str, Any] = {name: value for name, value in _SHORT.items() if name in own}
    return detector(seed=seed, **short)


def run(arguments: Namespace) -> None:
    """Run the command."""
    out = Path(arguments.out)
    console.print("drawing the sample set")
    data = make_sample_set(out / "sample_data", seed=arguments.seed)
    detectors = [quick(detector, arguments.seed) for detector in DETECTORS.values()]
    with BenchmarkProgress() as progress:
        benchmark(
            MVTecAD(data),
            detectors,
            out,
            seeds=(arguments.seed,),
            watcher=progress,
            command=arguments.command_line,
        )
    print_summary(RunStore(out).records(), out)
