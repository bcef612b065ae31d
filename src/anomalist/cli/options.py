"""Options that commands share: detectors with their hyperparameters as flags, lists, presets."""

from __future__ import annotations

import argparse
import re
import types
import typing
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from anomalist.cli.names import Choice, choices_of, did_you_mean, entries_of
from anomalist.cli.settings import check_settings
from anomalist.cli.signatures import (
    Signature,
    constant,
    constructor_signature,
    detector_signatures,
    shared_signature,
)
from anomalist.errors import ParameterError

if TYPE_CHECKING:
    from anomalist.cli.output import Output
    from anomalist.detectors import Detector

# Set by the plan, not by a flag of a detector.
_PLANNED = ("seed",)


def command_parser(description: str) -> CommandParser:
    """Return a parser that raises instead of printing, so that an error is one line.

    What every command takes is there.
    """
    parser = CommandParser(
        description=description.replace("``", ""), exit_on_error=False, allow_abbrev=False
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object, with the same names as in Python, and nothing else",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print results, warnings and errors alone"
    )
    return parser


def add_evaluate_at(arguments: ArgumentParser) -> None:
    """Add ``--evaluate_at`` and ``--pro_limits``."""
    arguments.add_argument(
        "--evaluate_at",
        type=constant("anomalist.metrics", "EvaluatedAt"),
        default="original",
        help="measure pixels at the size of each mask, as MVTec's evaluation does, or at the"
        " resolution of the detector's input, as most published tables do",
    )
    arguments.add_argument(
        "--pro_limits",
        type=CommaList(float),
        default=(),
        help="measure PRO up to these false positive rates too, by commas, besides 0.3",
    )


def add_groups(arguments: ArgumentParser) -> None:
    """Add ``--groups``, of commands that calibrate on images that may not be independent."""
    arguments.add_argument(
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
    arguments.add_argument(
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


class CommandParser(ArgumentParser):
    """Knows, beside the flags that were added, those of the names that ``--detectors`` gives."""

    takes_names = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._names: set[str] = set()
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
        try:
            listed = CommaList()(entries)
        except ValueError:
            return  # told with all else
        signatures = detector_signatures()
        for name, choice in choices_of(listed, signatures).items():
            if name in signatures or name in self._names:
                continue
            kind = signatures[choice.detector]
            flags = {action.dest for action in self._actions}
            own = {f"{name}.{key}" for key in (*kind.parameters, "preset")}
            taken = {f.partition(".")[0] for f in flags} - signatures.keys() - self._names
            if name.partition(".")[0] in taken | {*_PLANNED} or any(
                f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.")
                for a in own
                for b in flags
            ):
                raise ParameterError(f"the name {name} is taken by a flag: choose another")
            _add_own(self, kind, name)
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
        """Fail, with the nearest flag where there is none of that name."""
        unknown = re.search(
            r"(unrecognized arguments: --|Option ')(?P<name>[^\s=']+)", message, re.IGNORECASE
        )
        near = self._nearest(unknown["name"]) if unknown else ""
        if not message.endswith(near):  # it comes here again from within
            message += near
        super().error(message, ex)

    def _nearest(self, unknown: str) -> str:
        """Ask for the flag that may be meant, or tell how a name that has none gets some."""
        keys: dict[str, list[str]] = {}
        for flag in self._option_string_actions:
            owner, _, key = flag.removeprefix("--").rpartition(".")
            keys.setdefault(owner, []).append(key)
        owner, dot, key = unknown.rpartition(".")
        if owner in keys:
            near = did_you_mean(key, keys[owner])
            return f"; {near.rstrip()}".replace("mean ", f"mean --{owner}{dot}") if near else ""
        near = did_you_mean(owner, keys).rstrip(" ?")
        if near:
            return f"; {near}.{key}?".replace("mean ", "mean --")
        told = f"; no detector is called {owner}: --detectors {owner}=NAME calls one so"
        return told if self.takes_names else ""


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
        _add_own(parser, signature, name, brief=shared.parameters)


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
        if name in _PLANNED:
            continue
        text = f"{parameter.text} (default: {_shown(parameter.default)})"
        group.add_argument(
            f"--{prefix}{name}",
            type=_argument_type(parameter.hint),
            default=argparse.SUPPRESS,
            help=f"--{name} for {title} alone" if name in brief else text,
        )
    return group


def _add_own(
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


def add_store_options(parser: ArgumentParser) -> None:
    """Add what the feature store takes, as ``--store.folder``."""
    signature = constructor_signature("anomalist.features.store", "FeatureStore")
    group = parser.add_argument_group(f"feature store: {signature.summary}")
    for name, parameter in signature.parameters.items():
        group.add_argument(
            f"--store.{name}",
            type=parameter.hint,
            default=parameter.default,
            help=parameter.text,
        )


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


def build_detectors(
    arguments: Namespace, output: Output, *, strict: bool = False
) -> dict[str, Detector]:
    """Make the detectors that the arguments name, unfitted, by name.

    What is given for all comes first, what is given for a kind of detector (``--patchcore.sigma``)
    overrides it, and what is given for a name (``--small.sigma``) overrides both; a preset
    overrides nothing that is given. Where ``--preset`` doesn't set all of them, or what is given is
    for a detector that isn't among them, a warning says so.

    Parameters
    ----------
    arguments : Namespace
        As a parser with the flags of detectors gave it.
    output : Output
        Where warnings go.
    strict : bool
        Whether a flag on the command line for a detector that isn't among them is refused. A file
        of settings may always serve several commands.

    Raises
    ------
    ParameterError
        If a detector or a preset is unknown, or a value makes no sense.
    """
    choices = choices_of(arguments.detectors, detector_signatures())
    used = {
        name
        for choice in choices.values()
        for one in (choice, *choice.members)
        for name in (one.name, one.detector)
    }
    tell_idle(arguments, used, output, strict=strict)
    made: dict[str, Detector] = {}
    single: dict[str, tuple[Choice, Detector]] = {}
    for name, choice in choices.items():
        if not choice.members:
            made[name] = _make(choice, arguments)
            single[name] = choice, made[name]
            continue
        times: Counter[str] = Counter()
        members = []
        for member in choice.members:
            # A detector that is named twice is another one by its seed.
            members.append(_make(member, arguments, seed=times[member.name]))
            times[member.name] += 1
            single[member.name] = member, members[-1]
        view = {key: getattr(members[0], key) for key in ("image_size", "crop_size")}
        made[name] = _make(choice, arguments, view, members=tuple(members))
    if arguments.preset is not None:
        _tell_preset(arguments, list(single.values()), output)
    return made


def tell_idle(
    arguments: Namespace, used: Collection[str], output: Output, *, strict: bool = False
) -> None:
    """Warn of settings for detectors that aren't used; ``strict``: refuse those that were typed.

    Raises
    ------
    ParameterError
        If one is refused.
    """
    for name in detector_signatures():
        own = arguments.get(name)
        if own is None or name in used:
            continue
        flags = [f"--{name}.{key}" for key in vars(own)] if isinstance(own, Namespace) else []
        typed = [flag for flag in flags if flag in arguments.typed]
        what = ", ".join(typed) or f"what {arguments.config[-1]} sets for {name}"
        does = "do" if len(typed) > 1 else "does"
        if typed and strict:
            raise ParameterError(
                f"{what} {does} nothing here, where {name} isn't used: leave"
                f" {'them' if len(typed) > 1 else 'it'} out, or name {name}"
            )
        output.warn(f"{what} {does} nothing here: {name} isn't among the detectors")


def _make(
    choice: Choice, arguments: Namespace, view: Mapping[str, Any] | None = None, **values: Any
) -> Detector:
    from anomalist.detectors import DETECTORS, presets

    preset = _own_preset(choice, arguments)
    available = presets(choice.detector)
    if preset is not None and preset not in available:
        hint = did_you_mean(preset, available)
        known = ", ".join(available) or "none"
        raise ParameterError(f"{choice.detector} has no preset {preset!r}; {hint}it has: {known}")
    given = {**(view or {}), **available.get(preset or arguments.preset, {})}
    shared = shared_signature().parameters
    for prefix, keys in (("", shared), *_own(choice, arguments)):
        given |= {
            key: arguments[f"{prefix}{key}"]
            for key in keys
            if f"{prefix}{key}" in arguments and key not in _PLANNED
        }
    return DETECTORS[choice.detector](**{**given, **values})


def _own(choice: Choice, arguments: Namespace) -> Iterator[tuple[str, Collection[str]]]:
    """Yield the prefixes of the flags of a detector alone, and what they set."""
    keys = detector_signatures()[choice.detector].parameters
    for name in dict.fromkeys((choice.detector, choice.name)):
        own = arguments.get(name)
        if not isinstance(own, Namespace | None):
            raise ParameterError(f"{name} must hold hyperparameters by name, not {own!r}")
        yield f"{name}.", keys


def _own_preset(choice: Choice, arguments: Namespace) -> str | None:
    """Return the preset that is given for a detector alone."""
    given = [arguments.get(f"{prefix}preset") for prefix, _ in _own(choice, arguments)]
    return next((preset for preset in reversed(given) if preset is not None), None)


def _tell_preset(
    arguments: Namespace, detectors: Sequence[tuple[Choice, Detector]], output: Output
) -> None:
    """Say which detectors a preset for all sets, if it isn't all of them."""
    from anomalist.detectors import presets

    asked = [(c, d) for c, d in detectors if _own_preset(c, arguments) is None]
    set_by = [c.name for c, _ in asked if arguments.preset in presets(c.detector)]
    left = [(c, d) for c, d in asked if c.name not in set_by]
    if asked and not set_by:
        known = sorted({preset for c, _ in asked for preset in presets(c.detector)})
        hint = did_you_mean(arguments.preset, known)
        raise ParameterError(
            f"no preset {arguments.preset!r} for {', '.join(c.name for c, _ in asked)}"
            f"; {hint}there are {', '.join(known) or 'none'}"
        )
    for choice, detector in left:
        others = ", ".join(presets(choice.detector))
        output.warn(
            f"preset {arguments.preset} sets {', '.join(set_by)}; {choice.name} has none of that"
            f" name and stays at its defaults, on {detector.backbone}"
            + (f" (--{choice.name}.preset takes {others})" if others else "")
        )


# What types are called where a value isn't of one.
_HINTS = {
    "str,...": "texts, separated by commas",
    "int,...": "whole numbers, separated by commas",
    "tuple[str, ...] | None": "texts, separated by commas",
    "int | tuple[int, int]": "a whole number, or two, separated by a comma",
    "int | tuple[int, int] | None": "a whole number, or two, separated by a comma",
}


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
    for hint, words in _HINTS.items():
        text = text.replace(f"invalid {hint} value:", f"expected {words}. Got value:")
    text = re.sub(r"Expected a typing.Literal\[(.+?)\]\.", r"expected one of \1.", text)
    kinds = {"float": "number", "int": "whole number", "str": "text", "bool": "true or false"}
    return re.sub(
        r"Expected an? <class '(\w+)'>", lambda m: f"expected a {kinds.get(m[1], m[1])}", text
    )
