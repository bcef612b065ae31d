"""The judge of candidates: defects made on good images that none of them has seen."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from anomalist.choosing.candidates import Candidate
from anomalist.choosing.judged import Judge, Verdict
from anomalist.data import ImageSet
from anomalist.detectors.judging import judge
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

    def measure(
        candidate: Candidate,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        checking: bool,
        progress: Progress | None,
    ) -> Verdict:
        begin, saved = time.monotonic(), store.saved_seconds
        judgement = judge(
            candidate.detector,
            images,
            groups=groups,
            seed=seed,
            kinds=CHECKING if checking else DECIDING,
            store=store,
            progress=progress,
        )
        took = time.monotonic() - begin
        return Verdict(judgement, took, store.saved_seconds - saved, len(images))

    return measure
