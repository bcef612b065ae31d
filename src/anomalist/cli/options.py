"""Options that commands share: detectors with their hyperparameters as flags, lists, presets."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import types
import typing
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import docstring_parser
from jsonargparse import ArgumentParser, Namespace

from anomalist.detectors import DETECTORS, Detector, presets
from anomalist.errors import ParameterError

# Set by the plan, not by a flag of a detector.
_PLANNED = ("seed",)


def command_parser(description: str) -> ArgumentParser:
    """Return a parser that raises instead of printing, so that an error is one line."""
    return ArgumentParser(description=description.replace("``", ""), exit_on_error=False)


class CommaList:
    """An argument type that reads ``a,b,c`` (or a YAML list) into a tuple.

    Parameters
    ----------
    convert : callable
        Type of the entries.

    Examples
    --------
    >>> CommaList(int)("0,1,2")
    (0, 1, 2)
    """

    def __init__(self, convert: Callable[[str], Any] = str) -> None:
        self._convert = convert

    def __repr__(self) -> str:
        return f"{self._convert.__name__},..."

    def __call__(self, value: Any) -> tuple[Any, ...]:
        """Split and convert; a single value that is no text is a list of one."""
        if isinstance(value, str):
            value = [part.strip() for part in value.strip("[]()").split(",")]
        elif not isinstance(value, list | tuple):
            value = [value]
        if "" in value:
            raise ValueError("an entry of the list is empty")
        return tuple(self._convert(part) for part in value)


def add_detector_options(parser: ArgumentParser) -> None:
    """Add ``--detectors``, ``--preset``, ``--config`` and a flag for every hyperparameter.

    Those that all detectors have are flags of their own (``--backbone``); each is also there for
    one detector alone (``--patchcore.backbone``), and that one wins.
    """
    parser.add_argument(
        "--detectors",
        type=CommaList(),
        default=tuple(DETECTORS),
        help=f"which detectors, separated by commas: {', '.join(DETECTORS)}; patchcore+glass"
        " is an ensemble of the two",
    )
    add_hyperparameters(parser)


def add_hyperparameters(parser: ArgumentParser) -> None:
    """Add ``--preset``, ``--config`` and a flag for every hyperparameter of every detector."""
    parser.add_argument(
        "--preset", type=str, default=None, help="shipped settings; anomalist list names them"
    )
    parser.add_argument("--config", action="config", help="YAML file whose keys are these flags")
    shared = {f.name for f in dataclasses.fields(Detector)}
    add_fields(parser, Detector, "")
    for name, detector in DETECTORS.items():
        add_fields(parser, detector, f"{name}.", brief=shared)


def add_fields(
    parser: ArgumentParser,
    detector: type[Any],
    prefix: str,
    brief: Collection[str] = (),
) -> None:
    """Add a flag for every hyperparameter of a detector; ``brief`` ones refer to the shared."""
    hints = typing.get_type_hints(detector)
    texts = parameter_docs(detector)
    group = parser.add_argument_group(
        f"{prefix.rstrip('.')} hyperparameters" if prefix else "hyperparameters of all detectors"
    )
    for field in dataclasses.fields(detector):
        if field.name in _PLANNED:
            continue
        text = f"{texts[field.name]} (default: {_shown(field.default)})"
        group.add_argument(
            f"--{prefix}{field.name}",
            type=_argument_type(hints[field.name]),
            default=argparse.SUPPRESS,
            help=f"--{field.name} for {detector.name} alone" if field.name in brief else text,
        )


def parameter_docs(detector: type[Any]) -> dict[str, str]:
    """Return what the docstrings of a detector and its bases say of each hyperparameter."""
    texts: dict[str, str] = {}
    for cls in reversed(detector.__mro__):
        if issubclass(cls, Detector):
            for parameter in docstring_parser.parse(cls.__doc__ or "").params:
                for name in parameter.arg_name.split(","):
                    text = (parameter.description or "").replace("``", "")
                    texts[name.strip()] = " ".join(text.split())
    return texts


class _TupleOr:
    """Reads a tuple from ``a,b`` as well as from ``[a, b]``, or one of the hint's other types."""

    def __init__(self, hint: Any) -> None:
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        (of_tuple,) = (option for option in options if typing.get_origin(option) is tuple)
        self._element = typing.get_args(of_tuple)[0]
        if isinstance(self._element, types.UnionType):
            self._element = _as_given
        self._alone = self._element in options
        self._hint = hint

    def __repr__(self) -> str:
        return str(self._hint)

    def __call__(self, value: Any) -> Any:
        if value in (None, "null", "none"):
            return None
        values = CommaList(self._element)(value)
        return values[0] if self._alone and len(values) == 1 else values


def _as_given(value: Any) -> Any:
    """An entry that may be of several types, as the parser read it."""
    return value


def _argument_type(hint: Any) -> Any:
    """Leave all but tuples to the parser."""
    return _TupleOr(hint) if "tuple[" in str(hint) else hint


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def build_detectors(arguments: Namespace) -> list[Detector]:
    """Make the detectors that the arguments name, unfitted.

    Raises
    ------
    ParameterError
        If a detector or a preset is unknown, or a value makes no sense.
    """
    shared = {
        field.name: arguments[field.name]
        for field in dataclasses.fields(Detector)
        if field.name in arguments and field.name not in _PLANNED
    }
    named = [part for name in arguments.detectors for part in name.split("+")]
    for name in named:
        if name not in DETECTORS:
            hint = did_you_mean(name, DETECTORS)
            raise ParameterError(f"no detector {name!r}; {hint}there are {', '.join(DETECTORS)}")
    if arguments.preset and not any(arguments.preset in presets(n) for n in named):
        known = sorted({p for n in named for p in presets(n)})
        raise ParameterError(
            f"no preset {arguments.preset!r} for {', '.join(named)}"
            f"; there are {', '.join(known) or 'none'}"
        )

    def make(name: str, **values: Any) -> Detector:
        own = arguments.get(name)
        if not isinstance(own, Namespace | None):
            raise ParameterError(f"{name} must hold hyperparameters by name, not {own!r}")
        preset = presets(name).get(arguments.preset, {})
        given = {**preset, **shared, **(vars(own) if own is not None else {})}
        return DETECTORS[name](**{**given, **values})

    detectors = []
    for name in arguments.detectors:
        parts = name.split("+")
        if len(parts) == 1:
            detectors.append(make(name))
            continue
        times: Counter[str] = Counter()
        members = []
        for part in parts:
            # A detector that is named twice is another one by its seed.
            members.append(make(part, seed=times[part]))
            times[part] += 1
        first = members[0]
        view = {f: getattr(first, f) for f in ("image_size", "crop_size")} | shared
        detectors.append(make("ensemble", members=tuple(members), **view))
    return detectors


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Ask for the known name that is nearest to a mistyped one; nothing where none is near.

    Examples
    --------
    >>> did_you_mean("Padmi", ["padim", "spade"])
    'did you mean padim? '
    """
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {close[0]}? " if close else ""


def one_line(error: Exception) -> str:
    r"""Bring the parser's message to one line that names the flag, the value and what fits.

    Examples
    --------
    >>> one_line(ValueError('Parser key "seeds":\n  Given value: x\n  list of int expected'))
    '--seeds: Given value: x; list of int expected'
    >>> one_line(ValueError("Parser key \"alpha\":\n  Expected a <class 'float'>. Got value: nan"))
    '--alpha: expected a number. Got value: nan'
    """
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    text = "; ".join(lines)
    text = re.sub(r'Parser key "([^"]+)":;? ?', r"--\1: ", text)
    text = text.replace("Does not validate against any of the Union subtypes; ", "")
    text = re.sub(r"Expected a typing.Literal\[(.+?)\]\.", r"expected one of \1.", text)
    kinds = {"float": "number", "int": "whole number", "str": "text", "bool": "true or false"}
    return re.sub(
        r"Expected an? <class '(\w+)'>", lambda m: f"expected a {kinds.get(m[1], m[1])}", text
    )
