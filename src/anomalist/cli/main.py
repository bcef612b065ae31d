"""The ``anomalist`` command: finds the subcommand, and turns failures into one clear line."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

import anomalist
from anomalist.errors import AnomalistError, is_out_of_memory

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

COMMANDS = {
    "demo": "draw a sample set, run quick detectors and an ensemble on it, write the report",
    "benchmark": "run detectors x categories x seeds on a data set, resumably",
    "reproduce": "hold published numbers of MVTec AD against runs of our own",
    "report": "write the tables and report.html of a results folder again",
    "fit": "learn from good images, with a threshold of a stated false-alarm rate",
    "predict": "score images: decisions, heatmaps, regions",
    "evaluate": "measure a model on images that are known to be good or defective",
    "export": "write a model as an ONNX or OpenVINO graph that does the same",
    "info": "tell what is in a model file",
    "list": "list detectors, backbones, presets and known data sets",
    "synthesize": "draw synthetic defects on good images, to look at them",
    "download": "fetch a public data set, verified and resumable",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 is done, 1 failed, 2 misused, 3 done but for some files, 130 stopped,
    141 that nobody reads on.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the program's name; those of the process by default.

    Examples
    --------
    >>> main(["--version"])
    anomalist ...
    0
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files may hold what the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    first = arguments[0] if arguments else "--help"
    if first in ("--version", "-V"):
        print(f"anomalist {anomalist.__version__}")
        return 0
    if first in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if first not in COMMANDS and first.partition("=")[0] != "--print_completion":
        from anomalist.cli.names import did_you_mean

        hint = did_you_mean(first, COMMANDS)
        return _fail(f"no command {first!r}; {hint}the commands are {', '.join(COMMANDS)}", 2)
    if "" in arguments:
        return _fail("an argument is empty: is a variable of the shell not set?", 2)
    try:
        code = _run(arguments) if first in COMMANDS else _print_completion(arguments)
        _flush()
    except BrokenPipeError:  # the reader has gone, as | head has: no failure of ours
        _drop_output()
        return 141
    except (Exception, KeyboardInterrupt) as error:
        from argparse import ArgumentError

        # A failure of what is done after a Ctrl-C, such as to write, is told as what it is.
        stop = None if isinstance(error, AnomalistError | OSError) else _stop_in(error)
        if debug and stop is not error:
            traceback.print_exc()
        if stop is not None:
            if argv is None:  # a second Ctrl-C has nothing left to stop
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            return _fail("; ".join(["stopped", *getattr(stop, "__notes__", ())]), 130)
        if isinstance(error, ArgumentError):
            from anomalist.cli.options import one_line

            command = f"anomalist {first}" if first in COMMANDS else "anomalist"
            return _fail(f"{one_line(error)} ({command} --help)", 2)
        if isinstance(error, AnomalistError | OSError):
            return _fail(_describe(error), 1)
        if is_out_of_memory(error):
            return _fail(_out_of_memory(error), 1)
        return _fail(f"{_describe(error)} - a bug; please report it with what --debug prints", 1)
    return code


def _run(arguments: list[str]) -> int:
    name, *rest = arguments
    command = importlib.import_module(f"anomalist.cli.{name}")
    parser = command.parser()
    parser.prog = f"anomalist {name}"
    parsed = _parsed(parser, rest)
    parsed["command_line"] = shlex.join(arguments)
    return command.run(parsed) or 0


def _print_completion(arguments: list[str]) -> int:
    from anomalist.cli.completion import completion

    shell = " ".join(arguments).removeprefix("--print_completion").lstrip(" =")
    print(completion(shell, COMMANDS))
    return 0


def _stop_in(error: BaseException) -> BaseException | None:
    """Return the Ctrl-C that an error is or comes from: while a module loads, one may become one.

    Examples
    --------
    >>> try:
    ...     try:
    ...         raise KeyboardInterrupt
    ...     except KeyboardInterrupt:
    ...         raise ImportError("half a module")
    ... except ImportError as error:
    ...     _stop_in(error)
    KeyboardInterrupt()
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause


def _parsed(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    from argparse import ArgumentError

    try:
        return parser.parse_args(arguments)
    except UnicodeDecodeError as error:  # only a file of settings is read
        raise ArgumentError(None, f"the file of --config isn't text in UTF-8: {error}") from error
    except ArgumentError as error:
        if "parsing config" not in str(error) or "--config" not in arguments:
            raise
        file = arguments[arguments.index("--config") + 1]
        raise ArgumentError(None, f"{file}: {error}") from error


def _flush() -> None:
    """Write what is printed while a failure can still be told."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _drop_output()
        raise


def _drop_output() -> None:
    # Or the interpreter would try again when it ends, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename else ""
        return f"{file}{error.strerror}"
    if isinstance(error, AnomalistError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _out_of_memory(error: BaseException) -> str:
    """Say what was asked for, without torch's advice for programmers, and what to lower."""
    first_line = (str(error).splitlines() or [""])[0]
    asked = ". ".join(first_line.split(". ")[:2]).rstrip(".") or "no more could be had"
    return (
        f"out of memory: {asked}; lower --batch_size, --image_size or --coreset_ratio (of the fit,"
        " where a model is used), or choose --device cpu"
    )


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(BrokenPipeError):
        lines = (line.strip() for line in message.splitlines())
        print(f"anomalist: error: {' '.join(line for line in lines if line)}", file=sys.stderr)
    return code


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "anomalist finds defects in images after seeing only good ones.",
            "",
            "usage: anomalist COMMAND [ARGUMENTS] [--debug]",
            "",
            *lines,
            "",
            "anomalist COMMAND --help tells a command's arguments; --debug shows tracebacks;",
            "--version, or -V, tells the version; --print_completion bash, zsh or fish prints a",
            "script with which that shell completes commands and flags.",
        ]
    )
