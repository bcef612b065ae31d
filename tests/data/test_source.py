from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import os
import pickle
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalist.data import ImageSet, MVTecAD, Sample, Transform, images, read_image, source
from anomalist.errors import DataError
from anomalist.files import sha256_of

RNG = np.random.default_rng(0)
SHAPES = ((6, 9), (6, 9, 3), (6, 9, 4))


def pixels(shape: tuple[int, ...], kind: str = "uint8") -> np.ndarray:
    return RNG.integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def deep_png(array: np.ndarray) -> bytes:
    """A file of 16-bit colour, which Pillow reads but doesn't write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    height, width, channels = array.shape
    head = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened, as they are."""
    names: list[str] = []
    real = Path.open

    def counted(path: Path, *arguments: Any, **options: Any) -> Any:
        names.append(path.name)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    return names


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as unchanged however young they are."""
    monkeypatch.setattr(source, "_TICK_NS", -1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels((6, 9, 3))))
    return path


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_array_is_read_as_a_file_of_its_pixels(
    tmp_path: Path, shape: tuple[int, ...], kind: str
) -> None:
    array = pixels(shape, kind)
    if kind == "uint8" or len(shape) == 2:
        Image.fromarray(array).save(tmp_path / "a.png")
    else:
        (tmp_path / "a.png").write_bytes(deep_png(array))
    expected = read_image(tmp_path / "a.png")
    sample = Sample("frame", image=array)
    assert sample.read().mode == "RGB"
    assert np.array_equal(np.asarray(sample.read()), np.asarray(expected))
    assert np.array_equal(np.asarray(sample.fetch().decode()), np.asarray(expected))
    assert sample.size() == (6, 9)
    assert sample.nbytes() == array.nbytes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_images_of_pillow_are_read_as_their_files(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(pixels((6, 9)))
    if mode == "F":
        image = Image.fromarray(np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9))
    elif mode == "I;16":
        image = Image.fromarray(pixels((6, 9), "uint16"))
    else:
        image = grey.convert(mode)
    image.save(tmp_path / "a.tif")
    sample = Sample("frame", image=image)
    assert np.array_equal(np.asarray(sample.read()), np.asarray(read_image(tmp_path / "a.tif")))
    kept = np.asarray(image if mode == "I;16" else sample.read())
    assert sample.sha256() == Sample("other", image=kept).sha256()


def test_images_of_pillow_are_turned_as_their_files(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.png"
    Image.fromarray(pixels((6, 9, 3))).save(path, exif=exif)
    with Image.open(path) as image:
        sample = Sample("frame", image=image)
    assert sample.size() == (9, 6)
    assert np.array_equal(np.asarray(sample.read()), np.asarray(read_image(path)))


def test_broken_images_of_pillow_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels((90, 90, 3)))[:-500])
    with Image.open(path) as image, pytest.raises(DataError, match="frame can't be read as an im"):
        Sample("frame", image=image)
    low = Image.fromarray(np.full((2, 2), -1, np.float32))
    with pytest.raises(DataError, match=r"frame can't be read .* values go from -1\.0"):
        Sample("frame", image=low)


def test_bytes_are_a_file_that_is_nowhere(file: Path) -> None:
    for data in (file.read_bytes(), bytearray(file.read_bytes()), memoryview(file.read_bytes())):
        sample = Sample("upload", image=data)
        assert type(sample.image) is bytes
        assert sample.sha256() == sample.fetch().sha256 == sha256_of(file)
        assert sample.size() == (6, 9)
        assert np.array_equal(np.asarray(sample.read()), np.asarray(read_image(file)))
        assert sample.nbytes() == file.stat().st_size


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "upload is empty"),
        (b"not an image", r"upload isn't an image that can be read \(avif, bmp,"),
    ],
)
def test_bytes_that_are_no_image_are_told_by_name(data: bytes, message: str) -> None:
    sample = Sample("upload", image=data)
    for ask in (sample.read, sample.size, sample.fetch().decode):
        with pytest.raises(DataError, match=message):
            ask()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4)), r"float64: .* uint8 or uint16 values; scale values of 0\.\.1"),
        (np.zeros((4, 4), bool), r"bool: .*; take 255 \* array"),
        (np.zeros((4, 4), int), r"int64: .*; where they fit, take array\.astype\('uint8'"),
        (np.zeros((4, 4), np.uint32), r"uint32: .*; where they fit"),
        (np.zeros((4, 4), complex), r"complex128: .*; convert them"),
        (np.zeros((4, 4, 1), np.uint8), r"shape \(4, 4, 1\): .*; take array\[\.\.\., 0\]"),
        (np.zeros((3, 5, 5), np.uint8), r"shape \(3, 5, 5\): .*; channels come last"),
        (
            np.zeros((5, 5, 2), np.uint8),
            r"shape \(5, 5, 2\): an image is \(H, W\), .*or \(H, W, 4\)$",
        ),
        (np.zeros(4, np.uint8), r"shape \(4,\): "),
        (np.zeros((2, 4, 4, 3), np.uint8), r"shape \(2, 4, 4, 3\): "),
        (np.zeros((0, 4), np.uint8), r"shape \(0, 4\), without a pixel"),
        ([[1]], r"of type list: an image is a path, "),
        (3.5, r"of type float \(3\.5\): an image is a path, "),
    ],
)
def test_what_is_no_image_is_told(image: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^frame is (an array of )?{message}") as error:
        Sample("frame", image=image)
    assert "\n" not in str(error.value)


def test_writing_to_an_array_later_changes_nothing() -> None:
    array = pixels((6, 9, 3))
    before = array.copy()
    view = array[:]
    view.flags.writeable = False  # but its array can be written to
    samples = [Sample("a", image=array), Sample("b", image=array[::-1]), Sample("c", image=view)]
    hashes = [Sample("d", image=before).sha256(), Sample("e", image=before[::-1]).sha256()]
    array[:] = 0
    assert [sample.sha256() for sample in samples] == [*hashes, hashes[0]]
    assert np.array_equal(np.asarray(samples[0].read()), before)
    for sample in (*samples, pickle.loads(pickle.dumps(samples[0]))):
        with pytest.raises(ValueError, match="read-only"):
            sample.image[0, 0] = 1


def test_what_cannot_be_written_to_is_not_copied(tmp_path: Path) -> None:
    array = pixels((6, 9, 3))
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    array.flags.writeable = False
    for kept in (array, array[1:], array[..., ::-1], mapped):
        sample = Sample("frame", image=kept)
        assert np.shares_memory(sample.image, kept)
        assert sample.sha256() == Sample("copy", image=kept.copy()).sha256()
        assert np.array_equal(np.asarray(sample.read()), kept)
        assert dataclasses.replace(sample, label=False).image is sample.image


def test_byte_order_changes_nothing() -> None:
    array = pixels((6, 9), "uint16")
    other = Sample("big", image=array.astype(">u2"))
    assert other.sha256() == Sample("native", image=array).sha256()
    assert np.array_equal(other.image, array)


def test_hashes_of_arrays_tell_them_apart() -> None:
    array = pixels((6, 9))
    variants = [
        array,
        array.T,
        array.reshape(9, 6),
        array.astype(np.uint16),
        np.repeat(array[..., None], 3, axis=2),
        array ^ 1,
    ]
    hashes = [Sample("frame", image=variant).sha256() for variant in variants]
    assert len(set(hashes)) == len(variants)
    assert hashes[0] == Sample("of another name", image=np.asfortranarray(array)).sha256()
    assert hashlib.sha256(array.tobytes()).hexdigest() not in hashes


@pytest.mark.usefixtures("settled")
def test_a_file_is_read_once_for_hash_size_and_pixels(file: Path, opened: list[str]) -> None:
    sample = Sample(file)
    content = sample.fetch()
    assert content.sha256 == sample.sha256() == sample.fetch().sha256
    content.decode()
    assert opened == ["a.png"] * 2
    del opened[:]
    sample = Sample(file)
    sample.read()
    assert sample.size() == sample.size() == (6, 9)
    assert opened == ["a.png"]
    assert sample.sha256() == sample.sha256()
    assert ImageSet([sample])[:1][0] is sample
    hash_before = len(opened)
    ImageSet([sample]).content_hash()
    ImageSet([sample]).shared_with(ImageSet([sample]))
    assert len(opened) == hash_before


@pytest.mark.usefixtures("settled")
def test_a_changed_file_is_looked_at_anew(file: Path) -> None:
    sample = Sample(file)
    before = sample.sha256(), sample.size()
    data = png(pixels((8, 7)))
    file.write_bytes(data)
    assert (sample.sha256(), sample.size()) == (hashlib.sha256(data).hexdigest(), (8, 7))
    assert before != (sample.sha256(), sample.size())
    file.unlink()
    for ask in (sample.read, sample.size, sample.fetch):
        with pytest.raises(DataError, match=r"there is no file .*a\.png"):
            ask()
    with pytest.raises(DataError, match=r"a\.png can't be read: No such file"):
        sample.sha256()


def test_a_file_that_changes_within_a_tick_is_looked_at_anew(file: Path) -> None:
    sample = Sample(file)
    data = bytearray(file.read_bytes())
    for value in range(50):
        data[-1] = value
        times = file.stat()
        with file.open("r+b") as stream:
            stream.write(data)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert sample.sha256() == hashlib.sha256(data).hexdigest()


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        for ask in (Sample(path).read, Sample(path).size, Sample(path).fetch, Sample(path).sha256):
            with pytest.raises(DataError, match="folder, a pipe or a device"):
                ask()
    for ask in (Sample("a\0b").read, Sample("a\0b").fetch, Sample("a\0b").sha256):
        with pytest.raises(DataError, match="can't be read"):
            ask()


def test_a_huge_file_that_is_no_image_is_not_taken_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(b"no image" * 100)
    monkeypatch.setattr(images, "_LARGE_FILE", 100)
    with pytest.raises(DataError, match="isn't an image"):
        Sample(path).fetch()


def test_threads_share_a_sample(file: Path) -> None:
    samples = [
        Sample(file),
        Sample("bytes", image=file.read_bytes()),
        Sample("array", image=pixels((60, 90, 3))),
    ]
    expected = [(s.sha256(), s.size(), s.read().tobytes()) for s in copy.deepcopy(samples)]
    wrong: list[object] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        for _ in range(20):
            got = [(s.fetch().sha256, s.size(), s.read().tobytes()) for s in samples]
            if got != expected:
                wrong.append(got)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_samples_compare_and_show_without_their_pixels(file: Path) -> None:
    array = pixels((60, 90, 3))
    mask = array[..., 0] > 99
    samples = [
        Sample("a", image=array),
        Sample("a", image=array ^ 1),
        Sample("a", image=file.read_bytes()),
        Sample("a"),
        Sample("a", True, image=array),
        Sample("a", True, mask=mask, image=array),
        Sample("a", True, mask=~mask, image=array),
        Sample("a", True, mask="m.png", image=array),
    ]
    for i, one in enumerate(samples):
        again = pickle.loads(pickle.dumps(one))
        assert [one == other for other in samples] == [i == j for j in range(len(samples))]
        assert again == one
        assert hash(again) == hash(one)
    assert len({*samples, *samples}) == len(samples)
    assert samples[0] != "a"
    shown = repr(samples)
    assert len(shown) < 1200
    assert "image=<uint8 array of shape (60, 90, 3)>" in shown
    assert f"image=<{file.stat().st_size} bytes>" in shown
    assert "mask=<array of shape (60, 90)>" in shown


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64])
def test_masks_in_memory(kind: Any) -> None:
    inked = np.zeros((20, 40), kind)
    inked[:10] = 1
    sample = Sample("cut", True, "cut", inked, np.zeros((20, 40), np.uint8))
    inked[:] = 0
    mask = sample.read_mask()
    assert mask.dtype == np.bool_
    assert mask[:10].all()
    assert not mask[10:].any()
    with pytest.raises(DataError, match="the mask is 40 x 20 pixels, but its image b is 20 x 40"):
        Sample("b", True, mask=inked, image=np.zeros((40, 20), np.uint8)).read_mask()
    assert Sample("b", image=np.zeros((40, 20), np.uint8)).read_mask() is None


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 4)), r"the mask of b is an array of float64 .*: array > 0\.5"),
        (np.zeros((4, 4, 3), np.uint8), r"of shape \(4, 4, 3\): it must be \(H, W\)"),
        ([[0]], "the mask of b is of type list"),
    ],
)
def test_what_is_no_mask_is_told(mask: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Sample("b", True, mask=mask)


def test_real_images_are_the_same_from_everywhere(mvtec_ad: Path) -> None:
    for sample in MVTecAD(mvtec_ad).category("bottle").test[::20]:
        image = Image.open(sample.path)
        held = [image, np.asarray(image), sample.path.read_bytes()]
        for other in (Sample("frame", image=data) for data in held):
            assert other.size() == sample.size()
            transform = Transform(64)
            assert np.array_equal(transform(other.read()), transform(sample.read()))
