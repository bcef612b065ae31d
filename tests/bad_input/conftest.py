"""The folder in which the cases run: a model, photographs, and no network."""

from __future__ import annotations

import functools
import shutil
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from PIL import Image

import anomalist
import anomalist.inspection
from anomalist.cli.main import main
from tests.bad_input.case import FAST, grey, parts, photograph


@pytest.fixture(scope="module")
def model(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "model.anomalist"
    good = str(parts(out.parent, 6, 0))
    arguments = ["--data", good, "--out", str(out), *FAST["fit"], "--alpha", "0.2"]
    arguments += ["--patchcore.coreset_ratio", "0.2"]
    assert main(["fit", "patchcore", *arguments]) == 0
    return out


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model and two photographs, in which commands run."""
    shutil.copy(model, tmp_path / "model.anomalist")
    for i, name in enumerate(("good", "scratch")):
        photograph(tmp_path, f"photos/{name}.png")
        pixels = grey(0)
        pixels[20:36, 20:36] += 90 * i
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    monkeypatch.chdir(tmp_path)

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    # No network, whatever the machine has, and nothing that an earlier one gave.
    monkeypatch.setattr(socket, "create_connection", unknown)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    return tmp_path


@pytest.fixture(autouse=True)
def _opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The good model is the same in all cases: read it once."""
    real = anomalist.inspection.open_model

    def opened(path: str, *, device: str | None = None) -> Any:
        if path != "model.anomalist" or device is not None:
            return real(path, device=device)
        return _kept(Path(path).read_bytes(), real)

    monkeypatch.setattr("anomalist.inspection.open_model", opened)


@functools.lru_cache(maxsize=1)
def _kept(_: bytes, real: Callable[..., Any]) -> Any:
    return real("model.anomalist")
