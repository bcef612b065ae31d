"""The help of a command: what it does, what people use, and the rest where it is asked for."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from anomalist.cli.commands import COMMANDS, EXAMPLES
from anomalist.cli.hyperparameters import ALONE, SETTINGS, SETTINGS_OF_ALL
from anomalist.cli.values import as_typed, type_word

if TYPE_CHECKING:
    from anomalist.cli.parsing import CommandParser

#: The flag that asks for all of it.
HELP_ALL = "--help_all"
#: How long a help may be that shows all there is without being asked to.
SCREEN = 60
#: The columns of a help, where the terminal has them.
WIDTH = 80
_COLUMN = 26
# Of what all detectors have, what a first try may need.
_OFTEN = ("image_size", "device")
_EVERYWHERE = ("json", "quiet", "help")
_RARE = ("print_config",)
FILE, FOLDER = "FILE", "FOLDER"
#: What the value of an argument is called where its type doesn't tell, by the argument's name.
VALUES = {
    **dict.fromkeys(
        ("config", "inputs", "model", "models", "names", "out", "scores", "weights"), FILE
    ),
    **dict.fromkeys(("data", "folder", "maps", "state", "tensorboard", "textures"), FOLDER),
    **dict.fromkeys(("category", "name", "preset"), "NAME"),
    **dict.fromkeys(("categories", "detectors"), "NAME,..."),
    **dict.fromkeys(("layers", "members"), "NAME,..."),
    "backbone": "NAME",
    "device": "DEVICE",
    "exclude": "PATH",
}


def help_text(
    parser: CommandParser, *, detectors: Collection[str] = (), everything: bool = False
) -> str:
    r"""Return the help of a command.

    What the command does comes first, then how it is called, its own arguments, and the settings of
    the detectors that are named. What is left out is named.

    Parameters
    ----------
    parser : CommandParser
        Of the command.
    detectors : collection of str
        Whose settings are shown, by what they are called.
    everything : bool
        Whether nothing is left out.

    Examples
    --------
    >>> from anomalist.cli import info
    >>> parser = info.parser()
    >>> parser.prog = "anomalist info"
    >>> print("\n".join(help_text(parser).splitlines()[:3]))
    Tell what is in a model file.
    <BLANKLINE>
    usage: anomalist info FILE.anomalist [OPTIONS]
    """
    sections = [
        _Section(
            group.title or "", group.description, [a for a in group._group_actions if _told(a)]
        )
        for group in parser._action_groups
    ]
    settings = any(section.of_settings for section in sections)
    whole = [*_head(parser), *_listed(sections, parser)]
    if everything or (not settings and len(whole) <= SCREEN):
        return "\n".join(whole)
    kept, left = [], []
    for section in sections:
        shown = [a for a in section.actions if _often(section, a, detectors)]
        kept.append(replace(section, actions=shown))
        left.append(replace(section, actions=[a for a in section.actions if a not in shown]))
    return "\n".join([*_head(parser), *_listed(kept, parser), *_more(parser, left, detectors)])


@dataclass(frozen=True)
class _Section:
    """Arguments that a help shows together."""

    title: str
    text: str | None
    actions: Sequence[argparse.Action]

    @property
    def of_command(self) -> bool:
        """Whether it is one of the two that argparse itself makes."""
        return self.title in ("positional arguments", "options")

    @property
    def of_settings(self) -> bool:
        """Whether it holds hyperparameters."""
        return self.title.startswith(SETTINGS)

    @property
    def owner(self) -> str | None:
        """The detector whose hyperparameters it holds; None for those of all, and for others."""
        if not self.of_settings or self.title == SETTINGS_OF_ALL:
            return None
        return self.title.removeprefix(SETTINGS).partition(" ")[0]


def _often(section: _Section, action: argparse.Action, detectors: Collection[str]) -> bool:
    if section.title == SETTINGS_OF_ALL:
        return bool(detectors) or action.dest in _OFTEN
    if section.owner is not None:
        # What all have is shown once.
        return section.owner in detectors and not (action.help or "").endswith(ALONE)
    return section.of_command and action.dest not in _RARE


def _told(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS


def _head(parser: CommandParser) -> Iterator[str]:
    usage, _, text = (parser.description or "").partition(": ")
    name = parser.prog.partition(" ")[2]
    text = COMMANDS.get(name, text).rstrip(".")
    yield from _wrapped(f"{text[:1].upper()}{text[1:]}.")
    yield ""
    takes = usage.removeprefix(parser.prog)
    yield from _wrapped(f"usage: {parser.prog}{takes} [OPTIONS]", hanging=7)
    examples = EXAMPLES.get(name, ())
    if examples:
        yield ""
    for example in examples:
        yield from _wrapped(example, indent=2, hanging=6)


def _listed(sections: Sequence[_Section], parser: CommandParser) -> Iterator[str]:
    """Yield the arguments: what is needed first, and what every command takes last."""
    own = [action for section in sections if section.of_command for action in section.actions]
    usage = (parser.description or "").partition(": ")[0].split()
    needed = [a for a in own if not a.option_strings or {*usage} & {*a.option_strings}]
    by_dest = {action.dest: action for action in own}
    everywhere = [by_dest[dest] for dest in _EVERYWHERE if dest in by_dest]
    rest = [a for a in own if a not in everywhere and a not in needed]
    others = [section for section in sections if not section.of_command]
    for section in (
        _Section("arguments", None, sorted(needed, key=lambda a: bool(a.option_strings))),
        _Section("options", None, rest),
        *sorted(others, key=lambda section: section.of_settings),
        _Section("of every command", None, everywhere),
    ):
        if section.actions:
            text = f": {section.text.rstrip('.')}" if section.text else ""
            yield from ("", *_wrapped(f"{section.title}{text}:", hanging=2))
            for action in section.actions:
                yield from _entry(action)


def _entry(action: argparse.Action) -> Iterator[str]:
    flags = list(action.option_strings)
    if len(flags) > 1 and flags[0].startswith("--"):  # the others are spelled with dashes
        del flags[1:]
    value = value_word(action)
    left = ", ".join(flags) + (f" {value}" if value else "") if flags else value
    text = _wrapped(_text(action), _width() - _COLUMN)
    beside = len(left) + 4 <= _COLUMN
    first = text.pop(0) if beside else ""
    yield f"  {left:<{_COLUMN - 2}}{first}".rstrip()
    yield from (" " * _COLUMN + line for line in text)


def value_word(action: argparse.Action) -> str:
    """Return what a help calls the value of an argument; nothing where it takes none.

    Examples
    --------
    >>> value_word(argparse.ArgumentParser().add_argument("--side", type=int))
    'INT'
    >>> value_word(argparse.ArgumentParser().add_argument("photos", nargs="+"))
    'PHOTOS...'
    """
    if action.nargs == 0:
        return ""
    given = isinstance(action.metavar, str) and not action.metavar.startswith(("{", "\b"))
    if given:
        word = str(action.metavar)
    elif not action.option_strings:
        word = action.dest.upper()
    elif action.dest.rpartition(".")[2] in VALUES:
        word = VALUES[action.dest.rpartition(".")[2]]
    else:
        word = type_word(getattr(action, "_typehint", None) or action.type or str)
    if action.nargs == "?" and not action.option_strings:
        return f"[{word}]"
    return word + "..." * (action.nargs == "+")


def _text(action: argparse.Action) -> str:
    text = " ".join((action.help or "").split())
    text = text.replace("%%", "%")
    default = action.default
    silent = default is None or default in ([], (), argparse.SUPPRESS) or action.nargs == 0
    if silent or action.required or "default" in text:
        return text
    return f"{text} (default: {as_typed(default)})"


def _more(
    parser: CommandParser, left: Sequence[_Section], detectors: Collection[str]
) -> Iterator[str]:
    """Yield what the help leaves out, and how it is shown."""
    if not any(section.actions for section in left):
        return
    yield from ("", f"more, all told by {parser.prog} {HELP_ALL}:")
    others: dict[str, str] = {}
    for section in left:
        flags = ", ".join(a.option_strings[0] for a in section.actions)
        title = "options" if section.of_command else section.title
        if section.owner is not None:
            title = f"for {section.owner} alone"
            if section.owner not in detectors:
                others[section.owner] = (section.text or "").partition(" (")[0].rstrip(".")
                continue
            flags = flags and f"what all detectors have, as {flags.partition(',')[0]}"
        if flags:
            yield from _wrapped(f"{title}: {flags}", indent=2, hanging=4)
    if not others:
        return
    named = "patchcore" if "patchcore" in others else next(iter(others))
    how = f"as by {parser.prog} {parser.names_a_detector}{named} --help"
    if detectors:
        yield from _wrapped(f"settings of {', '.join(others)}: {how}", indent=2, hanging=4)
        return
    yield from ("", *_wrapped(f"detectors, each with settings of its own, {how}:", hanging=2))
    for name, text in others.items():
        yield from _wrapped(f"{name:<10}{text}", indent=2, hanging=12)


def _wrapped(
    text: str, width: int | None = None, *, indent: int = 0, hanging: int = 0
) -> list[str]:
    """Break a text into lines; neither flags nor what a shell takes as one word are broken."""
    return textwrap.wrap(
        text,
        width or _width(),
        initial_indent=" " * indent,
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _width() -> int:
    return max(min(shutil.get_terminal_size((WIDTH, 0)).columns, 100), 60)


def asked_for(arguments: Sequence[str]) -> str | None:
    """Return the flag that asks for help, if one does; after ``--`` none does.

    Examples
    --------
    >>> asked_for(["patchcore", "-h"]), asked_for(["--", "-h"])
    ('-h', None)
    """
    ours = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    return next((a for a in reversed(ours) if a in ("-h", "--help", HELP_ALL)), None)
