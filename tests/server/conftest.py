from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import create_engine, text

from anomalist import PaDiM
from anomalist.server.app import create_app
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings

SIDE = 64


def picture(seed: int, *, defect: bool = False, light: float = 1.0) -> bytes:
    """A grey part with noise, as PNG; with a defect, a dark square."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(120, 8, (SIDE, SIDE, 3))
    if defect:
        samples[20:36, 24:40] = 10
    buffer = BytesIO()
    Image.fromarray(np.clip(samples * light, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model, ``part``, of 40 good images that are beside it."""
    root = tmp_path_factory.mktemp("server")
    good = root / "good"
    good.mkdir()
    for seed in range(40):
        (good / f"{seed:02}.png").write_bytes(picture(seed))
    detector = PaDiM(image_size=SIDE, device="cpu")
    images = sorted(good.glob("*.png"))
    detector.fit(images).calibrate(images)
    (root / "models").mkdir()
    detector.save(root / "models" / "part.anomalist")
    return root / "models"


def _postgresql() -> str | None:
    """The address of a server's ``postgres`` database whose user may make databases."""
    return os.environ.get("ANOMALIST_TEST_POSTGRESQL")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    server = _postgresql()
    if server is None:
        pytest.skip("ANOMALIST_TEST_POSTGRESQL isn't set")
    name = f"anomalist_{secrets.token_hex(6)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.rsplit("/", 1)[0] + f"/{name}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def settings(models: Path, tmp_path: Path, database_url: str) -> ServerSettings:
    return ServerSettings(
        models=models, state=tmp_path / "state", database=database_url, decoders=1
    )


@pytest.fixture
def service(settings: ServerSettings) -> Iterator[Service]:
    service = Service(settings).start()
    yield service
    service.stop()


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    """Where the service listens, for clients that speak HTTP themselves."""
    config = uvicorn.Config(
        create_app(service), port=0, log_config=None, access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
