"""A model that cuts photographs into tiles answers as any other."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from anomalist import PatchCore
from anomalist.server.app import create_app
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings


def strip(seed: int, *, defect: bool = False) -> bytes:
    samples = np.random.default_rng(seed).normal(120, 8, (64, 160, 3))
    if defect:
        samples[20:36, 60:70] = 10
    buffer = BytesIO()
    Image.fromarray(np.clip(samples, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def client(tmp_path: Path, sqlite_url: str) -> Iterator[TestClient]:
    (tmp_path / "models").mkdir()
    detector = PatchCore(image_size=64, tile_size=64, coreset_size=200, device="cpu")
    detector.fit([strip(i) for i in range(20)]).calibrate([strip(i) for i in range(20)])
    detector.save(tmp_path / "models" / "strip.anomalist")
    settings = ServerSettings(
        models=tmp_path / "models", state=tmp_path / "state", database=sqlite_url, decoders=1
    )
    service = Service(settings).start()
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        yield client
    service.stop()


def test_it_finds_a_defect_where_it_is_in_the_whole_photograph(client: TestClient) -> None:
    outputs = client.get("/v2/models/strip").json()["outputs"]
    assert [-1, 64, 160] in [output["shape"] for output in outputs]
    answer = client.post("/v1/inspect", files={"file": ("a.png", strip(50, defect=True))})
    (found,) = answer.json()["inspections"]
    assert found["decision"] == "anomalous"
    x, y, width, height = max(found["regions"], key=lambda region: region["peak"])["box"]
    assert x <= 65 <= x + width
    assert y <= 28 <= y + height
