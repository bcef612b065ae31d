"""Options that commands share."""

from __future__ import annotations

import argparse

from jsonargparse import ArgumentParser

from anomalist.cli.signatures import constant, constructor_signature
from anomalist.cli.values import CommaList


def section(parser: ArgumentParser, title: str) -> argparse._ArgumentGroup:
    """Return the group of arguments of that title, which a long help leaves out; made if need be.

    Examples
    --------
    >>> section(ArgumentParser(), "folders").title
    'folders'
    """
    groups = (group for group in parser._action_groups if group.title == title)
    return next(groups, None) or parser.add_argument_group(title)


def add_evaluate_at(arguments: ArgumentParser) -> None:
    """Add ``--evaluate_at`` and ``--pro_limits``."""
    group = section(arguments, "how pixels are measured")
    group.add_argument(
        "--evaluate_at",
        type=constant("anomalist.metrics", "EvaluatedAt"),
        default="original",
        help="measure pixels at the size of each mask, as MVTec's evaluation does, or at the"
        " resolution of the detector's input, as most published tables do",
    )
    group.add_argument(
        "--pro_limits",
        type=CommaList(float),
        default=(),
        help="measure PRO up to these false positive rates too, by commas, besides 0.3",
    )


def add_groups(arguments: ArgumentParser) -> None:
    """Add ``--groups``, of commands that calibrate on images that may not be independent."""
    group = section(arguments, "how it is calibrated")
    group.add_argument(
        "--groups",
        type=str,
        nargs="+",
        default=["auto"],
        metavar="HOW",
        help="which images aren't independent, such as shots of one part, so that none vouches for"
        " another: auto (as the data set says, or by what they show), none, by-folder, or by-name"
        " PATTERN, a regular expression of which 'part(\\d+)' is one",
    )


def add_split(arguments: ArgumentParser) -> None:
    """Add ``--split``."""
    group = section(arguments, "how it is calibrated")
    group.add_argument(
        "--split",
        type=float,
        default=None,
        help="share of the good images that is held out of the fit to calibrate, so that what"
        " thresholds promise holds for certain; 0 for none (default: 0.3 for detectors that train,"
        " where images are enough)",
    )


def add_device(arguments: ArgumentParser) -> None:
    """Add ``--device`` of commands that are given a model."""
    arguments.add_argument(
        "--device", type=str, default=None, help="auto, cpu, cuda or mps (default: as in the fit)"
    )


def add_store_options(parser: ArgumentParser) -> None:
    """Add what the feature store takes, as ``--store.folder``."""
    signature = constructor_signature("anomalist.features.store", "FeatureStore")
    group = parser.add_argument_group("feature store", signature.summary)
    for name, parameter in signature.parameters.items():
        group.add_argument(
            f"--store.{name}",
            type=parameter.hint,
            default=parameter.default,
            help=parameter.text,
        )
