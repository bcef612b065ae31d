"""The ``anomalist`` command: finds the subcommand, and turns failures into one clear line."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import os
import shlex
import sys
import traceback
from collections.abc import Sequence

from jsonargparse import ArgumentError

import anomalist
from anomalist.cli.options import one_line
from anomalist.errors import AnomalistError

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
        close = difflib.get_close_matches(name.lower(), COMMANDS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return _fail(f"no command {name!r}; {hint}the commands are {', '.join(COMMANDS)}", 2)
    if "" in arguments:
        return _fail("an argument is empty: is a variable of the shell not set?", 2)
    command = importlib.import_module(f"anomalist.cli.{name}")
    try:
        parser = command.parser()
        parser.prog = f"anomalist {name}"
        parsed = parser.parse_args(arguments)
        parsed["command_line"] = shlex.join(["anomalist", name, *arguments])
        code: int = command.run(parsed) or 0
        sys.stdout.flush()
    except ArgumentError as error:
        if debug:
            traceback.print_exc()
        return _fail(f"{one_line(error)} (anomalist {name} --help)", 2)
    except BrokenPipeError:
        return _unheard()
    except (AnomalistError, OSError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        return _fail(_describe(error), 1)
    except KeyboardInterrupt:
        return _fail("stopped; the same command goes on from what is finished", 130)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _fail(f"{_describe(error)} - a bug; please report it with what --debug prints", 1)
    return code


def _unheard() -> int:
    """End as a program does whose reader has gone, as ``| head`` has."""
    # What is left in the buffer must not be tried again when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 141


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename else ""
        return f"{file}{error.strerror}"
    if isinstance(error, AnomalistError):
        return str(error)
    return f"{type(error).__name__}: {error}"


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
