from __future__ import annotations

import base64
import io
import itertools
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalist.calibration import p_values
from anomalist.errors import DataError
from anomalist.metrics import auroc
from anomalist.report import colour_map
from anomalist.report.charts import coverage, histogram
from anomalist.report.failures import by_kind, by_size
from anomalist.report.html import write_report
from anomalist.report.layers import outline
from anomalist.report.runs import Results, _holm

KINDS = ("good", "crack", "stain")
METRICS = ("image_AP", "image_F1Score", "pixel_AUROC", "pixel_AP", "pixel_F1Score", "pixel_PRO")


@dataclass(kw_only=True)
class Record:
    """A record of a run, as a benchmark makes it."""

    detector: str = "patchcore"
    category: str = "bottle"
    seed: int = 0
    method: str = "patchcore"
    backbone: str = "resnet18"
    weights_sha256: str = "ab" * 32
    parameters: dict[str, Any] = field(default_factory=lambda: {"layers": ["layer2"]})
    transform: dict[str, Any] = field(default_factory=lambda: {"image_size": 256})
    metrics: dict[str, float | None] = field(default_factory=dict)
    oracle: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    train_images: int = 40
    test_images: int = 12
    fit_seconds: float = 2.0
    calibrate_seconds: float = 1.0
    images_per_second: float = 20.0
    peak_memory_mb: float = 800.0
    config_hash: str = "cd" * 32
    data_hash: str = "ef" * 32
    version: str = "1.2.3"
    evaluated_at: str = "original"
    environment: dict[str, Any] = field(default_factory=lambda: {"python": "3.11"})
    calibration: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    command: str | None = "anomalist benchmark DATA"


def record(detector: str, category: str, seed: int = 0, skill: float = 2.0, n: int = 4) -> Record:
    """A run on ``n`` images of each kind, whose defective ones score ``skill`` higher."""
    rng = np.random.default_rng([*detector.encode(), *category.encode(), seed])
    kinds = [kind for kind in KINDS for _ in range(n)]
    labels = np.array([kind != "good" for kind in kinds])
    scores = rng.normal(size=len(kinds)) + skill * labels
    good = np.sort(rng.normal(size=40))
    threshold = float(good[-2])
    p = p_values(scores, good)
    area = auroc(scores, labels)
    metrics: dict[str, float | None] = dict.fromkeys(METRICS, area)
    curve = {"x": [0.0, 0.5, 1.0], "y": [0.0, 0.9, 1.0]}
    return Record(
        detector=detector,
        category=category,
        seed=seed,
        method=detector,
        metrics={
            **metrics,
            "image_AUROC": area,
            "image_F1_calibrated": 0.5,
            "pixel_F1_calibrated": 0.4,
            "image_false_alarm_rate": float((scores[~labels] > threshold).mean()),
        },
        intervals={name: (area - 0.1, min(area + 0.1, 1)) for name in ("image_AUROC", *METRICS)},
        calibration={
            "alpha": 0.05,
            "method": "5 folds",
            "image_threshold": threshold,
            "pixel_threshold": 1.0,
            "pixel_low": 0.0,
            "pixel_high": 1.0,
            "scores": good.tolist(),
        },
        curves=dict.fromkeys(("roc", "pr", "pixel_roc", "pixel_pr", "pro"), curve),
        images=[
            {
                "path": f"{kind}/{i % n:03d}.png",
                "defect": kind,
                "label": bool(labels[i]),
                "score": float(scores[i]),
                "p_value": float(p[i]),
                "disagreement": None,
                "defect_area": 0.001 * (1 + i) if labels[i] else None,
                "recall": 0.5 if labels[i] else None,
            }
            for i, kind in enumerate(kinds)
        ],
    )


def write_pictures(out: Path, records: list[Record], side: int = 64) -> None:
    rng = np.random.default_rng(0)
    for run in records:
        n = len(run.images)
        labels = np.array([bool(image["label"]) for image in run.images])
        masks = np.zeros((n, side, side), bool)
        masks[labels, 8:20, 8:24] = True
        folder = out / "pictures"
        (folder / run.detector).mkdir(parents=True, exist_ok=True)
        photographs = rng.integers(90, 130, (n, side, side, 3), dtype=np.uint8)
        np.savez_compressed(folder / f"{run.category}.npz", photographs=photographs, masks=masks)
        maps = rng.integers(0, 60, (n, side // 2, side // 2), dtype=np.uint8)
        maps[labels, 4:10, 4:12] = 220
        extra = {"disagreement": maps // 2} if run.detector == "ensemble" else {}
        if run.detector == "padim":
            extra["ignored"] = np.zeros(maps.shape, bool)
            extra["ignored"][:, 20:26, 10:30] = True
        np.savez_compressed(folder / run.detector / f"{run.category}.npz", maps=maps, **extra)


def small_benchmark() -> list[Record]:
    return [
        record(detector, category, seed, skill)
        for detector, skill in (("ensemble", 3.0), ("padim", 0.3), ("patchcore", 2.0))
        for category in ("bottle", "screw")
        for seed in (0, 1)
    ]


class Page(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, Any] = {}
        self.text = ""
        self._open: list[str] = []
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._script = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text += data
        elif self._script.endswith("-data"):
            self.data[self._script] = json.loads(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    @property
    def images(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.data["gallery-data"]
        return found


def report(records: list[Record], out: Path, **options: Any) -> Page:
    return Page(write_report(records, out, **options).read_text(encoding="utf-8"))


def published(category: str, value: float, **changes: Any) -> dict[str, Any]:
    return {
        "detector": "patchcore",
        "backbone": "wide_resnet50_2",
        "category": category,
        "metric": "image_AUROC",
        "value": value,
        "source": "https://example.org/paper",
        "note": "ten per cent",
        **changes,
    }


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    records = small_benchmark()
    write_pictures(folder, records)
    write_report(
        records,
        folder,
        published=[
            published("mean", 0.991),
            published("bottle", 0.98),
            published("screw", 0.95),
            published("cable", 0.97),
            published("bottle", 0.875, detector="spade"),
        ],
    )
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> Page:
    return Page((out / "report.html").read_text(encoding="utf-8"))


# What the numbers are


def test_a_mean_weighs_categories_alike_and_its_interval_shrinks_with_their_number() -> None:
    runs = [record("a", "bottle", 0), record("a", "bottle", 1), record("a", "screw", 0)]
    for run, value in zip(runs, (0.8, 0.9, 0.55), strict=True):
        run.metrics["image_AUROC"] = value
        run.intervals["image_AUROC"] = (value - 0.06, value + 0.03)
    estimate = Results(runs).estimate("a", "image_AUROC")
    assert estimate is not None
    assert estimate.value == pytest.approx((0.85 + 0.55) / 2)
    assert estimate.interval == pytest.approx(
        (0.7 - 0.06 * math.sqrt(2) / 2, 0.7 + 0.03 * math.sqrt(2) / 2)
    )
    # The means of the two seeds are 0.675 and 0.9.
    assert estimate.deviation == pytest.approx(0.225 / math.sqrt(2))


def test_means_cover_only_categories_that_every_detector_was_run_on() -> None:
    results = Results([record("a", "bottle"), record("a", "screw"), record("b", "screw")])
    assert results.shared == ["screw"]
    estimate = results.estimate("a", "image_AUROC")
    assert estimate is not None
    assert estimate.value == results.of("a", "screw")[0].metrics["image_AUROC"]


def test_false_alarms_have_an_interval_even_where_there_are_none() -> None:
    run = record("a", "bottle")
    run.metrics["image_false_alarm_rate"] = 0.0
    estimate = Results([run]).estimate("a", "image_false_alarm_rate")
    assert estimate is not None
    assert estimate.interval is not None
    low, high = estimate.interval
    z = 1.959964
    assert low == pytest.approx(0, abs=1e-12)
    assert high == pytest.approx(z**2 / (4 + z**2), rel=1e-5)


def test_more_seeds_on_the_same_images_make_no_difference_surer() -> None:
    one = Results([record("a", "bottle", 0, 2.0, n=20), record("b", "bottle", 0, 1.0, n=20)])
    copies = []
    for seed in range(5):
        for run in (record("a", "bottle", 0, 2.0, n=20), record("b", "bottle", 0, 1.0, n=20)):
            run.seed = seed
            copies.append(run)
    once, often = one.compare("a", "b"), Results(copies).compare("a", "b")
    assert once is not None
    assert often is not None
    assert often.p_value == pytest.approx(once.p_value)
    assert often.difference == pytest.approx(once.difference)
    assert once.difference == pytest.approx(
        one.runs[0].metrics["image_AUROC"] - one.runs[1].metrics["image_AUROC"]  # type: ignore[operator]
    )


def test_a_detector_is_best_only_if_the_test_says_so() -> None:
    clear = Results([record("a", "bottle", 0, 4.0, n=40), record("b", "bottle", 0, 0.1, n=40)])
    assert clear.ahead("image_AUROC") == ["a"]
    close = Results([record("a", "bottle", 0, 2.0), record("b", "bottle", 0, 2.1)])
    assert set(close.ahead("image_AUROC")) == {"a", "b"}


def test_among_many_comparisons_chance_differences_make_no_winner() -> None:
    assert _holm({"b": 0.03}) == {"b"}
    assert _holm({"b": 0.03, "c": 0.04, "d": 0.001}) == {"d"}
    assert _holm({"b": 0.02, "c": 0.04, "d": 0.001}) == {"b", "c", "d"}


def test_other_metrics_need_intervals_that_are_apart() -> None:
    a, b = record("a", "bottle"), record("b", "bottle")
    a.metrics["pixel_PRO"], a.intervals["pixel_PRO"] = 0.9, (0.85, 0.95)
    b.metrics["pixel_PRO"], b.intervals["pixel_PRO"] = 0.8, (0.75, 0.84)
    assert Results([a, b]).ahead("pixel_PRO") == ["a"]
    b.intervals["pixel_PRO"] = (0.75, 0.86)
    assert Results([a, b]).ahead("pixel_PRO") == ["a", "b"]
    del b.intervals["pixel_PRO"]
    assert Results([a, b]).ahead("pixel_PRO") == ["a", "b"]


def test_recall_by_kind_and_size() -> None:
    run = record("a", "bottle", n=2)
    run.calibration["image_threshold"] = 0.5
    for image, score, area, recall in zip(
        run.images[2:],
        (0.4, 0.6, 0.7, 0.5),
        (0.002, 0.02, 0.0025, 0.5),
        (0, 0.5, 1, 0),
        strict=True,
    ):
        image.update(score=score, defect_area=area, recall=recall)
    crack, stain = by_kind(Results([run]))
    assert (crack.category, crack.name, crack.images) == ("bottle", "crack", 2)
    assert (crack.recall["a"].images, crack.recall["a"].pixels) == (0.5, 0.25)
    # A score at the threshold is no alarm.
    assert (stain.recall["a"].images, stain.recall["a"].pixels) == (0.5, 0.5)
    sizes = by_size(Results([run]))
    assert [(group.images, group.recall["a"].images) for group in sizes] == [
        (1, 0.0),
        (1, 1.0),
        (1, 1.0),
        (1, 0.0),
        (4, 0.5),
    ]


def test_histograms_hold_every_image_of_each_group() -> None:
    found = histogram(record("a", "bottle"))
    assert found is not None
    assert found["counts"] == {"held out": 40, "good": 4, "defective": 8}
    for shares in found["shares"].values():
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert len(shares) == len(found["edges"]) - 1


def test_error_against_coverage_ends_at_the_error_of_all_images() -> None:
    run = record("a", "bottle")
    wrong = [
        (image["score"] > run.calibration["image_threshold"]) != image["label"]
        for image in run.images
    ]
    found = coverage(run)
    assert found is not None
    assert found["x"][-1] == 100
    assert found["y"][-1] == pytest.approx(100 * np.mean(wrong), abs=0.01)


def test_an_outline_borders_the_region_and_nothing_else() -> None:
    region = np.random.default_rng(0).random((9, 7)) < 0.4
    drawn = set()
    for x, y, direction, length in re.findall(r"M(\d+) (\d+)([hv])(\d+)", outline(region)):
        for step in range(int(length)):
            across = direction == "h"
            drawn.add((int(x) + step * across, int(y) + step * (not across), direction))
    padded = np.pad(region, 1)
    expected = {
        (x, y, "h") for y in range(10) for x in range(7) if padded[y, x + 1] != padded[y + 1, x + 1]
    } | {
        (x, y, "v") for y in range(9) for x in range(8) if padded[y + 1, x] != padded[y + 1, x + 1]
    }
    assert drawn == expected
    assert outline(np.zeros((3, 3), bool)) == ""


# What the file is


def test_it_says_which_is_best_and_by_how_much(tmp_path: Path) -> None:
    runs = [record("a", "bottle", 0, 4.0, n=40), record("b", "bottle", 0, 0.1, n=40)]
    words = report(runs, tmp_path).words
    assert "a tells defective from good images best: image AUROC" in words
    assert "points above b (95 % interval of the difference" in words
    assert "DeLong's test on the same images" in words


def test_it_says_when_the_best_are_not_distinguishable(tmp_path: Path) -> None:
    text = report([record("a", "bottle"), record("b", "bottle")], tmp_path)
    assert "are not distinguishable" in text.words
    assert not any("best" in (a.get("class") or "").split() for a in text.all("td"))


def test_nothing_is_loaded(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            target = attributes.get(name)
            if target is None or (tag == "a" and target == "https://example.org/paper"):
                continue
            assert target.startswith(("#", "data:")), (tag, target)
    policy = next(a for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_structure_for_those_who_can_not_see_it(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if (reference := attributes.get("aria-labelledby")) is not None:
            assert reference in ids
        if (target := attributes.get("href") or "").startswith("#"):
            assert target[1:] in ids
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(a.get("scope") for a in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert page.elements[0] == ("html", {"lang": "en"})
    assert len(page.all("label")) == len(page.all("select")) + len(page.all("input"))


def test_published_numbers_stand_apart(page: Page, out: Path) -> None:
    assert "Published and measured here, bottle, in percent" in page.words
    assert "98.00" in page.words
    assert "wide_resnet50_2" in page.words
    # The detector isn't in this report, nor is the category.
    assert "87.50" not in page.words
    assert "97.00" not in page.words
    without = report(small_benchmark(), out / "without").words
    assert "Published" not in without


def test_pixels_compared_at_different_sizes_are_not_ranked(tmp_path: Path) -> None:
    runs = [record("patchcore", "bottle"), record("padim", "bottle")]
    words = report(runs, tmp_path).words
    assert "Pixel metrics are at the size of each mask." in words
    runs[1].evaluated_at = "input"
    words = report(runs, tmp_path).words
    assert "those of padim are at the resolution of the detector's input" in words
    assert "has the highest pixel PRO" not in words
    assert "locates defects best" not in words


def test_a_published_mean_is_over_the_same_categories(tmp_path: Path) -> None:
    runs = [record("patchcore", "bottle"), record("patchcore", "screw")]
    numbers = [published(c, v) for c, v in (("mean", 0.991), ("bottle", 0.98), ("screw", 0.95))]
    words = report(runs, tmp_path, published=numbers).words
    assert "99.10" in words
    words = report(runs, tmp_path, published=[*numbers, published("cable", 0.9)]).words
    assert "99.10" not in words
    assert "96.50" in words
    elsewhere = [record("patchcore", "cap"), record("patchcore", "key")]
    assert "Published" not in report(elsewhere, tmp_path, published=numbers).words


def test_oracle_columns_are_named_and_only_there_where_measured(tmp_path: Path) -> None:
    run = record("glass", "bottle")
    assert "oracle epoch" not in report([run], tmp_path).words
    run.oracle = {"oracle_best_epoch": 3, "oracle_image_AUROC": 0.97}
    words = report([run], tmp_path).words
    assert "Image AUROC, oracle epoch" in words
    assert "Pixel PRO, oracle epoch" not in words
    del run.metrics["image_F1Score"], run.metrics["pixel_F1Score"]
    assert "oracle threshold" not in report([run], tmp_path).words


def test_all_that_it_takes_to_repeat_it(page: Page) -> None:
    for needed in ("anomalist benchmark DATA", "ab" * 32, "cd" * 32, "ef" * 32, "1.2.3", "layer2"):
        assert needed in page.text


def test_the_same_runs_give_the_same_bytes(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "pictures", tmp_path / "pictures")
    first = write_report(small_benchmark(), tmp_path).read_bytes()
    assert write_report(small_benchmark(), tmp_path).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["report.html"]


def test_pictures_are_the_photograph_once_and_a_palette_a_detector(page: Page, out: Path) -> None:
    assert len(page.images) == 24
    image = next(i for i in page.images if i["category"] == "bottle" and i["kind"] == "crack")
    assert set(image["maps"]) == {"ensemble", "padim", "patchcore"}
    assert "spread" in image["maps"]["ensemble"]
    assert "spread" not in image["maps"]["padim"]
    assert image["maps"]["padim"]["ignored"] == outline(
        np.pad(np.ones((6, 20), bool), ((20, 6), (10, 2)))
    )
    assert "ignored" not in image["maps"]["patchcore"]
    assert image["photograph"].startswith("data:image/webp;base64,")
    assert image["size"] == [64, 64]
    assert image["truth"] == outline(np.pad(np.ones((12, 16), bool), ((8, 44), (8, 40))))
    heat = _open(image["maps"]["padim"]["heat"])
    assert (heat.mode, heat.size) == ("P", (32, 32))
    with np.load(out / "pictures" / "padim" / "bottle.npz") as stored:
        values = stored["maps"][int(image["path"][-7:-4]) + 4]
    pixels = np.asarray(heat.convert("RGBA"))
    shown, alpha = pixels[..., :3].astype(float), pixels[..., 3]
    # 32 levels: half a step off at most.
    lower, upper = (colour_map(values / 255 + d).astype(float) for d in (-0.6 / 31, 0.6 / 31))
    assert (shown >= np.minimum(lower, upper) - 3).all()
    assert (shown <= np.maximum(lower, upper) + 3).all()
    assert alpha[values > 127.5].min() == 255
    assert alpha[values < 4].max(initial=0) < 5


@pytest.mark.parametrize("name", ["bottle.npz", "padim/bottle.npz"])
def test_damaged_pictures_are_named(name: str, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "pictures", tmp_path / "pictures")
    path = tmp_path / "pictures" / name
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=rf"{re.escape(str(path))} is damaged: delete it"):
        write_report(small_benchmark(), tmp_path)
    path.unlink()
    assert write_report(small_benchmark(), tmp_path).is_file()


def test_a_map_without_a_threshold_has_no_contour(tmp_path: Path) -> None:
    run = record("a", "bottle")
    write_pictures(tmp_path, [run])
    assert any(image["maps"]["a"]["contour"] for image in report([run], tmp_path).images)
    run.calibration["pixel_threshold"] = None
    assert not any(image["maps"]["a"]["contour"] for image in report([run], tmp_path).images)


def test_names_are_text_wherever_they_come_from(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    run = record("a<b>", "c&d")
    run.images[5].update(path=f"crack/{evil}", defect=evil)
    run.command, run.notes = f"run {evil}", (evil,)
    run.parameters = {evil: evil}
    run.environment = {evil: evil}
    write_pictures(tmp_path, [run])
    ordinary = record("a", "c")
    write_pictures(tmp_path / "ordinary", [ordinary])
    page = report([run], tmp_path)
    expected = len(report([ordinary], tmp_path / "ordinary").all("script"))
    assert len(page.all("script")) == expected
    assert any(image["kind"] == evil for image in page.images)
    assert evil in page.text
    assert not page.all("b<")


# Whatever is missing


def test_no_pictures(tmp_path: Path) -> None:
    page = report(small_benchmark(), tmp_path)
    assert "There are no pictures of the test images" in page.words
    assert page.images == []


def test_pictures_of_another_number_of_images_are_not_shown(tmp_path: Path) -> None:
    runs = [record("a", "bottle"), record("a", "screw")]
    write_pictures(tmp_path, runs)
    runs[0].images.pop()
    page = report(runs, tmp_path)
    assert {image["category"] for image in page.images} == {"screw"}
    assert "12 of 23 test images are shown" in page.words


@pytest.mark.parametrize("labels", ["no good", "no defective", "none"])
def test_test_sets_that_allow_no_metric(tmp_path: Path, labels: str) -> None:
    run = record("a", "bottle")
    if labels == "none":
        for image in run.images:
            image.update(label=None, defect="", defect_area=None, recall=None)
    else:
        unwanted = labels == "no defective"
        run.images = [image for image in run.images if image["label"] != unwanted]
    run.metrics = dict.fromkeys(run.metrics)
    run.intervals, run.curves = {}, {}
    run.notes = ("no image metrics: the labels are unknown",)
    write_pictures(tmp_path, [run])
    page = report([run], tmp_path)
    assert "it can't be measured" in page.words
    assert len(page.images) == len(run.images)
    assert "no image metrics: the labels are unknown" in page.words


def test_too_few_good_images_for_the_rate_asked_for(tmp_path: Path) -> None:
    run = record("a", "bottle")
    run.calibration.update(rate=0.1)
    write_pictures(tmp_path, [run])
    page = report([run], tmp_path)
    assert "too few good training images to guarantee 5 %" in page.words
    assert {image["detectors"]["a"]["decision"] for image in page.images} > {"anomalous"}


def test_no_threshold(tmp_path: Path) -> None:
    run = record("a", "bottle")
    run.calibration.update(image_threshold=None, pixel_threshold=None)
    run.metrics["image_F1_calibrated"] = run.metrics["image_false_alarm_rate"] = None
    write_pictures(tmp_path, [run])
    page = report([run], tmp_path)
    assert "too few good training images to guarantee 5 %" in page.words
    assert {image["detectors"]["a"]["decision"] for image in page.images} == {"undecided"}
    assert "any detector misses" not in page.words


def test_each_false_alarm_rate_is_told_with_whose_it_is(tmp_path: Path) -> None:
    runs = [record(name, "bottle", seed) for name in ("loose", "strict", "same") for seed in (0, 1)]
    for run in runs:
        run.calibration["alpha"] = 0.4 if run.detector == "loose" else 0.2
    words = report(runs, tmp_path).words
    targets = "20 % (strict, same) and 40 % (loose)"
    assert f"set for at most {targets} false alarms" in words
    assert f"asked for were at most {targets}." in words
    assert f"chosen so that at most {targets} of good images lie above it" in words
    for run in runs:
        run.calibration["image_threshold"] = None
    words = report(runs, tmp_path).words
    assert "to guarantee 20 % in some or all categories of strict and same" in words
    assert "to guarantee 40 % in some or all categories of loose" in words


def test_two_configurations_of_a_method_are_two_detectors(tmp_path: Path) -> None:
    runs = [record(name, "bottle", seed) for name in ("patchcore", "small") for seed in (0, 1)]
    for run in runs:
        run.method = "patchcore"
        run.config_hash = {"patchcore": "a", "small": "b"}[run.detector] * 64
    page = report(runs, tmp_path, published=[published("bottle", 0.987)])
    assert "2 detectors, 1 category, 2 seeds" in page.words
    assert page.words.count("98.70") == 2  # beside each that is a PatchCore


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    line = "1 run is left out of the tables, of version 0.0.1"
    assert line in report([record("a", "bottle")], tmp_path, left_out=[line]).words


def test_detectors_without_a_category_in_common(tmp_path: Path) -> None:
    runs = [record("a", "bottle"), record("b", "screw")]
    write_pictures(tmp_path, runs)
    page = report(runs, tmp_path)
    assert "no category was run with every detector" in page.words
    assert len(page.images) == 24


def test_one_image_without_a_calibration(tmp_path: Path) -> None:
    run = record("a", "bottle")
    run.images, run.calibration, run.curves = run.images[:1], {"alpha": 0.1}, {}
    run.command = None
    write_pictures(tmp_path, [run])
    assert len(report([run], tmp_path).images) == 1


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one run"):
        write_report([], tmp_path)


# How big it is


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], Path]:
    folder = tmp_path_factory.mktemp("big")
    records = [
        record(f"detector{d}", f"category{c:02d}", 0, skill=3.0)
        for d in range(8)
        for c in range(15)
    ]
    write_pictures(folder, records, side=128)
    return records, folder


@pytest.fixture(scope="module")
def whole(big: tuple[list[Record], Path]) -> Path:
    """The report with room for all images."""
    records, folder = big
    return write_report(records, folder, max_megabytes=100).rename(folder / "whole.html")


def test_fifteen_categories_and_eight_detectors_stay_below_the_limit(
    big: tuple[list[Record], Path],
) -> None:
    records, folder = big
    path = write_report(records, folder, max_megabytes=9)
    assert path.stat().st_size < 9e6
    page = Page(path.read_text(encoding="utf-8"))
    # Neither empty nor far from what there is room for.
    assert path.stat().st_size > 8e6
    assert {image["category"] for image in page.images} == {f"category{c:02d}" for c in range(15)}
    assert f"{len(page.images)} of 180 test images are shown" in page.words


def test_wrong_decisions_come_first(big: tuple[list[Record], Path], whole: Path) -> None:
    records, folder = big
    page = report(records, folder, max_megabytes=6.5)

    def wrong(judged: dict[str, Any]) -> bool:
        return any(one["outcome"] in ("miss", "false alarm") for one in judged.values())

    everything = Page(whole.read_text(encoding="utf-8")).images
    assert len(everything) == 180
    there_are = sum(wrong(image["detectors"]) for image in everything)
    assert 0 < len(page.images) < 180
    shown = [wrong(image["detectors"]) for image in page.images]
    assert all(shown) or sum(shown) == there_are
    assert report(records, folder, max_megabytes=1).images == []


# What a browser makes of it


class Opened:
    """A page in a browser, with all that went wrong on it."""

    def __init__(self, browser: Any, path: Path, width: int = 1300, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.problems.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#coverage svg, #coverage .empty")

    def count(self) -> int:
        return int(self.page.locator("#cards article").count())

    def headings(self) -> list[str]:
        return list(self.page.locator("#cards h3").all_text_contents())


@pytest.fixture
def opened(browser: Any, out: Path) -> Iterator[Opened]:
    page = Opened(browser, out / "report.html")
    yield page
    page.context.close()
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith("data:")] == [
        (out / "report.html").as_uri()
    ]


def test_charts_are_drawn(opened: Opened) -> None:
    page = opened.page
    assert page.locator("#tradeoff .trace").count() == 3
    assert page.locator("#histograms .js-plotly-plot").count() == 3
    for kind in ("pr", "pixel_roc", "pixel_pr", "pro", "roc"):
        page.locator(f"input[name=curve][value={kind}]").check(force=True)
        assert page.locator("#curve .scatterlayer .trace").count() == 3
    page.select_option("#tradeoff-time", "fit")
    assert "seconds to fit" in page.locator("#tradeoff .xtitle").text_content()
    page.select_option("#run-category", "screw")
    page.select_option("#run-seed", "1")
    assert "screw, seed 1: 3 of 3" in page.locator("#curve-note").text_content()


def test_filters_reduce_the_cards_and_say_how_many_are_left(opened: Opened) -> None:
    page = opened.page
    assert opened.count() == 24
    page.select_option("#category", "screw")
    assert opened.count() == 12
    page.select_option("#kind", "crack")
    assert opened.count() == 4
    assert all(heading.startswith("screw / crack/") for heading in opened.headings())
    assert page.locator("#count").text_content() == "4 of 4 matching images, 24 in this file."
    page.select_option("#kind", "")
    page.select_option("#category", "")
    page.select_option("#detector", "padim")
    page.select_option("#outcome", "miss")
    images = json.loads(page.locator("#gallery-data").text_content())
    expected = sum(image["detectors"]["padim"]["outcome"] == "miss" for image in images)
    assert 0 < expected < 24
    assert opened.count() == expected


def test_sorting(opened: Opened) -> None:
    page = opened.page
    images = json.loads(page.locator("#gallery-data").text_content())

    def ranked(key: Any) -> list[str]:
        return [f"{i['category']} / {i['path']}" for i in sorted(images, key=key)]

    assert opened.headings() == ranked(lambda image: -image["disagreement"])
    page.select_option("#detector", "patchcore")
    page.select_option("#sort", "high")
    assert opened.headings() == ranked(lambda i: -i["detectors"]["patchcore"]["relative"])
    page.select_option("#sort", "low")
    assert opened.headings() == ranked(lambda i: i["detectors"]["patchcore"]["relative"])


def test_the_slider_blends_photograph_and_heatmap(opened: Opened) -> None:
    page = opened.page

    def opacity() -> float:
        heat = page.locator("#cards .heat").first
        return float(heat.evaluate("element => getComputedStyle(element).opacity"))

    assert opacity() == pytest.approx(0.6)
    slider = page.locator("#blend")
    slider.focus()
    page.keyboard.press("Home")
    assert opacity() == 0
    page.keyboard.press("End")
    assert opacity() == 1
    outlines = page.locator("#cards .truth").first
    assert outlines.is_visible()
    page.locator("#show-truth").uncheck()
    assert not outlines.is_visible()


def test_the_keyboard_reaches_everything(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    wanted = {"metric", "run-category", "run-seed", "curve", "category", "kind", "detector"}
    assert wanted | {"outcome", "sort", "blend", "show-truth", "show-contour"} <= reached


def test_more_images_come_on_request(browser: Any, whole: Path) -> None:
    opened = Opened(browser, whole)
    assert opened.count() == 24
    opened.page.locator("#more").click()
    assert opened.count() == 48
    # The reader goes on where the new ones begin.
    assert opened.page.evaluate("document.activeElement.textContent") == opened.headings()[24]
    assert opened.problems == []
    opened.context.close()


@pytest.mark.parametrize(("width", "height"), [(360, 800), (1024, 768), (1920, 1080)])
def test_the_first_screen_holds_four_answers_and_the_figure(
    browser: Any, out: Path, width: int, height: int
) -> None:
    opened = Opened(browser, out / "report.html", width, has_touch=width < 500)
    page = opened.page
    page.set_viewport_size({"width": width, "height": height})
    bottom = "element => element.getBoundingClientRect().bottom"
    assert page.locator(".answers dt").count() == 4
    assert page.locator(".answers").evaluate(bottom) < height
    assert page.locator(".ranking table").evaluate(bottom) < height
    assert page.locator(".modebar").count() == 0
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # What is wider than its box says so, and only that is a stop of the keyboard.
    page.wait_for_function("document.querySelector('#categories .scroll.wider') !== null")
    for box in page.locator(".scroll").all():
        overflows, wider, stop = box.evaluate(
            "e => [e.scrollWidth > e.clientWidth + 1, e.classList.contains('wider'), e.tabIndex]"
        )
        assert (wider, stop == 0) == (overflows, overflows)
    layouts = "cells => [...new Set(cells.map(cell => getComputedStyle(cell).display))].sort()"
    assert set(page.locator("th, td").evaluate_all(layouts)) <= {"table-cell", "none"}
    # No name is broken in two.
    for name in page.locator("#summary tbody th, #numbers tbody th").all():
        assert name.evaluate("e => e.getClientRects().length && e.clientHeight") < 60
    opened.context.close()


def test_colours_are_chosen_and_remembered(browser: Any, out: Path) -> None:
    opened = Opened(browser, out / "report.html", color_scheme="light")
    page, dark = opened.page, "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(dark) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Colours: auto").click()
    assert page.evaluate(dark) == "rgb(20, 24, 29)"
    page.reload()
    assert page.evaluate(dark) == "rgb(20, 24, 29)"
    for _ in range(2):
        page.locator(".theme").click()
    assert page.evaluate(dark) == "rgb(255, 255, 255)"
    opened.context.close()


def test_charts_have_the_width_of_paper_while_it_is_printed(opened: Opened) -> None:
    page = opened.page
    width = "Number(document.querySelector('#curve .main-svg').getAttribute('width'))"
    before = page.evaluate(width)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(width) == 660
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"{width} === {before}")


def test_those_who_can_not_see_it_meet_nothing_serious(
    browser: Any, out: Path, axe: Callable[[Any], None]
) -> None:
    opened = Opened(browser, out / "report.html")
    axe(opened.page)
    opened.context.close()


def test_dark_where_dark_is_preferred_and_light_on_paper(browser: Any, out: Path) -> None:
    opened = Opened(browser, out / "report.html", color_scheme="dark")

    def lightness(selector: str, what: str) -> float:
        colour = opened.page.locator(selector).first.evaluate(
            f"element => getComputedStyle(element).{what}"
        )
        return float(np.mean([int(number) for number in re.findall(r"\d+", colour)[:3]]))

    assert lightness("body", "backgroundColor") < 60
    assert lightness("#curve .xtitle", "fill") > 180
    opened.page.emulate_media(media="print")
    assert lightness("body", "backgroundColor") > 240
    assert lightness("#curve .xtitle", "fill") < 80
    assert not opened.page.locator("#gallery-controls").is_visible()
    opened.context.close()


def test_odd_reports_open_without_an_error(browser: Any, tmp_path: Path) -> None:
    long = "_of_wide_resnet50_2_layer2_layer3_coreset_ratio_0_01_image_size_512"
    evil = record(f"<img src=x onerror=alert(1)>{long}{'x' * 40}", "c&d")
    evil.images[5].update(path="crack/</script><script>alert(1)</script>", defect="<b>")
    unknown = record("a", "bottle")
    for image in unknown.images:
        image.update(label=None, defect="", p_value=None, defect_area=None, recall=None)
    unknown.calibration, unknown.curves, unknown.metrics = {}, {}, {}
    for i, runs in enumerate(([evil], [unknown])):
        folder = tmp_path / str(i)
        write_pictures(folder, runs)
        opened = Opened(browser, write_report(runs, folder), 360)
        assert opened.count() == 12
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert opened.problems == []
        assert len([url for url in opened.requests if not url.startswith("data:")]) == 1
        opened.context.close()


def _open(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_metrics_that_only_some_runs_have_get_columns_of_their_own(tmp_path: Path) -> None:
    records = [record("padim", "bottle"), record("patchcore", "bottle")]
    others: dict[str, float | None] = {"pixel_PRO_0.05": 0.125, "pixel_sPRO_0.3_logical": 0.5}
    first = replace(records[0], metrics={**records[0].metrics, **others})
    text = write_report([first, records[1]], tmp_path).read_text(encoding="utf-8")
    assert "Pixel PRO to 0.05" in text
    assert "12.50" in text
    assert "sPRO" not in text
