"""What a setting finds and what it costs: a frontier, chosen by good images, measured on tests.

    anomalist demo --out demo
    python benchmarks/frontier.py judge DATA demo/sample_set --textures DTD --out frontier.jsonl
    python benchmarks/frontier.py cost DATA --out frontier.jsonl
    python benchmarks/frontier.py test DATA demo/sample_set --out frontier.jsonl
    python benchmarks/frontier.py show --out frontier.jsonl --figure frontier.svg

``judge`` fits each setting to a share of a set's good images and asks it to tell the others from
made defects on them (:mod:`anomalist.detectors.judging`): no defective image is looked at.
``cost`` fits to all good images of the first category of DATA and times `predict` on photographs
in memory, one thread, in seconds of the processor, which a busy machine changes least; the MB
are those of the model file. ``test`` fits to all good images and evaluates on the test images, for
each of the seeds. Each adds a line a result to the file and leaves out what is there, so that it
goes on where it was stopped. ``show`` writes the table: settings that no cheaper one surpasses
by the judge are marked.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from anomalist import DETECTORS, Detector, evaluate, open_dataset
from anomalist.data import ImageSet, as_image_set
from anomalist.detectors.judging import Judgement, Trial, trials
from anomalist.features import Backbone, FeatureStore
from anomalist.report import to_markdown

SHARED = ("stride4", "stride8", "stride16")
"""Layers that one pass of an image gives; another pass is made for what lies deeper."""
MOST_JUDGED = 36
"""Good images of a set that the judge sees, evenly spread over it."""
MOST_TEXTURES = 2
"""Classes of textures that are judged, the first by name."""
TIMED = 24
"""Photographs whose prediction is timed, in batches of the detector's size."""
JUDGED = ("image_AUROC", "pixel_AUROC", "pixel_PRO", "hits")
"""Figures that are kept of what a judge says, beside the score that decides."""


AXES: dict[str, tuple[float, ...]] = {
    "coreset_ratio": (0.01, 0.05, 0.25),
    "neighbourhood": (1, 5),
    "sigma": (2.0, 8.0),
    "num_neighbors": (1,),
}
"""Hyperparameters of PatchCore, and what they are set to, one at a time."""


ELSE: dict[str, dict[str, float]] = {"patchcore": {"coreset_ratio": 0.1}}
"""What settings have that don't say otherwise, whatever the defaults are by now."""


@dataclass(frozen=True)
class Setting:
    """Hyperparameters of one detector; the rest are its defaults and `ELSE`."""

    method: str = "patchcore"
    backbone: str = "efficientnet_lite0"
    image_size: int = 256
    strides: str = ""
    other: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """What it is called in the file and in tables."""
        parts = [self.method, self.backbone.removeprefix("efficientnet_"), f"{self.image_size} px"]
        if self.strides:
            parts.append(f"strides {self.strides}")
        return ", ".join([*parts, *(f"{key} {value}" for key, value in self.other)])

    def detector(self, seed: int = 0) -> Detector:
        """Make the detector."""
        layers = tuple(f"stride{s}" for s in self.strides.split("+")) if self.strides else None
        return DETECTORS[self.method](
            backbone=self.backbone,
            image_size=self.image_size,
            layers=layers,
            device="cpu",
            seed=seed,
            **{**ELSE.get(self.method, {}), **dict(self.other)},
        )


@dataclass
class Rows:
    """The file of results, a JSON object a line."""

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.path.exists():
            self.rows = [json.loads(line) for line in self.path.read_text().splitlines()]

    def has(self, **key: Any) -> bool:
        """Whether there is a row with these values."""
        return any(all(row.get(k) == v for k, v in key.items()) for row in self.rows)

    def add(self, **row: Any) -> None:
        """Keep a row at once."""
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def settings() -> Iterator[Setting]:
    """The grid, fixed before anything was measured: one axis at a time around the defaults."""
    backbones, sizes = ("efficientnet_lite0", "efficientnet_lite2"), (256, 320, 384, 448)
    for method, backbone, size in itertools.product(
        ("patchcore", "padim", "dfm"), backbones, sizes
    ):
        yield Setting(method, backbone, size)
    for size in (256, 384):
        for strides in ("4+8+16", "8", "8+16+32"):
            # As many patches in the bank, whatever their number in an image.
            few = (("coreset_ratio", 0.025),) if strides.startswith("4") else ()
            yield Setting(image_size=size, strides=strides, other=few)
        for name, values in AXES.items():
            for value in values:
                yield Setting(image_size=size, other=((name, value),))
        yield Setting("padim", image_size=size, strides="8+16")


def spread(images: ImageSet, most: int) -> ImageSet:
    """So many of the images, evenly spread."""
    if len(images) <= most:
        return images
    return images[np.linspace(0, len(images) - 1, most).astype(np.intp)]


def good_sets(roots: Iterable[Path], textures: Path | None) -> Iterator[tuple[str, ImageSet]]:
    """Every set of good images, by name."""
    for root in roots:
        dataset = open_dataset(root)
        for category in dataset.categories:
            yield category, dataset.category(category).train
    if textures is not None:
        for folder in sorted(textures.iterdir())[:MOST_TEXTURES]:
            yield f"dtd {folder.name}", as_image_set(sorted(folder.glob("*.jpg")), folder.name)


def make_store(arguments: argparse.Namespace) -> FeatureStore:
    return FeatureStore(folder=arguments.features, disk_limit_mb=40_000, memory_limit_mb=1500)


def adopt(store: FeatureStore, setting: Setting) -> None:
    """Let one pass of an image give the layers that most settings ask for."""
    store.adopt(Backbone(setting.backbone, SHARED))


def run_judge(arguments: argparse.Namespace, rows: Rows) -> None:
    store = make_store(arguments)
    # Once for all settings, as trials remember where their made defects are.
    sets = [
        (name, few_trials(good)) for name, good in good_sets(arguments.data, arguments.textures)
    ]
    for setting in chosen(arguments):
        for name, dealt in sets:
            key = {"what": "judge", "setting": setting.name, "set": name}
            if rows.has(**key):
                continue
            adopt(store, setting)
            shown, groups = [], []
            for trial in dealt:
                shown.append(trial.predictions(setting.detector(), store=store)[1])
                groups.append(trial.shown_groups)
            judged = Judgement.of(shown, groups=groups)
            figures = {name: getattr(judged, name) for name in JUDGED}
            rows.add(**key, score=judged.score, **figures)


def few_trials(images: ImageSet) -> list[Trial]:
    """Trials of a few of the good images, with half of the made defects that are usual."""
    found = []
    for trial in trials(spread(images, MOST_JUDGED)):
        assert trial.shown.labels is not None
        made = np.flatnonzero(trial.shown.labels)
        kept = np.union1d(np.flatnonzero(~trial.shown.labels), made[: len(made) // 2])
        found.append(replace(trial, shown=trial.shown[kept], shown_groups=trial.shown_groups[kept]))
    return found


def run_cost(arguments: argparse.Namespace, rows: Rows) -> None:
    store = make_store(arguments)
    dataset = open_dataset(arguments.data[0])
    category = dataset.category(dataset.categories[0])
    photographs = [np.asarray(sample.read()) for sample in spread(category.test, TIMED)]
    for setting in chosen(arguments):
        key = {"what": "cost", "setting": setting.name}
        if rows.has(**key):
            continue
        adopt(store, setting)
        detector = setting.detector()
        start = time.process_time()
        detector.fit(category.train, store=store)
        fitted = time.process_time() - start
        seconds = []
        for _ in range(3):
            start = time.process_time()
            detector.predict(photographs)
            seconds.append(time.process_time() - start)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.anomalist"
            detector.save(file)
            size = file.stat().st_size
        rows.add(
            **key,
            milliseconds=1000 * min(seconds) / len(photographs),
            megabytes=size / 1e6,
            fit_seconds_without_backbone=fitted,
        )


def run_test(arguments: argparse.Namespace, rows: Rows) -> None:
    store = make_store(arguments)
    for root in arguments.data:
        dataset = open_dataset(root)
        for name in dataset.categories:
            category = dataset.category(name)
            for setting, seed in itertools.product(chosen(arguments), arguments.seeds):
                key = {"what": "test", "setting": setting.name, "set": name, "seed": seed}
                if rows.has(**key):
                    continue
                adopt(store, setting)
                detector = setting.detector(seed).fit(category.train, store=store)
                detector.calibrate(category.train, store=store)
                assert detector.calibration_ is not None
                found = detector.predict(category.test, store=store)
                metrics = evaluate(found)
                above, labels = found.scores > detector.calibration_.threshold(), found.labels
                assert labels is not None
                rows.add(
                    **key,
                    image_AUROC=metrics.image_AUROC,
                    pixel_AUROC=metrics.pixel_AUROC,
                    pixel_PRO=metrics.pixel_PRO,
                    hits=float(above[labels].mean()),
                    false_alarms=float(above[~labels].mean()),
                )


def chosen(arguments: argparse.Namespace) -> list[Setting]:
    """The settings that were asked for, in the order of the expressions that they match."""
    found = dict.fromkeys(
        setting
        for expression in arguments.only
        for setting in settings()
        if re.search(expression, setting.name)
    )
    return list(found)


def judged_values(rows: list[dict[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """The mean score over sets by setting: of those whose sets of parts are whole, and textures."""
    frame = pd.DataFrame([row for row in rows if row["what"] == "judge"])
    textures = frame["set"].str.startswith("dtd ")
    parts = frame[~textures].groupby("setting")["score"].agg(["mean", "size"])
    whole = parts[parts["size"] == parts["size"].max()]["mean"]
    of_textures = frame[textures].groupby("setting")["score"].mean()
    return whole.to_dict(), of_textures.to_dict()


def on_frontier(points: dict[str, tuple[float, float]]) -> set[str]:
    """Settings, each with its cost and its value, than which no other as cheap is better."""
    best, kept = -np.inf, set()
    for name, (_, value) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1])):
        if value > best:
            best = value
            kept.add(name)
    return kept


def measured(of: pd.DataFrame) -> str:
    """What a setting found on the tests of a set, as the mean over seeds."""
    metrics = [f"{of[m].mean():.3f}" for m in ("image_AUROC", "pixel_AUROC", "pixel_PRO")]
    return " / ".join([*metrics, f"{of['hits'].mean():.0%} at {of['false_alarms'].mean():.0%}"])


def run_show(arguments: argparse.Namespace, rows: Rows) -> None:
    costs = {row["setting"]: row for row in rows.rows if row["what"] == "cost"}
    judged, textures = judged_values(rows.rows)
    points = {n: (costs[n]["milliseconds"], v) for n, v in judged.items() if n in costs}
    frontier = on_frontier(points)
    tests = pd.DataFrame([row for row in rows.rows if row["what"] == "test"])
    table = []
    for name in [*sorted(points, key=lambda n: points[n]), *(n for n in judged if n not in points)]:
        cells = {
            "setting": f"**{name}**" if name in frontier else name,
            "score": f"{judged[name]:.3f}",
            "textures": f"{textures[name]:.3f}" if name in textures else "",
            "ms": f"{points[name][0]:.0f}" if name in points else "",
            "MB": f"{costs[name]['megabytes']:.0f}" if name in points else "",
        }
        for category in dict.fromkeys(tests["set"]) if len(tests) else ():
            of = tests[(tests["setting"] == name) & (tests["set"] == category)]
            cells[category] = measured(of) if len(of) else ""
        table.append(cells)
    print(to_markdown(pd.DataFrame(table)))
    if arguments.figure:
        arguments.figure.write_text(figure(points, frontier), encoding="utf-8")


WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 420, 60, 50, 20, 60
STYLE = """
.ground{fill:#fff}.ink{fill:#24313a}.soft{fill:#52626c}.faint{stroke:#d3dbe0;fill:none}
.edge{stroke:#24313a;fill:none;stroke-dasharray:5 4}
.patchcore{fill:#c8402b}.padim{fill:#2f6fb0}.dfm{fill:#3c8a5b}
@media (prefers-color-scheme:dark){.ground{fill:#1b2329}.ink{fill:#eef2f4}.soft{fill:#b8c4cb}
.faint{stroke:#3a4750}.edge{stroke:#eef2f4}
.patchcore{fill:#ff8a75}.padim{fill:#7db4ea}.dfm{fill:#7fd0a0}}
"""


def figure(points: dict[str, tuple[float, float]], frontier: set[str]) -> str:
    """Draw what the judge says against milliseconds, on a logarithmic axis, as an SVG."""
    costs, values = np.array(list(points.values())).T
    low, high = np.log2(costs.min()) - 0.2, np.log2(costs.max()) + 0.2
    least, most = values.min() - 0.015, values.max() + 0.015

    def place(cost: float, value: float) -> tuple[float, float]:
        x = LEFT + (np.log2(cost) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        y = TOP + (most - value) / (most - least) * (HEIGHT - TOP - BOTTOM)
        return round(float(x), 1), round(float(y), 1)

    title = "What made defects say of settings, and milliseconds an image"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        f' height="{HEIGHT}" role="img" aria-labelledby="t" font-family="system-ui, sans-serif"'
        f' font-size="14"><title id="t">{title}</title><style>{STYLE}</style>',
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="10"/>',
    ]
    for power in range(int(np.ceil(low)), int(np.floor(high)) + 1):
        x, y = place(2.0**power, least)
        parts.append(f'<path class="faint" d="M{x} {TOP}V{y}"/>')
        parts.append(f'<text class="soft" x="{x}" y="{y + 20}" text-anchor="middle">{2**power}')
        parts.append("</text>")
    for value in np.arange(np.ceil(least * 20) / 20, most, 0.05):
        x, y = place(costs.min(), float(value))
        parts.append(f'<path class="faint" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 8}" y="{y + 5}" text-anchor="end">{value:.2f}')
        parts.append("</text>")
    edge = [place(*points[name]) for name in sorted(frontier, key=lambda n: points[n])]
    parts.append(f'<path class="edge" d="M{"L".join(f"{x} {y}" for x, y in edge)}"/>')
    late_ones = 0  # whose names stand to the left, each lower than the last
    for name, point in sorted(points.items(), key=lambda item: item[1]):
        x, y = place(*point)
        radius = 6 if name in frontier else 4
        parts.append(f'<circle class="{name.split(",")[0]}" cx="{x}" cy="{y}" r="{radius}">')
        parts.append(f"<title>{name}: {point[1]:.3f}, {point[0]:.0f} ms</title></circle>")
        late = x > (LEFT + WIDTH) / 2
        late_ones += late
        anchor, aside, below = ("end", x, 6 + 17 * late_ones) if late else ("start", x + 4, 20)
        label = ", ".join(name.split(", ")[1:]).removeprefix("lite0, ")
        parts.append(f'<text class="soft" x="{aside}" y="{y + below}" font-size="12"')
        parts.append(f' text-anchor="{anchor}">{label}</text>')
    for i, method in enumerate(dict.fromkeys(name.split(",")[0] for name in points)):
        x = LEFT + 120 * i
        parts.append(f'<circle class="{method}" cx="{x}" cy="28" r="6"/>')
        parts.append(f'<text class="ink" x="{x + 12}" y="33">{method}</text>')
    foot = "milliseconds an image, one thread; dashed: no cheaper setting is better"
    parts.append(f'<text class="ink" x="{LEFT}" y="{HEIGHT - 12}">{foot}</text></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("do", choices=("judge", "cost", "test", "show"))
    parser.add_argument("data", type=Path, nargs="*", help="data sets")
    parser.add_argument("--textures", type=Path, help="a folder of folders of textures")
    parser.add_argument("--out", type=Path, required=True, help="file of results, added to")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="settings whose names match, in this order"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--features", type=Path, help="folder that keeps feature maps")
    parser.add_argument("--figure", type=Path, help="SVG file that show draws")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(arguments.out)
    {"judge": run_judge, "cost": run_cost, "test": run_test, "show": run_show}[arguments.do](
        arguments, rows
    )


if __name__ == "__main__":
    main()
