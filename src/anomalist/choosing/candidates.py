"""What is tried where a detector chooses itself: detectors and settings that people turn to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from anomalist.detectors import DETECTORS, Detector, Ensemble
from anomalist.errors import ParameterError, WeightsError

_LITE2 = "efficientnet_lite2"
# What is cheap and promises most comes first, as where time is short the last aren't judged. What
# stands first of all is the default, which the others are held against.
_PLAN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("patchcore", {}),
    ("patchcore", {"image_size": 512}),
    ("patchcore", {"layers": ("stride4", "stride8", "stride16")}),
    ("patchcore", {"align": True}),
    ("patchcore", {"image_size": 256, "coreset_ratio": 0.1}),
    ("patchcore+padim", {"image_size": 384}),
    ("patchcore", {"backbone": _LITE2}),
    ("padim", {}),
    ("patchcore", {"image_size": 256, "layers": ("stride4", "stride8", "stride16")}),
    ("dfm", {}),
    ("patchcore", {"augment": {"turn": 360}}),
    ("patchcore", {"image_size": 256, "coreset_ratio": 0.01}),
)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A detector that may be chosen.

    Parameters
    ----------
    detector : Detector
        Unfitted.
    settings : mapping of str to Any
        In what it differs from the defaults, or from what is given for all.
    """

    detector: Detector
    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What it is called in tables.

        Examples
        --------
        >>> [candidate.label for candidate in candidates()][:2]
        ['patchcore', 'patchcore, image_size 512']
        """
        texts = [f"{name} {_in_words(value)}" for name, value in self.settings.items()]
        return ", ".join([self.detector.label, *texts])

    @property
    def identity(self) -> str:
        """All hyperparameters as JSON: two that share it are one."""
        return json.dumps({"detector": self.detector.name, **self.detector.parameters()})

    @property
    def view(self) -> str:
        """What a backbone sees of an image: candidates that share it share feature maps."""
        shared = [f.name for f in fields(Detector) if f.name not in ("layers", "augment", "seed")]
        parts = self.detector.components()
        seen = {json.dumps([part.parameters()[name] for name in shared]) for part in parts}
        return " ".join(sorted(seen))

    @property
    def pixels(self) -> int:
        """How many pixels of an image a backbone sees."""
        height, width = self.detector.transform.output_size
        return height * width


def candidates(
    given: Mapping[str, Any] | None = None,
    given_for: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Candidate]:
    """Return the candidates, the default first.

    Parameters
    ----------
    given : mapping of str to Any, optional
        Hyperparameters of all detectors that are not to be chosen: every candidate has them, and
        none is there whose own settings don't go with them.
    given_for : mapping of str to mapping, optional
        The same of one kind of detector, by its name.

    Raises
    ------
    ParameterError
        If a value makes no sense by itself, or beside the default.

    Examples
    --------
    >>> {candidate.detector.image_size for candidate in candidates({"image_size": 320})}
    {320}
    """
    made: dict[str, Candidate] = {}
    for kind, settings in _PLAN:
        try:
            candidate = _made(kind, settings, given or {}, given_for or {})
        except ParameterError:
            if not made or any(name in (given_for or {}) for name in kind.split("+")):
                raise
            continue  # what it is about doesn't go with what is given, as align and tiles
        try:
            candidate.detector.make_backbone()
        except WeightsError:
            if not made:
                raise
            continue  # a backbone whose package isn't installed
        made.setdefault(candidate.identity, candidate)
    return list(made.values())


def _made(
    kind: str,
    settings: Mapping[str, Any],
    given: Mapping[str, Any],
    given_for: Mapping[str, Mapping[str, Any]],
) -> Candidate:
    names = kind.split("+")
    parts = [DETECTORS[name](**{**settings, **given, **given_for.get(name, {})}) for name in names]
    fixed = given.keys() | (given_for.get(kind, {}).keys() if len(names) == 1 else set())
    own = {name: value for name, value in settings.items() if name not in fixed}
    if len(parts) == 1:
        return Candidate(parts[0], own)
    joined = Ensemble(**{**settings, **given}, members=tuple(parts))
    return Candidate(joined, own)


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name} {_in_words(entry)}" for name, entry in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
