from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomalist.data import ImageSet, Sample, Transform, as_image_set
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros(3)}, "scores of shape"),
        ({"maps": np.zeros((2, 4))}, "maps of shape"),
        ({"labels": np.zeros(1, bool)}, "labels of shape"),
        ({"masks": np.zeros((2, 4, 5), bool)}, "masks have shape"),
        ({"pooled": np.zeros((1, 3))}, "pooled of shape"),
        ({"defects": ["good"]}, "defect kinds"),
        ({"scores": np.array([0, np.nan])}, r"b\.png: .*finite"),
        ({"maps": np.full((2, 4, 4), np.inf)}, r"a\.png: .*finite"),
        ({"images": as_image_set("a.png")}, "2 paths need 2 images, not 1"),
        ({"images": as_image_set(["a.png", "c.png"])}, r"b\.png is the path of .* called c\.png"),
    ],
)
def test_shapes_and_values_are_checked(change: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {
        "paths": ["a.png", "b.png"],
        "scores": np.zeros(2),
        "maps": np.zeros((2, 4, 4)),
    }
    with pytest.raises(DataError, match=message):
        Predictions(**{**values, **change})


N = 5
FIELDS = [f.name for f in dataclasses.fields(Predictions) if f.name != "transform"]


def whole() -> Predictions:
    """Predictions that know all there is."""
    rng = np.random.default_rng(0)
    images = as_image_set(rng.integers(0, 255, (N, 8, 9), np.uint8), "frames")
    return Predictions(
        images.paths,
        rng.random(N),
        rng.random((N, 4, 3)),
        rng.random(N) > 0.5,
        rng.random((N, 4, 3)) > 0.5,
        [f"kind {i}" for i in range(N)],
        disagreement=rng.random(N),
        disagreement_maps=rng.random((N, 4, 3)),
        images=images,
        transform=Transform((4, 3)),
        pooled=rng.random((N, 7)),
        ignored=rng.random((N, 4, 3)) > 0.5,
    )


def assert_same(got: Predictions, expected: Predictions) -> None:
    for name in FIELDS:
        ours, theirs = getattr(got, name), getattr(expected, name)
        assert type(ours) is type(theirs), name
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs), name
        else:
            assert ours is None or list(ours) == list(theirs), name


@pytest.mark.parametrize(
    "index",
    [
        slice(1, 3),
        slice(None, None, -2),
        slice(0, 0),
        [4, 0, 0],
        [],
        np.array([-1, 2]),
        np.array([True, False, True, False, False]),
        [False] * N,
    ],
)
def test_parts_are_predictions_that_lack_nothing(index: Any) -> None:
    predictions = whole()
    part = predictions[index]
    places = np.arange(N)[index if isinstance(index, slice) or len(index) else slice(0, 0)]
    assert isinstance(part, Predictions)
    for name in FIELDS:
        values, taken = getattr(predictions, name), getattr(part, name)
        assert len(taken) == len(places)
        for i, place in enumerate(places):
            assert np.array_equal(taken[i], values[place]), name
    assert part.images.name == "frames"
    assert part.transform == predictions.transform is not None


def test_an_index_gives_one_image_and_shares_its_memory() -> None:
    predictions = whole()
    for i in (0, -1, np.int64(2)):
        one = predictions[i]
        assert len(one) == 1
        assert one.paths == [predictions.paths[i]]
        assert np.shares_memory(one.maps, predictions.maps[i])
        assert one.images[0] is predictions.images[i]
    for wrong in (N, -N - 1, [N], np.array([True])):
        with pytest.raises(IndexError):
            predictions[wrong]


def test_iterating_and_joining_gives_the_same_again() -> None:
    predictions = whole()
    assert [len(one) for one in predictions] == [1] * N
    assert_same(Predictions.join(predictions), predictions)
    order = np.array([3, 1, 0, 4, 2])
    parts = [predictions[order[:2]], predictions[order[2:]]]
    assert_same(Predictions.join(parts)[np.argsort(order)], predictions)
    assert_same(Predictions.join(iter([predictions])), predictions)
    bare = Predictions(["a.png", "b.png"], np.zeros(2), np.zeros((2, 4, 4)))
    assert_same(Predictions.join([bare[:1], bare[1:]]), bare)
    assert_same(pickle.loads(pickle.dumps(predictions)), predictions)


def test_what_disagrees_is_not_joined() -> None:
    predictions = whole()
    for name in ("labels", "masks", "defects", "disagreement", "disagreement_maps"):
        poorer = dataclasses.replace(predictions, **{name: None})
        for parts in ([predictions, poorer], [poorer, predictions]):
            with pytest.raises(DataError, match=f"can't be joined: only some have {name}"):
                Predictions.join(parts)
    cropped = dataclasses.replace(predictions, transform=Transform((8, 6), 3))
    with pytest.raises(DataError, match="can't be joined: their transforms differ"):
        Predictions.join([predictions, cropped])
    small = Predictions(["a.png"], np.zeros(1), np.zeros((1, 2, 2)))
    large = Predictions(["b.png"], np.zeros(1), np.zeros((1, 3, 4)))
    with pytest.raises(DataError, match="their maps have 2 x 2 and 4 x 3 pixels"):
        Predictions.join([large, small])
    with pytest.raises(DataError, match="no predictions to join"):
        Predictions.join([])


def test_images_are_the_files_unless_others_are_given() -> None:
    predictions = Predictions(["a.png", Path("b.png")], np.zeros(2), np.zeros((2, 4, 4)))
    assert list(predictions.images) == [Sample("a.png"), Sample("b.png")]
    images = ImageSet([Sample("a.png", True), Sample("b.png", False)])
    given = Predictions(images.paths, np.zeros(2), np.zeros((2, 4, 4)), images=images)
    assert given.images is images
    assert len(Predictions([], np.zeros(0), np.zeros((0, 4, 4))).images) == 0


def test_an_image_is_plotted_beside_its_heatmap() -> None:
    frames = [Sample(f"f{i}", image=np.full((150, 200), 60 + i, np.uint8)) for i in range(2)]
    maps = np.zeros((2, 6, 8))
    maps[1, 2:4, 2:5] = 4.0
    found = Predictions(
        ["f0", "f1"], np.array([0.0, 4.0]), maps, masks=maps > 0, images=ImageSet(frames)
    )
    good, bad = (np.asarray(found.plot(i)) for i in (0, -1))
    assert good.shape[1] == bad.shape[1] == 2 * 200 + 6
    top = 18 + 6
    for picture, grey in ((good, 60), (bad, 61)):
        assert (picture[top : top + 150, :200] == grey).all()
    assert (good[top : top + 150, 206:] == 60).all()
    assert (bad[top + 75, 206 + 90] != 61).any()
    outlined = np.asarray(found.plot(1, low=0.0, high=2.0, threshold=1.0))
    assert (outlined == (0, 220, 255)).all(axis=2).any()
    with pytest.raises(ParameterError, match="give both or none"):
        found.plot(0, low=1.0)
    with pytest.raises(ParameterError, match="side must be from 16"):
        found.plot(0, side=2)
    with pytest.raises(IndexError):
        found.plot(2)
