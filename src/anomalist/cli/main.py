"""The ``anomalist`` command: finds the subcommand, and turns failures into one clear line."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shlex
import sys
import traceback
from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser, Namespace

import anomalist
from anomalist.cli.options import did_you_mean, one_line
from anomalist.errors import AnomalistError, is_out_of_memory

COMMANDS = {
    "demo": "make the sample set, run every detector and an ensemble on it, write the report",
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
    if arguments[:1] == ["--version"]:
        print(f"anomalist {anomalist.__version__}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    name = arguments.pop(0)
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        return _fail(f"no command {name!r}; {hint}the commands are {', '.join(COMMANDS)}", 2)
    if "" in arguments:
        return _fail("an argument is empty: is a variable of the shell not set?", 2)
    command = importlib.import_module(f"anomalist.cli.{name}")
    try:
        parser = command.parser()
        parser.prog = f"anomalist {name}"
        parsed = _parsed(parser, arguments)
        parsed["command_line"] = shlex.join(["anomalist", name, *arguments])
        code: int = command.run(parsed) or 0
        _flush()
    except ArgumentError as error:
        if debug:
            traceback.print_exc()
        return _fail(f"{one_line(error)} (anomalist {name} --help)", 2)
    except BrokenPipeError:  # the reader has gone, as | head has: no failure of ours
        _drop_output()
        return 141
    except (AnomalistError, OSError) as error:
        if debug:
            traceback.print_exc()
        return _fail(_describe(error), 1)
    except KeyboardInterrupt:
        return _fail("stopped; the same command goes on from what is finished", 130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if is_out_of_memory(error):
            return _fail(_out_of_memory(error), 1)
        return _fail(f"{_describe(error)} - a bug; please report it with what --debug prints", 1)
    return code


def _parsed(parser: ArgumentParser, arguments: list[str]) -> Namespace:
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
            "anomalist COMMAND --help tells a command's arguments; --debug shows tracebacks.",
        ]
    )
