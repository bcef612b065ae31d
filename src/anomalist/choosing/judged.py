"""Measuring a candidate, once: what was judged before is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import anomalist
from anomalist.choosing.candidates import Candidate
from anomalist.data import ImageSet
from anomalist.detectors.judging import Judgement
from anomalist.errors import ModelFileError
from anomalist.features import Progress
from anomalist.files import atomic_path

# What `~anomalist.detectors.judging.judge` shows at least beside made defects, of how many kinds
# these are, and what it takes the time of.
_HELD_OUT, _KINDS, _TIMED = 24, 6, 16


@dataclass(frozen=True)
class Verdict:
    """What judging a candidate gave, and took.

    Parameters
    ----------
    judgement : Judgement
        What was measured.
    seconds : float
        That it took.
    saved : float
        Seconds that it would have taken longer if no feature map had been made before.
    work : int
        The `Question.work` of what was asked.
    """

    judgement: Judgement
    seconds: float
    saved: float
    work: int

    @property
    def whole(self) -> float:
        """Seconds that it takes where no feature map was made before."""
        return self.seconds + self.saved


@dataclass(frozen=True, eq=False)
class Question:
    """By what candidates are judged.

    Parameters
    ----------
    images : ImageSet
        Good images.
    groups : int64 array
        The group of each; those of one aren't independent.
    of_a_kind : int
        How many defects of each kind are made.
    checking : bool
        Whether by the kinds of defect that check, instead of those that decide.
    """

    images: ImageSet
    groups: npt.NDArray[np.int64]
    of_a_kind: int
    checking: bool = False

    @property
    def work(self) -> int:
        """About how many images pass a candidate."""
        n = len(self.images)
        return n + min(n, _HELD_OUT) + _KINDS * self.of_a_kind + _TIMED


#: Answers a question for a candidate.
Judge = Callable[[Candidate, Question, Progress | None], Verdict]


class Judged:
    """A judge that knows what it said before, in a file if there is one.

    Parameters
    ----------
    judge : callable
        What measures a candidate.
    path : str or Path, optional
        Where it is kept; what can't be read there is judged anew.
    seed : int
        Seed of everything random.
    """

    def __init__(self, judge: Judge, path: str | Path | None = None, seed: int = 0) -> None:
        self._judge = judge
        self._path = None if path is None else Path(path)
        self._seed = seed
        self._known: dict[str, Any] = {}
        if self._path is not None and self._path.is_file():
            try:
                known = json.loads(self._path.read_text(encoding="utf-8"))
            except ValueError:  # it says nothing that can't be found out again
                known = {}
            self._known = known if isinstance(known, dict) else {}
        #: How many verdicts were known.
        self.taken_over = 0

    def __call__(
        self, candidate: Candidate, question: Question, progress: Progress | None = None
    ) -> Verdict:
        """Measure a candidate, or tell what was measured."""
        key = self._key(candidate, question)
        try:
            values = self._known[key]
            judgement = Judgement.from_dict(values["judgement"])
            verdict = Verdict(**{**values, "judgement": judgement})
        except (KeyError, TypeError, ModelFileError):
            pass
        else:
            self.taken_over += 1
            return verdict
        verdict = self._judge(candidate, question, progress)
        self._known[key] = {**vars(verdict), "judgement": verdict.judgement.as_dict()}
        if self._path is not None:
            with atomic_path(self._path) as temporary:
                temporary.write_text(json.dumps(self._known), encoding="utf-8")
        return verdict

    def _key(self, candidate: Candidate, question: Question) -> str:
        """Hash all that decides a verdict."""
        of_question = [question.of_a_kind, question.checking]
        asked = [candidate.identity, self._seed, *of_question, anomalist.__version__]
        found = hashlib.sha256(json.dumps(asked).encode())
        found.update(question.images.digests().tobytes())
        found.update(question.groups.tobytes())
        return found.hexdigest()
