"""Outlines that annotation tools wrote, read from their JSON files."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anomalist.data.annotations import read_annotation
from anomalist.data.coco import decode_rle
from anomalist.errors import DataError
from tests.reference import polygons as reference

SIZE = 12, 16
BOX = [[2, 3], [9, 3], [9, 8], [2, 8]]
RING = [2, 3, 9, 3, 9, 8, 2, 8]
IMAGE = Path("line1/0.png")


def written(folder: Path, values: object) -> Path:
    path = folder / "masks.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def pixels(path: Path, image: Path = IMAGE, size: tuple[int, int] = SIZE) -> np.ndarray:
    return read_annotation(path, image).drawn(size)[0]


def told(path: Path, image: Path = IMAGE, size: tuple[int, int] = SIZE) -> tuple[str, ...]:
    return read_annotation(path, image).drawn(size)[1]


def labelme(*shapes: dict[str, object], **more: object) -> dict[str, object]:
    return {
        "version": "5.2.1",
        "flags": {},
        "shapes": [
            {"label": "scratch", "group_id": None, "flags": {}, **shape} for shape in shapes
        ],
        "imagePath": "..\\0.png",
        "imageData": None,
        "imageHeight": SIZE[0],
        "imageWidth": SIZE[1],
        **more,
    }


def coco(*annotations: dict[str, object], **image: object) -> dict[str, object]:
    return {
        "images": [
            {"id": 7, "file_name": "0.png", "height": SIZE[0], "width": SIZE[1], **image},
            {"id": 8, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]},
        ],
        "annotations": [{"id": i, "image_id": 7, "category_id": 1, **a}
                        for i, a in enumerate(annotations)],
        "categories": [{"id": 1, "name": "scratch"}, {"id": 2, "name": "Good"}],
    }  # fmt: skip


def box(top: int = 3, bottom: int = 8, left: int = 2, right: int = 9) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"shape_type": "polygon", "points": BOX}, box()),
        ({"points": BOX}, box()),
        ({"shape_type": "rectangle", "points": [BOX[2], BOX[0]]}, box()),
        ({"shape_type": "rotation", "points": BOX}, box()),
        ({"shape_type": "line", "points": [[2, 3.5], [9, 3.5]]}, box(3, 4, 2, 10)),
        ({"shape_type": "linestrip", "points": [[2, 3.5], [9, 3.5], [9, 3.5]]}, None),
        ({"shape_type": "point", "points": [[4.2, 5.9]]}, box(5, 6, 4, 5)),
    ],
    ids=["polygon", "no type", "rectangle", "rotated", "line", "strip", "point"],
)
def test_shapes_of_labelme(
    tmp_path: Path, shape: dict[str, object], expected: np.ndarray | None
) -> None:
    mask = pixels(written(tmp_path, labelme(shape)))
    if expected is None:
        assert mask[3, 2:9].all()
        assert mask.sum() <= 9
    else:
        assert np.array_equal(mask, expected)


def test_circles_of_labelme(tmp_path: Path) -> None:
    shape = {"shape_type": "circle", "points": [[8, 6], [8, 10]]}
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    mask = pixels(written(tmp_path, labelme(shape)))
    assert np.array_equal(mask, np.hypot(x - 8, y - 6) <= 4)


def test_masks_of_labelme(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.ones((5, 7), bool)).save(stream, "PNG")
    shape = {"shape_type": "mask", "points": [[2, 3], [8, 7]]}
    shape["mask"] = base64.b64encode(stream.getvalue()).decode()
    assert np.array_equal(pixels(written(tmp_path, labelme(shape))), box())
    shape["points"] = [[-3, 10], [3, 14]]
    assert np.array_equal(pixels(written(tmp_path, labelme(shape))), box(10, 12, 0, 4))
    shape["mask"] = "no base64!"
    with pytest.raises(DataError, match=r"masks\.json .* has a mask that can't be decoded"):
        pixels(written(tmp_path, labelme(shape)))


def test_good_labels_mark_nothing_and_are_told(tmp_path: Path) -> None:
    good = {"label": " OK ", "points": BOX}
    path = written(tmp_path, labelme(good, {"points": [[0, 0], [1, 0], [1, 1], [0, 1]]}))
    assert pixels(path).sum() == 1
    assert told(path) == ("has shapes that are called good, which were left out",)
    path = written(tmp_path, coco({"category_id": 2, "segmentation": [RING]}))
    assert not pixels(path).any()
    assert told(path) == ("has shapes that are called good, which were left out",)


def test_no_shapes_are_an_empty_mask(tmp_path: Path) -> None:
    assert not pixels(written(tmp_path, labelme())).any()
    assert not pixels(written(tmp_path, coco()), Path("1.png")).any()


def test_outlines_are_scaled_with_their_image(tmp_path: Path) -> None:
    path = written(tmp_path, labelme({"points": BOX}))
    mask = pixels(path, size=(24, 32))
    assert np.array_equal(mask, np.kron(box(), np.ones((2, 2), bool)))
    assert told(path, size=(24, 32)) == ("is drawn for 16 x 12 pixels, and was scaled",)


def test_what_is_beyond_the_image_is_cut_and_told(tmp_path: Path) -> None:
    path = written(tmp_path, labelme({"points": [[9, 3], [99, 3], [99, 8], [9, 8]]}))
    assert np.array_equal(pixels(path), box(left=9, right=16))
    assert told(path) == ("reaches beyond its image, and was cut at its border",)
    path = written(tmp_path, labelme({"points": [[90, 3], [99, 3], [99, 8]]}))
    assert not pixels(path).any()
    assert told(path) == ("has shapes outside of its image, which were left out",)
    path = written(tmp_path, labelme({"points": [[0, 0], [16, 0], [16, 12], [0, 12]]}))
    assert pixels(path).all()
    assert told(path) == ()


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"segmentation": [RING], "bbox": [0, 0, 1, 1]}, box()),
        ({"segmentation": RING}, box()),
        ({"segmentation": [[2, 3, 9, 3, 9, 5, 2, 5], [2, 5, 9, 5, 9, 8, 2, 8]]}, box()),
        ({"segmentation": [[2, 3, 9, 3, 9, 6, 2, 6], [2, 5, 9, 5, 9, 8, 2, 8]]}, box()),
        (
            {"segmentation": {"counts": reference.run_lengths(box()), "size": SIZE}, "iscrowd": 1},
            box(),
        ),
        (
            {
                "segmentation": {
                    "counts": reference.packed(reference.run_lengths(box())),
                    "size": SIZE,
                }
            },
            box(),
        ),
        ({"bbox": [2, 3, 7, 5]}, box()),
        ({"segmentation": [], "bbox": [2, 3, 7, 5]}, box()),
    ],
    ids=["polygon", "flat", "two", "overlapping", "runs", "packed runs", "box", "empty and box"],
)
def test_annotations_of_coco(
    tmp_path: Path, annotation: dict[str, object], expected: np.ndarray
) -> None:
    path = written(tmp_path, coco(annotation))
    assert np.array_equal(pixels(path), expected)
    boxes = ("has boxes without an outline, which mark more than the defect",)
    assert told(path) == (() if annotation.get("segmentation") else boxes)


def test_annotations_of_an_image_are_one_mask(tmp_path: Path) -> None:
    path = written(tmp_path, coco({"bbox": [2, 3, 7, 2]}, {"bbox": [2, 5, 7, 3]}))
    assert np.array_equal(pixels(path), box())
    assert not pixels(path, Path("1.png")).any()


def test_images_of_coco_are_found_by_name(tmp_path: Path) -> None:
    values = coco({"bbox": [2, 3, 7, 5]}, file_name="line1\\0.png")
    values["images"] += [{"id": 9, "file_name": "line2/0.png"}]
    path = written(tmp_path, values)
    assert np.array_equal(pixels(path, Path("/data/line1/0.png")), box())
    assert not pixels(path, Path("/data/line2/0.png")).any()
    with pytest.raises(DataError, match=r"lists several images 0\.png that could be line3/0\.png"):
        pixels(path, Path("line3/0.png"))
    with pytest.raises(DataError, match=r"masks\.json .* lists no image 5\.png, but line1"):
        pixels(path, Path("5.png"))
    composed, decomposed = "gr\u00fcn.png", "gru\u0308n.png"
    path = written(tmp_path, coco({"bbox": [2, 3, 7, 5]}, file_name=decomposed))
    assert np.array_equal(pixels(path, Path(composed)), box())


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, coco({"bbox": [2, 3, 7, 5]}))
    assert pixels(path).any()
    written(tmp_path, coco())
    assert not pixels(path).any()


@settings(max_examples=100, derandomize=True, deadline=None)
@given(data=st.data(), height=st.integers(1, 40), width=st.integers(1, 40))
def test_run_lengths(data: st.DataObject, height: int, width: int) -> None:
    bits = data.draw(st.binary(min_size=height * width, max_size=height * width))
    threshold = data.draw(st.sampled_from([1, 128, 250, 256]))
    mask = (np.frombuffer(bits, np.uint8) >= threshold).reshape(height, width)
    lengths = reference.run_lengths(mask)
    assert np.array_equal(decode_rle(lengths, (height, width)), mask)
    assert np.array_equal(decode_rle(reference.packed(lengths), (height, width)), mask)


def deep() -> str:
    return '{"shapes":' + "[" * 200_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it isn't JSON"),
        ("{", "it isn't JSON"),
        (b"\xff\xd8\xff", "it isn't JSON"),
        (deep(), "nested too deeply|it isn't JSON"),
        ("[]", "it holds no annotations that are known; outlines of LabelMe and COCO are read"),
        ("3", "it holds no annotations that are known"),
        ('{"a.png1": {"filename": "a.png", "regions": []}}', r"seem to be VIA's .*COCO"),
        ('{"_via_img_metadata": {}}', "seem to be VIA's project"),
        ('[{"Labeled Data": "x", "Label": {}}]', "seem to be Labelbox's"),
        ('[{"id": 1, "annotations": [{"result": []}]}]', "seem to be Label Studio's"),
        ('{"type": "FeatureCollection", "features": []}', "seem to be GeoJSON"),
        ('{"shapes": [{"label": "x"}]}', "'points' is missing"),
        ('{"shapes": [3]}', "has no attribute"),
        ('{"shapes": [{"label": "x", "points": [[1, 2], [NaN, 2], [3, 4]]}]}', "isn't a number"),
        ('{"shapes": [{"label": "x", "points": [[1, 2], [1e999, 2], [3, 4]]}]}', "isn't a number"),
        ('{"shapes": [{"label": "x", "points": []}]}', "a shape of 0 points"),
        ('{"shapes": [{"label": "x", "points": [[1, 2, 3]]}]}', "aren't pairs"),
        ('{"shapes": [{"label": "x", "points": [["a", 2]]}]}', "could not convert"),
        ('{"shapes": [{"shape_type": "cuboid", "points": [[1, 2]]}]}', "of the kind 'cuboid'"),
        ('{"shapes": [], "imageHeight": 0, "imageWidth": 4}', "an image of 4 x 0 pixels"),
        ('{"images": [{"id": 1}], "annotations": []}', "'file_name' is missing"),
        ('{"images": [{"id": 1, "file_name": "0.png"}], "annotations": [{}]}', "'image_id'"),
        (
            '{"images": [{"id": 1, "file_name": "0.png"}], "annotations":'
            ' [{"image_id": 1, "segmentation": {"size": [2, 2], "counts": [1, 2]}}]}',
            "run lengths that don't fill the 2 x 2 pixels",
        ),
        (
            '{"images": [{"id": 1, "file_name": "0.png"}], "annotations":'
            ' [{"image_id": 1, "segmentation": {"size": [99999, 99999], "counts": [1]}}]}',
            "run-length mask of 99999 x 99999 pixels",
        ),
        (
            '{"images": [{"id": 1, "file_name": "0.png"}], "annotations":'
            ' [{"image_id": 1, "segmentation": {"size": [2, 2], "counts": "~~"}}]}',
            "aren't COCO's",
        ),
        (
            '{"images": [{"id": 1, "file_name": "0.png"}], "annotations":'
            ' [{"image_id": 1, "segmentation": [[1, 2, 3]]}]}',
            "an outline of 3 numbers, which aren't pairs",
        ),
    ],
)
def test_nonsense_is_told(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = tmp_path / "masks.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=rf"masks\.json can't be read as annotations: .*({reason})"):
        pixels(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*masks\.json"):
        pixels(tmp_path / "masks.json")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(labelme({"points": BOX})), encoding=encoding)
    assert np.array_equal(pixels(path), box())
