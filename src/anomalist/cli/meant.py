"""What a newcomer's first try means, as the command line that does it."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from anomalist.cli.commands import COMMANDS, EXAMPLES
from anomalist.cli.names import did_you_mean
from anomalist.cli.signatures import named_signatures

if TYPE_CHECKING:
    from anomalist.cli.parsing import CommandParser

_MODEL = ".anomalist"
# What others call them.
_SAME = {
    **dict.fromkeys(("learn", "train", "build", "enroll"), "fit"),
    **dict.fromkeys(
        ("apply", "classify", "detect", "infer", "inference", "inspect", "run", "score", "test"),
        "predict",
    ),
    **dict.fromkeys(("eval", "validate", "val"), "evaluate"),
    **dict.fromkeys(("convert", "openvino", "onnx"), "export"),
    **dict.fromkeys(("compare", "bench"), "benchmark"),
    **dict.fromkeys(("api", "server", "start"), "serve"),
    **dict.fromkeys(("show", "inspect-model", "describe"), "info"),
    **dict.fromkeys(("methods", "models", "ls"), "list"),
}
# Flags that name a place, by what people call them.
_PLACES = (
    "--data",
    "--data_dir",
    "--dataset",
    "--folder",
    "--images",
    "--input",
    "--path",
    "--root",
)
_KINDS = ("--detector", "--detectors", "--method", "--algorithm", "--model")
_SWITCHES = ("--debug", "--json", "--quiet")
_OF_MODELS = ("predict", "evaluate", "export", "info", "calibrate")
_TARGETS = ("--out", "--output", "--out_dir", "--output_dir", "--save", "-o")


def meant_by(word: str, rest: Sequence[str]) -> str:
    """Say what is meant by a first word that is no command; nothing where nobody knows.

    Parameters
    ----------
    word : str
        The first word of the command line.
    rest : sequence of str
        What follows it.

    Examples
    --------
    >>> meant_by("train", [])
    'did you mean: anomalist fit patchcore --data parts/good --out part.anomalist? '
    >>> meant_by("benchmrk", [])
    'did you mean benchmark? '
    """
    known = named_signatures()
    if (near := _SAME.get(word.lower())) is not None:
        return f"did you mean: {_line(near, rest, known) or EXAMPLES[near][0]}? "
    if {*word.split("+")} <= {*known}:
        return f"did you mean: {_line('fit', [word, *rest], known)}? "
    if word.endswith(_MODEL):
        return f"did you mean: {_line('predict', [word, *rest], known)}? "
    if Path(word).exists():
        return (
            f"to learn from good images in it: {_line('fit', [word, *rest], known)}; to inspect it:"
            f" {_line('predict', [word, *rest], known)}; "
        )
    return did_you_mean(word, COMMANDS)


def meant_with(parser: CommandParser, arguments: Sequence[str]) -> str | None:
    """Return the command line that is meant where the arguments of a command are wrong, if one is.

    Parameters
    ----------
    parser : CommandParser
        Of the command.
    arguments : sequence of str
        What follows its name.

    Examples
    --------
    >>> from anomalist.cli import predict
    >>> parser = predict.parser()
    >>> parser.prog = "anomalist predict"
    >>> meant_with(parser, ["photos", "--alpha", "0.01"])
    'anomalist predict part.anomalist photos --out inspected --alpha 0.01'
    """
    known = parser._option_string_actions
    switches = {flag for flag, action in known.items() if action.nargs == 0}
    line = _Line.of(arguments, switches)
    if any(flag not in (*known, *_PLACES, *_KINDS, *_TARGETS) for flag, _ in line.flags):
        return None  # its spelling is what is wrong
    return _line(parser.prog.partition(" ")[2], arguments, named_signatures(), switches)


@dataclass(frozen=True)
class _Line:
    """What follows the name of a command: words, and flags with their values."""

    words: list[str]
    flags: list[tuple[str, str | None]]

    @classmethod
    def of(cls, arguments: Sequence[str], switches: Collection[str]) -> Self:
        """Split it; what follows a flag that is no switch is its value."""
        words: list[str] = []
        flags: list[tuple[str, str | None]] = []
        waiting = False
        for word in arguments:
            if word.startswith("-") and word != "-":
                flag, given, value = word.partition("=")
                flags.append((flag, value if given else None))
                waiting = not given and flag not in switches
            elif waiting:
                flags[-1] = flags[-1][0], word
                waiting = False
            else:
                words.append(word)
        return cls(words, flags)

    def values(self, names: Collection[str]) -> list[str]:
        """Return what is given for flags of these names."""
        return [value for flag, value in self.flags if flag in names and value is not None]

    def others(self, names: Collection[str]) -> list[str]:
        """Return the flags of other names, and their values."""
        kept = [entry for entry in self.flags if entry[0] not in names]
        return [part for entry in kept for part in entry if part is not None]


def _line(
    name: str,
    arguments: Sequence[str],
    known: Collection[str],
    switches: Collection[str] = _SWITCHES,
) -> str | None:
    """Return the command line of a command that these arguments are meant for."""
    line = _Line.of(arguments, switches)
    if name == "fit":
        return shlex.join(["anomalist", "fit", *_fit(line, known)])
    if name in _OF_MODELS:
        return shlex.join(["anomalist", name, *_with_model(name, line)])
    return None


def _fit(line: _Line, known: Collection[str]) -> list[str]:
    called = [*line.words, *line.values(_KINDS)]
    named = [word for word in called if {*word.split("+")} <= {*known}]
    models = [word for word in line.words if word.endswith(_MODEL)]
    folders = [word for word in line.words if word not in (*named, *models)]
    return [
        *(named or ["patchcore"])[:1],
        *("--data", (line.values(_PLACES) or folders or ["parts/good"])[0]),
        *("--out", (line.values(_TARGETS) or models or [f"part{_MODEL}"])[0]),
        *line.others((*_PLACES, *_KINDS, *_TARGETS)),
    ]


def _with_model(name: str, line: _Line) -> list[str]:
    called = [*line.words, *line.values(_KINDS)]
    models = [word for word in called if word.endswith(_MODEL)] or _models_here()
    model = (models or [f"part{_MODEL}"])[0]
    places = [word for word in line.words if word != model] or line.values(_PLACES)
    targets = line.values(_TARGETS)
    if name == "predict":
        rest = [*(places or ["photos"]), "--out", (targets or ["inspected"])[0]]
    elif name == "export":
        rest = ["--out", (targets or places or ["part.onnx"])[0]]
    elif name == "calibrate":
        rest = ["--data", (places or ["parts/new"])[0], "--out", (targets or ["new.anomalist"])[0]]
    elif name == "info":
        rest = []
    else:
        rest = (places or ["parts"])[:1]
        rest += ["--out", targets[0]] if targets else []
    return [model, *rest, *line.others((*_PLACES, *_KINDS, *_TARGETS))]


def _models_here() -> list[str]:
    try:
        return sorted(str(path) for path in Path().iterdir() if path.suffix == _MODEL)
    except OSError:
        return []
