"""``anomalist download DATASET``: fetch a public data set, verified and resumable."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.cli.values import CommaList
from anomalist.errors import ParameterError


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("dataset", type=str, help="which one; anomalist list names them")
    arguments.add_argument("--to", type=str, default=None, help="folder (default: data/DATASET)")
    arguments.add_argument(
        "--categories", type=CommaList(), default=None, help="which, by commas (default: all)"
    )
    arguments.add_argument("--url", type=str, default=None, help="another address of the archive")
    arguments.add_argument("--sha256", type=str, default=None, help="the archive's checksum")
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.cli.progress import bytes_progress
    from anomalist.data import SOURCES, download

    source = SOURCES.get(arguments.dataset)
    if source is None:
        raise ParameterError(f"no data set {arguments.dataset!r}; there are {', '.join(SOURCES)}")
    output.note(source.notice)
    with bytes_progress(output, f"downloading {source.name}") as show:
        root = download(
            source.name,
            arguments.to,
            categories=arguments.categories,
            url=arguments.url,
            sha256=arguments.sha256,
            progress=show,
        )
    output.result(root)
    output.fields |= {"data_set": source.name, "licence": source.licence, "folder": root}
