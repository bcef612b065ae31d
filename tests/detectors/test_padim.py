from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from anomalist.data import Category, ImageSet, MVTecAD, load_batches
from anomalist.detectors import FeatureBatches, padim_gaussians
from anomalist.detectors.padim import PaDiM
from anomalist.detectors.padim_gaussians import LowRank, Triangular
from anomalist.detectors.padim_left_out import leave_each_of_few_out, leave_groups_out
from anomalist.detectors.shards import deal_shards
from anomalist.errors import ParameterError
from anomalist.features import Backbone
from tests.reference import padim as reference
from tests.reference.patchcore import smooth_map

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def feature_maps(detector: PaDiM, images: ImageSet) -> list[np.ndarray]:
    backbone = Backbone(detector.backbone, PaDiM.default_layers)
    batches = [backbone(b) for b in load_batches(images, detector.transform, detector.batch_size)]
    return [torch.cat(layer).double().numpy() for layer in zip(*batches, strict=True)]


@cache
def network() -> Backbone:
    return Backbone("efficientnet_lite0", ["stride4"])


def random_maps(images: int, seed: int) -> list[Tensor]:
    """Maps of two layers whose channels are correlated, far from zero and of unequal scale."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(24, 24, generator=torch.Generator().manual_seed(99))
    mixing *= torch.logspace(-2, 1, 24)
    fine = torch.randn(images, 8, 4, 6, generator=generator)
    coarse = torch.randn(images, 16, 2, 3, generator=generator)
    fine = torch.einsum("nchw,cd->ndhw", fine, mixing[:8, :8]) + 20
    coarse = torch.einsum("nchw,cd->ndhw", coarse, mixing[:16, :16]) - 5
    return [fine, coarse]


def fitted(detector: PaDiM, maps: list[Tensor], batch: int) -> PaDiM:
    detector.backbone_ = network()
    pieces = list(zip(*(layer.split(batch) for layer in maps), strict=True))
    detector._fit(FeatureBatches(lambda: iter([list(p) for p in pieces]), len(maps[0])))
    return detector


def expected(train: list[Tensor], test: list[Tensor], detector: PaDiM) -> np.ndarray:
    embeddings = [
        reference.embed([layer.double().numpy() for layer in maps], detector.channels_)
        for maps in (train, test)
    ]
    return reference.distances(*embeddings, detector.regularization)


@pytest.mark.parametrize("sigma", [0.0, 4.0])
@pytest.mark.parametrize("dimensions", [4, 100, None])
def test_scores_and_maps_are_those_of_the_paper(
    category: Category, dimensions: int | None, sigma: float
) -> None:
    detector = PaDiM(image_size=64, dimensions=dimensions, sigma=sigma, device="cpu")
    detector.fit(category.train)
    # Six images: of 4 dimensions the triangle is smaller, of more the low rank.
    assert detector.factors_.ndim == (2 if dimensions == 4 else 3)
    predictions = detector.predict(category.test)
    train, test = (
        reference.embed(feature_maps(detector, images), detector.channels_)
        for images in (category.train, category.test)
    )
    for i, distances in enumerate(reference.distances(train, test, 0.01)):
        smoothed = smooth_map(distances, (64, 64), sigma)
        np.testing.assert_allclose(predictions.maps[i], smoothed, rtol=1e-4)
        assert predictions.scores[i] == pytest.approx(smoothed.max(), rel=1e-4)


@pytest.mark.parametrize("images", [1, 2, 11, 12, 23, 24, 25, 40, 300])
@pytest.mark.parametrize("regularization", [0.01, 1e-4, 3.0])
def test_few_and_many_images_give_mahalanobis_distances(images: int, regularization: float) -> None:
    train, test = random_maps(images, 0), random_maps(5, 1)
    detector = fitted(PaDiM(dimensions=None, regularization=regularization), train, batch=8)
    distances = expected(train, test, detector)
    np.testing.assert_allclose(detector._score(test)[1], distances, rtol=2e-4)
    # Images that were fitted lie where a low-rank form would cancel.
    seen = [layer[:5] for layer in train]
    np.testing.assert_allclose(
        detector._score(seen)[1], expected(train, seen, detector), rtol=2e-4, atol=2e-3
    )


@pytest.mark.parametrize("images", [1, 10, 30])
def test_both_forms_of_the_factors_are_equal(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = random_maps(images, 0), random_maps(5, 1)
    answers = []
    for few, ndim in ((False, 2), (True, 3)):
        monkeypatch.setattr(PaDiM, "_are_few", lambda _, images, few=few: few)
        detector = fitted(PaDiM(dimensions=None), train, batch=4)
        assert detector.factors_.ndim == ndim
        answers.append(detector._score(test)[1])
    np.testing.assert_allclose(*answers, rtol=1e-4)


def test_images_are_folded_in_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = random_maps(90, 0), random_maps(5, 1)
    whole = fitted(PaDiM(dimensions=None), train, batch=90)
    scores = whole._score(test)[1]
    monkeypatch.setattr(padim_gaussians, "_WAITING", 7 * 24)
    monkeypatch.setattr(padim_gaussians, "_WAITING_IMAGES", 1)
    monkeypatch.setattr(padim_gaussians, "_BAND", 5)
    folded = fitted(PaDiM(dimensions=None), train, batch=8)
    np.testing.assert_allclose(folded.means_, whole.means_, rtol=1e-6)
    np.testing.assert_allclose(folded._score(test)[1], scores, rtol=1e-4)


def test_a_regularization_that_leaves_covariances_singular_is_refused() -> None:
    maps = random_maps(40, 0)
    maps[1] = maps[1][:, :1].expand(-1, 16, -1, -1)
    detector = PaDiM(dimensions=None, regularization=1e-30)
    with pytest.raises(ParameterError, match="regularization 1e-30 is too small"):
        fitted(detector, maps, batch=8)


def test_the_seed_draws_the_dimensions(category: Category) -> None:
    drawn = [
        PaDiM(image_size=64, seed=seed, dimensions=50, device="cpu").fit(category.train).channels_
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert len(set(drawn[0].tolist())) == 50
    assert 0 <= drawn[0].min() <= drawn[0].max() < 176


@pytest.mark.parametrize("dimensions", [None, 1000])
def test_all_dimensions_are_kept_where_there_are_no_more(
    category: Category, dimensions: int | None
) -> None:
    detector = PaDiM(image_size=64, dimensions=dimensions, device="cpu").fit(category.train)
    assert np.array_equal(detector.channels_, np.arange(24 + 40 + 112))


def test_a_layer_of_which_nothing_is_drawn_is_left_out(category: Category) -> None:
    detector = PaDiM(image_size=64, dimensions=1, device="cpu").fit(category.train)
    assert (detector.predict(category.test).maps >= 0).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimensions", 0),
        ("regularization", 0.0),
        ("regularization", float("nan")),
        ("regularization", float("inf")),
        ("sigma", -1.0),
    ],
)
def test_values_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ParameterError, match=name):
        PaDiM(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "dimensions", "crop_size"),
    [("efficientnet_lite0", 100, None), ("resnet18", 100, 224), ("wide_resnet50_2", 550, 224)],
)
def test_presets_are_the_papers(name: str, dimensions: int, crop_size: int | None) -> None:
    detector = PaDiM.preset(name, seed=5)
    assert (detector.backbone, detector.dimensions) == (name, dimensions)
    assert (detector.image_size, detector.crop_size, detector.seed) == (256, crop_size, 5)
    assert detector.layers is not None
    assert len(detector.layers) == 3


def test_bottle_is_told_apart(mvtec_ad: Path) -> None:
    bottle = MVTecAD(mvtec_ad).category("bottle")
    detector = PaDiM(image_size=128, device="cpu").fit(bottle.train[::3])
    predictions = detector.predict(bottle.test[::3])
    assert predictions.labels is not None
    good, bad = predictions.scores[~predictions.labels], predictions.scores[predictions.labels]
    assert (bad[:, None] > good[None]).mean() > 0.97


@pytest.mark.parametrize("n", [3, 9, 40])
@pytest.mark.parametrize("dimensions", [1, 8, 30])
@pytest.mark.parametrize("regularization", [1e-6, 0.01, 10.0])
def test_leaving_groups_out_has_a_closed_form(
    n: int, dimensions: int, regularization: float
) -> None:
    rng = np.random.default_rng(n)
    groups = rng.integers(0, max(n // 3, 2), n)
    groups[:2] = 0, 1
    parts = rng.normal(0, 3, (5, n, dimensions)) + 20
    rows = (parts[:, groups] + rng.normal(0, 0.01, parts.shape)).astype(np.float32)  # near copies
    exact = rows.astype(np.float64)
    expected = reference.left_out(exact, groups, regularization)
    got = leave_groups_out(rows, groups, regularization)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    each = reference.left_out(exact, np.arange(n), regularization)
    got = leave_groups_out(rows, np.arange(n), regularization)
    np.testing.assert_allclose(got, each, rtol=1e-4)
    if n - 2 < dimensions and regularization > 1e-3:
        got = leave_each_of_few_out(rows, regularization)
        np.testing.assert_allclose(got, each, rtol=1e-4)


@pytest.mark.parametrize("images", [9, 40, 300])
@pytest.mark.parametrize("shards", [1, 2, 7])
def test_shards_add_up_to_the_fit_on_all(images: int, shards: int) -> None:
    train, test = random_maps(images, 0), random_maps(5, 1)
    whole = fitted(PaDiM(dimensions=20), train, batch=8)
    joined = PaDiM(dimensions=20)
    dealt = deal_shards(images, shards)
    summaries = []
    for shard in dealt:
        maps = [[layer[shard.slice] for layer in train]]
        joined.backbone_ = network()
        features = FeatureBatches(lambda maps=maps: iter(maps), len(shard))
        summaries.append(joined._summarise(features, shard))
    few = images == 9  # whose embeddings are brought home, and put in their places
    kind = LowRank if few else Triangular
    means, factors = kind.join(iter(summaries), images, 0.01).finish()
    if few:
        assert np.array_equal(means, whole.means_)
        assert np.array_equal(factors, whole.factors_)
    joined.means_, joined.factors_ = means, factors
    joined._restore()
    np.testing.assert_allclose(means, whole.means_, rtol=1e-6)
    np.testing.assert_allclose(joined._score(test)[1], whole._score(test)[1], rtol=1e-4)
    np.testing.assert_allclose(joined._score(test)[1], expected(train, test, joined), rtol=2e-4)
