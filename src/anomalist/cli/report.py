"""``anomalist report OUT``: write the tables of a results folder again from its records."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from anomalist.benchmark import RunStore, results_frame
from anomalist.cli.options import command_parser
from anomalist.cli.table import print_summary
from anomalist.errors import DataError
from anomalist.report import write_tables


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("out", type=str, help="a results folder that benchmark wrote")
    return arguments


def run(arguments: Namespace) -> None:
    """Run the command."""
    out = Path(arguments.out)
    records = RunStore(out).records()
    if not records:
        raise DataError(f"{out} holds no run records (looked for {out / 'runs'}/*/*.json)")
    write_tables(results_frame(records), out)
    print_summary(records, out)
