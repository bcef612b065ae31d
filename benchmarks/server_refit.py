"""What candidates learn from 20 false alarms that people confirmed as good.

    python benchmarks/server_refit.py DATA --category screw --out numbers

DATA has MVTec AD's layout. A detector is fitted to 80 training images and calibrated for 20 % false
alarms; a server inspects the other training images and the good test images, mixed, as a line would
send them, until 20 of them are false alarms. Each is confirmed as good, and a candidate asked for,
once with each way to take the threshold. The version that answered and the candidates then score
the good parts that hadn't come yet, and all defective test images: nobody learnt or chose any of
those. One row a seed and version; --out keeps them as ``server_refit.csv``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anomalist import MVTecAD, PaDiM, PatchCore, load
from anomalist.data import ImageSet
from anomalist.detectors import Detector
from anomalist.features import FeatureStore
from anomalist.inspection import Rule, fit_parts, open_parts
from anomalist.metrics import auroc, paired_rates
from anomalist.report import to_markdown
from anomalist.server.inspecting import Upload
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings

DETECTORS: dict[str, Callable[..., Detector]] = {
    "PatchCore": partial(PatchCore, coreset_ratio=0.1),
    "PaDiM": PaDiM,
}
FITTED, CONFIRMED, ALPHA = 80, 20, 0.2
WAYS = ("others", "all", "added")
AT_ONCE = 8


def run(data: Path, category: str, name: str, seed: int, side: int) -> list[dict[str, Any]]:
    """One line: its rows, the version that answered first."""
    images = MVTecAD(data).category(category)
    order = np.random.default_rng(seed).permutation(len(images.train))
    good = [s for s in images.test if not s.label]
    line = [images.train[int(i)] for i in order[FITTED:]] + good
    line = [line[i] for i in np.random.default_rng(seed).permutation(len(line))]
    defective = ImageSet(s for s in images.test if s.label)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        training = root / "training"
        training.mkdir()
        for i in order[:FITTED]:
            source = images.train[int(i)].path
            (training / source.name).symlink_to(source.resolve())
        (root / "models").mkdir()
        fit_parts(
            DETECTORS[name](image_size=side, device="cpu"),
            open_parts(training),
            root / "models" / f"{category}.anomalist",
            alpha=ALPHA,
            groups="none",
        )
        settings = ServerSettings(models=root / "models", state=root / "state")
        service = Service(settings).start()
        try:
            inspected, alarms = inspect(service, line)
            for one in alarms:
                service.verdicts.give(one, "good", by="benchmark")
            refits = [refit(service, category, way) for way in WAYS]
            files = [service.registry.answering(category).sha256]
            files += [version_file(service, category, one["version"]) for one in refits]
            versions = [load(service.registry.files.path(file)) for file in files]
        finally:
            service.stop()
    unseen = ImageSet(line[inspected:])
    rows, store = list[dict[str, Any]](), FeatureStore()
    before: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None = None
    for way, version in zip(("before", *WAYS), versions, strict=True):
        rule = Rule.of(version)
        assert rule.threshold is not None
        scores = [version.predict(part, store=store).scores for part in (unseen, defective)]
        over = (scores[0] > rule.threshold, scores[1] > rule.threshold)
        before = over if before is None else before
        false_alarms, hits = (paired_rates(a, b) for a, b in zip(before, over, strict=True))
        labels = np.repeat([False, True], [len(unseen), len(defective)])
        rows.append(
            {
                "detector": name,
                "seed": seed,
                "threshold_from": way,
                "inspected": inspected,
                "good": len(unseen),
                "false_alarms": false_alarms.after,
                "false_alarms_low": false_alarms.after_interval[0],
                "false_alarms_high": false_alarms.after_interval[1],
                "false_alarms_p": false_alarms.p_value,
                "defective": len(defective),
                "hits": hits.after,
                "hits_low": hits.after_interval[0],
                "hits_high": hits.after_interval[1],
                "hits_p": hits.p_value,
                "auroc": auroc(np.concatenate(scores), labels),
                "confirmed_still_alarm": (
                    CONFIRMED
                    if way == "before"
                    else refits[WAYS.index(way)]["comparison"]["rates"]["good"]["after"]
                ),
                "seconds": 0.0 if way == "before" else refits[WAYS.index(way)]["seconds"],
            }
        )
    return rows


def inspect(service: Service, line: list[Any]) -> tuple[int, list[str]]:
    """Send parts until enough of them alarm; how many came, and the alarms."""
    alarms = list[str]()
    for start in range(0, len(line), AT_ONCE):
        uploads = [
            Upload(name=s.path.name, data=s.path.read_bytes(), source="http")
            for s in line[start : start + AT_ONCE]
        ]
        for row in service.inspector.inspect(uploads):
            if isinstance(row, Exception):
                raise row
            if row.decision == "anomalous":
                alarms.append(row.id)
        if len(alarms) >= CONFIRMED:
            return min(start + AT_ONCE, len(line)), alarms[:CONFIRMED]
    raise SystemExit(f"only {len(alarms)} of {len(line)} good parts alarm: {CONFIRMED} are needed")


def refit(service: Service, category: str, way: str) -> dict[str, Any]:
    """Ask for a candidate and wait for it."""
    asked = service.refitter.ask(category, by="benchmark", calibrate_on=way)
    while True:
        row, _, numbers = service.refitter.find(asked.id)
        if row.state == "done":
            assert row.started is not None
            assert row.ended is not None
            assert row.version_id is not None
            return {
                "version": numbers[row.version_id],
                "comparison": row.comparison,
                "seconds": (row.ended - row.started).total_seconds(),
            }
        if row.state not in ("waiting", "running"):
            raise SystemExit(row.error)
        time.sleep(0.5)


def version_file(service: Service, category: str, number: int) -> str:
    """The hash of a version's file."""
    versions = service.versions.history(category).versions
    return next(version.sha256 for version in versions if version.number == number)


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--category", default="screw")
    arguments.add_argument("--detectors", default="PatchCore")
    arguments.add_argument("--seeds", default="0,1,2")
    arguments.add_argument("--image_size", type=int, default=256)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = list[dict[str, Any]]()
    for name in given.detectors.split(","):
        for seed in map(int, given.seeds.split(",")):
            rows += run(given.data, given.category, name, seed, given.image_size)
            table = pd.DataFrame(rows)
            table.to_csv(given.out / "server_refit.csv", index=False)
            print(to_markdown(table[table.detector == name].tail(4).round(3)), flush=True)


if __name__ == "__main__":
    main()
