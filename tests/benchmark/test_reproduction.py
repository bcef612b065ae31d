from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from anomalist.benchmark import RunRecord, reproduction
from anomalist.benchmark.published import MEAN, Published, published
from anomalist.benchmark.reproduction import (
    ORIGINAL,
    UNTRAINED,
    Row,
    Target,
    compare,
    plan_reproduction,
    reproduction_frame,
    reproduction_table,
    write_reproduction,
)
from anomalist.data import Category, ImageSet, MVTecAD, Sample, image_size
from anomalist.data.mvtec_ad import CATEGORIES
from anomalist.detectors import DETECTORS
from anomalist.errors import DataError, ParameterError, WeightsError
from anomalist.metrics import METRIC_NAMES

PADIM = "padim-resnet18-xiahaifeng1995"


class Original:
    """Says of every category what MVTec AD has; there are no files."""

    name = "mvtec_ad"
    categories: ClassVar[list[str]] = list(CATEGORIES)

    def category(self, name: str) -> Category:
        train, test, _ = ORIGINAL[name]
        good = Sample(Path(name), False, "good")
        return Category(name, ImageSet([good] * train), ImageSet([good] * test))


@pytest.fixture(autouse=True)
def _sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    def size(path: Path) -> tuple[int, int]:
        return (ORIGINAL[path.name][2],) * 2 if path.name in ORIGINAL else image_size(path)

    monkeypatch.setattr(reproduction, "image_size", size)


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Backbones whose weights can be found; to be filled."""
    names: set[str] = {"efficientnet_lite0"}

    def find(backbone: str, file: str | None = None) -> None:
        if backbone not in names:
            raise WeightsError(f"no weights of {backbone}")

    monkeypatch.setattr(reproduction, "find_weights", find)
    return names


def record(category: str = "bottle", seed: int = 0, **changes: Any) -> RunRecord:
    required = (f for f in dataclasses.fields(RunRecord) if f.default is dataclasses.MISSING)
    values: dict[str, Any] = {field.name: "" for field in required}
    values |= {
        "detector": "padim",
        "category": category,
        "seed": seed,
        "metrics": dict.fromkeys(METRIC_NAMES, 0.99),
        "intervals": dict.fromkeys(METRIC_NAMES, (0.97, 0.999)),
        "epochs": [],
    }
    return RunRecord(**{**values, **changes})


def target(setting: str = PADIM, category: str = "bottle", unlike: str = "") -> Target:
    numbers = tuple(n for n in published(category=category) if n.setting == setting)
    detector = DETECTORS[numbers[0].detector](backbone="resnet18")
    return Target("", detector, numbers, unlike)


def by_metric(rows: list[Row]) -> dict[str, Row]:
    return {row.number.metric: row for row in rows}


def test_a_number_inside_the_interval_and_one_outside() -> None:
    outside = record(intervals=dict.fromkeys(METRIC_NAMES, (0.983, 0.999)))
    rows = by_metric(compare(target(), [outside], Original()))
    image, pixel = rows["image_AUROC"], rows["pixel_AUROC"]
    assert (image.number.value, image.ours, image.inside) == (0.996, 0.99, True)
    assert image.difference == pytest.approx(-0.006)
    # 0.981, so below 0.983 by more than its own rounding.
    assert pixel.inside is False
    assert image.unlike == pixel.unlike == ""


def test_a_number_counts_as_inside_up_to_its_rounding() -> None:
    near = record(intervals=dict.fromkeys(METRIC_NAMES, (0.9814, 0.99)))
    assert by_metric(compare(target(), [near], Original()))["pixel_AUROC"].inside is True


def test_a_run_without_error_leaves_the_question_open() -> None:
    perfect = record(
        metrics=dict.fromkeys(METRIC_NAMES, 1.0), intervals=dict.fromkeys(METRIC_NAMES, (1.0, 1.0))
    )
    row = by_metric(compare(target(), [perfect], Original()))["image_AUROC"]
    assert (row.inside, row.interval) == (None, (1.0, 1.0))
    assert row.difference == pytest.approx(0.004)


def test_seeds_give_their_mean_and_the_interval_around_all() -> None:
    runs = [
        record(seed=0),
        record(
            seed=1,
            metrics=dict.fromkeys(METRIC_NAMES, 0.98),
            intervals=dict.fromkeys(METRIC_NAMES, (0.96, 0.99)),
        ),
    ]
    row = compare(target(), runs, Original())[0]
    assert row.ours == pytest.approx(0.985)
    assert row.interval == (0.96, 0.999)


def test_a_mean_over_categories_has_a_narrower_interval() -> None:
    rows = compare(target(category=MEAN), [record(name) for name in CATEGORIES], Original())
    row = by_metric(rows)["image_AUROC"]
    assert row.number.value == 0.905
    assert row.ours == pytest.approx(0.99)
    low, high = row.interval or (0, 0)
    assert (low, high) == pytest.approx((0.99 - 0.02 / 15**0.5, 0.99 + 0.009 / 15**0.5))
    assert row.inside is False


def test_a_metric_that_our_run_lacks_is_shown_as_missing() -> None:
    row = compare(target(), [record(metrics={}, intervals={})], Original())[0]
    assert (row.ours, row.interval, row.difference, row.inside) == (None, None, None, None)
    assert reproduction_table([row])[0]["ours"].tolist() == ["–"]


def test_pro_by_another_definition_is_not_compared() -> None:
    patchcore = record(detector="patchcore")
    rows = by_metric(
        compare(target("patchcore-wide_resnet50_2-authors-224"), [patchcore], Original())
    )
    assert "its PRO is another: only over images with defects" in rows["pixel_PRO"].unlike
    assert rows["pixel_PRO"].difference is None
    assert rows["pixel_PRO"].ours == 0.99
    assert rows["image_AUROC"].inside is not None


def test_the_best_epoch_on_the_test_set_is_held_against_ours_chosen_so_too() -> None:
    setting = "glass-wide_resnet50_2-anomalib"
    last = record(detector="glass")
    row = compare(target(setting), [last], Original())[0]
    assert (row.ours, row.difference) == (0.99, None)
    assert "--oracle" in row.unlike
    epochs = [
        {"epoch": 1, **dict.fromkeys(METRIC_NAMES, 0.7), "image_AUROC": 0.95},
        {"epoch": 2, **dict.fromkeys(METRIC_NAMES, 0.9), "image_AUROC": 0.94},
    ]
    rows = by_metric(
        compare(target(setting), [record(detector="glass", epochs=epochs)], Original())
    )
    assert (rows["image_AUROC"].ours, rows["pixel_AUROC"].ours) == (0.94, 0.9)
    assert (rows["image_AUROC"].unlike, rows["image_AUROC"].interval) == ("", None)
    # CFA's code keeps the best epoch of each metric by itself.
    rows = by_metric(
        compare(
            target("cfa-wide_resnet50_2-authors-crop"),
            [record(detector="cfa", epochs=epochs)],
            Original(),
        )
    )
    assert (rows["image_AUROC"].ours, rows["pixel_AUROC"].ours) == (0.95, 0.9)
    stopped = compare(target("cfa-resnet18-anomalib"), [record(detector="cfa")], Original())[0]
    assert "stopped early" in stopped.unlike


def test_other_images_than_those_of_mvtec_ad_are_told(dots: Path, tmp_path: Path) -> None:
    (tmp_path / "bottle").symlink_to(dots / "dot")
    row = compare(target(), [record()], MVTecAD(tmp_path))[0]
    assert "bottle here has 6 training and 6 test images of 64 pixels" in row.unlike
    assert "209 and 83 of 900" in row.unlike
    assert row.inside is None


def test_runs_are_planned_where_their_weights_are_at_hand(at_hand: set[str]) -> None:
    at_hand.add("resnet18")
    targets, left_out = plan_reproduction(["padim", "patchcore"], ["bottle"])
    assert [t.numbers[0].setting for t in targets] == [
        "padim-resnet18-anomalib",
        PADIM,
        "patchcore-resnet18-anomalib",
    ]
    assert [t.folder for t in targets] == [
        "resnet18-anomalib",
        "resnet18-xiahaifeng1995",
        "resnet18-anomalib",
    ]
    assert {n.category for t in targets for n in t.numbers} == {"bottle"}
    assert not any(t.unlike for t in targets)
    assert targets[0].detector.crop_size is None
    assert targets[1].detector.crop_size == 224
    missing = [text for text in left_out if text.endswith("no weights of wide_resnet50_2")]
    assert len(missing) == 1
    assert "padim-wide_resnet50_2-anomalib" in missing[0]
    assert any(text.startswith("patchcore-ensemble-authors-224: three") for text in left_out)
    assert any(text.startswith("means over all 15") for text in left_out)


def test_means_are_compared_where_all_categories_are_there(at_hand: set[str]) -> None:
    at_hand.update(("resnet18", "wide_resnet50_2"))
    targets, left_out = plan_reproduction(["glass"], CATEGORIES)
    assert [t.folder for t in targets] == ["wide_resnet50_2-authors", "wide_resnet50_2-anomalib"]
    assert {n.category for n in targets[0].numbers} == {MEAN}
    assert left_out == []
    targets, left_out = plan_reproduction(["glass"], ["screw"])
    assert [t.folder for t in targets] == ["wide_resnet50_2-anomalib"]
    assert left_out[0] == (
        "glass-wide_resnet50_2-authors: published as a mean over all 15 categories alone"
    )


def test_without_any_weights_the_installed_backbone_stands_in(at_hand: set[str]) -> None:
    targets, _ = plan_reproduction(["dfm"], ["bottle"])
    assert [(t.folder, t.detector.backbone) for t in targets] == [("efficientnet_lite0",) * 2]
    assert targets[0].unlike == "other backbone, not comparable"
    assert {n.backbone for n in targets[0].numbers} == {"resnet18", "wide_resnet50_2"}
    assert plan_reproduction(["dfm"], ["bottle"], backbones=["resnet18"])[0] == []


def test_what_is_changed_of_a_protocol_is_told_and_what_only_costs_is_not(
    at_hand: set[str],
) -> None:
    at_hand.add("resnet18")
    changes = {"dfm": {"image_size": 128, "batch_size": 2, "device": "cpu"}}
    (changed,), _ = plan_reproduction(["dfm"], ["bottle"], overrides=changes)
    assert changed.unlike == "changed here: image_size 128"
    assert changed.detector.batch_size == 2
    changes = {"dfm": {"device": "cpu"}}
    (same,), _ = plan_reproduction(["dfm"], ["bottle"], overrides=changes)
    assert same.unlike == ""


def test_one_published_run_can_be_picked(at_hand: set[str]) -> None:
    at_hand.add("wide_resnet50_2")
    setting = "patchcore-wide_resnet50_2-authors-320"
    (only,), _ = plan_reproduction(["patchcore"], ["bottle"], settings=[setting])
    assert only.detector.parameters()["image_size"] == 366
    assert only.detector.parameters()["num_neighbors"] == 1


def test_what_nobody_published_is_told(at_hand: set[str]) -> None:
    targets, left_out = plan_reproduction(["ensemble"], ["bottle", "dot"])
    assert targets == []
    assert left_out[0] == "ensemble: no published number is known here"
    assert "dot: not a category of MVTec AD" in left_out


def test_what_cannot_be_planned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no detector 'magic'"):
        plan_reproduction(["magic"], ["bottle"])
    with pytest.raises(ParameterError, match=r"no published run 'x' of dfm; .*dfm-resnet18"):
        plan_reproduction(["dfm"], ["bottle"], settings=["x"])
    with pytest.raises(DataError, match="dot: not of MVTec AD"):
        plan_reproduction(["dfm"], ["dot"])
    with pytest.raises(WeightsError, match="resnet19"):
        plan_reproduction(["dfm"], ["bottle"], backbones=["resnet19"])
    with pytest.raises(ParameterError, match="--backbone"):
        plan_reproduction(["dfm"], ["bottle"], weights="a.pth")
    with pytest.raises(WeightsError, match="nowhere"):
        plan_reproduction(["dfm"], ["bottle"], backbones=["resnet18"], weights="/nowhere.pth")


def test_categories_and_untrained_detectors_are_those_there_are() -> None:
    assert set(ORIGINAL) == set(CATEGORIES)
    assert sum(train for train, _, _ in ORIGINAL.values()) == 3629
    assert sum(test for _, test, _ in ORIGINAL.values()) == 1725
    assert set(UNTRAINED) == {"patchcore", "padim", "spade", "dfm"}


def test_original_sizes_are_those_of_the_real_images(mvtec_ad: Path) -> None:
    bottle = MVTecAD(mvtec_ad).category("bottle")
    found = len(bottle.train), len(bottle.test), image_size(bottle.train[0].path)[0]
    assert found == ORIGINAL["bottle"]


def test_files_say_all_that_the_table_says(tmp_path: Path) -> None:
    rows = compare(target(), [record()], Original())
    rows += compare(target(unlike="other backbone, not comparable"), [record()], Original())
    write_reproduction(rows, ["x: no weights"], tmp_path)
    text = (tmp_path / "reproduction.md").read_text(encoding="utf-8")
    assert f"| {PADIM} | resnet18 | bottle | image_AUROC | 99.00 | 97.00 to 99.90 | 99.6 |" in text
    assert "- [1] other backbone, not comparable" in text
    assert "- x: no weights" in text
    assert "xiahaifeng1995/PaDiM-Anomaly-Detection-Localization-master 616004b" in text
    frame = reproduction_frame(rows)
    assert (tmp_path / "reproduction.csv").read_text().count("\n") == len(frame) + 1 == 5
    assert frame["inside"].tolist() == [True, True, None, None]
    assert np.allclose(frame["difference"][:2], [0.99 - 0.996, 0.99 - 0.981])


def test_nothing_to_compare_is_written_too(tmp_path: Path) -> None:
    write_reproduction([], ["x: no weights"], tmp_path)
    assert "- x: no weights" in (tmp_path / "reproduction.md").read_text()


def test_second_hand_numbers_say_so(tmp_path: Path) -> None:
    spade = target("spade-wide_resnet50_2-paper")
    write_reproduction(compare(spade, [record(detector="spade")], Original()), [], tmp_path)
    assert "(second-hand)" in (tmp_path / "reproduction.md").read_text()
    assert isinstance(spade.numbers[0], Published)
