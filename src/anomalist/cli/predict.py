"""``anomalist predict MODEL INPUT... --out OUT``: decisions, regions and heatmaps of images."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.options import command_parser
from anomalist.cli.output import Output
from anomalist.errors import ParameterError

if TYPE_CHECKING:
    from anomalist.inspection import Finding, Tally

_SOME_FAILED = 3


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("model", type=str, help="a file that anomalist fit wrote")
    arguments.add_argument(
        "inputs",
        type=str,
        nargs="+",
        help="folders (at any depth), images, patterns, or - for paths from standard input",
    )
    arguments.add_argument("--out", type=str, required=True, help="the folder of results")
    arguments.add_argument(
        "--alpha",
        type=float,
        default=None,
        help="false-alarm rate of the threshold (default: that of the fit)",
    )
    arguments.add_argument(
        "--threshold", type=float, default=None, help="score above which an image is anomalous"
    )
    arguments.add_argument(
        "--heatmaps",
        type=Literal["all", "anomalous", "none"],
        default="all",
        help="of which images to write heatmaps",
    )
    arguments.add_argument(
        "--arrays", action="store_true", help="write raw maps as .npy beside the heatmaps"
    )
    arguments.add_argument(
        "--watch",
        type=float,
        default=None,
        metavar="SECONDS",
        help="go on and look for new images every so often, until interrupted",
    )
    arguments.add_argument(
        "--device", type=str, default=None, help="auto, cpu, cuda or mps (default: as in the fit)"
    )
    return arguments


def run(arguments: Namespace, output: Output) -> int:
    """Run the command."""
    from anomalist.cli.progress import GOES_ON, StageProgress
    from anomalist.files import check_writable
    from anomalist.inspection import (
        Rule,
        identity_of,
        list_inputs,
        open_model,
        predict_files,
        watch_inputs,
    )

    out = Path(arguments.out)
    watched = arguments.watch is not None
    total = 0
    looks: Iterable[Iterable[Path]]
    if watched:
        looks = watch_inputs(arguments.inputs, arguments.watch, results=out)
    else:
        # A program can be started with its standard input closed.
        stdin = sys.stdin.buffer if sys.stdin and "-" in arguments.inputs else None
        paths: Iterable[Path] = list_inputs(arguments.inputs, results=out, stdin=stdin)
        if stdin is None:
            paths = list(paths)
            total = len(paths)
        looks = [paths]
    check_writable(out / "predictions.csv")
    detector = open_model(arguments.model, device=arguments.device)
    rule = Rule.of(detector, alpha=arguments.alpha, threshold=arguments.threshold)
    output.note(rule.describe())
    if arguments.heatmaps == "anomalous" and rule.threshold is None:
        raise ParameterError(
            "--heatmaps anomalous needs a threshold: give one with --threshold or --alpha"
        )
    done = failed = 0

    with StageProgress(output) as progress:

        def tell(found: Finding) -> None:
            nonlocal done, failed
            done += 1
            if watched:
                output.line(found.as_dict())
            if found.error is not None:
                failed += 1
                output.warn(f"failed: {found.error}")
            elif watched:
                output.note(f"{found.path}: {found.decision or found.score}")
            if not watched:
                progress("predict", done, total)

        try:
            tally = predict_files(
                detector,
                looks,
                out,
                rule,
                heatmaps=arguments.heatmaps,
                arrays=arguments.arrays,
                identity=identity_of(arguments.model, inputs=arguments.inputs, watched=watched),
                finding=tell,
            )
        except KeyboardInterrupt as stop:
            if not watched:
                if done:
                    stop.add_note(GOES_ON)
                raise
            output.fields |= {"out": out, "rule": vars(rule)}
            output.note(f"stopped watching; the same command goes on in {out}")
            return _SOME_FAILED if failed else 0
    _show(tally, out, output)
    output.fields |= {**tally.as_dict(), "rule": vars(rule), "out": out}
    return _SOME_FAILED if tally.failed else 0


def _show(done: Tally, out: Path, output: Output) -> None:
    counts = {
        "anomalous": done.anomalous,
        "normal": done.normal,
        "without a decision": done.undecided,
        "failed": done.failed,
    }
    shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    before = f" ({done.before} of them before)" if done.before else ""
    output.result(f"{done.total} image{'s' * (done.total != 1)}{before}: {shown or 'none'}")
    written = [name for name in ("contact_sheet.png", "heatmaps") if (out / name).exists()]
    output.result(
        f"results: {out} ({', '.join(['predictions.csv', 'predictions.jsonl', *written])})"
    )
