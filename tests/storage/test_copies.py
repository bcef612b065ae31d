"""The cache of copies: bounded, shared by processes, whole whatever happens."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from anomalist.errors import ObjectNotFoundError, ParameterError, StorageError
from anomalist.origins import objects_folder, origin_of
from anomalist.storage import Storage, mirrored, open_copy, open_storage
from anomalist.storage import copies as module

KB = 1000


@pytest.fixture
def storage(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Twenty objects of ten kilobytes each."""
    monkeypatch.setattr(module, "_budget", module._Budget())
    found = open_storage(f"memory://{tmp_path.name}/place")
    for i in range(20):
        found.write(f"{i:02}.png", bytes([i]) * 10 * KB)
    return found


def content(path: Path) -> bytes:
    with open_copy(path) as file:
        return file.read()


def fetched() -> dict[str, int]:
    return {
        path.name: path.stat().st_size
        for path in objects_folder().rglob("*")
        if path.is_file() and not path.stat().st_mode & stat.S_IWUSR
    }


def test_a_place_tells_its_address_and_size(storage: Storage) -> None:
    top = mirrored(storage.address)
    assert origin_of(top / "03.png") == storage.address_of("03.png")
    assert (top / "03.png").stat().st_size == 10 * KB
    assert fetched() == {}
    assert content(top / "03.png") == bytes([3]) * 10 * KB
    assert list(fetched()) == ["03.png"]


def test_the_cache_stays_below_its_limit(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOMALIST_CACHE_GB", str(100 * KB / 1e9))
    top = mirrored(storage.address)
    for _ in range(2):
        for i in range(20):
            assert content(top / f"{i:02}.png") == bytes([i]) * 10 * KB
            assert sum(fetched().values()) <= 100 * KB
    assert sum(fetched().values()) >= 80 * KB


def test_the_longest_unused_go_first(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOMALIST_CACHE_GB", str(100 * KB / 1e9))
    top = mirrored(storage.address)
    for i in range(20):
        content(top / f"{i:02}.png")
        content(top / "00.png")  # used all the time
    kept = fetched()
    assert "00.png" in kept
    assert "19.png" in kept
    assert "01.png" not in kept


def test_an_image_larger_than_the_cache_is_read(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALIST_CACHE_GB", str(5 * KB / 1e9))
    top = mirrored(storage.address)
    assert content(top / "07.png") == bytes([7]) * 10 * KB


def test_texts_are_fetched_at_once_and_stay(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALIST_CACHE_GB", str(30 * KB / 1e9))
    storage.write("list.csv", b"image\n00.png\n")
    top = mirrored(storage.address)
    assert (top / "list.csv").read_bytes() == b"image\n00.png\n"
    for i in range(20):
        content(top / f"{i:02}.png")
    assert (top / "list.csv").read_bytes() == b"image\n00.png\n"


def test_the_cache_may_be_deleted_at_any_time(storage: Storage, cache: Path) -> None:
    top = mirrored(storage.address)
    content(top / "01.png")
    subprocess.run(["rm", "-rf", str(cache)], check=True)
    assert content(top / "01.png") == bytes([1]) * 10 * KB


@pytest.mark.parametrize("text", ["none", "0", "-1", "nan"])
def test_a_limit_that_makes_no_sense(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("ANOMALIST_CACHE_GB", text)
    with pytest.raises(ParameterError, match="ANOMALIST_CACHE_GB must be a number above 0"):
        content(mirrored(storage.address) / "00.png")


def test_threads_read_while_others_drop(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOMALIST_CACHE_GB", str(50 * KB / 1e9))
    top = mirrored(storage.address)
    failed: list[object] = []

    def work(start: int) -> None:
        for k in range(60):
            i = (start * 7 + k * 3) % 20
            try:
                if content(top / f"{i:02}.png") != bytes([i]) * 10 * KB:
                    failed.append(i)
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_processes_share_the_cache_and_its_limit(
    s3: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOMALIST_CACHE_GB", str(200 * KB / 1e9))
    there = open_storage(s3)
    for i in range(30):
        there.write(f"{i:02}.png", bytes([i]) * 10 * KB)
    code = (
        "import sys\n"
        "from anomalist.storage import mirrored, open_copy\n"
        "top = mirrored(sys.argv[1])\n"
        "for k in range(40):\n"
        "    i = (int(sys.argv[2]) * 11 + k) % 30\n"
        "    with open_copy(top / f'{i:02}.png') as file:\n"
        "        assert file.read() == bytes([i]) * 10_000\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, s3, str(n)], stderr=subprocess.PIPE, text=True
        )
        for n in range(2)
    ]
    highest = 0
    while any(process.poll() is None for process in processes):
        highest = max(highest, sum(fetched_sizes()))
        time.sleep(0.02)
    for process in processes:
        assert process.wait() == 0, process.stderr and process.stderr.read()
        assert process.stderr is not None
        process.stderr.close()
    assert 0 < highest <= 220 * KB  # one object a process may be on its way


def fetched_sizes() -> list[int]:
    sizes = []
    for path in objects_folder().rglob("*.png"):
        try:
            state = path.stat()
        except OSError:
            continue
        if not state.st_mode & stat.S_IWUSR:
            sizes.append(state.st_size)
    return sizes


def test_a_process_that_is_killed_leaves_nothing_half_written(
    s3: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = open_storage(s3)
    for i in range(20):
        there.write(f"{i:02}.png", bytes([i]) * 500 * KB)
    code = (
        "import sys\n"
        "from anomalist.storage import mirrored, open_copy\n"
        "top = mirrored(sys.argv[1])\n"
        "print('begun', flush=True)\n"
        "for i in range(20):\n"
        "    open_copy(top / f'{i:02}.png').close()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, s3], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.05)
    process.kill()
    process.wait()
    process.stdout.close()
    top = mirrored(s3)
    for i in range(20):
        assert content(top / f"{i:02}.png") == bytes([i]) * 500 * KB


def test_an_object_that_is_gone_or_never_was(storage: Storage) -> None:
    top = mirrored(storage.address)
    storage.delete("04.png")
    with pytest.raises(ObjectNotFoundError, match=r"04.png isn't there"):
        content(top / "04.png")
    assert not (mirrored(storage.address) / "04.png").exists()


def test_folders_become_objects_and_objects_folders(s3: str, cache: Path) -> None:
    storage = open_storage(s3)
    storage.write("thing/a.png", b"a")
    top = mirrored(storage.address)
    assert content(top / "thing" / "a.png") == b"a"
    storage.delete("thing/a.png")
    storage.write("thing", b"whole")
    top = mirrored(storage.address)
    assert content(top / "thing") == b"whole"
    storage.delete("thing")
    storage.write("thing/b.png", b"b")
    assert content(mirrored(storage.address) / "thing" / "b.png") == b"b"


def test_names_that_no_file_can_have(s3: str, cache: Path) -> None:
    storage = open_storage(s3)
    storage.write("a/../../b.png", b"out")
    with pytest.raises(StorageError, match=r"the object 'a/../../b.png' has a name that no file"):
        mirrored(s3)
    assert not list(cache.rglob("b.png"))
    storage.delete("a/../../b.png")
    storage.write("a//b.png", b"twice")
    with pytest.raises(StorageError, match="has a name that no file can have: rename it"):
        mirrored(s3)


def test_an_object_and_a_folder_of_one_name(s3: str, cache: Path) -> None:
    storage = open_storage(s3)
    storage.write("a/b.png", b"inside")
    storage.write("a", b"")
    assert content(mirrored(s3) / "a" / "b.png") == b"inside"
    storage.write("a", b"not a folder")
    with pytest.raises(StorageError, match=f"{s3}/a is an object and a folder in one"):
        mirrored(s3)


def test_a_cache_that_cannot_be_written(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANOMALIST_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"can't be written: .*: name another folder in ANOM"):
        mirrored(storage.address)


def test_a_full_disk_is_told(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    top = mirrored(storage.address)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "utime", full)
    with pytest.raises(StorageError, match=r"No space left on device.*lower ANOMALIST_CACHE_GB"):
        content(top / "00.png")
