from __future__ import annotations

import pickle
import threading
from pathlib import Path

import pytest

from anomalist.errors import ObjectNotFoundError, StorageError
from anomalist.storage import Storage, find_objects, is_address, open_storage
from anomalist.storage.objects import Object, Objects

ODD = ["a b.png", "ä/ß.png", "#1.png", "100%.png", "a?b=1.png", ".hidden/x.png", "a%20b.png",
       "a+b&c.png", "plus/==.png"]  # fmt: skip


@pytest.fixture(params=["s3", "memory", "folder", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "s3":
        return open_storage(request.getfixturevalue("s3") + "/some/place")
    if request.param == "memory":
        return open_storage(f"memory://{tmp_path.name}/place")
    return open_storage(tmp_path if request.param == "folder" else tmp_path.as_uri())


def test_what_is_written_is_listed_and_read(storage: Storage) -> None:
    for key in ODD:
        storage.write(key, key.encode())
    listing = storage.list()
    assert [each.key for each in listing] == sorted(ODD, key=str.encode)
    assert [each.size for each in listing] == [len(each.key.encode()) for each in listing]
    for each in listing:
        assert storage.read(each.key) == each.key.encode()
        found = storage.stat(each.key)
        assert found is not None
        assert found[:2] == each[:2]
        # Only that of memory, which is for tests, tells the time in two ways.
        assert found.version == each.version or storage.address.startswith("memory:")
        assert each.version


def test_an_object_is_replaced_and_its_version_changes(storage: Storage) -> None:
    storage.write("a", b"one")
    before = storage.stat("a")
    storage.write("a", b"other")
    after = storage.stat("a")
    assert storage.read("a") == b"other"
    assert before is not None
    assert after is not None
    assert before.version != after.version


def test_an_object_is_deleted_once_or_twice(storage: Storage) -> None:
    storage.write("folder/a", b"one")
    assert storage.exists("folder/a")
    storage.delete("folder/a")
    storage.delete("folder/a")
    assert not storage.exists("folder/a")
    assert not storage.exists("folder")
    with pytest.raises(ObjectNotFoundError, match=r"folder/a isn't there"):
        storage.read("folder/a")


def test_listings_take_suffixes_and_prefixes(storage: Storage) -> None:
    for key in ("a.PNG", "b.jpg", "deep/c.png", "deep/d.txt", "deeper/e.png"):
        storage.write(key, b"")
    assert [each.key for each in storage.list((".png",))] == ["a.PNG", "deep/c.png", "deeper/e.png"]
    assert storage.keys("deep/") == ["deep/c.png", "deep/d.txt"]
    assert storage.keys("deep") == ["deep/c.png", "deep/d.txt", "deeper/e.png"]
    assert storage.keys("none/at/all") == []


def test_a_storage_can_be_pickled(storage: Storage) -> None:
    storage.write("a", b"one")
    other = pickle.loads(pickle.dumps(storage))
    assert other == storage
    assert other.read("a") == b"one"


def test_threads_share_a_storage(storage: Storage) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for i in range(10):
                storage.write(f"{number}/{i}", bytes([number]) * 100)
                assert storage.read(f"{number}/{i}") == bytes([number]) * 100
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(storage.list()) == 80


def test_one_object_and_a_folder_are_found_alike(storage: Storage) -> None:
    storage.write("folder.v2/a b.png", b"one")
    storage.write("folder.v2/b", b"two")
    address = storage.address_of("folder.v2")
    assert [each.key for each in find_objects(address)[1]] == ["a b.png", "b"]
    assert [each.key for each in find_objects(address, (".png",))[1]] == ["a b.png"]
    for name in ("a b.png", "b"):
        above, found = find_objects(f"{address}/{name}", (".png",))
        assert [each.key for each in found] == [name]
        assert above.address == address
    with pytest.raises(ObjectNotFoundError, match="there is nothing"):
        find_objects(f"{address}/none")
    with pytest.raises(ObjectNotFoundError, match=r"there is nothing that ends in \.tif"):
        find_objects(address, (".tif",))


def test_empty_objects_that_stand_for_folders_are_none(s3: str) -> None:
    import fsspec

    storage = open_storage(f"{s3}/place")
    storage.write("a.png", b"one")
    for name in ("", "sub/"):
        fsspec.filesystem("s3").call_s3(
            "put_object", Bucket=s3.removeprefix("s3://"), Key=f"place/{name}", Body=b""
        )
    assert storage.keys() == ["a.png"]


def test_more_than_a_page_is_listed_in_order(s3: str) -> None:
    storage = open_storage(s3)
    work = [
        threading.Thread(
            target=lambda n=n: [storage.write(f"{i:04}", b"") for i in range(n, 1010, 8)]
        )
        for n in range(8)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert storage.keys() == [f"{i:04}" for i in range(1010)]


def test_a_bucket_that_is_not_there(s3: str) -> None:
    storage = open_storage(f"{s3}-none/folder")
    for work in (storage.list, lambda: storage.read("a"), lambda: storage.write("a", b"")):
        with pytest.raises(StorageError, match="there is no such bucket: check its name"):
            work()
    with pytest.raises(StorageError, match="there is no such bucket"):
        find_objects(storage.address)


def test_a_local_folder_that_is_not_there(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "none")
    assert not storage.exists("a")
    assert len(storage.list()) == 0
    with pytest.raises(ObjectNotFoundError, match="there is nothing"):
        find_objects(tmp_path / "none")
    with pytest.raises(StorageError, match="leaves"):
        storage.write("../a", b"")


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="directory"):
        open_storage(tmp_path).read("a")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        open_storage(tmp_path).write("file/a", b"")


@pytest.mark.parametrize(
    "address",
    [
        "s3://AKIA:hidden@bucket/a",
        "https://me:hidden@host/a",
        "https://hidden@host/a",
        "abfs://me:hidden@account/a",
        "https://host/a.png?X-Amz-Signature=hidden",
        "https://host/a.png?se=1&sig=hidden",
        "https://host/a?token=hidden",
    ],
)
def test_an_address_with_a_secret_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(StorageError, match="must carry no user, password, key or token") as error:
        open_storage(address)
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://", "names no place"),
        ("nothing://bucket", "nothing is known of nothing://"),
        ("gs://bucket", "takes gcsfs, which isn't installed: pip install gcsfs"),
        ("file://host/folder", "names another machine"),
        ("s3://a bucket/a", "can't be the name of a bucket"),
    ],
)
def test_wrong_addresses(s3: str, address: str, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        open_storage(address).list()


def test_addresses_and_paths() -> None:
    assert is_address("s3://bucket/x")
    assert is_address("hf://datasets/a/b")
    assert not is_address("C://x")
    assert not is_address(Path("a"))


def test_listings_are_ordered_and_cut_into_pages() -> None:
    objects = [Object(f"{i}", i, None) for i in range(25)]
    listing = Objects.of(reversed(objects), page=10)
    assert [each.key for each in listing] == sorted(each.key for each in objects)
    assert listing[3] == Object("11", 11, None)
    assert Objects.of(objects).digest() == listing.digest()
