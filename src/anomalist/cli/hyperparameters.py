"""Flags for the hyperparameters of detectors, derived from their constructors."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from anomalist.cli.signatures import (
    Signature,
    detector_signatures,
    named_signatures,
    shared_signature,
)
from anomalist.cli.values import CommaList, argument_type, as_typed, is_repeated

if TYPE_CHECKING:
    from anomalist.cli.parsing import CommandParser

#: Set by the plan, not by a flag of a detector.
PLANNED = ("seed",)
#: How the titles of groups of hyperparameters begin, that of all detectors' and each one's.
SETTINGS = "settings of "
SETTINGS_OF_ALL = f"{SETTINGS}all detectors"
#: How the help ends of a flag that sets for one detector what all have.
ALONE = " alone"
# The parser takes the other actions for something else where one is named.
_REPEATED: dict[str, Any] = {"action": "append"}


def add_detector_options(parser: CommandParser) -> None:
    """Add ``--detectors``, ``--preset``, ``--config`` and a flag for every hyperparameter.

    Those that all detectors have are flags of their own (``--backbone``); each is also there for
    one detector alone (``--patchcore.backbone``), and that one wins, as does one of a name
    (``--small.backbone``) over its detector's.
    """
    parser.takes_names = True
    known = ", ".join(detector_signatures())
    parser.add_argument(
        "--detectors",
        type=CommaList(),
        default=tuple(detector_signatures()),
        help=f"which detectors, separated by commas: {known}; patchcore+glass is an ensemble of the"
        " two, and small=patchcore another patchcore, called small in tables, files and flags"
        " (--small.coreset_ratio); auto chooses by the good images (default: all but auto)",
    )
    add_hyperparameters(parser)


def add_hyperparameters(parser: ArgumentParser) -> None:
    """Add ``--preset``, ``--config`` and a flag for every hyperparameter of every detector."""
    parser.add_argument(
        "--preset",
        type=str,
        default=None,
        help="shipped settings; anomalist list names them",
    )
    parser.add_argument("--config", action="config", help="YAML file whose keys are these flags")
    for action in parser._actions:
        if action.dest == "print_config":  # which comes with the other
            action.help = "print what all settings are, as a file for --config, and stop"
    add_fields(parser, shared_signature(), "", title=SETTINGS_OF_ALL)
    for name, signature in named_signatures().items():
        add_own(parser, signature, name)


def add_fields(
    parser: ArgumentParser,
    signature: Signature,
    prefix: str,
    brief: Collection[str] = (),
    title: str | None = None,
) -> argparse._ArgumentGroup:
    """Add a flag for every hyperparameter of a detector; ``brief`` ones refer to the shared."""
    name = prefix.removesuffix(".")
    if title is None:
        kind = "" if name == signature.name else f" ({signature.name})"
        title = f"{SETTINGS}{name}{kind}"
    group = parser.add_argument_group(title, signature.summary if prefix else None)
    for key, parameter in signature.parameters.items():
        if key in PLANNED:
            continue
        text = parameter.text
        if parameter.default not in (None, ()):
            text += f" (default: {as_typed(parameter.default)})"
        group.add_argument(
            f"--{prefix}{key}",
            type=argument_type(parameter.hint),
            default=argparse.SUPPRESS,
            help=f"--{key} for {name}{ALONE}" if key in brief else text,
            **_REPEATED if is_repeated(parameter.hint) else {},
        )
    return group


def add_own(parser: ArgumentParser, signature: Signature, name: str) -> None:
    """Add the hyperparameters and the preset of what is called so."""
    group = add_fields(parser, signature, f"{name}.", brief=shared_signature().parameters)
    group.add_argument(
        f"--{name}.preset",
        type=str,
        default=argparse.SUPPRESS,
        help=f"--preset for {name}{ALONE}",
    )
