"""A candidate beside the version that answers: what would be decided otherwise, and how often."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from anomalist.data import ImageSet, Sample
from anomalist.data.names import plural
from anomalist.detectors import Detector
from anomalist.errors import DataError
from anomalist.features import FeatureStore
from anomalist.files import atomic_path
from anomalist.inspection import Rule
from anomalist.inspection.fit_result import OnStage
from anomalist.metrics import paired_rates
from anomalist.predictions import Predictions
from anomalist.report import heatmap, save_heatmap

Kind = Literal["training", "good", "defective"]
KINDS: tuple[Kind, ...] = ("training", "good", "defective")
# Of changed decisions, those whose pictures are drawn.
_PICTURED = 24
_SIDE = 512
_CHUNK = 16


@dataclass(frozen=True, eq=False)
class Case:
    """A photograph whose truth is known.

    Parameters
    ----------
    kind : {"training", "good", "defective"}
        An image that the model was fitted to, or an inspection that people called good or
        defective.
    sample : Sample
        The photograph.
    name : str
        What people call it.
    inspection : str or None
        The inspection.
    """

    kind: Kind
    sample: Sample
    name: str
    inspection: str | None = None


class Scored:
    """What a version gives to photographs that it hadn't seen, or as if it hadn't.

    Parameters
    ----------
    detector : Detector
        The version.
    rule : Rule
        When it alarms.
    held_out : Predictions or None
        Of images that it was fitted to, each as if it hadn't been; None where that can't be had.
    """

    def __init__(self, detector: Detector, rule: Rule, held_out: Predictions | None) -> None:
        self.detector, self.rule = detector, rule
        self._held_out = held_out
        self._places: dict[str, int] = {}
        if held_out is not None:
            self._places = {s.sha256(): i for i, s in enumerate(held_out.images)}
        self._fitted = {digest.tobytes().hex() for digest in detector.images_}
        self.scores: dict[str, float] = {}

    def take(self, images: Sequence[Sample], store: FeatureStore) -> None:
        """Score photographs; those that it was fitted to and can't score apart are left out."""
        digests = [sample.sha256() for sample in images]
        for digest in digests:
            if self._held_out is not None and digest in self._places:
                self.scores[digest] = float(self._held_out.scores[self._places[digest]])
        new = ImageSet(
            sample
            for sample, digest in zip(images, digests, strict=True)
            if digest not in self._places and digest not in self._fitted
        )
        if len(new):
            predictions = self.detector.predict(new, store=store)
            for sample, score in zip(new, predictions.scores, strict=True):
                self.scores[sample.sha256()] = float(score)

    def alarms(self, digest: str) -> bool:
        """Whether it calls a photograph anomalous."""
        return self.rule.decide(self.scores[digest]) == "anomalous"

    def told(self, digest: str) -> dict[str, Any]:
        """Return its score, p-value and decision of a photograph as JSON values."""
        score = self.scores[digest]
        calibration = self.detector.calibration_
        return {
            "score": score,
            "p_value": None if calibration is None else float(calibration.p_values(score)),
            "decision": self.rule.decide(score),
        }

    def picture(self, sample: Sample, target: Path) -> bool:
        """Draw what it finds on a photograph, on the scale of its own threshold."""
        if self.rule.low is None or self.rule.high is None:
            return False
        place = self._places.get(sample.sha256())
        if self._held_out is not None and place is not None:
            one = self._held_out[[place]]
        else:
            one = self.detector.predict(ImageSet([sample]))
        drawn = heatmap(
            one.images[0],
            one.visible_map(0),
            transform=self.detector.transform,
            low=self.rule.low,
            high=self.rule.high,
            threshold=self.rule.pixel_threshold,
            side=_SIDE,
        )
        with atomic_path(target) as temporary:
            save_heatmap(drawn, temporary, "png")
        return True


def scored_apart(
    detector: Detector, images: Iterable[Sample], store: FeatureStore
) -> Predictions | None:
    """Score the images that a detector was fitted to, each as if it hadn't been.

    Parameters
    ----------
    detector : Detector
        Fitted; it isn't changed.
    images : iterable of Sample
        Those, and any others.
    store : FeatureStore
        Where feature maps are.

    Returns
    -------
    Predictions or None
        None where images are missing, or it would take other trainings.
    """
    there = {sample.sha256(): sample for sample in images}
    fitted = [there.get(digest.tobytes().hex()) for digest in detector.images_]
    samples = [sample for sample in fitted if sample is not None]
    if len(samples) < max(len(fitted), 2) or detector.trains:
        return None
    try:
        return copy.copy(detector).calibrate(ImageSet(samples), store=store)
    except DataError:  # of one scene, or changed meanwhile
        return None


def compare(
    before: Scored,
    after: Scored,
    cases: Sequence[Case],
    pictures: Path,
    *,
    store: FeatureStore,
    progress: OnStage | None = None,
) -> dict[str, Any]:
    """Tell what two versions decide on the same photographs, none of which either had seen.

    Parameters
    ----------
    before, after : Scored
        The version that answers, and the candidate.
    cases : sequence of Case
        Photographs whose truth is known; one of several with the same bytes counts.
    pictures : Path
        A folder for pictures of what changes.
    store : FeatureStore
        Where feature maps are.
    progress : callable, optional
        Called with a stage, the number of photographs done and the total.

    Returns
    -------
    dict
        JSON values: ``before`` and ``after`` (the rules), ``rates`` (of each kind of case a
        `~anomalist.metrics.PairedRates` of its alarms, None without a case or a threshold),
        ``changes`` (decisions that differ, with both scores, the surest first, and names of
        pictures) and ``notes``.

    Raises
    ------
    DataError
        If a photograph can't be read.
    """
    cases = list({case.sample.sha256(): case for case in cases}.values())
    for start in range(0, len(cases), _CHUNK):
        samples = [case.sample for case in cases[start : start + _CHUNK]]
        before.take(samples, store)
        after.take(samples, store)
        if progress is not None:
            progress("compare", min(start + _CHUNK, len(cases)), len(cases))
    both = [c for c in cases if {c.sample.sha256()} <= before.scores.keys() & after.scores.keys()]
    decide = before.rule.threshold is not None and after.rule.threshold is not None
    rates = dict[str, Any]()
    for kind in KINDS:
        digests = [case.sample.sha256() for case in both if case.kind == kind]
        rates[kind] = None
        if digests and decide:
            rates[kind] = paired_rates(
                [before.alarms(digest) for digest in digests],
                [after.alarms(digest) for digest in digests],
            ).as_dict()
    changed = [
        case
        for case in both
        if decide and before.alarms(case.sample.sha256()) != after.alarms(case.sample.sha256())
    ]
    changed.sort(key=lambda case: (KINDS[::-1].index(case.kind), -_change(before, after, case)))
    pictures.mkdir(exist_ok=True)
    return {
        "before": before.rule.as_dict(),
        "after": after.rule.as_dict(),
        "rates": rates,
        "changes": [
            _told(before, after, case, pictures if i < _PICTURED else None, i)
            for i, case in enumerate(changed)
        ],
        "notes": _notes(before, cases, both, decide),
    }


def _change(before: Scored, after: Scored, case: Case) -> float:
    """How far a score moves across thresholds, each on its own scale."""
    assert before.rule.threshold is not None
    assert after.rule.threshold is not None
    digest = case.sample.sha256()
    scales = [abs(version.rule.threshold or 1.0) or 1.0 for version in (before, after)]
    return abs(
        (after.scores[digest] - after.rule.threshold) / scales[1]
        - (before.scores[digest] - before.rule.threshold) / scales[0]
    )


def _told(
    before: Scored, after: Scored, case: Case, pictures: Path | None, number: int
) -> dict[str, Any]:
    digest = case.sample.sha256()
    sides = dict[str, Any]()
    for side, version in (("before", before), ("after", after)):
        name = f"{number:02}_{side}.png"
        drawn = pictures is not None and version.picture(case.sample, pictures / name)
        sides[side] = {**version.told(digest), "picture": name if drawn else None}
    return {"kind": case.kind, "name": case.name, "inspection": case.inspection, **sides}


def _notes(before: Scored, cases: list[Case], both: list[Case], decide: bool) -> list[str]:
    notes = []
    if not decide:
        notes.append("decisions can't be compared: one of the versions has no threshold")
    words = {
        "training": "training image",
        "good": "confirmed good part",
        "defective": "confirmed defective part",
    }
    for kind in KINDS:
        of = sum(case.kind == kind for case in cases)
        if left := of - sum(case.kind == kind for case in both):
            notes.append(
                f"{left} of the {plural(of, words[kind])} can't be compared: not both versions can"
                " score them as if they hadn't seen them"
            )
    good = [case for case in both if case.kind == "good"]
    chosen = sum(before.alarms(case.sample.sha256()) for case in good) if decide else 0
    if chosen:
        notes.append(
            f"{chosen} of the {plural(len(good), 'confirmed good part')} were alarms of the version"
            " that answers: who is picked for a high score has a lower one the next time, so their"
            " fall says less than what becomes of the training images"
        )
    return notes


def pictures_named(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a comparison that name a picture, to be given another name."""
    sides = [change[side] for change in comparison["changes"] for side in ("before", "after")]
    return [side for side in sides if side["picture"] is not None]
