from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anomalist.data import Category, MVTecAD, load_batches
from anomalist.detectors import PatchCore
from anomalist.errors import ParameterError
from anomalist.features import Backbone, patch_embeddings
from tests.reference import patchcore as reference


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def embeddings(detector: PatchCore, images: object) -> np.ndarray:
    backbone = Backbone(detector.backbone)
    batches = load_batches(images, detector.transform, detector.batch_size)  # type: ignore[arg-type]
    return np.concatenate([patch_embeddings(backbone(batch)).numpy() for batch in batches])


@pytest.mark.parametrize("num_neighbors", [1, 3, 9])
@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_scores_and_maps_are_those_of_the_paper(
    category: Category, num_neighbors: int, sigma: float
) -> None:
    detector = PatchCore(
        image_size=64, coreset_ratio=0.2, num_neighbors=num_neighbors, sigma=sigma, device="cpu"
    ).fit(category.train)
    predictions = detector.predict(category.test)
    bank = detector.bank_.astype(float)
    for i, patches in enumerate(embeddings(detector, category.test).astype(float)):
        score, distances = reference.score_image(patches, bank, num_neighbors)
        assert predictions.scores[i] == pytest.approx(score, rel=1e-5)
        expected = reference.smooth_map(distances, (64, 64), sigma)
        np.testing.assert_allclose(predictions.maps[i], expected, rtol=1e-5, atol=1e-5)


def test_the_bank_is_a_coreset_of_good_patches(category: Category) -> None:
    detector = PatchCore(image_size=64, coreset_ratio=0.25, device="cpu").fit(category.train)
    patches = embeddings(detector, category.train).reshape(-1, detector.bank_.shape[1])
    assert len(detector.bank_) == len(patches) // 4
    among = (detector.bank_[:, None] == patches[None]).all(axis=2).any(axis=1)
    assert among.all()
    to_bank = np.linalg.norm(patches[:, None] - detector.bank_[None], axis=2).min(axis=1)
    assert detector.coverage_radius_ == pytest.approx(to_bank.max(), rel=1e-5)


def test_coreset_size_wins_over_the_ratio(category: Category) -> None:
    detector = PatchCore(image_size=64, coreset_ratio=0.5, coreset_size=7, device="cpu")
    assert len(detector.fit(category.train).bank_) == 7


def test_a_projection_picks_whole_patches_from_its_seed(category: Category) -> None:
    banks = [
        PatchCore(image_size=64, coreset_ratio=0.1, projection_dim=8, seed=seed, device="cpu")
        .fit(category.train)
        .bank_
        for seed in (0, 0, 1)
    ]
    assert banks[0].shape[1] == 152
    assert np.array_equal(banks[0], banks[1])
    assert not np.array_equal(banks[0], banks[2])


def test_a_coreset_of_one_patch_still_scores(category: Category) -> None:
    detector = PatchCore(image_size=64, coreset_size=1, device="cpu").fit(category.train)
    assert (detector.predict(category.test).scores > 0).all()


def test_a_memory_ceiling_keeps_the_size_and_bounds_the_radius(category: Category) -> None:
    free = PatchCore(image_size=256, coreset_size=300, device="cpu").fit(category.train)
    bound = PatchCore(image_size=256, coreset_size=300, memory_limit_mb=2, device="cpu")
    bound.fit(category.train)
    assert bound.bank_.shape == free.bank_.shape
    patches = embeddings(bound, category.train).reshape(-1, bound.bank_.shape[1])
    squared = (
        (patches**2).sum(axis=1)[:, None] - 2 * patches @ bound.bank_.T + (bound.bank_**2).sum(1)
    )
    radius = np.sqrt(squared.min(axis=1).clip(0).max())
    assert free.coverage_radius_ <= radius <= bound.coverage_radius_ * (1 + 1e-5)


def test_a_ceiling_below_the_coreset_itself_is_refused(category: Category) -> None:
    detector = PatchCore(image_size=256, coreset_ratio=0.5, memory_limit_mb=1, device="cpu")
    with pytest.raises(ParameterError, match="memory_limit_mb="):
        detector.fit(category.train)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("coreset_ratio", 0.0),
        ("coreset_ratio", 1.1),
        ("coreset_size", 0),
        ("projection_dim", 0),
        ("num_neighbors", 0),
        ("neighbourhood", 2),
        ("sigma", -1.0),
        ("memory_limit_mb", 0),
    ],
)
def test_values_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ParameterError, match=name):
        PatchCore(**{name: value})  # type: ignore[arg-type]


def test_presets_are_the_papers() -> None:
    detector = PatchCore.preset("wide_resnet50_2", seed=5)
    assert (detector.layers, detector.image_size, detector.crop_size, detector.seed) == (
        ("layer2", "layer3"),
        256,
        224,
        5,
    )
    with pytest.raises(ParameterError, match=r"has no preset 'x'; it has: .*resnet18"):
        PatchCore.preset("x")


def test_bottle_is_told_apart(mvtec_ad: Path) -> None:
    bottle = MVTecAD(mvtec_ad).category("bottle")
    detector = PatchCore(image_size=128, coreset_ratio=0.05, device="cpu").fit(bottle.train[::4])
    predictions = detector.predict(bottle.test[::3])
    assert predictions.labels is not None
    good, bad = predictions.scores[~predictions.labels], predictions.scores[predictions.labels]
    assert (bad[:, None] > good[None]).mean() > 0.97
