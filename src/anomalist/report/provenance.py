"""All that it takes to repeat the runs of a report."""

from __future__ import annotations

import json
from typing import Any

from anomalist.report.phrases import listed
from anomalist.report.runs import Results, Run


def repetition(results: Results, detector: str) -> dict[str, Any]:
    """Return the runs of a detector and its settings; those that differ show once each."""
    runs = [run for run in results.runs if run.detector == detector]
    hashes = list(dict.fromkeys(run.config_hash for run in runs))
    return {
        "detector": detector,
        "runs": runs,
        "settings": [
            (run, _settings(run))
            for run in (next(run for run in runs if run.config_hash == h) for h in hashes)
        ],
    }


def environments(results: Results) -> list[tuple[str, list[str]]]:
    """Return each environment as text, with the detectors that were run in it."""
    found: dict[str, dict[str, None]] = {}
    for run in results.runs:
        text = json.dumps(run.environment, indent=2, sort_keys=True, default=str)
        found.setdefault(text, {})[run.detector] = None
    return [(text, list(detectors)) for text, detectors in found.items()]


def notes(results: Results) -> list[tuple[str, str]]:
    """Return what records note, and of which categories, or of which detectors on which."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for run in results.runs:
        for note in run.notes:
            own = note.removeprefix(f"{run.detector}: ")
            whose = found.setdefault(own, {}).setdefault(run.category, {})
            if own != note:
                whose[run.detector] = None
    return [
        (note, listed([f"{category} ({', '.join(d)})" if d else category for category, d in of]))
        for note, of in ((note, whose.items()) for note, whose in found.items())
    ]


def _settings(run: Run) -> list[tuple[str, str]]:
    """All settings of a run; those of the transform that the detector's own don't say."""
    values = {"detector": run.method, "backbone": run.backbone, **run.parameters}
    if (alpha := run.calibration.get("alpha")) is not None:
        values["alpha"] = alpha
    for name, value in run.transform.items():
        if values.get(name, value) != value or name not in values:
            values[f"transform: {name}"] = value
    return [(name, json.dumps(value, default=str)) for name, value in values.items()]
