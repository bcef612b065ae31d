from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from anomalist.data import Category, ImageSet, Sample, as_image_set
from anomalist.errors import DataError, ParameterError

GREY = np.zeros((6, 9), np.uint8)
RGB = np.zeros((6, 9, 3), np.uint8)
FILE = io.BytesIO()
Image.fromarray(RGB).save(FILE, "PNG")
PATHS = ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("images", "names", "size"),
    [
        ("a.png", ["a.png"], None),
        (Path("a.png"), ["a.png"], None),
        (FILE.getvalue(), ["image-0"], (6, 9)),
        (Image.fromarray(GREY), ["image-0"], (6, 9)),
        (GREY, ["image-0"], (6, 9)),
        (RGB, ["image-0"], (6, 9)),
        (np.zeros((6, 9, 4), np.uint16), ["image-0"], (6, 9)),
        (Sample("frame", image=GREY), ["frame"], (6, 9)),
        (PATHS, PATHS, None),
        (tuple(map(Path, PATHS)), PATHS, None),
        (np.array(PATHS), PATHS, None),
        (np.array(PATHS, object), PATHS, None),
        (pd.Series(PATHS, index=[7, 3]), PATHS, None),
        (pd.DataFrame({"path": PATHS, "label": [0, 1]})["path"], PATHS, None),
        ([RGB, GREY], ["image-0", "image-1"], (6, 9)),
        (["a.png", RGB, FILE.getvalue()], ["a.png", "image-1", "image-2"], None),
        (np.zeros((5, 6, 9), np.uint8), [f"image-{i}" for i in range(5)], (6, 9)),
        (np.zeros((3, 6, 9), np.uint8), [f"image-{i}" for i in range(3)], (6, 9)),
        (np.zeros((2, 6, 9, 3), np.uint8), ["image-0", "image-1"], (6, 9)),
        (np.zeros((2, 6, 9, 4), np.uint8), ["image-0", "image-1"], (6, 9)),
    ],
)
def test_what_holds_images_is_taken(
    images: Any, names: list[str], size: tuple[int, int] | None
) -> None:
    found = as_image_set(images, "frames")
    assert found.name == "frames"
    assert found.paths == [Path(name) for name in names]
    assert found.labels is None
    assert size is None or {sample.size() for sample in found} == {size}
    again = as_image_set(iter(list(found)))
    assert list(again) == list(found)


def test_what_is_an_image_set_already_stays_the_same() -> None:
    images = ImageSet([Sample("a.png", False, "good")], "bottle/train")
    assert as_image_set(images, "other") is images
    assert as_image_set(ImageSet([])).paths == []
    assert as_image_set([images[0], "b.png"])[0] is images[0]


def test_images_of_an_array_that_cannot_be_written_to_share_its_memory() -> None:
    stack = np.zeros((5, 6, 9), np.uint8)
    assert not np.shares_memory(as_image_set(stack)[1].image, stack)
    stack.flags.writeable = False
    assert np.shares_memory(as_image_set(stack)[1].image, stack)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "images can't be of type NoneType: an image is a path, "),
        (lambda _: 3.5, r"images can't be of type float \(3\.5\): an image is"),
        (lambda _: [], "give at least one image: there is none"),
        (lambda _: pd.Series([], dtype=str), "give at least one image"),
        (lambda _: {"a": RGB}, "images can't be of type dict: give its values as a list"),
        (lambda _: set(PATHS), "images can't be of type set: give a list"),
        (lambda _: pd.DataFrame({"path": PATHS}), "type DataFrame: give one of its columns"),
        (lambda _: Category("c", ImageSet([]), ImageSet([])), "can't be of type Category"),
        (str, r"is a folder: anomalist\.data\.list_images\(.*\) gives its images, and open_data"),
        (Path, "is a folder: "),
        (lambda _: np.zeros((6, 9)), "image-0 is an array of float64"),
        (lambda _: np.zeros((5, 6, 9)), "image-0 is an array of float64"),
        (lambda _: np.zeros((6, 9, 1), np.uint8), r"image-0 is an array of shape \(6, 9, 1\)"),
        (lambda _: np.zeros((2, 3, 6, 9), np.uint8), r"image-0 .* \(3, 6, 9\): .* channels come l"),
        (lambda _: [RGB, RGB / 255], "image-1 is an array of float64: .*; scale values"),
        (lambda _: [*PATHS, None], "image-2 is of type NoneType: an image is a path, "),
        (lambda _: pd.Series(["a.png", float("nan")]), r"image-1 is of type float \(nan\)"),
        (lambda _: [PATHS], "image-0 is of type list"),
        (lambda _: torch.zeros(2, 3, 6, 9), "image-0 is of type Tensor: an image is"),
    ],
)
def test_what_holds_no_images_is_told_in_a_line(
    tmp_path: Path, make: Callable[[Path], Any], message: str
) -> None:
    with pytest.raises((DataError, ParameterError), match=message) as error:
        as_image_set(make(tmp_path))
    assert "\n" not in str(error.value)
