"""``anomalist --print_completion SHELL``: a script with which a shell completes the command."""

from __future__ import annotations

import argparse
import importlib
import typing
from collections.abc import Mapping

import shtab

from anomalist.cli.help import FILE, FOLDER, VALUES
from anomalist.cli.signatures import constant, named_signatures

_DETECTORS = ("detector", "detectors")
_FORMAT = "format"


def completion(shell: str, commands: Mapping[str, str]) -> str:
    """Return the script that completes commands, flags, names of detectors, and paths.

    Parameters
    ----------
    shell : str
        ``bash``, ``zsh``, ``fish`` or ``tcsh``.
    commands : mapping of str to str
        What each command does, by its name.

    Raises
    ------
    ArgumentError
        If there is no such shell.

    Examples
    --------
    >>> "_shtab_anomalist_list" in completion("bash", {"list": "list detectors"})
    True
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        shells = ", ".join(shtab.SUPPORTED_SHELLS)
        raise argparse.ArgumentError(
            None, f"no completion for {shell!r}: --print_completion takes {shells}"
        )
    top = argparse.ArgumentParser("anomalist")
    top.add_argument("--version", "-V", action="version", help="print the version")
    top.add_argument("--print_completion", choices=shtab.SUPPORTED_SHELLS, help="for a shell")
    subparsers = top.add_subparsers()
    for name, summary in commands.items():
        parser = importlib.import_module(f"anomalist.cli.{name}").parser()
        for action in parser._actions:
            _offer(action)
        subparsers.add_parser(name, help=summary, parents=[parser], add_help=False)
    return str(shtab.complete(top, shell))


def _offer(action: argparse.Action) -> None:
    """Tell what to complete the values of an argument with."""
    hint = getattr(action, "_typehint", None)
    key = action.dest.rpartition(".")[2]
    value = action.metavar if action.metavar in (FILE, FOLDER) else VALUES.get(key)
    if action.dest in _DETECTORS:
        action.choices = list(named_signatures())
    elif hint is bool:
        action.choices = ["true", "false"]
    elif typing.get_origin(hint) is typing.Literal:
        action.choices = typing.get_args(hint)
    elif action.dest == _FORMAT:
        action.choices = list(constant("anomalist.data", "FORMATS"))
    elif value == FILE:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif value == FOLDER:
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
