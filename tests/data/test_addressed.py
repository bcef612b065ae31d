"""Data sets at addresses: read as if they were folders of this machine."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalist import open_dataset
from anomalist.data import ImageSet, MVTecAD, Sample, as_image_set
from anomalist.errors import DataError, ObjectNotFoundError, StorageError
from anomalist.origins import objects_folder, origin_of
from anomalist.storage import open_storage
from tests.s3 import upload


@pytest.fixture
def bucket(s3: str, cache: Path, dots: Path) -> str:
    """The address of the tiny data set."""
    return upload(dots, f"{s3}/data sets/dots")


def copies() -> list[str]:
    """The names of what was fetched."""
    return sorted(
        path.name
        for path in objects_folder().rglob("*")
        if path.is_file() and not path.stat().st_mode & 0o200
    )


def test_a_data_set_is_as_it_is_on_disk(bucket: str, dots: Path) -> None:
    there, here = open_dataset(bucket), open_dataset(dots)
    assert there.name == here.name
    assert there.categories == here.categories
    one, two = there.category("dot"), here.category("dot")
    assert copies() == []  # nothing is read before it is asked for
    for a, b in ((one.train, two.train), (one.test, two.test)):
        assert [path.name for path in a.paths] == [path.name for path in b.paths]
        assert a.defects == b.defects
        assert [sample.nbytes() for sample in a] == [sample.nbytes() for sample in b]
    assert copies() == []
    for a, b in ((one.train, two.train), (one.test, two.test)):
        assert a.content_hash() == b.content_hash()
        for mine, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(np.asarray(mine.read()), np.asarray(other.read()))
            if other.mask is not None:
                np.testing.assert_array_equal(mine.read_mask(), other.read_mask())
    assert len(copies()) == len(one.train) + len(one.test) + 3


def test_an_image_is_fetched_once(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = open_dataset(bucket).category("dot").train[0]
    digest = sample.sha256()
    monkeypatch.setattr("anomalist.storage.copies._fetch", None)
    assert sample.size() == (64, 64)
    assert sample.known_sha256() == digest
    again = open_dataset(bucket).category("dot").train[0]
    assert again.sha256() == digest


def test_what_changed_is_fetched_again(bucket: str, dots: Path) -> None:
    storage = open_storage(bucket)
    before = open_dataset(bucket).category("dot").train
    digests = before.digests()
    storage.write("dot/train/good/000.png", (dots / "dot/train/good/001.png").read_bytes())
    storage.delete("dot/train/good/002.png")
    after = open_dataset(bucket).category("dot").train
    assert [path.name for path in after.paths] == [f"00{i}.png" for i in (0, 1, 3, 4, 5)]
    np.testing.assert_array_equal(after.digests(), digests[[1, 1, 3, 4, 5]])


def test_a_change_since_the_listing_is_read_as_it_is_now(bucket: str, dots: Path) -> None:
    sample = open_dataset(bucket).category("dot").train[0]
    other = dots / "dot/train/good/001.png"
    open_storage(bucket).write("dot/train/good/000.png", other.read_bytes())
    assert sample.sha256() == Sample(other).sha256()


def test_errors_name_the_address(bucket: str) -> None:
    storage = open_storage(bucket)
    storage.write("dot/train/good/000.png", b"no image")
    storage.write("dot/train/good/001.png", b"")
    train = open_dataset(bucket).category("dot").train
    with pytest.raises(DataError) as error:
        train[0].read()
    assert str(error.value).startswith(f"{bucket}/dot/train/good/000.png isn't an image")
    with pytest.raises(DataError, match=f"{bucket}/dot/train/good/001.png is empty"):
        train[1].read()
    storage.delete("dot/train/good/002.png")
    for ask in (train[2].read, train[2].sha256):
        with pytest.raises(DataError, match=f"there is no file {bucket}/dot/train/good/002.png"):
            ask()
    with pytest.raises(DataError, match=f"{bucket} has no category 'dit'"):
        open_dataset(bucket).category("dit")


def test_classes_of_layouts_take_addresses(bucket: str) -> None:
    assert MVTecAD(bucket).category("dot").train.defects == ["good"] * 6


def test_samples_and_their_masks_have_addresses(bucket: str, dots: Path) -> None:
    address = f"{bucket}/dot/test/square/000.png"
    mask = f"{bucket}/dot/ground_truth/square/000_mask.png"
    found = Sample(address, True, "square", mask).read_mask()  # type: ignore[arg-type]
    expected = Sample(
        dots / "dot/test/square/000.png",
        True,
        "square",
        dots / "dot/ground_truth/square/000_mask.png",
    ).read_mask()
    np.testing.assert_array_equal(found, expected)
    (image,) = as_image_set(address)
    assert origin_of(image.path) == address
    with pytest.raises(ObjectNotFoundError, match="there is nothing"):
        as_image_set([f"{bucket}/none.png"])


@pytest.mark.usefixtures("warm_processes")
def test_another_machine_opens_the_address(bucket: str, tmp_path: Path) -> None:
    data = open_dataset(bucket)
    train = data.category("dot").train
    sent = tmp_path / "sent"
    sent.write_bytes(pickle.dumps((data, train, train[0].sha256())))
    code = (
        "import pickle, sys, pathlib\n"
        "data, train, digest = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "assert train[0].sha256() == digest\n"
        "assert data.category('dot').train[0].sha256() == digest\n"
        "print(train[0].path)\n"
    )
    cache = str(tmp_path / "another")
    done = subprocess.run(
        [sys.executable, "-c", code, str(sent)],
        env={**os.environ, "ANOMALIST_CACHE": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(cache)


def test_a_manifest_names_objects_beside_it(s3: str, cache: Path, dots: Path) -> None:
    there = upload(dots, f"{s3}/dots")
    rows = ["image,label,split"]
    rows += [f"dot/train/good/00{i}.png,good,train" for i in range(6)]
    rows += [f"{there}/dot/test/square/00{i}.png,square,test" for i in range(3)]
    open_storage(s3).write("dots/list.csv", "\n".join(rows).encode())
    data = open_dataset(f"{s3}/dots/list.csv")
    (name,) = data.categories
    category = data.category(name)
    assert len(category.train) == 6
    assert category.test.defects == ["square"] * 3
    assert category.test[0].read().size == (64, 64)


def test_a_manifest_here_names_objects_elsewhere(
    s3: str, cache: Path, dots: Path, tmp_path: Path
) -> None:
    there = upload(dots, f"{s3}/dots")
    rows = ["image,label,split"]
    rows += [f"{there}/dot/train/good/00{i}.png,good,train" for i in range(6)]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    data = open_dataset(tmp_path / "list.csv")
    train = data.category(data.categories[0]).train
    assert [origin_of(path) for path in train.paths] == [r.partition(",")[0] for r in rows[1:]]


def test_nothing_there(s3: str, cache: Path) -> None:
    with pytest.raises(ObjectNotFoundError, match=f"{s3}/none: there is nothing"):
        open_dataset(f"{s3}/none")
    with pytest.raises(StorageError, match="there is no such bucket"):
        open_dataset(f"{s3}-none/parts")
    assert not cache.exists() or not list((cache / "objects").rglob("*.png"))


@pytest.fixture
def site(dots: Path, cache: Path) -> Any:
    """The URL of the tiny data set on a server that lists its folders."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *told: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(dots)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_folders_behind_links(site: str, dots: Path) -> None:
    there, here = open_dataset(f"{site}/dot"), open_dataset(dots / "dot")
    one, two = there.category("dot"), here.category("dot")
    assert one.test.defects == two.test.defects
    assert one.test.content_hash() == two.test.content_hash()
    with pytest.raises(StorageError, match="links can be read, but not written"):
        open_storage(site).write("a", b"")
    with pytest.raises(ObjectNotFoundError, match="there is nothing"):
        open_dataset(f"{site}/none")


def test_odd_names_behind_links(cache: Path, tmp_path: Path) -> None:
    names = ["a b.png", "ä.png", "#1.png", "100%.png", "a?b=1.png", "a%20b.png", "a&b;'c.png"]
    for name in names:
        Image.new("L", (8, 8), len(name)).save(tmp_path / name, "PNG")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    SimpleHTTPRequestHandler.log_message = lambda *told: None  # type: ignore[method-assign]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        storage = open_storage(f"http://127.0.0.1:{server.server_address[1]}")
        assert [o.key for o in storage.list((".png",))] == sorted(names, key=str.encode)
        for name in names:
            assert storage.read(name) == (tmp_path / name).read_bytes()
        images = as_image_set([storage.address_of(name) for name in names])
        assert [image.read().getpixel((0, 0))[0] for image in images] == [len(n) for n in names]  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()


def test_image_sets_share_the_cache(bucket: str) -> None:
    train = open_dataset(bucket).category("dot").train
    again = pickle.loads(pickle.dumps(train))
    assert isinstance(again, ImageSet)
    assert again.paths == train.paths
