"""``anomalist predict MODEL INPUT... --out OUT``: decisions, regions and heatmaps of images."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.cluster import add_ray, check_workers
from anomalist.cli.options import add_device
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.cli.pictures import add_heatmap_options, heatmap_options
from anomalist.digits import shown
from anomalist.errors import ParameterError

if TYPE_CHECKING:
    from anomalist.data import Sample
    from anomalist.inspection import Finding, Tally, Watch
    from anomalist.inspection.inputs import Inputs
    from anomalist.inspection.results import Used

#: The exit code where some images couldn't be scored.
SOME_FAILED = 3


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("model", type=str, help="a file that anomalist fit wrote")
    arguments.add_argument(
        "inputs",
        type=str,
        nargs="+",
        metavar="INPUT",
        help="folders (at any depth), images, patterns, addresses (s3://bucket/folder), or - for"
        " standard input: paths, one a line, or one image",
    )
    arguments.add_argument(
        "--out",
        type=str,
        required=True,
        metavar="FOLDER",
        help="the folder of results, or the address of one",
    )
    arguments.add_argument(
        "--append",
        action="store_true",
        help="add to the results that --out holds, of whatever inputs and model they are",
    )
    arguments.add_argument(
        "--overwrite", action="store_true", help="remove the results that --out holds first"
    )
    arguments.add_argument(
        "--name",
        type=str,
        default="standard-input",
        help="what an image from standard input is called",
    )
    arguments.add_argument(
        "--alpha",
        type=float,
        default=None,
        help="false-alarm rate of the threshold (default: that of the fit)",
    )
    arguments.add_argument(
        "--threshold", type=float, default=None, help="score above which an image is anomalous"
    )
    add_heatmap_options(arguments, "all; by parts, the anomalous ones")
    arguments.add_argument(
        "--no_page",
        action="store_true",
        help="leave out index.html, the page to look through results with, which isn't written by"
        " parts",
    )
    arguments.add_argument(
        "--watch",
        type=float,
        default=None,
        metavar="SECONDS",
        help="go on and look for new images every so often, until interrupted",
    )
    arguments.add_argument(
        "--part_size",
        type=int,
        default=1000,
        help="images a part, which is one file of results, where addresses or --ray are given",
    )
    add_ray(arguments, "score by parts", workers="as many as it has room for", cpus="1")
    add_device(arguments)
    return arguments


def run(arguments: Namespace, output: Output) -> int:
    """Run the command."""
    from anomalist.cli.progress import GOES_ON, StageProgress
    from anomalist.files import check_writable
    from anomalist.inspection import (
        Conditions,
        Rule,
        Tally,
        Watch,
        identity_of,
        open_model,
        predict_files,
        watch_inputs,
    )
    from anomalist.inspection.prediction import check_heatmaps

    if arguments.append and arguments.overwrite:
        raise ParameterError("--append keeps what --overwrite removes: give one of them")
    check_workers(arguments)
    if _by_parts(arguments):
        from anomalist.cli.predict_parts import run_by_parts

        return run_by_parts(arguments, output)
    pictures = heatmap_options(arguments, "all")
    out = Path(arguments.out)
    total = 0
    listed: Inputs | None = None
    looks: Iterable[Iterable[Path | Sample]] | Watch
    if arguments.watch is not None:
        looks = watch_inputs(arguments.inputs, arguments.watch, results=out, tell=output.warn)
    else:
        photographs, total, listed = _photographs(arguments)
        looks = [photographs]
    check_writable(out / "predictions.csv")
    identity: dict[str, Any] = {}
    # Before it is read, so that one that takes its place meanwhile gives its rows no name.
    with suppress(OSError):  # which is told by who opens it
        identity = identity_of(arguments.model, arguments.inputs)
    detector = open_model(arguments.model, device=arguments.device)
    rule = Rule.of(detector, alpha=arguments.alpha, threshold=arguments.threshold)
    for note in () if listed is None else listed.notes():
        output.warn(note)
    output.note(rule.describe())
    check_heatmaps(pictures["heatmaps"], rule)
    watched = isinstance(looks, Watch)
    done = 0
    tally = Tally()

    with StageProgress(output) as progress:

        def tell(found: Finding) -> None:
            if watched:
                output.line(found.as_dict())
            if found.error is not None:
                output.warn(f"failed: {found.error}")
            elif watched:
                output.note(f"{found.path}: {found.decision or shown(found.score)}")
            advance()

        def keep(path: Path, row: str) -> None:
            if watched and str(path) != row:
                output.note(f"{path}: known as {row}")
            advance()

        def advance() -> None:
            nonlocal done
            done += 1
            if not watched:
                progress("predict", done, total)

        try:
            predict_files(
                detector,
                looks,
                out,
                rule,
                **pictures,
                page=not arguments.no_page,
                identity=identity,
                used=_used(arguments),
                finding=tell,
                kept=keep,
                tally=tally,
                conditions=Conditions.of(detector, rule),
                news=output.warn if watched else None,
            )
        except KeyboardInterrupt as stop:
            command = "the same command" + " without --overwrite" * arguments.overwrite
            if not watched:
                if tally.total:
                    stop.add_note(GOES_ON.replace("the same command", command))
                raise
            output.note(f"stopped watching; {command} goes on in {out}")
    _show(tally, out, output)
    output.fields |= {**tally.as_dict(), "rule": rule.as_dict(), "out": out}
    return SOME_FAILED if tally.failing or (listed is not None and listed.unreadable) else 0


def _by_parts(arguments: Namespace) -> bool:
    """Whether results are kept by parts: on a cluster, or of or at an address."""
    from anomalist.storage import is_address

    places = (arguments.out, arguments.model, *arguments.inputs)
    return arguments.ray is not None or any(map(is_address, places))


def _used(arguments: Namespace) -> Used:
    if arguments.append:
        return "append"
    return "overwrite" if arguments.overwrite else "continue"


def _photographs(arguments: Namespace) -> tuple[Iterable[Path | Sample], int, Inputs]:
    """Return the photographs that are meant, how many (0 if that isn't known), and whence."""
    from anomalist.data import Sample
    from anomalist.inspection import image_or_lines, list_inputs
    from anomalist.inspection.inputs import STANDARD_INPUT

    out, inputs = Path(arguments.out), list(arguments.inputs)
    # A program can be started with its standard input closed.
    stdin = sys.stdin.buffer if sys.stdin and STANDARD_INPUT in inputs else None
    if stdin is None:
        listed = list_inputs(inputs, results=out)
        files = list(listed)
        return files, len(files), listed
    given = image_or_lines(stdin)
    if not isinstance(given, bytes):
        listed = list_inputs(inputs, results=out, stdin=given)
        return listed, 0, listed
    inputs = [entry for entry in inputs if entry != STANDARD_INPUT]
    image = Sample(arguments.name, image=given)
    listed = list_inputs(inputs, results=out)
    photographs: list[Path | Sample] = [image, *listed]
    return photographs, len(photographs), listed


def _show(done: Tally, out: Path, output: Output) -> None:
    from anomalist.data.walking import HEATMAPS, SHEET
    from anomalist.report.browser import INDEX

    show_counts(done, output)
    written = [name for name in (INDEX, SHEET, HEATMAPS) if (out / name).exists()]
    output.result(
        f"results: {out} ({', '.join(['predictions.csv', 'predictions.jsonl', *written])})"
    )


def show_counts(done: Tally, output: Output) -> None:
    """Print how many images were called what, and what a reader must know of them."""
    from anomalist.data.names import plural

    before = f" ({done.before} of them before)" if done.before else ""
    output.result(f"{plural(done.total, 'image')}{before}: {done.told() or 'none'}")
    for note in done.notes:
        output.result(f"Note: {note}")
