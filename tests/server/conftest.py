from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from anomalist import PaDiM
from anomalist.server import service as service_module
from anomalist.server.app import create_app
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings
from tests.server import databases, warm

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


@pytest.fixture(scope="session", autouse=True)
def _decoders() -> Iterator[None]:
    """Have servers of this process pass their decoders on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_module, "Decoders", warm.WarmDecoders)
        yield
    warm.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """The address of a database with tables and nothing in them, by its kind."""
    with ExitStack() as stack:
        yield cache(
            lambda kind: stack.enter_context(
                databases.with_tables(kind, tmp_path_factory.mktemp(kind))
            )
        )


@pytest.fixture(params=databases.KINDS)
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, template: Callable[[str], str]
) -> Iterator[str]:
    """A database of each kind, with tables and nothing in them."""
    with databases.made(request.param, tmp_path, like=template(request.param)) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path, template: Callable[[str], str]) -> Iterator[str]:
    """As `database_url`, where the kind makes no difference."""
    with databases.made("sqlite", tmp_path, like=template("sqlite")) as url:
        yield url


@pytest.fixture(params=databases.KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind, with no tables."""
    with databases.made(request.param, tmp_path) as url:
        yield url


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
