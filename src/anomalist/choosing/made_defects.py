"""The judge of candidates: defects made on good images that none of them has seen."""

from __future__ import annotations

import time

from anomalist.choosing.candidates import Candidate
from anomalist.choosing.judged import Judge, Question, Verdict
from anomalist.detectors.judging import Trial, judge_by, trials
from anomalist.features import FeatureStore, Progress
from anomalist.synthesis import CHECKING, DECIDING


def by_made_defects(store: FeatureStore, seed: int) -> Judge:
    """Return what measures candidates by :func:`~anomalist.detectors.judging.judge`.

    Parameters
    ----------
    store : FeatureStore
        Keeps feature maps, of made defects too, for other candidates.
    seed : int
        Which images are held out, and which defects are made.
    """
    # Of the last question alone: made defects are drawn once for all candidates.
    dealt: dict[Question, list[Trial]] = {}

    def measure(candidate: Candidate, question: Question, progress: Progress | None) -> Verdict:
        begin, saved = time.monotonic(), store.saved_seconds
        if question not in dealt:
            dealt.clear()
            dealt[question] = trials(
                question.images,
                groups=question.groups,
                seed=seed,
                kinds=CHECKING if question.checking else DECIDING,
                of_a_kind=question.of_a_kind,
            )
        judgement = judge_by(candidate.detector, dealt[question], store=store, progress=progress)
        took = time.monotonic() - begin
        return Verdict(judgement, took, store.saved_seconds - saved, question.work)

    return measure
