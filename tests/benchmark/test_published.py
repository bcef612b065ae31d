from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from anomalist.benchmark.published import MEAN, published
from anomalist.data.mvtec_ad import CATEGORIES
from anomalist.detectors import DETECTORS, presets
from anomalist.metrics import METRIC_NAMES

# Read as they stand in their source, whose mean isn't the mean of its categories.
MEANS_THAT_DISAGREE = {("spade-wide_resnet50_2-paper", "pixel_AUROC"): 0.9603}


def test_every_number_is_a_fraction_of_something_known() -> None:
    for number in published():
        assert 0.2 < number.value <= 1
        assert number.metric in METRIC_NAMES
        assert number.category in (*CATEGORIES, MEAN)
        assert number.detector in DETECTORS
        for text in (number.setting, number.source, number.protocol, number.selection):
            assert text.strip() == text != ""
        assert number.differences


def test_a_number_is_there_once() -> None:
    counts = Counter((n.setting, n.metric, n.category) for n in published())
    assert max(counts.values()) == 1
    runs = {n.setting: (n.source, n.protocol, n.backbone, n.detector) for n in published()}
    assert len(set(runs.values())) == len(runs)


def test_every_number_of_pro_says_how_it_was_computed() -> None:
    assert all(n.pro_definition for n in published() if n.metric == "pixel_PRO")


def test_what_is_to_be_repeated_is_a_preset_that_takes_the_overrides() -> None:
    for number in published():
        if number.preset is None:
            assert not number.overrides
            continue
        assert number.preset in presets(number.detector)
        detector = DETECTORS[number.detector].preset(number.preset, **number.overrides)
        assert detector.backbone == number.backbone


def test_a_run_has_all_categories_or_none() -> None:
    categories: dict[tuple[str, str], set[str]] = defaultdict(set)
    for number in published():
        categories[number.setting, number.metric].add(number.category)
    assert all(found - {MEAN} in (set(CATEGORIES), set()) for found in categories.values())
    assert all(MEAN in found for found in categories.values())


def test_means_agree_with_their_categories_but_for_those_known_not_to() -> None:
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for number in published():
        values[number.setting, number.metric][number.category] = number.value
    disagree = {}
    for key, by_category in values.items():
        mean = by_category.pop(MEAN)
        # Mean and categories are rounded to 0.001, so they differ by as much.
        if by_category and abs(np.mean(list(by_category.values())) - mean) > 0.001:
            disagree[key] = round(float(np.mean(list(by_category.values()))), 4)
    assert disagree == MEANS_THAT_DISAGREE


def test_numbers_are_picked_by_detector_and_category() -> None:
    picked = published("dfm", "screw")
    assert {(n.detector, n.category) for n in picked} == {("dfm", "screw")}
    assert {n.backbone for n in picked} == {"resnet18", "wide_resnet50_2"}
    assert published("dfm", "dot") == []
    assert len(published("dfm")) < len(published())


@pytest.mark.parametrize(
    ("setting", "metric", "category", "value"),
    [
        ("patchcore-wide_resnet50_2-authors-224", "image_AUROC", "mean", 0.99164),
        ("patchcore-resnet18-anomalib", "image_F1Score", "zipper", 0.967),
        ("padim-resnet18-xiahaifeng1995", "pixel_AUROC", "tile", 0.917),
        ("spade-wide_resnet50_2-byungjae89", "image_AUROC", "grid", 0.473),
        ("cfa-wide_resnet50_2-authors-crop", "image_AUROC", "screw", 0.973),
        ("glass-wide_resnet50_2-anomalib", "pixel_AUROC", "metal_nut", 0.846),
    ],
)
def test_some_numbers_as_their_sources_print_them(
    setting: str, metric: str, category: str, value: float
) -> None:
    (number,) = [
        n for n in published() if (n.setting, n.metric, n.category) == (setting, metric, category)
    ]
    assert number.value == value
