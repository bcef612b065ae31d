"""Numbers that others published of these detectors on MVTec AD, with where they come from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

MEAN = "mean"
"""Category of the numbers that are means over all 15 categories."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """One number that somebody else published.

    Parameters
    ----------
    setting : str
        Name of the run that the number is of, shared by all numbers of that run.
    detector : str
        Name of the detector, such as ``patchcore``.
    backbone : str
        Name of the network; several, joined by ``+``, of an ensemble.
    category : str
        Category of MVTec AD, or ``mean`` over all 15.
    metric : str
        Name that `METRIC_NAMES` has for it.
    value : float
        As a fraction.
    source : str
        Paper, or repository, commit and file.
    protocol : str
        Input, and the hyperparameters that decide the result.
    selection : str
        What was chosen with the test set: ``none``, or which epoch was.
    pro_definition : str
        How PRO was computed; empty where there is none.
    verified : bool
        True if the number was read in its project's own file, False if where another quotes it.
    preset : str or None
        Preset of ours that repeats it; None where no detector here can.
    overrides : dict
        Hyperparameters that differ from the preset.
    differences : str
        What of the published run ours doesn't repeat.
    """

    setting: str
    detector: str
    backbone: str
    category: str
    metric: str
    value: float
    source: str
    protocol: str
    selection: str
    pro_definition: str
    verified: bool
    preset: str | None
    overrides: Mapping[str, Any]
    differences: str


def published(detector: str | None = None, category: str | None = None) -> list[Published]:
    """Return published numbers, of all detectors and categories or of those named.

    They are as good as their sources, and differ in input, in what was chosen with the test set
    and in the definition of PRO: each number says so.

    Parameters
    ----------
    detector : str, optional
        Such as ``patchcore``.
    category : str, optional
        Such as ``bottle``, or ``mean``.

    Returns
    -------
    list of Published
        Run by run, metric by metric; empty where nothing was published.

    Examples
    --------
    >>> for number in published("padim", "bottle"):
    ...     if number.metric == "image_AUROC":
    ...         print(number.backbone, number.value, number.source.split(",")[0])
    resnet18 0.994 openvinotoolkit/anomalib 161bb36 (the same in 2.7.0)
    wide_resnet50_2 0.999 openvinotoolkit/anomalib 161bb36 (the same in 2.7.0)
    resnet18 0.996 xiahaifeng1995/PaDiM-Anomaly-Detection-Localization-master 616004b
    wide_resnet50_2 0.998 xiahaifeng1995/PaDiM-Anomaly-Detection-Localization-master 616004b
    """
    return [
        number
        for number in _read()
        if detector in (None, number.detector) and category in (None, number.category)
    ]


def published_beside(detectors: Collection[str], categories: Collection[str]) -> list[Published]:
    """Return the published numbers that results can be set beside.

    Parameters
    ----------
    detectors : collection of str
        Those of the results.
    categories : collection of str
        Those of the results. Means are over 15 categories, and come only with all of them.

    Returns
    -------
    list of Published

    Examples
    --------
    >>> {number.category for number in published_beside(["padim"], ["bottle", "my_part"])}
    {'bottle'}
    """
    everything = {number.category for number in _read()} - {MEAN}
    wanted = {*categories, *([MEAN] if everything <= set(categories) else [])}
    return [n for n in _read() if n.detector in detectors and n.category in wanted]


@lru_cache
def _read() -> tuple[Published, ...]:
    text = files("anomalist.benchmark").joinpath("published.yaml").read_text(encoding="utf-8")
    numbers = []
    for run in yaml.safe_load(text):
        values = run.pop("values")
        numbers += [
            Published(**run, category=category, metric=metric, value=value)
            for metric, of_categories in values.items()
            for category, value in of_categories.items()
        ]
    return tuple(numbers)
