from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from anomalist.cli.main import main
from anomalist.data import MVTecAD


@pytest.fixture
def archive_url(dots: Path, tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    with tarfile.open(folder / "bottle.tar.xz", "w:xz") as archive:
        archive.add(dots / "dot", "bottle")
        archive.addfile(tarfile.TarInfo("license.txt"), io.BytesIO())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/bottle.tar.xz"
    server.shutdown()
    server.server_close()


def test_download_tells_the_licence_and_gives_a_data_set(
    archive_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "data"
    arguments = ["download", "mvtec_ad", "--to", str(to), "--categories", "bottle"]
    assert main([*arguments, "--url", archive_url]) == 0
    captured = capsys.readouterr()
    assert "CC BY-NC-SA 4.0" in captured.err
    assert captured.out.strip() == str(to)
    assert len(MVTecAD(to).category("bottle").train) == 6
