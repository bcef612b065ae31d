"""The parser of every command: flags of names, files of settings, one line of what is wrong."""

from __future__ import annotations

import argparse
import re
import typing
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from anomalist.cli.commands import EXAMPLES
from anomalist.cli.help import HELP_ALL, asked_for, help_text
from anomalist.cli.hyperparameters import PLANNED, add_own
from anomalist.cli.meant import meant_with
from anomalist.cli.names import choices_of, did_you_mean, entries_of
from anomalist.cli.output import write
from anomalist.cli.settings import check_settings
from anomalist.cli.signatures import named_signatures
from anomalist.cli.values import CommaList
from anomalist.errors import ParameterError


def command_parser(description: str) -> CommandParser:
    """Return a parser that raises instead of printing, so that an error is one line.

    What every command takes is there.
    """
    parser = CommandParser(
        description=description.replace("``", ""), exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument(
        "--json", action="store_true", help="print results as one JSON object, for programs"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print results, warnings and errors alone"
    )
    shows = next(action for action in parser._actions if action.dest == "help")
    shows.help = "print what is used most, or all there is, and stop"
    shows.option_strings = [*shows.option_strings, HELP_ALL]
    parser._option_string_actions[HELP_ALL] = shows
    return parser


class CommandParser(ArgumentParser):
    """Knows, beside the flags that were added, those of the names that ``--detectors`` gives."""

    takes_names = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._names: set[str] = set()
        self._typed: list[str] = []
        #: What takes the rest of the line after a first word, instead.
        self.subcommands: dict[str, CommandParser] = {}

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, **more: Any
    ) -> Namespace:
        """Parse a command line."""
        if args and (other := self.subcommands.get(args[0])) is not None:
            other.prog = f"{self.prog} {args[0]}"
            parsed: Namespace = other.parse_args(args[1:], **more)
            parsed["subcommand"] = args[0]
            return parsed
        if (flag := asked_for(args or ())) is not None:
            write(self._help(args or (), everything=flag == HELP_ALL) + "\n")
            raise SystemExit(0)
        self._typed = list(args or ())
        files = self._given(args or ())["config"]
        for path in files:
            check_settings(path)
        self.add_names(args or ())
        try:
            parsed = super().parse_args(args, **more)
        except ArgumentError as error:
            if len(files) == 1 and re.search(r"Option '.*' is not accepted", str(error)):
                raise ArgumentError(None, f"{files[0]}: {error}") from error  # of a file alone
            raise
        parsed["typed"] = [a.partition("=")[0] for a in args or () if a.startswith("--")]
        return parsed

    @property
    def names_a_detector(self) -> str:
        """What stands before a detector that is named on the command line."""
        return "--detectors " if "--detectors" in self._option_string_actions else ""

    def _help(self, args: Sequence[str], *, everything: bool) -> str:
        """Return the help, with the settings of the detectors that a command line names."""
        self.add_names(args)
        known = named_signatures()
        if self.names_a_detector:
            named = [
                entry for text in self._given(args)["detectors"][-1:] for entry in _listed(text)
            ]
        else:  # in its place
            named = [a for a in args if known.keys() >= {*a.split("+")}][:1]
        of = [c for choice in choices_of(named, known).values() for c in (choice, *choice.members)]
        names = {name for choice in of for name in (choice.name, choice.detector)}
        return help_text(self, detectors=names, everything=everything)

    def format_help(self, *_: Any) -> str:
        """Return the help of a command line that names no detector."""
        return help_text(self) + "\n"

    def add_names(self, args: Sequence[str]) -> None:
        """Add the flags of detectors that a command line, or the files that it names, names.

        Raises
        ------
        ParameterError
            If a name is taken or can't be one, or there is no such detector.
        """
        if not self.takes_names:
            return
        given = self._given(args)
        for entries in (*map(_in_file, given["config"]), *given["detectors"][-1:]):
            self._add_flags(entries)

    def _given(self, args: Sequence[str]) -> dict[str, list[str]]:
        """Return what a command line gives for flags that are needed before it is parsed."""
        found: dict[str, list[str]] = {"detectors": [], "config": []}
        glance = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
        for name in found:
            if f"--{name}" in self._option_string_actions:
                glance.add_argument(f"--{name}", action="append", default=[])
        with suppress(argparse.ArgumentError):  # told with all else
            found |= vars(glance.parse_known_args(list(args))[0])
        return found

    def _add_flags(self, entries: Any) -> None:
        signatures = named_signatures()
        for name, choice in choices_of(_listed(entries), signatures).items():
            if name in signatures or name in self._names:
                continue
            kind = signatures[choice.detector]
            flags = {action.dest for action in self._actions}
            own = {f"{name}.{key}" for key in (*kind.parameters, "preset")}
            taken = {f.partition(".")[0] for f in flags} - signatures.keys() - self._names
            if name.partition(".")[0] in taken | {*PLANNED} or any(
                f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.")
                for a in own
                for b in flags
            ):
                raise ParameterError(f"the name {name} is taken by a flag: choose another")
            add_own(self, kind, name)
            self._names.add(name)

    def parse_string(self, content: str, *args: Any, **more: Any) -> Namespace:
        """Parse the text of a file of settings, in which ``detectors`` may hold theirs."""
        settings = _loaded(content)
        if isinstance(settings.get("detectors"), dict):
            named, own = entries_of(settings.pop("detectors"))
            for name in own.keys() & settings.keys():
                raise ArgumentError(None, f"{name} has settings in two places: join them")
            content = yaml.safe_dump({"detectors": named, **settings, **own}, sort_keys=False)
        parsed: Namespace = super().parse_string(content, *args, **more)
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> typing.NoReturn:
        """Fail, with what may be meant: a command line, or the nearest flag."""
        unknown = re.search(
            r"(unrecognized arguments: --|Option ')(?P<name>[^\s=']+)", message, re.IGNORECASE
        )
        needed = re.search(r"arguments are required: (?P<names>[\w., ]+)$", message)
        near = ""
        if needed:
            names = ", ".join(map(self._as_typed, needed["names"].split(", ")))
            message = f"{self.prog.rpartition(' ')[2]} needs {names}"
        if needed or re.search("unrecognized arguments", message, re.IGNORECASE):
            near = self._meant(example=bool(needed))
        if unknown:
            near = near or self._nearest(unknown["name"])
        if not message.endswith(near):  # it comes here again from within
            message += near
        super().error(message, ex)

    def _as_typed(self, name: str) -> str:
        return f"--{name}" if f"--{name}" in self._option_string_actions else name.upper()

    def _meant(self, *, example: bool) -> str:
        """Ask for the command line that may be meant, or show an example of one."""
        line = meant_with(self, self._typed)
        if line is not None:
            return f"; did you mean: {line}?"
        examples = EXAMPLES.get(self.prog.partition(" ")[2], ()) if example else ()
        return f", as in: {examples[0]}" if examples else ""

    def _nearest(self, unknown: str) -> str:
        """Ask for the flag that may be meant, or tell how a name that has none gets some."""
        keys: dict[str, list[str]] = {}
        for flag in self._option_string_actions:
            owner, _, key = flag.removeprefix("--").rpartition(".")
            keys.setdefault(owner, []).append(key)
        owner, dot, key = unknown.rpartition(".")
        if owner in keys:
            owners = [name for name, own in keys.items() if name and key in own]
            if not owner and owners:  # a setting of a detector, whose name is missing
                named = [name for name in owners if name in self._typed]
                return f"; did you mean --{(named or owners)[0]}.{key}?"
            near = did_you_mean(key, keys[owner])
            return f"; {near.rstrip()}".replace("mean ", f"mean --{owner}{dot}") if near else ""
        near = did_you_mean(owner, keys).rstrip(" ?")
        if near:
            return f"; {near}.{key}?".replace("mean ", "mean --")
        told = f"; no detector is called {owner}: --detectors {owner}=NAME calls one so"
        return told if self.takes_names else ""


def _listed(entries: Any) -> tuple[str, ...]:
    """Return what names detectors; nothing where it can't be read, which is told with all else."""
    with suppress(ValueError):
        return CommaList()(entries)
    return ()


def _in_file(path: str) -> list[str]:
    """Return what a file of settings names; nothing if it can't be read, which is told later."""
    with suppress(OSError, UnicodeDecodeError):
        named = _loaded(Path(path).read_text(encoding="utf-8")).get("detectors", [])
        return entries_of(named)[0] if isinstance(named, dict) else named
    return []


def _loaded(content: str) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(content)
    except yaml.YAMLError:
        return {}
    return settings if isinstance(settings, dict) else {}
