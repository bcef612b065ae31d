from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from anomalist.data.maps import MapStack, list_maps, read_map, read_map_array
from anomalist.errors import DataError

VALUES = np.random.default_rng(0).normal(3, 2, (6, 5))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, "<f4", ">f4", ">f8"])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tiff"])
def test_floats_are_read_as_they_are(tmp_path: Path, kind: type, suffix: str) -> None:
    values, path = VALUES.astype(kind), tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    elif suffix == ".npz":
        np.savez_compressed(path, values)
    else:
        tifffile.imwrite(path, values)
    found = read_map(path)
    assert found.bits == 0
    np.testing.assert_array_equal(found.values, values)
    assert found.values.dtype == (np.float64 if values.dtype.itemsize == 8 else np.float32)


@pytest.mark.parametrize(("kind", "bits"), [(np.uint8, 8), (np.uint16, 16)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_whole_numbers_are_read_as_they_are(
    tmp_path: Path, kind: type, bits: int, suffix: str
) -> None:
    values, path = (VALUES * 20).clip(0).astype(kind), tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    found = read_map(path)
    assert found.bits == bits
    np.testing.assert_array_equal(found.values, values)


def test_grey_in_three_channels_is_grey(tmp_path: Path) -> None:
    grey = (VALUES * 20).clip(0).astype(np.uint8)
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_map(tmp_path / "a.png").values, grey)


@pytest.mark.parametrize("shape", [(1, 6, 5), (1, 1, 6, 5), (6, 5, 1)])
def test_axes_of_length_one_are_dropped(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", VALUES.reshape(shape))
    np.testing.assert_array_equal(read_map(tmp_path / "a.npy").values, VALUES)


def _colours(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8)).save(path)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("a.png", _colours, "picture in colours"),
        ("a.jpg", _colours, "changes values"),
        ("a.pt", lambda p: p.write_bytes(b"PK"), "may hold code"),
        ("a.npy", lambda p: np.save(p, np.array([{}])), "may hold code"),
        ("a.npy", lambda p: p.write_bytes(b"no array"), "a.npy"),
        ("a.npz", lambda p: p.write_bytes(b"PK\x03\x04"), "can't be read"),
        ("a.npz", lambda p: np.savez(p, a=VALUES, b=VALUES), "holds 2 arrays"),
        ("a.npy", lambda p: np.save(p, np.zeros((3, 4, 4))), "many maps"),
        ("a.npy", lambda p: np.save(p, np.zeros(3)), r"a map is \(H, W\)"),
        ("a.npy", lambda p: np.save(p, np.zeros((0, 3))), "no value"),
        ("a.npy", lambda p: np.save(p, np.array([["a"]])), "values of type"),
        ("a.npy", lambda p: np.save(p, np.zeros((2, 2), complex)), "values of type"),
        ("a.npy", lambda p: np.save(p, np.array([[1, np.nan, np.inf]])), "2 of 3 values"),
        (
            "a.tiff",
            lambda p: tifffile.imwrite(p, np.zeros((3, 9, 9), "f4"), photometric="minisblack"),
            "pages",
        ),
        ("a.npy", lambda _: None, "no file"),
        ("a.tiff", lambda _: None, "no file"),
    ],
)
def test_what_is_no_map_is_told(tmp_path: Path, name: str, make: object, words: str) -> None:
    make(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(DataError, match=words):
        read_map(tmp_path / name)


def test_arrays_of_many(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((3, 1, 4, 5))
    np.savez(
        tmp_path / "m.npz", anomaly_maps=maps, image_path=["a", "b", "c"], pred_scores=[[1]] * 3
    )
    found = read_map_array(tmp_path / "m.npz")
    assert found.names == ["a", "b", "c"]
    np.testing.assert_array_equal(found.maps, maps[:, 0])
    assert found.scores is not None
    assert found.scores.tolist() == [1, 1, 1]
    np.save(tmp_path / "m.npy", maps)
    with pytest.raises(DataError, match="doesn't say of which images"):
        read_map_array(tmp_path / "m.npy")
    (tmp_path / "names.txt").write_text("x\ny\n")
    with pytest.raises(DataError, match="3 maps, but there are 2 names"):
        read_map_array(tmp_path / "m.npy", tmp_path / "names.txt")
    (tmp_path / "names.txt").write_text("x\ny\nz\n")
    assert read_map_array(tmp_path / "m.npy", tmp_path / "names.txt").names == ["x", "y", "z"]
    np.savez(tmp_path / "m.npz", others=maps)
    with pytest.raises(DataError, match="no array called maps"):
        read_map_array(tmp_path / "m.npz")


def test_a_folder_without_maps_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        list_maps(tmp_path / "none")
    with pytest.raises(DataError, match="holds no maps"):
        list_maps(tmp_path)
    (tmp_path / "a.pt").touch()
    with pytest.raises(DataError, match="may hold code"):
        list_maps(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "b.npy").touch()
    (tmp_path / "a.npy").touch()
    assert [path.name for path in list_maps(tmp_path)] == ["a.npy"]


def test_a_stack_in_a_file_holds_the_same() -> None:
    rng = np.random.default_rng(0)
    maps = [rng.random(shape).astype(kind) for shape, kind in [((3, 4), "f4"), ((5, 2), "f8")] * 3]
    stack = MapStack(maps, in_memory=100)
    assert len(stack) == 6
    for there, one in zip(stack, maps, strict=True):
        assert there.dtype == one.dtype
        np.testing.assert_array_equal(there, one)
