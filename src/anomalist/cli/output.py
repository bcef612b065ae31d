"""What a command says, and where: results, progress and warnings, or one JSON object."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from anomalist.origins import named

if TYPE_CHECKING:
    from rich.console import Console

# A pipe has no width; a table cut to 80 columns would lose digits.
_WIDE = 240
_MOST_WARNINGS = 1000


class Output:
    """The one way on which commands print.

    Results go to standard output, all else to standard error, so that results can be piped. With
    ``--quiet`` standard error has warnings and errors alone. With ``--json`` standard output has
    one JSON object, in a line, when the command ends, and standard error has errors alone: what
    is told on the way isn't, and warnings are in the object.

    Parameters
    ----------
    json : bool
        Whether what is found is printed as JSON instead of as text.
    quiet : bool
        Whether what is told on the way is left out.

    Attributes
    ----------
    fields : dict of str to object
        What the JSON object is to hold.
    warnings : list of str
        What was warned of, with ``--json``: the first thousand.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.fields: dict[str, Any] = {}
        self.warnings: list[str] = []

    @cached_property
    def console(self) -> Console:
        """Where progress is shown: standard error, or nowhere."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True, quiet=self.quiet or self.json)

    @property
    def live(self) -> bool:
        """Whether a bar can move, as it can't in a file or on a terminal that knows no cursor."""
        console = self.console
        return console.is_terminal and not console.is_dumb_terminal and not console.quiet

    def result(self, found: object) -> None:
        """Print what was found: something that rich draws, or the text of anything else."""
        if self.json:
            return
        if not hasattr(found, "__rich_console__"):
            write(f"{printable(named(str(found)))}\n")
            return
        from rich.console import Console

        screen = Console(highlight=False)
        if not screen.is_terminal:
            screen.width = max(screen.width, _WIDE)
        with screen.capture() as drawn:
            screen.print(found)
        write(drawn.get())

    def note(self, text: str) -> None:
        """Tell something on the way."""
        self.console.print(printable(named(text)), markup=False)

    def warn(self, text: str) -> None:
        """Tell what must be known, however little is asked for."""
        text = named(text)
        if self.json:
            if len(self.warnings) < _MOST_WARNINGS:  # watching never ends
                self.warnings.append(text)
            return
        if self.quiet:
            print(printable(text), file=sys.stderr)
        else:
            self.console.print(printable(text), markup=False)  # above a bar, where there is one

    def line(self, fields: Mapping[str, Any]) -> None:
        """With ``--json``, print an object of its own at once, as of each photograph watched."""
        if self.json:
            write(as_json(fields) + "\n")

    def close(self, command: str | None, code: int, error: Mapping[str, str] | None = None) -> None:
        """With ``--json``, print the object: what was found, or what went wrong."""
        fields = {"error": error} if error is not None else self.fields
        self.line({"command": command, **fields, "warnings": self.warnings, "exit_code": code})


def printable(text: str) -> str:
    r"""Escape what would move a terminal's cursor or isn't seen, as names of files may hold.

    Examples
    --------
    >>> print(printable("red\x1b[31m.png\nfine é"))
    red\x1b[31m.png
    fine é
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def as_json(fields: Mapping[str, Any]) -> str:
    r"""Return a line of JSON that every reader takes: a number that isn't finite becomes null.

    Bytes of a name that aren't text in UTF-8 stay what they are, as an escape that JSON knows.

    Examples
    --------
    >>> as_json({"score": float("nan"), "path": PurePath("a\udcff.png"), "ends": (0.5, None)})
    '{"score": null, "path": "a\\udcff.png", "ends": [0.5, null]}'
    """
    text = json.dumps(_plain(fields), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numbers and arrays of NumPy
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool | int) or value is None:
        return value
    return named(os.fspath(value) if isinstance(value, PurePath) else str(value))


def write(text: str) -> None:
    """Write to standard output, while a failure can still be told."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk says nothing of the file
        raise OSError(error.errno, error.strerror, "standard output") from error
