from __future__ import annotations

import hashlib
import importlib
import io
import json
import re
import shutil
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from anomalist.data.download import SOURCES, Archive, download
from anomalist.errors import DownloadError, ParameterError

# anomalist.data may have a function of the module's name.
module = importlib.import_module("anomalist.data.download")

MVTEC_FOLDERS = ("train/good", "test/good", "test/hole", "ground_truth/hole")


@dataclass
class Server:
    """A local web server: what it has, how it misbehaves, what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"v1"'
    ranges: bool = True
    if_range: bool = True
    cut_after: list[int] = field(default_factory=list)  # one entry a response to cut
    status: int | None = None
    length: bool = True
    location: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    address: str = ""

    def add(self, name: str, content: bytes) -> str:
        self.files[f"/{name}"] = content
        return f"{self.address}/{name}"

    @property
    def asked_ranges(self) -> list[str | None]:
        return [request.get("Range") for request in self.requests]


def make_handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.requests.append(dict(self.headers))
            if server.location is not None:
                self.send_response(302)
                self.send_header("Location", server.location)
                self.end_headers()
                return
            if server.status is not None:
                self.send_error(server.status)
                return
            body = server.files.get(urlsplit(self.path).path)
            if body is None:
                self.send_error(404)
                return
            start, asked = 0, self.headers.get("Range")
            fresh = not server.if_range or self.headers.get("If-Range") in {None, server.etag}
            if asked and server.ranges and fresh:
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            if server.length:
                self.send_header("Content-Length", str(len(body) - start))
            if server.etag:
                self.send_header("ETag", server.etag)
            self.end_headers()
            stop = server.cut_after.pop(0) if server.cut_after else len(body)
            self.wfile.write(body[start : start + stop])

    return Handler


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the tests."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(module, "_BACKOFF_S", 0.0)
    state = Server()
    http = QuietServer(("127.0.0.1", 0), make_handler(state))
    state.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def noise(size: int, seed: str = "") -> bytes:
    return hashlib.shake_256(seed.encode()).digest(size)


def mvtec_files(
    *categories: str, size: int = 60_000, prefix: str = "", seed: str = ""
) -> dict[str, bytes]:
    files = {f"{prefix}readme.txt": b"about"}
    for category in categories:
        for folder in MVTEC_FOLDERS:
            name = f"{prefix}{category}/{folder}/000.png"
            files[name] = noise(size, name + seed)
    return files


def tar_of(files: dict[str, bytes], mode: str = "w", extra: Callable | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if extra is not None:
            extra(tar)
    return buffer.getvalue()


def zip_of(files: dict[str, bytes], extra: Callable | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
        if extra is not None:
            extra(zipped)
    return buffer.getvalue()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def parts(root: Path) -> list[Path]:
    return sorted((root / ".anomalist-download").glob("*.part"))


def categories_in(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.name in SOURCES["mvtec_ad"].images}


@pytest.fixture
def small_mvtec(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """MVTec AD with two categories of three images each, on the local server."""
    single = {name: tar_of(mvtec_files(name)) for name in ("bottle", "screw")}
    whole = tar_of(mvtec_files("bottle", "screw"))

    def archive(name: str, content: bytes) -> Archive:
        return Archive(server.add(name, content), sha(content), len(content))

    source = replace(
        SOURCES["mvtec_ad"],
        whole=archive("whole.tar", whole),
        images={"bottle": 3, "screw": 3},
        archives={name: archive(f"{name}.tar", content) for name, content in single.items()},
    )
    monkeypatch.setattr(module, "SOURCES", {"mvtec_ad": source})
    return {"whole": whole, **single}


# What is downloaded and where it goes


def test_whole_data_set(server: Server, small_mvtec: dict[str, bytes], tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    root = download(
        "mvtec_ad", tmp_path / "mvtec", progress=lambda done, total: seen.append((done, total))
    )

    assert root == tmp_path / "mvtec"
    notice = root / "LICENCE-NOTE.txt"
    assert "CC BY-NC-SA 4.0" in notice.read_text()
    assert "CVPR 2019" in notice.read_text()
    notice.unlink()
    assert tree(root) == mvtec_files("bottle", "screw")
    assert not (root / ".anomalist-download").exists()
    size = len(small_mvtec["whole"])
    assert [total for _, total in seen] == [size] * len(seen)
    assert seen[0][0] == 0
    assert seen[-1][0] == size
    assert sorted(seen) == seen
    assert len(seen) > 3


def test_chosen_categories_come_from_their_own_archives(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    server.files.pop("/whole.tar")
    download("mvtec_ad", tmp_path, categories=["screw"])
    assert categories_in(tmp_path) == {"screw"}
    assert len(server.requests) == 1

    # What is missing for the whole is one category: only that is downloaded.
    download("mvtec_ad", tmp_path)
    assert categories_in(tmp_path) == {"bottle", "screw"}
    assert len(server.requests) == 2


def test_chosen_categories_come_from_the_whole_where_there_is_no_other(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = replace(module.SOURCES["mvtec_ad"], archives={})
    monkeypatch.setattr(module, "SOURCES", {"mvtec_ad": source})
    download("mvtec_ad", tmp_path, categories=["bottle"])
    assert categories_in(tmp_path) == {"bottle"}
    assert (tmp_path / "readme.txt").read_bytes() == b"about"


def test_visa_layout(server: Server, tmp_path: Path) -> None:
    files = {"VisA/split_csv/1cls.csv": b"object,split"}
    for folder in ("Images/Normal", "Images/Anomaly", "Masks/Anomaly"):
        files[f"VisA/pcb1/Data/{folder}/000.JPG"] = b"jpeg"
    url = server.add("VisA.tar", tar_of(files, "w"))
    download("visa", tmp_path, categories=["pcb1"], url=url)
    assert "CC BY 4.0" in (tmp_path / "LICENCE-NOTE.txt").read_text()
    (tmp_path / "LICENCE-NOTE.txt").unlink()
    assert tree(tmp_path) == {name.removeprefix("VisA/"): body for name, body in files.items()}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_kinds_of_archives(server: Server, tmp_path: Path, kind: str) -> None:
    prefix = "./mvtec_anomaly_detection/"
    files = mvtec_files("bottle", prefix=prefix)
    files["__MACOSX/bottle/train/good/._000.png"] = b"not an image"
    modes = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}
    body = zip_of(files) if kind == "zip" else tar_of(files, modes[kind])
    # The content tells the kind: addresses often have no ending.
    url = server.add("get", body) + "?token=1"
    download("mvtec_ad", tmp_path, categories=["bottle"], url=url, sha256=sha(body).upper())
    (tmp_path / "LICENCE-NOTE.txt").unlink()
    assert tree(tmp_path) == {
        name.removeprefix(prefix): body for name, body in files.items() if name.startswith(prefix)
    }


def test_what_is_there_is_not_downloaded_again(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    download("mvtec_ad", tmp_path)
    marker = tmp_path / "bottle" / "mine.txt"
    marker.write_text("kept")
    asked = len(server.requests)
    assert download("mvtec_ad", tmp_path) == tmp_path
    assert download("mvtec_ad", tmp_path, url=f"{server.address}/none") == tmp_path
    assert len(server.requests) == asked
    assert marker.exists()


def test_half_a_category_of_the_user_is_not_touched(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    download("mvtec_ad", tmp_path)
    (tmp_path / "bottle/train/good/000.png").unlink()
    with pytest.raises(DownloadError, match=r"bottle is there but not complete: it has 2 of 3"):
        download("mvtec_ad", tmp_path)
    shutil.rmtree(tmp_path / "bottle/train")
    with pytest.raises(DownloadError, match="has no folder train/good"):
        download("mvtec_ad", tmp_path)
    assert (tmp_path / "bottle/test/good/000.png").exists()


# Drops and resuming


def test_cut_connection_is_resumed(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    server.cut_after = [100_000, 50_000]
    download("mvtec_ad", tmp_path)
    assert server.asked_ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert server.requests[1]["If-Range"] == '"v1"'
    assert categories_in(tmp_path) == {"bottle", "screw"}


def test_interrupt_leaves_the_part_for_the_next_run(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download("mvtec_ad", tmp_path, progress=interrupt)
    (part,) = parts(tmp_path)
    have = part.stat().st_size
    assert small_mvtec["whole"].startswith(part.read_bytes())
    assert have > 100_000

    seen: list[int] = []
    download("mvtec_ad", tmp_path, progress=lambda done, total: seen.append(done))
    assert server.asked_ranges == [None, f"bytes={have}-"]
    assert seen[0] == have
    assert categories_in(tmp_path) == {"bottle", "screw"}
    assert not (tmp_path / ".anomalist-download").exists()


def test_interrupt_while_extracting_keeps_the_archive(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download("mvtec_ad", tmp_path)
    assert categories_in(tmp_path) == set()
    download("mvtec_ad", tmp_path)
    assert categories_in(tmp_path) == {"bottle", "screw"}
    assert len(server.requests) == 1


def test_interrupt_while_verifying_keeps_the_download(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "sha256_of", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download("mvtec_ad", tmp_path)
    download("mvtec_ad", tmp_path)
    assert categories_in(tmp_path) == {"bottle", "screw"}
    assert len(server.requests) == 1


def test_what_a_killed_extraction_left_is_cleared(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    stale = tmp_path / ".anomalist-download" / "extracting" / "bottle" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    download("mvtec_ad", tmp_path)
    assert not (tmp_path / "bottle" / "stale.png").exists()
    assert not (tmp_path / ".anomalist-download").exists()


@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({"ranges": False}, 30_000),
        ({"etag": '"v2"'}, 30_000),
        ({"etag": '"v2"', "if_range": False}, 30_000),
        ({}, 40_000),  # the version is the same by its ETag, the size is not
        ({}, 20_000),  # the file is now shorter than what was received: HTTP 416
    ],
)
def test_restarts_cleanly_when_resuming_is_impossible(
    server: Server, tmp_path: Path, change: dict[str, object], size: int
) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    url = server.add("bottle.tar", tar_of(mvtec_files("bottle", size=30_000), "w"))
    with pytest.raises(KeyboardInterrupt):
        download("mvtec_ad", tmp_path, categories=["bottle"], url=url, progress=interrupt)

    new = mvtec_files("bottle", size=size, seed="new")
    server.add("bottle.tar", tar_of(new, "w"))
    for name, value in change.items():
        setattr(server, name, value)
    download("mvtec_ad", tmp_path, categories=["bottle"], url=url)
    assert server.asked_ranges[1].startswith("bytes=1")
    (tmp_path / "LICENCE-NOTE.txt").unlink()
    assert tree(tmp_path) == new


def test_without_validator_only_a_checksum_allows_resuming(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    server.etag = None
    server.cut_after = [100_000]
    download("mvtec_ad", tmp_path / "known")
    assert server.asked_ranges == [None, "bytes=100000-"]
    assert "If-Range" not in server.requests[1]

    server.requests.clear()
    server.cut_after = [100_000]
    download("mvtec_ad", tmp_path / "unknown", url=f"{server.address}/whole.tar")
    assert server.asked_ranges == [None, None]


def test_retries_are_bounded(server: Server, small_mvtec: dict[str, bytes], tmp_path: Path) -> None:
    server.cut_after = [70_000] + [0] * 50
    with pytest.raises(DownloadError, match=r"after 70000 bytes and 5 further attempts: .*closed"):
        download("mvtec_ad", tmp_path)
    assert len(server.requests) == 6
    assert [part.stat().st_size for part in parts(tmp_path)] == [70_000]


def test_server_errors_in_between_are_retried(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cut_after = [70_000]
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        server.status = 503 if len(pauses) == 1 else None

    monkeypatch.setattr(module, "_BACKOFF_S", 1.0)
    monkeypatch.setattr(module.time, "sleep", pause)
    download("mvtec_ad", tmp_path)
    assert pauses == [1.0, 2.0]


# Errors that people see


def test_not_found(server: Server, small_mvtec: dict[str, bytes], tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(DownloadError, match=r"HTTP 404 .*mvtec\.com.*--url"):
        download("mvtec_ad", tmp_path)
    assert len(server.requests) == 1
    assert tree(tmp_path) == {}


def test_no_network(server: Server, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_address[1]
    with pytest.raises(DownloadError, match=r"can't be reached.*https_proxy"):
        download("mvtec_ad", tmp_path, url=f"http://127.0.0.1:{port}/a.tar")


def test_wrong_checksum_names_both_and_deletes(server: Server, tmp_path: Path) -> None:
    body = tar_of(mvtec_files("bottle"))
    url = server.add("bottle.tar", body)
    with pytest.raises(DownloadError, match=f"{sha(body)}.*{'0' * 64}"):
        download("mvtec_ad", tmp_path, categories=["bottle"], url=url, sha256="0" * 64)
    assert tree(tmp_path) == {}


def test_wrong_size_stops_before_the_body(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    server.add("whole.tar", small_mvtec["whole"] + b"more")
    with pytest.raises(DownloadError, match=f"should be {len(small_mvtec['whole'])}"):
        download("mvtec_ad", tmp_path)
    assert tree(tmp_path) == {}


def test_too_little_room_stops_before_the_body(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(small_mvtec["whole"])
    free = 2 * size - 1

    def disk_usage(_: Path) -> tuple[int, int, int]:
        return shutil._ntuple_diskusage(10 * size, 10 * size - free, free)

    monkeypatch.setattr(module.shutil, "disk_usage", disk_usage)
    with pytest.raises(DownloadError, match="GB free"):
        download("mvtec_ad", tmp_path)
    assert tree(tmp_path) == {}
    free += 1
    download("mvtec_ad", tmp_path)


def test_disk_that_fills_up_is_one_clear_error(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "copyfileobj", full)
        with pytest.raises(DownloadError, match=r"No space left on device.*start again"):
            download("mvtec_ad", tmp_path)
    assert categories_in(tmp_path) == set()
    download("mvtec_ad", tmp_path)
    assert len(server.requests) == 1


def test_folder_that_is_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DownloadError, match="can't be written"):
        download("mvtec_ad", tmp_path / "data", url=f"{server.address}/a.tar")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a.tar"])
def test_redirects_to_other_schemes_are_refused(
    server: Server, tmp_path: Path, location: str
) -> None:
    server.location = location
    with pytest.raises(DownloadError, match=re.escape(location)):
        download("mvtec_ad", tmp_path, url=f"{server.address}/a.tar")
    assert tree(tmp_path) == {}


def test_redirects_within_http_are_followed(server: Server, tmp_path: Path) -> None:
    url = server.add("bottle.tar", tar_of(mvtec_files("bottle")))
    with QuietServer(("127.0.0.1", 0), make_handler(Server(location=url))) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        moved = f"http://127.0.0.1:{http.server_address[1]}/old"
        try:
            download("mvtec_ad", tmp_path, categories=["bottle"], url=moved)
        finally:
            http.shutdown()
            thread.join()
    assert categories_in(tmp_path) == {"bottle"}


def test_https_is_never_left_for_http() -> None:
    handler = module._Redirects({"https"})
    request = module.urllib.request.Request("https://example.org/a")
    with pytest.raises(DownloadError, match="isn't followed"):
        handler.redirect_request(request, io.BytesIO(), 302, "Found", {}, "http://example.org/a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "imagenet"}, "mvtec_ad, visa"),
        ({"categories": ["bottle", "cup"]}, r"no category cup; it has bottle, cable"),
        ({"categories": []}, "no list of category names"),
        ({"categories": "bottle"}, "no list of category names"),
        ({"url": "file:///etc/passwd"}, "https://"),
        ({"url": "ftp://host/a.tar"}, "https://"),
        ({"url": "https://"}, "https://"),
        ({"sha256": "0" * 64}, "give url"),
        ({"url": "https://host/a.tar", "sha256": "abc"}, "64 hexadecimal digits"),
    ],
)
def test_arguments_that_make_no_sense(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        download(**{"to": tmp_path, **arguments})


# Archives that are damaged, incomplete or malicious


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        tar.addfile(info)

    return add


def zip_entry(name: str, kind: int, content: bytes = b"") -> Callable:
    def add(zipped: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = (kind | 0o644) << 16
        zipped.writestr(info, content)

    return add


MALICIOUS = {
    "tar parent": ("tar", tar_entry("bottle/../../evil.txt"), "leads out"),
    "tar absolute": ("tar", tar_entry("/evil.txt"), "leads out"),
    "tar backslash": ("tar", tar_entry("bottle\\..\\evil.txt"), "leads out"),
    "tar drive": ("tar", tar_entry("C:evil.txt"), "leads out"),
    "tar symlink out": ("tar", tar_entry("bottle/l", tarfile.SYMTYPE, "../../.."), "link"),
    "tar symlink in": ("tar", tar_entry("bottle/l", tarfile.SYMTYPE, "train"), "link"),
    "tar hard link": ("tar", tar_entry("bottle/l", tarfile.LNKTYPE, "/etc/passwd"), "link"),
    "tar device": ("tar", tar_entry("bottle/null", tarfile.CHRTYPE), "device"),
    "tar pipe": ("tar", tar_entry("bottle/pipe", tarfile.FIFOTYPE), "device"),
    "tar elsewhere": ("tar", tar_entry("other/l", tarfile.SYMTYPE, "/etc"), "link"),
    "tar twice": ("tar", tar_entry("bottle/train/good/000.png"), "twice"),
    "tar file as folder": ("tar", tar_entry("bottle/train/good/000.png/x"), "twice"),
    "zip parent": ("zip", zip_entry("bottle/../../evil.txt", stat.S_IFREG), "leads out"),
    "zip absolute": ("zip", zip_entry("/evil.txt", stat.S_IFREG), "leads out"),
    "zip symlink": ("zip", zip_entry("bottle/l", stat.S_IFLNK, b"/etc"), "link"),
    "zip device": ("zip", zip_entry("bottle/null", stat.S_IFCHR), "device"),
}


@pytest.mark.parametrize("case", MALICIOUS)
def test_malicious_archives_leave_nothing(server: Server, tmp_path: Path, case: str) -> None:
    kind, extra, message = MALICIOUS[case]
    files = mvtec_files("bottle", size=10)
    body = zip_of(files, extra) if kind == "zip" else tar_of(files, "w:gz", extra)
    url = server.add("bottle", body)
    root = tmp_path / "a" / "b" / "c"
    with pytest.raises(DownloadError, match=message):
        download("mvtec_ad", root, categories=["bottle"], url=url)
    assert [path for path in tmp_path.rglob("*") if path not in root.parents] == [root]


def test_encrypted_zip(server: Server, tmp_path: Path) -> None:
    body = bytearray(zip_of({"bottle/train/good/000.png": b"x"}))
    central = body.index(b"PK\x01\x02")
    body[6] |= 1
    body[central + 8] |= 1
    url = server.add("bottle.zip", bytes(body))
    with pytest.raises(DownloadError, match="encrypted"):
        download("mvtec_ad", tmp_path, categories=["bottle"], url=url)


@pytest.mark.parametrize("bomb", ["bytes", "files"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_bombs_are_bounded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bomb: str, kind: str
) -> None:
    files = mvtec_files("bottle", size=10)
    if bomb == "bytes":
        monkeypatch.setattr(module, "_ALWAYS_ALLOWED_BYTES", 1000)
        files["elsewhere/zeros.png"] = bytes(1_000_000)
    else:
        monkeypatch.setattr(module, "_MAX_MEMBERS", 4)
    url = server.add("bottle", zip_of(files) if kind == "zip" else tar_of(files, "w:gz"))
    with pytest.raises(DownloadError, match="unpacks to more than"):
        download("mvtec_ad", tmp_path, categories=["bottle"], url=url)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
@pytest.mark.parametrize("where", ["in a file", "between files"])
def test_truncated_archives(server: Server, tmp_path: Path, kind: str, where: str) -> None:
    files = mvtec_files("bottle", size=5120)
    modes = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}
    body = zip_of(files) if kind == "zip" else tar_of(files, modes[kind])
    # In the tar the files with their headers end after 1024 + 4 * (512 + 5120) bytes.
    end = len(body) // 2 if where == "in a file" else min(1024 + 4 * (512 + 5120), len(body) - 20)
    url = server.add("bottle", body[:end])
    with pytest.raises(DownloadError, match="damaged, cut short"):
        download("mvtec_ad", tmp_path, categories=["bottle"], url=url)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_damaged_content_is_found_without_a_checksum(
    server: Server, tmp_path: Path, mode: str
) -> None:
    body = bytearray(tar_of(mvtec_files("bottle"), mode))
    body[len(body) // 2] ^= 1  # noise is stored as it is, so this still unpacks
    url = server.add("bottle", bytes(body))
    with pytest.raises(DownloadError, match="damaged, cut short"):
        download("mvtec_ad", tmp_path, categories=["bottle"], url=url)
    assert tree(tmp_path) == {}


def test_web_page_instead_of_an_archive(server: Server, tmp_path: Path) -> None:
    server.length = False
    url = server.add("bottle.tar", b"<!DOCTYPE html><title>Please log in</title>")
    with pytest.raises(DownloadError, match=r"no tar or zip archive .*<!DOCTYPE html"):
        download("mvtec_ad", tmp_path, url=url)


def test_archive_without_the_category(server: Server, tmp_path: Path) -> None:
    url = server.add("bottle.tar", tar_of(mvtec_files("bottle", size=10)))
    with pytest.raises(DownloadError, match=r"cable isn't in it.*it holds bottle;.*--categories"):
        download("mvtec_ad", tmp_path, url=url)
    assert tree(tmp_path) == {}

    # The address may have a better file by now: one that couldn't be verified isn't used again.
    server.add("bottle.tar", tar_of(mvtec_files("bottle", "cable", size=10)))
    download("mvtec_ad", tmp_path, categories=["bottle", "cable"], url=url)
    assert categories_in(tmp_path) == {"bottle", "cable"}


def test_known_archive_with_too_few_images(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = replace(module.SOURCES["mvtec_ad"], images={"bottle": 4, "screw": 3})
    monkeypatch.setattr(module, "SOURCES", {"mvtec_ad": source})
    with pytest.raises(DownloadError, match="bottle has 3 of 4 images"):
        download("mvtec_ad", tmp_path)
    assert categories_in(tmp_path) == set()


# The table of sources


@pytest.mark.parametrize("name", SOURCES)
def test_sources_are_complete(name: str) -> None:
    source = SOURCES[name]
    assert source.name == name
    archives = [source.whole, *source.archives.values()]
    assert all(urlsplit(archive.url).scheme == "https" for archive in archives)
    assert all(re.fullmatch("[0-9a-f]{64}", archive.sha256) for archive in archives)
    assert len({archive.sha256 for archive in archives}) == len(archives)
    assert set(source.archives) in (set(), set(source.images))
    assert all(f"/{key}.tar.xz" in archive.url for key, archive in source.archives.items())
    assert source.licence in source.notice
    assert source.citation in source.notice


def test_numbers_of_images_are_the_published_ones() -> None:
    assert sum(SOURCES["mvtec_ad"].images.values()) == 3629 + 1725
    assert sum(SOURCES["visa"].images.values()) == 9621 + 1200


@pytest.mark.parametrize("category", ["bottle", "screw"])
def test_real_category_counts_as_present(category: str) -> None:
    root = Path(__file__).parents[3] / "shared" / "data" / "mvtec_ad"
    if not (root / category).is_dir():
        pytest.skip(f"{root / category} isn't there")
    assert download("mvtec_ad", root, categories=[category]) == root


def test_state_file_that_is_damaged_means_a_fresh_start(
    server: Server, small_mvtec: dict[str, bytes], tmp_path: Path
) -> None:
    server.cut_after = [70_000] + [0] * 5
    with pytest.raises(DownloadError):
        download("mvtec_ad", tmp_path)
    (part,) = parts(tmp_path)
    state = part.with_name(part.name + ".json")
    assert json.loads(state.read_text())["validator"] == '"v1"'
    state.write_text("{")
    download("mvtec_ad", tmp_path)
    assert categories_in(tmp_path) == {"bottle", "screw"}
