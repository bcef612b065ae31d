"""Which defects are found and which are missed, by their kind and by their size."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from anomalist.report.runs import Results

Image = Mapping[str, Any]

# Steps of four in area are steps of two in length.
_SIZES = (
    ("under 0.25 % of the picture", 0.0, 0.0025),
    ("0.25 % to 1 %", 0.0025, 0.01),
    ("1 % to 4 %", 0.01, 0.04),
    ("4 % and more", 0.04, float("inf")),
)


@dataclass(frozen=True)
class Recall:
    """How much one detector finds of some defective images.

    Parameters
    ----------
    images : float or None
        Share of the images above the image threshold.
    pixels : float or None
        Share of the defects' pixels above the pixel threshold, each image weighing the same.
    """

    images: float | None
    pixels: float | None


@dataclass(frozen=True)
class Group:
    """Some defective test images, and what each detector finds of them."""

    category: str
    name: str
    images: int
    recall: dict[str, Recall]


def by_kind(results: Results) -> list[Group]:
    """Return a group a category and kind of defect."""
    groups = []
    for category in results.categories:
        kinds = {i["defect"] for i in _defective(results, [category])}
        groups += [
            _group(results, [category], kind or "unknown", partial(_is_of_kind, kind))
            for kind in sorted(kinds)
        ]
    return groups


def by_size(results: Results) -> list[Group]:
    """Return a group a range of sizes, over the categories that every detector was run on.

    Where sizes are known, the last group holds the defects of all sizes.
    """
    groups = [
        _group(results, results.shared, name, partial(_is_of_size, low, high))
        for name, low, high in _SIZES
    ]
    known = [group for group in groups if group.images]
    return [*known, overall(results)] if known else []


def _is_of_kind(kind: str, image: Image) -> bool:
    return bool(image["defect"] == kind)


def _is_of_size(low: float, high: float, image: Image) -> bool:
    area = image.get("defect_area")
    return area is not None and low <= area < high


def overall(results: Results) -> Group:
    """Return all defective images of the categories that every detector was run on."""
    return _group(results, results.shared, "all sizes", lambda image: True)


def _group(
    results: Results, categories: Sequence[str], name: str, chosen: Callable[[Image], bool]
) -> Group:
    count = sum(map(chosen, _defective(results, categories)))
    recall = {}
    for detector in results.detectors:
        found, pixels = [], []
        for category in categories:
            for run in results.of(detector, category):
                threshold = run.calibration.get("image_threshold")
                for image in run.images:
                    if not image.get("label") or not chosen(image):
                        continue
                    if threshold is not None:
                        found.append(float(image["score"] > threshold))
                    if image.get("recall") is not None:
                        pixels.append(image["recall"])
        recall[detector] = Recall(
            statistics.fmean(found) if found else None,
            statistics.fmean(pixels) if pixels else None,
        )
    return Group(categories[0] if len(categories) == 1 else "", name, count, recall)


def _defective(results: Results, categories: Sequence[str]) -> list[Image]:
    """The defective test images of categories, from one run of each."""
    images = []
    for category in categories:
        run = next(r for d in results.detectors if (r := results.first(d, category)))
        images += [image for image in run.images if image.get("label")]
    return images
