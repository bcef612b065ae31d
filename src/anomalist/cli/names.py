"""Which detectors a command line names, and what each is called."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anomalist.errors import ParameterError

# Of a flag. What a file can be called is the benchmark's to know.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.+-]*[A-Za-z0-9_+-])?")
_ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Choice:
    """A detector with settings of its own.

    Parameters
    ----------
    name : str
        What it is called in tables, files and flags.
    detector : str
        The kind of detector.
    members : tuple of Choice
        What an ensemble joins; empty where its settings say so, and for all others.
    """

    name: str
    detector: str
    members: tuple[Choice, ...] = ()


def choices_of(entries: Sequence[str], known: Collection[str]) -> dict[str, Choice]:
    """Return what ``--detectors`` asks for, by name.

    Parameters
    ----------
    entries : sequence of str
        ``patchcore``, ``patchcore+padim`` for an ensemble of the two, or ``small=`` before either
        to call it so. Ensembles may join what is called ``small``.
    known : collection of str
        All detectors.

    Raises
    ------
    ParameterError
        If there is no such detector, or a name comes twice, is a detector's or can't be a flag's.

    Examples
    --------
    >>> known = ["ensemble", "padim", "patchcore"]
    >>> list(choices_of(["patchcore", "small=patchcore"], known))
    ['patchcore', 'small']
    >>> [m.name for m in choices_of(["s=padim", "s+patchcore"], known)["s+patchcore"].members]
    ['s', 'patchcore']
    """
    asked: dict[str, str] = {}
    for entry in entries:
        name, given, what = (part.strip() for part in entry.partition("="))
        what = what if given else name
        _check_name(name, what, bool(given), asked, known)
        asked[name] = what
    alone = {n: Choice(n, w) for n, w in asked.items() if w in known}
    found = {}
    for name, what in asked.items():
        members = []
        for part in what.split("+"):
            if "+" in asked.get(part, ""):
                raise ParameterError(
                    f"{name} can't join {part}, an ensemble itself: name its members instead"
                )
            if part not in alone and part not in known:
                hint = did_you_mean(part, known)
                raise ParameterError(f"no detector {part!r}; {hint}there are {', '.join(known)}")
            members.append(alone.get(part) or Choice(part, part))
        if name not in alone and len(members) == 1:
            raise ParameterError(f"{name}={what} must name a detector, not another's name")
        found[name] = alone.get(name) or Choice(name, _ENSEMBLE, tuple(members))
    return found


def _check_name(
    name: str, what: str, given: bool, asked: Mapping[str, str], known: Collection[str]
) -> None:
    if name in asked:
        raise ParameterError(
            f"detector {name} is named twice: give one of them a name of its own, as in"
            f" small={what}"
        )
    if not given:
        return
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} can't be the name of a detector, its files and flags: use letters from a to"
            " z, digits, _, -, + and ., beginning with a letter or digit"
        )
    if name in known and name != what:
        raise ParameterError(f"the name {name} is taken by the detector {name}: choose another")


def entries_of(section: Mapping[str, Any]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Split ``detectors:`` of a file into what it names and the settings by name.

    Raises
    ------
    ParameterError
        If what stands at a name isn't a detector or settings.

    Examples
    --------
    >>> entries_of({"padim": None, "small": {"detector": "patchcore", "coreset_ratio": 0.01}})
    (['padim', 'small=patchcore'], {'small': {'coreset_ratio': 0.01}})
    """
    entries, settings = [], {}
    for name, value in section.items():
        if isinstance(value, str):
            value = {"detector": value}
        if not isinstance(value, Mapping | None) or not isinstance(name, str):
            raise ParameterError(
                f"detectors: {name} must hold hyperparameters by name, not {value!r}"
            )
        own = dict(value or {})
        what = own.pop("detector", name)
        entries.append(name if what == name else f"{name}={what}")
        if own:
            settings[name] = own
    return entries, settings


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Ask for the known name that is nearest to a mistyped one; nothing where none is near.

    Examples
    --------
    >>> did_you_mean("Padmi", ["padim", "spade"])
    'did you mean padim? '
    >>> did_you_mean("imag", ["batch_size", "image_size"])
    'did you mean image_size? '
    """
    close = difflib.get_close_matches(name.lower(), known, n=1)
    close = close or [full for full in known if name and full.startswith(name.lower())]
    return f"did you mean {close[0]}? " if close else ""
