"""How seldom a server's watch warns where nothing has changed, and how soon where light falls.

    python benchmarks/server_drift.py DATA --out numbers

DATA has MVTec AD's layout. Of bottle and screw 60 training images are held out; a detector is
fitted to the others and calibrated, and the 60 and the good and defective test images are measured
as they are and 10 % and 30 % darker, all at 256 pixels. The numbers are kept below --out, and a
second call with the same --out skips the passes of the backbone. Three tables come of it:

- how many photographs after the light has fallen it is told, over 200 random orders: 20 as they
  were come before, and one in twenty is defective;
- the same once through a server, each photograph as a file that is inspected;
- false warnings in 10,000 streams of exchangeable photographs: 3,000 each of what the training
  images of bottle and screw have as if they were new (random splits into those that are learnt and
  100 that come), and 4,000 of drawn numbers with heavy tails (40 learnt, 200 that come).
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from anomalist import MVTecAD, PaDiM, PatchCore
from anomalist.calibration import Reference, threshold
from anomalist.calibration.reference import SCORE
from anomalist.conditions import MEASURES, WATCHED, Conditions, Promise, ShiftWatch
from anomalist.data import ImageSet, Sample, Transform
from anomalist.detectors import Detector
from anomalist.features import FeatureStore
from anomalist.files import write_text
from anomalist.report import to_markdown
from anomalist.server.camera_watch import SHARE
from anomalist.server.database.tables import Inspection
from anomalist.server.inspecting import Upload
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings

DETECTORS: dict[str, Callable[..., Detector]] = {
    "PaDiM": PaDiM,
    "PatchCore": partial(PatchCore, coreset_ratio=0.1),
}
CATEGORIES = ("bottle", "screw")
LIGHT = {"as they are": 1.0, "10 % darker": 0.9, "30 % darker": 0.7}
HELD_OUT, SIDE, ALPHA = 60, 256, 0.05
STREAMS, NEW = {"bottle": 0.3, "screw": 0.3, "drawn": 0.4}, 100
DRAWN_LEARNT, DRAWN_NEW = 40, 200
ORDERS, BEFORE, ONE_DEFECTIVE_IN = 200, 20, 20
Rows = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = {}
    for category in CATEGORIES:
        file = arguments.out / f"{category}_{arguments.image_size}.json"
        if not file.exists():
            write_text(file, json.dumps(measured(arguments.data, category, arguments.image_size)))
        found[category] = json.loads(file.read_text())
    print(to_markdown(pd.DataFrame(told(found))), "\n", flush=True)
    print(to_markdown(pd.DataFrame(served(arguments))), "\n", flush=True)
    print(to_markdown(pd.DataFrame(false_warnings(found, arguments))), flush=True)


def measured(data: str, name: str, size: int) -> dict[str, Any]:
    """The numbers of all photographs of a category, by detector and light."""
    category = MVTecAD(data).category(name)
    order = np.random.default_rng(0).permutation(len(category.train))
    learnt = darker(category.train[order[HELD_OUT:]], 1.0)
    labels = np.array([bool(sample.label) for sample in category.test])
    sets = {
        "training": category.train[order[:HELD_OUT]],
        "test": category.test[np.flatnonzero(~labels)],
        "defective": category.test[np.flatnonzero(labels)],
    }
    found: dict[str, Any] = {}
    for label, make in DETECTORS.items():
        store = FeatureStore()
        detector = make(image_size=size).fit(learnt, store=store)
        detector.calibrate(learnt, store=store)
        reference = detector.reference_
        assert reference is not None
        found[label] = {
            "names": list(reference.names),
            "learnt": reference.rows.tolist(),
            "new": {
                light: {
                    which: reference.measure(
                        detector.predict(darker(images, by)), detector.transform
                    ).tolist()
                    for which, images in sets.items()
                }
                for light, by in LIGHT.items()
            },
        }
        print(f"{name}: {label} measured", flush=True)
    return found


def darker(images: ImageSet, by: float) -> ImageSet:
    return ImageSet(
        Sample(sample.path, image=dimmed(sample.read(8), by), label=None) for sample in images
    )


def dimmed(image: Image.Image, by: float) -> npt.NDArray[np.uint8]:
    values = np.asarray(image.resize((SIDE, SIDE))).astype(np.float32) * by
    return values.clip(0, 255).round().astype(np.uint8)


def watching(names: list[str], learnt: Rows) -> Conditions:
    """What a server has of a camera, of numbers alone."""
    transform = Transform(SIDE)
    reference = Reference(tuple(names), learnt, np.empty(0), np.empty(0), 0.0)
    limit = threshold(learnt[:, names.index(SCORE)], ALPHA)
    return Conditions(
        Promise(ALPHA, limit, len(learnt)),
        len(learnt),
        reference.ranges(MEASURES),
        [(SIDE, SIDE)],
        transform,
        ShiftWatch(reference, transform, level=SHARE),
        level=SHARE,
        at_once=False,
    )


def first_told(names: list[str], learnt: Rows, new: Rows) -> dict[str, int]:
    """After how many photographs each condition is told."""
    conditions, first = watching(names, learnt), dict[str, int]()
    place = names.index(SCORE)
    for number, row in enumerate(new, start=1):
        numbers = dict(zip(names, row.tolist(), strict=True))
        conditions.count(numbers, "", score=row[place], size=(SIDE, SIDE))
        for name in conditions.failing():
            first.setdefault(name, number)
    return first


def told(found: dict[str, Any]) -> list[dict[str, Any]]:
    """How soon light that has fallen is told, over random orders."""
    rows = []
    for category, of in found.items():
        for label, numbers in of.items():
            names, learnt = numbers["names"], np.array(numbers["learnt"])
            for light, sets in numbers["new"].items():
                for which in ("training", "test"):
                    rng = np.random.default_rng(1)
                    usual = numbers["new"]["as they are"]
                    waits, before = [], 0
                    for _ in range(ORDERS):
                        stream = np.concatenate(
                            [
                                mixed(rng, usual["training"], usual["defective"])[:BEFORE],
                                mixed(rng, sets[which], sets["defective"]),
                            ]
                        )
                        first = min(first_told(names, learnt, stream).values(), default=np.inf)
                        before += first <= BEFORE
                        waits.append(first - BEFORE if first > BEFORE else np.nan)
                    waits = np.array(waits)
                    known = waits[np.isfinite(waits)]
                    rows.append(
                        {
                            "category": category,
                            "detector": label,
                            "then come": f"{which} images, {light}",
                            "photographs": len(sets[which]),
                            "told": f"{len(known) / ORDERS:.1%}",
                            "half within": f"{np.median(known):.0f}" if len(known) else "",
                            "all told within": f"{known.max():.0f}" if len(known) else "",
                            "told before": f"{before / ORDERS:.1%}",
                        }
                    )
    return rows


def mixed(rng: np.random.Generator, good: list[Any], defective: list[Any]) -> Rows:
    """Good ones in a random order, one of twenty replaced by a defective one."""
    rows = rng.permutation(np.array(good))
    places = np.flatnonzero(rng.random(len(rows)) < 1 / ONE_DEFECTIVE_IN)
    rows[places] = np.array(defective)[rng.choice(len(defective), len(places), replace=False)]
    return rows


def served(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The same once through a server: 20 photographs as they were, then darker ones."""
    rows = []
    for category_name in CATEGORIES:
        category = MVTecAD(arguments.data).category(category_name)
        order = np.random.default_rng(0).permutation(len(category.train))
        learnt = darker(category.train[order[HELD_OUT:]], 1.0)
        detector = PaDiM(image_size=arguments.image_size).fit(learnt)
        detector.calibrate(learnt)
        for light, by in LIGHT.items():
            with tempfile.TemporaryDirectory() as scratch:
                model = Path(scratch) / f"{category_name}.anomalist"
                detector.save(model)
                settings = ServerSettings(models=model, state=Path(scratch) / "state")
                service = Service(settings).start()
                try:
                    rows.append(
                        {
                            "category": category_name,
                            "photographs": f"{BEFORE} as they are, 40 {light}",
                            **inspected(service, category.train[order[:HELD_OUT]], by),
                        }
                    )
                finally:
                    service.stop()
    return rows


def inspected(service: Service, images: ImageSet, by: float) -> dict[str, Any]:
    numbers = []
    for i, sample in enumerate(images):
        buffer = io.BytesIO()
        pixels = dimmed(sample.read(8), by if i >= BEFORE else 1.0)
        Image.fromarray(pixels).save(buffer, "PNG")
        upload = Upload(name=sample.path.name, data=buffer.getvalue(), source="http")
        (row,) = service.inspector.inspect([upload])
        assert isinstance(row, Inspection)
        numbers.append(row.id)
    service.drift.catch_up()
    warnings = service.drift.warnings()[::-1]
    if not warnings:
        return {"told after": "-", "since": "-", "as": "-"}
    first = warnings[0]
    assert first.inspection is not None
    since = None if first.since is None else numbers.index(first.since.id) - BEFORE + 1
    return {
        "told after": numbers.index(first.inspection.id) - BEFORE + 1,
        "since": "-" if since is None else f"darkened photograph {since}",
        "as": first.text.split(" (by chance")[0] + ": " + first.text.split("): ")[1],
    }


def false_warnings(found: dict[str, Any], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Watches that warn though their photographs could as well have been learnt from."""
    rows = []
    for source, share in STREAMS.items():
        began = time.perf_counter()
        numbers = None if source == "drawn" else found[source]["PaDiM"]
        shares = np.array_split(np.arange(round(share * arguments.streams)), 50)
        with ProcessPoolExecutor(arguments.jobs) as pool:
            parts = list(pool.map(_streams, [numbers] * len(shares), shares))
        warned = [one for part in parts for one in part]
        kinds = {
            "a shift": ("shift",),
            "a range": tuple(f"{n}_{end}" for n in MEASURES for end in ("above", "below")),
            "alarms": ("alarms",),
        }
        row: dict[str, Any] = {
            "photographs": "of drawn numbers" if source == "drawn" else f"of {source}",
            "streams": len(warned),
            "of photographs": DRAWN_NEW if source == "drawn" else NEW,
            "warn": f"{np.mean([bool(one) for one in warned]):.2%}",
        }
        for kind, names in kinds.items():
            row[kind] = f"{np.mean([bool(set(names) & one.keys()) for one in warned]):.2%}"
        rows.append(row)
        print(f"{source}: {time.perf_counter() - began:.0f} s", flush=True)
    return rows


def _streams(numbers: dict[str, Any] | None, seeds: npt.NDArray[np.int64]) -> list[dict[str, int]]:
    return [_stream(numbers, np.random.default_rng([7, int(seed)])) for seed in seeds]


def _stream(numbers: dict[str, Any] | None, rng: np.random.Generator) -> dict[str, int]:
    if numbers is not None:
        rows = rng.permutation(np.array(numbers["learnt"]))
        return first_told(numbers["names"], rows[NEW:], rows[:NEW])
    names = [name for name in WATCHED if name != SCORE] + ["colour", SCORE]
    # What all share, such as light, and what each has of its own; Student's t has heavy tails.
    n = DRAWN_LEARNT + DRAWN_NEW
    rows = rng.standard_t(4, (n, len(names))) + rng.standard_t(4, (n, 1))
    rows = 120 + 8 * rows
    return first_told(names, rows[:DRAWN_LEARNT], rows[DRAWN_LEARNT:])


if __name__ == "__main__":
    main()
