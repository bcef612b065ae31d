"""Flags that say which folders hold what, of all commands that read one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.options import section
from anomalist.cli.output import Output
from anomalist.cli.signatures import constant
from anomalist.errors import ParameterError

if TYPE_CHECKING:
    from anomalist.data import Dataset


def add_folder_options(arguments: ArgumentParser) -> None:
    """Add ``--format``, ``--good``, ``--bad``, ``--masks``, ``--exclude`` and ``--cache_gb``."""
    group = section(arguments, "what folders hold")
    group.add_argument(
        "--format",
        type=str,
        default=None,
        metavar="NAME",
        help="insist that it is a data set of that format, instead of finding it out: "
        + ", ".join(constant("anomalist.data", "FORMATS"))
        + "; visa:LIST, real_iad:LISTS@SIZE and manifest:FILE choose among several",
    )
    for flag, what in (
        ("good", "good images"),
        ("bad", "images that aren't good"),
        ("masks", "masks"),
    ):
        group.add_argument(
            f"--{flag}",
            type=str,
            action="append",
            default=[],
            metavar="NAME",
            help=f"folders of {what}, whatever their names say: names at any depth or paths below"
            " the folder, separated by commas or given again",
        )
    add_cache_option(arguments)
    arguments.add_argument(
        "--exclude",
        type=str,
        nargs="+",
        action="extend",
        default=[],
        help="images to leave out: paths, folders or patterns; @list.txt names a file with one a"
        " line",
    )


def add_cache_option(arguments: ArgumentParser) -> None:
    """Add ``--cache_gb``, of commands that take addresses."""
    section(arguments, "what folders hold").add_argument(
        "--cache_gb",
        type=float,
        default=None,
        help="how large copies of photographs at addresses such as s3://bucket/folder may become"
        " together, in gigabytes (default: ANOMALIST_CACHE_GB, or 20)",
    )


def folder_options(arguments: Namespace) -> dict[str, Any]:
    """Return what was given, by the names that :func:`anomalist.data.open_dataset` takes."""
    lists = {name: list(arguments[name]) for name in ("good", "bad", "masks", "exclude")}
    return {"format": arguments.format, **lists}


def open_categories(arguments: Namespace, output: Output) -> Dataset:
    """Open the data set of a command that runs categories, and tell what is noted of those."""
    from anomalist.data import open_datasets

    roots = [arguments.data] if isinstance(arguments.data, str) else arguments.data
    dataset = open_datasets(roots, **folder_options(arguments))
    noted: dict[str, list[str]] = {}
    for name in arguments.categories or dataset.categories:
        for note in dataset.understand(name).notes:
            noted.setdefault(note, []).append(name)
    for note, names in noted.items():
        output.warn(f"{', '.join(names)}: {note}")
    return dataset


def results_place(arguments: Namespace, dataset: Dataset, table: str) -> Path | str:
    """Return the results folder as `results_folder` does, or the address of one that answers."""
    from anomalist.storage import is_address, open_storage

    if not is_address(arguments.out):
        return results_folder(arguments, dataset, table)
    storage = open_storage(arguments.out)
    storage.exists(table)
    return storage.local or storage.address


def results_folder(arguments: Namespace, dataset: Dataset, table: str) -> Path:
    """Return the results folder, where a table can be written and no image would lie beside it."""
    from anomalist.data import Several
    from anomalist.files import check_writable
    from anomalist.inspection.parts import check_outside
    from anomalist.storage import is_address

    if is_address(arguments.out):
        raise ParameterError(f"--out must be a folder, not an address such as {arguments.out}")
    out = Path(arguments.out)
    for one in dataset.datasets if isinstance(dataset, Several) else [dataset]:
        if one.name == "folder":
            check_outside(out, one.root)
    check_writable(out / table)
    return out
