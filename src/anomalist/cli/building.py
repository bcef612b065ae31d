"""Detectors, made of what the arguments say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from anomalist.cli.hyperparameters import PLANNED
from anomalist.cli.names import Choice, choices_of, did_you_mean
from anomalist.cli.signatures import AUTO, named_signatures, shared_signature
from anomalist.errors import ParameterError

if TYPE_CHECKING:
    from anomalist.cli.output import Output
    from anomalist.detectors import Detector


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
    choices = choices_of(arguments.detectors, named_signatures())
    for choice in choices.values():
        if AUTO in {member.detector for member in choice.members}:
            raise ParameterError(
                f"{choice.name} can't join auto, which is what it chooses: name its members"
            )
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
    for name in named_signatures():
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
    from anomalist.choosing import Auto
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
            if f"{prefix}{key}" in arguments and key not in PLANNED
        }
    if choice.detector == AUTO:
        fixed = {name for name in given if name in shared} | {*given.get("fixed", ())}
        return Auto(**{**given, "fixed": tuple(sorted(fixed)), **values})
    return DETECTORS[choice.detector](**{**given, **values})


def _own(choice: Choice, arguments: Namespace) -> Iterator[tuple[str, Collection[str]]]:
    """Yield the prefixes of the flags of a detector alone, and what they set."""
    keys = named_signatures()[choice.detector].parameters
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
