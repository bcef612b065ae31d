"""Photographs scored some at a time, whatever is wrong with some of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from anomalist.data import ImageSet, Sample
from anomalist.detectors import Detector
from anomalist.errors import DataError
from anomalist.features import FeatureStore
from anomalist.inspection.findings import Finding
from anomalist.predictions import Predictions

_BATCHES = 4
#: Bytes of files that are read ahead of being scored, all together.
READ_AHEAD = 256 * 2**20


def in_chunks(
    detector: Detector, photographs: Iterable[Sample | Finding]
) -> Iterator[tuple[list[Sample | Finding], Predictions | None, dict[Path, str]]]:
    """Score photographs a few batches at a time, whatever is wrong with some of them.

    Yields some of them, in their order; the predictions of those that could be scored; and the
    others with the reason. Among the others are those that are given as what is found on them.
    """
    rest = iter(photographs)
    while chunk := _taken(rest, detector.batch_size * _BATCHES):
        known = {Path(one.path): one.error or "" for one in chunk if isinstance(one, Finding)}
        samples = ImageSet(one for one in chunk if isinstance(one, Sample))
        predictions, failed = _scored(detector, samples) if len(samples) else (None, {})
        yield chunk, predictions, known | failed


def _taken(photographs: Iterator[Sample | Finding], most: int) -> list[Sample | Finding]:
    """Take some, fewer where they are large."""
    taken, held = list[Sample | Finding](), 0
    for one in photographs:
        taken.append(one)
        held += one.nbytes() if isinstance(one, Sample) else 0
        if len(taken) == most or held > READ_AHEAD:
            break
    return taken


def _scored(detector: Detector, chunk: ImageSet) -> tuple[Predictions | None, dict[Path, str]]:
    try:
        return predict(detector, chunk), {}
    except (DataError, OSError):
        pass
    failed = dict[Path, str]()
    for sample in chunk:
        try:
            sample.read()
        except DataError as error:
            failed[sample.path] = str(error)
    readable = ImageSet(sample for sample in chunk if sample.path not in failed)
    if len(readable) == 0:
        return None, failed
    try:
        return predict(detector, readable), failed
    except (DataError, OSError) as error:
        # Not one that can't be read, or it changes under our eyes: each for itself.
        if len(readable) == 1:
            return None, {**failed, readable[0].path: str(error)}
    half = len(readable) // 2
    (first, a), (second, b) = (
        _scored(detector, part) for part in (readable[:half], readable[half:])
    )
    parts = [part for part in (first, second) if part is not None]
    return Predictions.join(parts) if parts else None, failed | a | b


def predict(detector: Detector, images: ImageSet) -> Predictions:
    """Score photographs, and keep nothing of them."""
    # Its own store, so that members of an ensemble share what they can and nothing piles up.
    return detector.predict(images, store=FeatureStore())
