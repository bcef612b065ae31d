from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from anomalist.calibration import Reference
from anomalist.calibration.reference import NAMES
from anomalist.data import ImageSet, Sample, Transform
from anomalist.errors import ModelFileError
from anomalist.predictions import Predictions

SIZE = 32


def predicted(n: int, seed: int = 0, *, channels: int = 6, **more: Any) -> Predictions:
    rng = np.random.default_rng(seed)
    images = ImageSet(
        Sample(f"{i}.png", image=rng.integers(80, 160, (SIZE, SIZE, 3), np.uint8)) for i in range(n)
    )
    pooled = rng.normal(size=(n, channels)).astype(np.float32)
    maps = np.zeros((n, SIZE, SIZE), np.float32)
    given = {"transform": Transform(SIZE), "pooled": pooled, **more}
    return Predictions(images.paths, rng.random(n), maps, images=images, **given)


def test_every_number_of_every_photograph_is_kept() -> None:
    good = predicted(12)
    reference = Reference.of(good)
    assert reference is not None
    assert reference.names == NAMES
    assert reference.rows.shape == (12, len(NAMES))
    np.testing.assert_allclose(reference.rows[:, -1], good.scores, rtol=1e-5)
    look = good.images[3].look(Transform(SIZE))
    row = dict(zip(reference.names, reference.rows[3], strict=True))
    assert row["brightness"] == pytest.approx(look.brightness, rel=1e-5)
    assert row["across"] == pytest.approx(look.framing.across, rel=1e-5)


def test_features_are_compared_with_those_of_the_others() -> None:
    good = predicted(15, channels=4)
    reference = Reference.of(good)
    assert reference is not None
    assert good.pooled is not None
    for i in range(15):
        others = np.delete(good.pooled.astype(np.float64), i, axis=0)
        apart = (good.pooled[i] - others.mean(axis=0)) / others.std(axis=0)
        expected = np.sqrt((apart**2).mean())
        assert reference.rows[i, reference.names.index("features")] == pytest.approx(expected, 1e-4)


def test_shots_of_one_part_count_once_and_are_known_again() -> None:
    parts = predicted(6).images
    shots = [
        Sample(f"{i}-{shot}.png", image=(sample.image + np.uint8(shot)))
        for i, sample in enumerate(parts)
        for shot in range(4)
        if isinstance(sample.image, np.ndarray)
    ]
    images = ImageSet(shots)
    good = Predictions(
        images.paths,
        np.arange(24.0),
        np.zeros((24, SIZE, SIZE)),
        images=images,
        transform=Transform(SIZE),
    )
    reference = Reference.of(good, groups=np.repeat(np.arange(6), 4).tolist())
    assert reference is not None
    assert reference.rows[:, -1].tolist() == [0, 4, 8, 12, 16, 20]
    assert reference.near > 0


def test_new_photographs_have_the_same_numbers() -> None:
    good, new = predicted(12), predicted(5, seed=1)
    reference = Reference.of(good)
    assert reference is not None
    rows = reference.measure(new, Transform(SIZE))
    assert rows.shape == (5, len(NAMES))
    assert np.isfinite(rows).all()
    again = reference.measure(new, Transform(SIZE))
    np.testing.assert_array_equal(rows, again)


def test_a_photograph_that_is_gone_has_none() -> None:
    reference = Reference.of(predicted(12))
    assert reference is not None
    gone = Predictions(["gone.png"], np.zeros(1), np.zeros((1, SIZE, SIZE)))
    assert np.isnan(reference.measure(gone, Transform(SIZE))).all()


@pytest.mark.parametrize("n", [1, 2, 9])
def test_few_photographs_leave_features_out(n: int) -> None:
    reference = Reference.of(predicted(n))
    assert reference is not None
    assert "features" not in reference.names
    assert np.isfinite(reference.rows).all()


def test_constant_photographs_have_finite_numbers() -> None:
    images = ImageSet(
        Sample(f"{i}.png", image=np.full((SIZE, SIZE, 3), 7, np.uint8)) for i in range(12)
    )
    good = Predictions(
        images.paths,
        np.zeros(12),
        np.zeros((12, SIZE, SIZE)),
        images=images,
        transform=Transform(SIZE),
        pooled=np.ones((12, 3)),
    )
    reference = Reference.of(good)
    assert reference is not None
    assert np.isfinite(reference.rows).all()
    json.dumps(reference.state(), allow_nan=False)


def test_predictions_made_by_hand_have_no_reference() -> None:
    assert Reference.of(predicted(12, transform=None)) is None


def test_it_is_the_same_from_a_file() -> None:
    reference = Reference.of(predicted(12))
    assert reference is not None
    again = Reference.from_state(json.loads(json.dumps(reference.state(), allow_nan=False)))
    assert again.names == reference.names
    for name in ("rows", "center", "spread"):
        np.testing.assert_array_equal(getattr(again, name), getattr(reference, name))
    assert again.near == reference.near


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("names", ["brightness"] * len(NAMES)),
        ("names", ["price", *NAMES[1:]]),
        ("rows", []),
        ("rows", [[0.0]]),
        ("rows", [[1e30] * len(NAMES)]),
        ("center", []),
        ("spread", [-1.0] * 6),
        ("spread", [1.0] * 5),
        ("near", -1.0),
        ("near", 1e30),
    ],
)
def test_values_that_make_no_sense_are_refused(key: str, value: npt.ArrayLike) -> None:
    reference = Reference.of(predicted(12))
    assert reference is not None
    with pytest.raises(ModelFileError, match="garbles"):
        Reference.from_state({**reference.state(), key: value})
