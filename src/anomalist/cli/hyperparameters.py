"""Flags for the hyperparameters of detectors, derived from their constructors."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from anomalist.cli.signatures import Signature, detector_signatures, shared_signature
from anomalist.cli.values import CommaList, argument_type

if TYPE_CHECKING:
    from anomalist.cli.parsing import CommandParser

#: Set by the plan, not by a flag of a detector.
PLANNED = ("seed",)


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
        " (--small.coreset_ratio)",
    )
    add_hyperparameters(parser)


def add_hyperparameters(parser: ArgumentParser) -> None:
    """Add ``--preset``, ``--config`` and a flag for every hyperparameter of every detector."""
    parser.add_argument(
        "--preset", type=str, default=None, help="shipped settings; anomalist list names them"
    )
    parser.add_argument("--config", action="config", help="YAML file whose keys are these flags")
    shared = shared_signature()
    add_fields(parser, shared, "", title="of all detectors")
    for name, signature in detector_signatures().items():
        add_own(parser, signature, name, brief=shared.parameters)


def add_fields(
    parser: ArgumentParser,
    signature: Signature,
    prefix: str,
    brief: Collection[str] = (),
    title: str | None = None,
) -> argparse._ArgumentGroup:
    """Add a flag for every hyperparameter of a detector; ``brief`` ones refer to the shared."""
    title = title or signature.name
    group = parser.add_argument_group(
        f"{title} hyperparameters" if prefix else f"hyperparameters {title}"
    )
    for name, parameter in signature.parameters.items():
        if name in PLANNED:
            continue
        text = f"{parameter.text} (default: {_shown(parameter.default)})"
        group.add_argument(
            f"--{prefix}{name}",
            type=argument_type(parameter.hint),
            default=argparse.SUPPRESS,
            help=f"--{name} for {title} alone" if name in brief else text,
        )
    return group


def add_own(
    parser: ArgumentParser, signature: Signature, name: str, brief: Collection[str] = ()
) -> None:
    """Add the hyperparameters and the preset of what is called so."""
    title = name if name == signature.name else f"{name} ({signature.name})"
    group = add_fields(parser, signature, f"{name}.", brief, title)
    group.add_argument(
        f"--{name}.preset",
        type=str,
        default=argparse.SUPPRESS,
        help=f"--preset for {name} alone",
    )


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
