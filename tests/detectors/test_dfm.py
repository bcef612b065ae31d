from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.decomposition

from anomalist.data import Category, ImageSet, MVTecAD, load_batches
from anomalist.detectors.dfm import DFM, _StreamingPCA
from anomalist.errors import ParameterError
from anomalist.features.network import Network
from tests.reference import dfm as reference


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def feature_maps(detector: DFM, images: ImageSet) -> np.ndarray:
    batches = load_batches(images, detector.transform, detector.batch_size)
    return np.concatenate([detector.backbone_(batch)[0].numpy() for batch in batches]).astype(float)


@pytest.mark.parametrize(
    ("image_size", "pooling_kernel_size", "windows", "pca_level"),
    [
        (128, 4, (2, 2), 0.97),
        (128, 4, (2, 2), 1.0),
        (128, 1, (8, 8), 0.97),
        (128, 3, (3, 3), 0.5),  # windows that cut locations
        ((64, 112), 4, (2, 2), 0.97),  # a side that the window would cover whole
    ],
)
def test_scores_and_maps_are_those_of_the_papers(
    category: Category,
    image_size: int | tuple[int, int],
    pooling_kernel_size: int,
    windows: tuple[int, int],
    pca_level: float,
) -> None:
    detector = DFM(
        image_size=image_size,
        pooling_kernel_size=pooling_kernel_size,
        pca_level=pca_level,
        device="cpu",
    ).fit(category.train)
    train, test = (
        reference.pool(feature_maps(detector, images), windows)
        for images in (category.train, category.test)
    )
    errors, likelihoods, maps = reference.score(
        train, test, pca_level, detector.transform.output_size
    )
    predictions = detector.predict(category.test)
    np.testing.assert_allclose(predictions.scores, errors, rtol=1e-4)
    np.testing.assert_allclose(predictions.maps, maps, rtol=1e-4)
    detector.score_type = "nll"
    predictions = detector.predict(category.test)
    np.testing.assert_allclose(predictions.scores, likelihoods, rtol=1e-4)
    np.testing.assert_allclose(predictions.maps, maps, rtol=1e-4)


def correlated(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Vectors whose variance falls from direction to direction, far from the origin."""
    rng = np.random.default_rng(seed)
    rank = min(count, dim)
    scales = np.geomspace(1, 1e-3, rank)
    vectors = rng.normal(size=(count, rank)) * scales @ rng.normal(size=(rank, dim))
    return (vectors + 5).astype(np.float32)


@pytest.mark.parametrize(("count", "dim"), [(3, 9), (40, 300), (300, 300), (700, 31)])
@pytest.mark.parametrize("shards", [1, 3])
def test_shards_add_up_to_the_components_of_all(count: int, dim: int, shards: int) -> None:
    vectors = correlated(count, dim)
    whole, joined = (_StreamingPCA(count, dim, memory_limit_mb=4096) for _ in range(2))
    whole.add(vectors)
    for shard in range(shards):
        own = vectors[shard::shards]
        part = _StreamingPCA(len(own), dim, memory_limit_mb=4096)
        part.add(own)
        joined.merge(part.summary())
    expected, found = whole.finish(0.97), joined.finish(0.97)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-8)
    signs = np.sign((found[1] * expected[1]).sum(axis=1))
    np.testing.assert_allclose(found[1] * signs[:, None], expected[1], atol=1e-6)


@pytest.mark.parametrize(("count", "dim"), [(2, 9), (40, 300), (300, 300), (700, 31)])
@pytest.mark.parametrize("level", [0.3, 0.97, 0.999])
def test_components_are_scikit_learns(count: int, dim: int, level: float) -> None:
    """In float64 to 1e-8, up to sign; 700 vectors of 31 values are joined in eleven parts."""
    vectors = correlated(count, dim)
    pca = _StreamingPCA(count, dim, memory_limit_mb=64)
    for start in range(0, count, 7):
        pca.add(vectors[start : start + 7])
    mean, components, variances = pca.finish(level)
    expected = sklearn.decomposition.PCA(level, svd_solver="full").fit(vectors.astype(float))
    np.testing.assert_allclose(mean, expected.mean_, rtol=1e-10)
    assert components.shape == expected.components_.shape
    signs = np.sign((components * expected.components_).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(components * signs, expected.components_, atol=1e-8)
    np.testing.assert_allclose(variances * count / (count - 1), expected.explained_variance_)


def test_a_memory_ceiling_bounds_the_rows_and_keeps_the_strong_components() -> None:
    vectors = correlated(500, 2000)
    pca = _StreamingPCA(len(vectors), 2000, memory_limit_mb=15)
    pca.add(vectors)
    assert pca._rows.nbytes < 15 * 2**20 / 4 + 2000 * 8
    assert len(pca._rows) < len(vectors) / 2
    mean, components, variances = pca.finish(0.97)
    expected = sklearn.decomposition.PCA(0.97, svd_solver="full").fit(vectors.astype(float))
    np.testing.assert_allclose(mean, expected.mean_, rtol=1e-12)
    assert len(components) == pytest.approx(expected.n_components_, rel=0.02)
    # The half that was never dropped is kept almost as it is.
    strong = slice(expected.n_components_ // 2)
    np.testing.assert_allclose(
        variances[strong] * 500 / 499, expected.explained_variance_[strong], rtol=0.002
    )
    captured = np.linalg.norm(expected.components_[strong] @ components.T, axis=1)
    assert captured.min() > 0.9999


def test_a_ceiling_below_eight_vectors_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"memory_limit_mb=1 .* pooling_kernel_size"):
        _StreamingPCA(9, 100_000, memory_limit_mb=1)


def test_more_variance_needs_more_components_and_leaves_less_error(category: Category) -> None:
    detectors = [
        DFM(image_size=64, pca_level=level, device="cpu").fit(category.train)
        for level in (1e-9, 0.7, 1.0)
    ]
    counts = [len(detector.components_) for detector in detectors]
    assert counts[0] == 1 < counts[1] < counts[2] == len(category.train) - 1
    scores = [detector.predict(category.test).scores for detector in detectors]
    assert (scores[0] > scores[1]).all()
    assert (scores[1] > scores[2]).all()
    # All of the variance explains the images that gave it.
    own = detectors[2].predict(category.train).scores
    assert own.max() < 1e-6 * scores[2].min()


@pytest.mark.parametrize(("score_type", "copies"), [("fre", 1), ("nll", 1), ("nll", 3)])
def test_images_that_do_not_vary_give_the_distance_to_them(
    category: Category, score_type: Any, copies: int
) -> None:
    images = ImageSet([category.train[0]] * copies)
    detector = DFM(image_size=64, score_type=score_type, device="cpu").fit(images)
    assert detector.components_.shape == (0, len(detector.mean_))
    train, test = (
        reference.pool(feature_maps(detector, each), (2, 2)) for each in (images, category.test)
    )
    distances = ((test - train[:1]) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(detector.predict(category.test).scores, distances, rtol=1e-4)


@pytest.mark.parametrize(("score_type", "count"), [("fre", 1), ("nll", 6)])
def test_either_score_is_saved_and_loaded(
    category: Category, tmp_path: Path, score_type: Any, count: int
) -> None:
    detector = DFM(image_size=64, score_type=score_type, device="cpu").fit(category.train[:count])
    detector.save(tmp_path / "dots.anomalist")
    loaded = DFM.load(tmp_path / "dots.anomalist")
    expected, got = detector.predict(category.test), loaded.predict(category.test)
    assert np.array_equal(got.scores, expected.scores)
    assert np.array_equal(got.maps, expected.maps)


def test_several_layers_are_joined_at_the_resolution_of_the_first(category: Category) -> None:
    layers = ("stride8", "stride16")
    detector = DFM(image_size=128, layers=layers, device="cpu").fit(category.train)
    assert detector.mean_.shape == ((40 + 112) * 4 * 4,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pooling_kernel_size", 0),
        ("pca_level", 0.0),
        ("pca_level", 1.01),
        ("pca_level", float("nan")),
        ("score_type", "mse"),
        ("memory_limit_mb", 0),
    ],
)
def test_values_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=name):
        DFM(**{name: value})


def test_presets_are_the_published_settings() -> None:
    settings = {
        name: (preset.layers, preset.image_size, preset.pooling_kernel_size, preset.pca_level)
        for name in ("efficientnet_lite0", "resnet18", "wide_resnet50_2")
        for preset in [DFM.preset(name)]
    }
    assert settings == {
        "efficientnet_lite0": (("stride16",), 256, 4, 0.97),
        "resnet18": (("layer3",), (256, 256), 2, 0.97),
        "wide_resnet50_2": (("layer3",), (256, 256), 4, 0.97),
    }


def test_bottle_is_told_apart(mvtec_ad: Path) -> None:
    bottle = MVTecAD(mvtec_ad).category("bottle")
    detector = DFM(image_size=128, device="cpu").fit(bottle.train[::4])
    predictions = detector.predict(bottle.test[::3])
    assert predictions.labels is not None
    good, bad = predictions.scores[~predictions.labels], predictions.scores[predictions.labels]
    assert (bad[:, None] > good[None]).mean() > 0.95


def test_folds_borrow_one_network(dots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    plain = Network.__init__

    def counted(self: Network, name: str, *rest: object) -> None:
        made.append(name)
        plain(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Network, "__init__", counted)
    gc.collect()
    train = MVTecAD(dots).category("dot").train
    detector = DFM(image_size=64, device="cpu").fit(train)
    detector.calibrate(train)
    assert len(made) <= 1
