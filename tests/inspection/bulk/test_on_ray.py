from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from anomalist.errors import ParameterError
from anomalist.inspection.bulk import Workers
from anomalist.inspection.bulk.hold import LOCK
from anomalist.inspection.bulk.on_ray import _Worker
from anomalist.inspection.bulk.scorer import Job
from anomalist.storage import open_storage
from tests.inspection.brightness import RULE


def test_a_machine_that_does_not_see_the_folders_says_so(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    part = {"number": 0, "file": "listing/part-000000.parquet", "objects": 1, "written": False}
    batch = {name: np.array([value]) for name, value in part.items()}

    def told(out: Path, root: Path) -> str:
        job = Job(
            open_storage(out),
            (str(root),),
            {},
            RULE,
            heatmaps="none",
            heatmap_size=64,
            heatmap_format="png",
            arrays=False,
            model="m",
        )
        (line,) = _Worker(None, None, job, 1, "mine")(batch)["answer"]
        answer: dict[str, str] = json.loads(line)
        assert answer["kind"] == "ClusterError"
        return answer["error"]

    way = ": give an address, or a folder that all machines share"
    assert told(tmp_path / "out", tmp_path).endswith(f"doesn't see the folder {tmp_path}/out{way}")
    (tmp_path / LOCK).write_text("of another machine")
    assert f"doesn't see the folder {tmp_path}:" in told(tmp_path, tmp_path)
    (tmp_path / LOCK).write_text("mine")
    assert f"doesn't see the folder {tmp_path}/in:" in told(tmp_path, tmp_path / "in")


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ({"count": 0}, "--workers must be at least 1, not 0"),
        ({"cpus": 0}, "--worker_cpus must be at least 1, not 0"),
        ({"gpus": -1.0}, "--worker_gpus must be at least 0, not -1.0"),
        ({"memory_mb": 0}, "--worker_memory_mb must be at least 1, not 0"),
    ],
)
def test_workers_that_cannot_be(workers: dict[str, float], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        Workers(**workers)  # type: ignore[arg-type]
