"""``anomalist report OUT``: write the tables and the report of a results folder again."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.errors import DataError


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument(
        "out", type=str, help="a results folder that benchmark wrote, or its address"
    )
    arguments.add_argument(
        "--max_megabytes",
        type=float,
        default=25.0,
        help="size that report.html stays below, by showing fewer images",
    )
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.benchmark import RunStore, open_results, write_results
    from anomalist.cli.table import print_summary
    from anomalist.files import check_writable

    results = open_results(arguments.out)
    out = results.out if isinstance(results, RunStore) else results.address
    inventory = results.inventory()
    if not inventory.records:
        none = f"{out} holds no run records (looked for {out}/runs/*/*.json)"
        raise DataError("; ".join(inventory.unreadable) or none)
    if isinstance(out, Path):
        check_writable(out / "report.html")
    for line in inventory.notices:
        output.warn(line)
    with results.folder_of_tables() as folder:
        write_results(
            inventory.records,
            folder,
            left_out=inventory.left_out,
            max_megabytes=arguments.max_megabytes,
        )
    print_summary(inventory.records, out, output)
