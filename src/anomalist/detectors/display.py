"""What notebooks show of a detector."""

from __future__ import annotations

import dataclasses
import reprlib
from typing import TYPE_CHECKING

from anomalist.digits import shown
from anomalist.notebook import html_table

if TYPE_CHECKING:
    from anomalist.detectors.base import Detector


def detector_html(detector: Detector) -> str:
    """Return a table of the hyperparameters, those that aren't the default named first.

    Parameters
    ----------
    detector : Detector
        Fitted or not.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> text = detector_html(PatchCore(sigma=2.0))
    >>> "PatchCore, not fitted" in text, text.index(">sigma<") < text.index(">backbone<")
    (True, True)
    """
    changed: list[list[str]] = []
    rest: list[list[str]] = []
    for field in dataclasses.fields(detector):
        value = getattr(detector, field.name)
        row = [field.name, reprlib.repr(value), reprlib.repr(field.default)]
        (rest if value == field.default else changed).append(row)
    caption = f"{type(detector).__name__}, {_state(detector)}"
    return html_table(caption, ["hyperparameter", "value", "default"], [*changed, *rest])


def _state(detector: Detector) -> str:
    if not hasattr(detector, "backbone_"):
        return "not fitted"
    text = "fitted"
    if getattr(detector, "images_", None) is not None:
        text += f" to {len(detector.images_)} images"
    calibration = getattr(detector, "calibration_", None)
    if calibration is None:
        return f"{text}, not calibrated: it has no threshold"
    alpha = detector.alpha_
    return f"{text}; threshold {shown(calibration.threshold(alpha))} for alpha {alpha:g}"
