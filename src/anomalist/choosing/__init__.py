"""Choosing a detector and its settings by good images alone."""

from __future__ import annotations

from anomalist.choosing.auto import Auto
from anomalist.choosing.candidates import Candidate, candidates
from anomalist.choosing.choice import Choice, Row, describe_choice
from anomalist.choosing.choosing import DEFAULT_BUDGET, choose
from anomalist.choosing.durations import seconds_of
from anomalist.choosing.judged import Judge, Question, Verdict

__all__ = [
    "DEFAULT_BUDGET",
    "Auto",
    "Candidate",
    "Choice",
    "Judge",
    "Question",
    "Row",
    "Verdict",
    "candidates",
    "choose",
    "describe_choice",
    "seconds_of",
]
