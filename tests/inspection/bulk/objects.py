"""Objects to score, and a detector that needs no fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from anomalist.inspection import Tally
from anomalist.inspection.bulk import predict_objects
from anomalist.storage import Storage, open_storage
from tests.inspection.brightness import RULE, Brightness, photograph


class Plain(Brightness):
    """A detector that knows nothing of what it learnt from."""

    reference_ = None
    summary_: dict[str, Any] = {}  # noqa: RUF012


def fill(place: str, names: list[str]) -> Storage:
    """Write a photograph under each of some names."""
    storage = open_storage(place)
    for i, name in enumerate(names):
        storage.write(name, photograph(i))
    return storage


def predict(inputs: list[str], out: str, model: Path, **more: Any) -> tuple[Tally, list[str]]:
    """Score objects, and say which contents were."""
    detector: Any = Plain()
    if not model.exists():
        model.write_bytes(b"a model")
    more = {"heatmaps": "none", "part_size": 4, **more}
    tally = predict_objects(detector, inputs, out, RULE, model=model, **more)
    return tally, detector.scored


def rows(out: str) -> list[dict[str, Any]]:
    """The rows of all parts, in their order."""
    storage = open_storage(out)
    found = []
    for key in storage.keys("parts/"):
        data = storage.read(key)
        found += pq.read_table(pa.BufferReader(data)).to_pylist()
    return found


def manifest(out: str) -> dict[str, Any]:
    """What the results say of themselves."""
    known: dict[str, Any] = json.loads(open_storage(out).read("manifest.json"))
    return known
