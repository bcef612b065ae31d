from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anomalist.calibration import held_out_scores
from anomalist.data import Category, ImageSet, MVTecAD, load_batches
from anomalist.detectors import DETECTORS
from anomalist.detectors.cfa import CFA, _weighted_rows, k_means, soft_boundary
from anomalist.errors import ParameterError
from anomalist.features import Backbone, patch_embeddings
from anomalist.training import Training
from tests.reference import cfa as reference
from tests.reference.patchcore import smooth_map


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def make(**changes: Any) -> CFA:
    return CFA(**{"image_size": 64, "epochs": 3, "device": "cpu", **changes})


def embeddings(detector: CFA, images: ImageSet) -> Tensor:
    backbone = Backbone(detector.backbone, CFA.default_layers)
    batches = load_batches(images, detector.transform, detector.batch_size)
    joined = [patch_embeddings(backbone(b), detector.neighbourhood) for b in batches]
    return torch.cat(joined).double()


def described_by(matrix: np.ndarray) -> reference.Descriptor:
    return reference.Descriptor(matrix[:, :-1].astype(float), matrix[:, -1].astype(float))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_nearest_neighbors": 1, "num_hard_negative_features": 4, "train_batch_size": 2},
        # At these radii some patches are attracted and some repelled.
        {"radius": 1.7, "alpha": 0.5, "gamma_d": 4, "lr": 1e-4, "weight_decay": 0.1},
        {"radius": 3.6, "nu": 0.1},
    ],
)
def test_training_and_scores_equal_those_of_the_slow_way(
    category: Category, changes: dict[str, Any]
) -> None:
    changes = {"image_size": 32, **changes}
    untrained = make(**changes, epochs=0).fit(category.train)
    trained = make(**changes).fit(category.train)
    train = embeddings(trained, category.train)
    descriptor = described_by(untrained.descriptor_)
    bank = reference.mean_centroids(descriptor, train)
    np.testing.assert_allclose(trained.centroids_, bank, rtol=1e-5, atol=1e-5)

    rng = np.random.default_rng(trained.seed)
    rng.random(untrained.descriptor_.shape)  # the draw of the descriptor comes first
    size = trained.train_batch_size
    batches = [
        train[order[start : start + size]]
        for order in (rng.permutation(len(train)) for _ in range(trained.epochs))
        for start in range(0, len(train), size)
    ]
    radius = torch.nn.Parameter(torch.tensor(trained.radius, dtype=torch.float64))
    losses = reference.train(
        descriptor,
        radius,
        bank,
        batches,
        K=trained.num_nearest_neighbors,
        J=trained.num_hard_negative_features,
        nu=trained.nu,
        alpha=trained.alpha,
        lr=trained.lr,
        weight_decay=trained.weight_decay,
    )
    by_epoch = np.reshape(losses, (trained.epochs, -1)).mean(axis=1)
    np.testing.assert_allclose(trained.losses_, by_epoch, rtol=1e-5)
    assert trained.radius_ == pytest.approx(radius.item(), abs=1e-5)
    weight = descriptor.conv.weight.detach()[:, :, 0, 0]
    np.testing.assert_allclose(trained.descriptor_[:, :-1], weight, rtol=0, atol=1e-5)
    bias = descriptor.conv.bias.detach()
    np.testing.assert_allclose(trained.descriptor_[:, -1], bias, rtol=0, atol=1e-5)

    predictions = trained.predict(category.test)
    test = embeddings(trained, category.test)
    scores = reference.patch_scores(descriptor, test, bank, trained.num_nearest_neighbors)
    for i, expected in enumerate(scores):
        smooth = smooth_map(expected, (32, 32), trained.sigma)
        np.testing.assert_allclose(predictions.maps[i], smooth, rtol=1e-4, atol=1e-4)
        assert predictions.scores[i] == pytest.approx(smooth.max(), rel=1e-4)


def test_repulsion_and_attraction_both_shape_the_gradient() -> None:
    squared = torch.tensor([[1.0, 4.0, 9.0, 16.0]], requires_grad=True)
    radius = torch.tensor(3.5, requires_grad=True)
    reference.loss(squared[None], radius, 2, 2, 1.0, 0.5).backward()
    _, slopes = soft_boundary(squared.detach(), radius.detach(), 2, 0.5)
    assert slopes.unique().numel() > 1
    assert squared.grad is not None
    assert radius.grad is not None
    torch.testing.assert_close(slopes, squared.grad)
    torch.testing.assert_close(-2 * radius.detach() * slopes.sum(), radius.grad)


def test_training_brings_good_patches_closer(category: Category) -> None:
    detector = make(epochs=30).fit(category.train)
    assert detector.losses_[-1] < 0.5 * detector.losses_[0]


def test_a_seed_decides_descriptor_and_order(category: Category) -> None:
    first, again, other = (make(seed=s).fit(category.train) for s in (0, 0, 1))
    assert np.array_equal(first.descriptor_, again.descriptor_)
    assert np.array_equal(first.losses_, again.losses_)
    assert not np.allclose(first.descriptor_, other.descriptor_)


def test_the_result_is_that_of_the_last_epoch(category: Category) -> None:
    """Longer training goes on from shorter, and no epoch before the last is taken."""
    short, long = (make(epochs=epochs, lr=0.3).fit(category.train) for epochs in (2, 6))
    assert np.array_equal(long.losses_[:2], short.losses_)
    assert long.losses_.argmin() < 5
    rerun = make(epochs=6, lr=0.3).fit(category.train)
    assert np.array_equal(long.descriptor_, rerun.descriptor_)
    assert not np.allclose(long.descriptor_, short.descriptor_)


class Killed(Exception):  # noqa: N818 - it stands for no error
    """Stands for the end of the process."""


@pytest.mark.parametrize("changes", [{}, {"gamma_c": 2, "radius": 1.7, "alpha": 0.5}])
def test_killed_and_resumed_training_equals_the_uninterrupted_one(
    category: Category, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = make(**changes).fit(category.train)
    path = tmp_path / "a.training"
    steps: list[int] = []

    def kill(step: int, _values: Mapping[str, float]) -> None:
        steps.append(step)
        if len(steps) in (2, 5, 6):  # before the first epoch is kept, in the second, at once again
            raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            make(**changes).fit(category.train, training=Training(log=kill, checkpoint=path))
    training = Training(log=kill, checkpoint=path)
    resumed = make(**changes).fit(category.train, training=training)
    assert steps == [0, 1, 0, 1, 2, 2, 2, 3, 4, 5]  # six images in batches of four
    assert training.resumed_seconds > 0
    assert np.array_equal(resumed.descriptor_, whole.descriptor_)
    assert np.array_equal(resumed.losses_, whole.losses_)
    assert resumed.radius_ == whole.radius_
    a, b = (d.predict(category.test) for d in (resumed, whole))
    assert np.array_equal(a.maps, b.maps)


def test_folds_are_kept_beside_the_checkpoint(category: Category, tmp_path: Path) -> None:
    make().fit(category.train, training=Training(checkpoint=tmp_path / "a"))
    held_out_scores(
        make(),
        category.train,
        folds=2,
        training=lambda fold: Training(checkpoint=tmp_path / f"a.fold{fold}"),
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.fold0", "a.fold1"]
    folds: list[Training] = []

    def of_fold(fold: int) -> Training:
        folds.append(Training(checkpoint=tmp_path / f"a.fold{fold}"))
        return folds[-1]

    held_out_scores(make(), category.train, folds=2, training=of_fold)
    assert all(fold.resumed_seconds > 0 for fold in folds)


def test_looking_at_the_test_set_changes_nothing(category: Category) -> None:
    scores: list[Any] = []

    def look(_epoch: int, current: Any) -> None:
        scores.append(current.predict(category.test).scores)

    detector = make().fit(category.train, training=Training(after_epoch=look))
    assert len(scores) == 3
    assert not np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[2], detector.predict(category.test).scores)
    assert np.array_equal(detector.descriptor_, make().fit(category.train).descriptor_)


def test_patches_in_a_file_give_the_same_bits(category: Category) -> None:
    small = make(image_size=128, memory_limit_mb=1).fit(category.train)
    assert 4 * 6 * 32 * 32 * 179 > 2**20
    large = make(image_size=128).fit(category.train)
    assert np.array_equal(small.descriptor_, large.descriptor_)
    assert np.array_equal(small.centroids_, large.centroids_)


def test_gamma_c_merges_the_centroids_of_locations(category: Category) -> None:
    whole = make(epochs=0).fit(category.train).centroids_
    merged = make(epochs=0, gamma_c=4).fit(category.train).centroids_
    assert len(whole) == 16 * 16
    assert len(merged) == 64
    labels = np.linalg.norm(whole[:, None] - merged[None], axis=2).argmin(axis=1)
    for i in np.unique(labels):
        np.testing.assert_allclose(merged[i], whole[labels == i].mean(axis=0), atol=1e-5)


def test_k_means_is_about_as_tight_as_scikit_learns() -> None:
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(0)
    points = (rng.normal(size=(20, 8)).repeat(30, axis=0) * 3).astype(np.float32)
    points += rng.normal(size=points.shape).astype(np.float32)
    ours = k_means(points, 60, np.random.default_rng(1))
    theirs = KMeans(60, init="random", n_init=1, random_state=1).fit(points).cluster_centers_

    def spread(centers: np.ndarray) -> float:
        return float(((points[:, None] - centers[None]) ** 2).sum(axis=2).min(axis=1).sum())

    assert spread(ours) < 1.1 * spread(theirs)


def test_k_means_of_equal_points_stays_finite() -> None:
    centers = k_means(np.ones((5, 2), np.float32), 3, np.random.default_rng(0))
    assert np.array_equal(centers, np.ones((3, 2)))


def test_gamma_d_shortens_the_described_patches(category: Category) -> None:
    detector = make(gamma_d=4).fit(category.train)
    assert detector.descriptor_.shape == (44, 179)
    assert detector.centroids_.shape == (256, 44)


def test_rows_are_summed_by_their_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(9, 4, generator=generator)
    rows = torch.randint(9, (7, 3), generator=generator)
    weights = torch.randn(7, 3, generator=generator)
    expected = torch.stack(
        [sum(w[i] * bank[r[i]] for i in range(3)) for w, r in zip(weights, rows, strict=True)]
    )
    torch.testing.assert_close(_weighted_rows(weights, rows, bank), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma_c", 0),
        ("gamma_d", 0),
        ("num_nearest_neighbors", 0),
        ("num_hard_negative_features", 0),
        ("radius", -1e-5),
        ("radius", float("nan")),
        ("nu", 0.0),
        ("alpha", -0.1),
        ("epochs", -1),
        ("lr", 0.0),
        ("weight_decay", -1.0),
        ("train_batch_size", 0),
        ("neighbourhood", 2),
        ("sigma", -1.0),
        ("memory_limit_mb", 0),
    ],
)
def test_values_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ParameterError, match=name):
        CFA(**{name: value})  # type: ignore[arg-type]


def test_too_few_centroids_and_channels_are_told(category: Category) -> None:
    with pytest.raises(ParameterError, match="gamma_c=64 give 4 centroids"):
        make(gamma_c=64).fit(category.train)
    with pytest.raises(ParameterError, match="gamma_d=177"):
        make(gamma_d=177).fit(category.train)


def test_it_is_found_and_presets_are_the_references() -> None:
    assert DETECTORS["cfa"] is CFA
    detector = CFA.preset("wide_resnet50_2", seed=5)
    assert (detector.layers, detector.image_size, detector.crop_size, detector.seed) == (
        ("layer1", "layer2", "layer3"),
        256,
        224,
        5,
    )
    assert CFA.preset("efficientnet_lite0").parameters() == {
        **CFA().parameters(),
        "layers": ["stride4", "stride8", "stride16"],
    }


def test_bottle_is_told_apart(mvtec_ad: Path) -> None:
    bottle = MVTecAD(mvtec_ad).category("bottle")
    detector = CFA(image_size=128, epochs=5, device="cpu").fit(bottle.train[::4])
    predictions = detector.predict(bottle.test[::3])
    assert predictions.labels is not None
    good, bad = predictions.scores[~predictions.labels], predictions.scores[predictions.labels]
    assert (bad[:, None] > good[None]).mean() > 0.9
