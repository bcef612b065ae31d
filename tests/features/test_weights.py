from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from anomalist.errors import WeightsError
from anomalist.features import Backbone, find_weights


def test_an_unknown_backbone_gets_suggestions() -> None:
    with pytest.raises(WeightsError, match=r"unknown backbone 'resnet19'.*resnet"):
        Backbone("resnet19")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth"):
        Backbone("resnet18", weights=tmp_path / "nowhere.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet34").state_dict(), path)
    Backbone("resnet18", ["layer1"], weights=path)  # its first layers are the same
    safetensors.torch.save_file(timm.create_model("resnet50").state_dict(), path)
    with pytest.raises(WeightsError, match="has shape"):
        Backbone("resnet18", weights=path)
    safetensors.torch.save_file({"something.weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="holds something"):
        Backbone("resnet18", weights=path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = timm.create_model("resnet18").state_dict()
    state["layer1.0.conv1.weight"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight"):
        Backbone("resnet18", weights=tmp_path / "nan.pth")


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code from a weights file was run')",))


@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps({"a": _Evil()})])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_that_are_no_weights_are_refused_and_never_run(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    path = tmp_path / f"evil{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="evil"):
        Backbone("resnet18", weights=path)


def test_a_pickle_inside_a_torch_archive_is_refused(tmp_path: Path) -> None:
    torch.save({"a": _Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="run code"):
        Backbone("resnet18", weights=tmp_path / "evil.pth")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A local server that answers as the hub does for one file of one repository."""
    torch.manual_seed(0)
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet18").state_dict(), file)
    content = file.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found = self.path == "/timm/resnet18.tv_in1k/resolve/main/model.safetensors"
            self.send_response(200 if found else 404)
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", '"' + "a" * 64 + '"')
            self.send_header("Content-Length", str(len(content) if found else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", file
    server.shutdown()
    server.server_close()


_ASK = (
    "from anomalist.features import Backbone\n"
    "from anomalist.errors import WeightsError\n"
    "try:\n    print(Backbone('resnet18').weights_sha256)\n"
    "except WeightsError as error:\n    print(error)\n"
)


def _ask(endpoint: str, cache: Path) -> str:
    # The hub's client reads its settings when it is imported: a process of its own.
    environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-c", _ASK], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout.strip().splitlines()[-1]


def test_hub_weights_are_fetched_once_and_then_cached(
    hub: tuple[str, Path], tmp_path: Path
) -> None:
    endpoint, file = hub
    expected = find_weights("resnet18", file).sha256
    assert _ask(endpoint, tmp_path / "cache") == expected
    # Nobody listens at port 9: the second answer comes from the cache.
    assert _ask("http://127.0.0.1:9", tmp_path / "cache") == expected


def test_without_network_and_file_the_error_names_three_ways_out(tmp_path: Path) -> None:
    message = _ask("http://127.0.0.1:9", tmp_path)
    for way in ("connect to the network", "--weights FILE", "--backbone efficientnet_lite0"):
        assert way in message
