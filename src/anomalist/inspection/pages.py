"""The page of a folder of results, and the page of an evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anomalist.data.names import first_of, plural
from anomalist.data.walking import HEATMAPS
from anomalist.detectors import Detector
from anomalist.drawing import scale_of
from anomalist.inspection.findings import Rule
from anomalist.inspection.results import Results
from anomalist.predictions import Predictions
from anomalist.report import PictureWriter
from anomalist.report.browser import PREVIEWS, About, write_page
from anomalist.report.preview import layers_name, write_layers

# A page is written anew no more often, and for no more than this share of the time.
_EVERY_S, _SHARE = 10.0, 0.05
_TOLD = 3


class ResultsPage:
    """Writes the page of a folder of results: while rows come, now and then, and at the end.

    Parameters
    ----------
    results : Results
        The folder, held.
    rule : Rule
        The one of this call.
    identity : mapping
        What identifies the results, as `~anomalist.inspection.identity_of` gives it.
    """

    def __init__(self, results: Results, rule: Rule, identity: Mapping[str, Any]) -> None:
        self._results, self._rule, self._identity = results, rule, identity
        self._next = time.monotonic() + _EVERY_S
        self._written: object = None

    def refresh(self) -> None:
        """Write it if there is news and it wasn't written a short while ago."""
        started = time.monotonic()
        if started < self._next or self._written == self._state():
            return
        self._write(goes_on=True)
        ended = time.monotonic()
        self._next = ended + max(_EVERY_S, (ended - started) / _SHARE)

    def write(self) -> None:
        """Write it for the last time."""
        self._write(goes_on=False)

    def _state(self) -> object:
        tally = self._results.tally
        return tally.normal, tally.anomalous, tally.undecided, tally.failed

    def _write(self, *, goes_on: bool) -> None:
        tally = self._results.tally
        told = tally.told("not scored") or "none yet"
        facts = [("", f"{plural(tally.total, 'image')}: {told}")]
        facts.append(("", self._rule.describe()))
        if inputs := [str(name) for name in self._identity.get("inputs", ())]:
            facts.append(("from", first_of(inputs, _TOLD)))
        about = About(
            title="Inspected images",
            facts=tuple(facts),
            notes=tuple(tally.notes),
            goes_on=goes_on,
        )
        write_page(self._results.folder, self._results.entries(), about, alpha=self._rule.alpha)
        self._written = self._state()


def write_evaluation_page(
    out: str | Path,
    predictions: Predictions,
    detector: Detector,
    rule: Rule,
    *,
    title: str,
    metrics: Mapping[str, float | None],
    notes: tuple[str, ...] = (),
) -> Path:
    """Write the page of images that are known to be good or defective.

    Parameters
    ----------
    out : str or Path
        The folder.
    predictions : Predictions
        Of the detector, with labels, kinds and masks as far as they are known.
    detector : Detector
        Fitted.
    rule : Rule
        Which are anomalous.
    title : str
        What the images are.
    metrics : mapping of str to float or None
        What was measured, as fractions.
    notes : tuple of str
        What a reader must know.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ResultsError
        If another ``index.html`` lies there.
    DataError
        If an image can't be read.
    OSError
        If a file can't be written.
    """
    facts = [("", f"{plural(len(predictions), 'image')}, known to be good or defective")]
    facts.append(("", rule.describe()))
    names = {
        "image_AUROC": "image AUROC",
        "pixel_PRO": "pixel PRO",
        "image_false_alarm_rate": "false alarms",
    }
    facts += [
        (words, f"{value:.2%}")
        for name, words in names.items()
        if (value := metrics.get(name)) is not None
    ]
    about = About(
        title=title,
        facts=tuple(facts),
        notes=notes,
        table="metrics.json",
        truth=predictions.masks is not None,
    )
    entries = _entries(Path(out), predictions, detector, rule)
    return write_page(out, list(entries), about, alpha=rule.alpha)


def _entries(
    out: Path, predictions: Predictions, detector: Detector, rule: Rule
) -> Iterator[dict[str, Any]]:
    """Draw each image, and yield what the page says of it."""
    low, high = rule.low, rule.high
    if low is None or high is None:
        low, high = scale_of(predictions.counted)
    pictures = PictureWriter(out / HEATMAPS, transform=detector.transform, previews=out / PREVIEWS)
    for i, one in enumerate(predictions):
        sample = one.images[0]
        (found,) = rule.judge(detector, one)
        sha256 = sample.sha256()
        pictures.preview(sample)
        sample.drop_view()
        write_layers(
            out / PREVIEWS,
            layers_name(sha256, None, found.threshold),
            sample.size(),
            one.visible_map(0),
            transform=detector.transform,
            low=low,
            high=high,
            threshold=rule.pixel_threshold,
            truth=None if one.masks is None else one.masks[0],
        )
        entry = {**found.as_dict(), "sha256": sha256}
        if predictions.labels is not None:
            entry["label"] = bool(predictions.labels[i])
        if predictions.defects is not None:
            entry["kind"] = predictions.defects[i]
        yield entry
