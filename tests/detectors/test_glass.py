from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anomalist.data import Category, MVTecAD, Transform
from anomalist.detectors import presets
from anomalist.detectors.glass import GLASS
from anomalist.detectors.glass_examples import Examples, GoodImages
from anomalist.errors import DataError, ParameterError
from anomalist.features import Backbone, patch_embeddings
from anomalist.synthesis import LocalSynthesis, Textures, foreground_mask, pool_mask
from anomalist.training import Training
from tests.reference.patchcore import smooth_map


@pytest.fixture
def category(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


def make(**changes: Any) -> GLASS:
    settings = {"image_size": 64, "meta_epochs": 4, "batch_size": 4, "dsc_hidden": 32, "step": 5}
    return GLASS(**{**settings, "variants": 3, "device": "cpu", **changes})


def assert_same_network(a: GLASS, b: GLASS) -> None:
    assert a.network_.keys() == b.network_.keys()
    for name, array in a.network_.items():
        assert np.array_equal(array, b.network_[name]), name
    assert (a.epoch_, a.hypersphere_) == (b.epoch_, b.hypersphere_)
    assert np.array_equal(a.losses_, b.losses_)


class Killed(Exception):  # noqa: N818 - it stands for no error
    """Stands for the end of the process."""


SETTINGS: list[dict[str, Any]] = [
    {},
    {"variants": 2, "patches": 0.5, "spread": 0.1, "schedule": "cosine"},
    {"selection": "held_out", "pre_proj": 0, "svd": 1, "gas": 1.0},
]


@pytest.mark.parametrize("changes", SETTINGS, ids=["plain", "variants", "held out"])
def test_killed_and_resumed_training_equals_the_uninterrupted_one(
    category: Category, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = make(**changes).fit(category.train)
    path = tmp_path / "a.training"
    steps = 0

    def kill(_step: int, _values: Mapping[str, float]) -> None:
        nonlocal steps
        steps += 1
        if steps in (2, 5, 6):  # before the first epoch is kept, in the second, at once again
            raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            make(**changes).fit(category.train, training=Training(log=kill, checkpoint=path))
    training = Training(log=kill, checkpoint=path)
    resumed = make(**changes).fit(category.train, training=training)
    assert steps == 2 + 3 + 1 + 6  # six images in batches of four; one epoch was kept
    assert training.resumed_seconds > 0
    assert_same_network(resumed, whole)
    a, b = (d.predict(category.test) for d in (resumed, whole))
    assert np.array_equal(a.maps, b.maps)


def test_a_checkpoint_of_another_training_is_left_alone(category: Category, tmp_path: Path) -> None:
    path = tmp_path / "a.training"
    make().fit(category.train, training=Training(checkpoint=path))
    for detector, images in (
        (make(seed=1), category.train),
        (make(noise=0.1), category.train),
        (make(), category.train[:5]),
    ):
        training = Training(checkpoint=path)
        trained = detector.fit(images, training=training)
        assert training.resumed_seconds == 0
        assert_same_network(trained, type(detector)(**detector.parameters()).fit(images))
        assert len(training.notes) == 1
        assert str(path) in training.notes[0]


def test_other_textures_make_another_training(category: Category, tmp_path: Path) -> None:
    folder, path = tmp_path / "textures", tmp_path / "a.training"
    folder.mkdir()
    Image.new("RGB", (80, 80), "red").save(folder / "red.png")
    make(textures=str(folder)).fit(category.train, training=Training(checkpoint=path))
    Image.new("RGB", (80, 80), "blue").save(folder / "blue.png")
    training = Training(checkpoint=path)
    make(textures=str(folder)).fit(category.train, training=training)
    assert training.resumed_seconds == 0
    assert "textures" in training.notes[0]


def test_a_finished_checkpoint_needs_no_training(category: Category, tmp_path: Path) -> None:
    path = tmp_path / "a.training"
    first = make().fit(category.train, training=Training(checkpoint=path))

    def forbidden(_step: int, _values: Mapping[str, float]) -> None:
        raise AssertionError("trained again")

    again = make().fit(category.train, training=Training(checkpoint=path, log=forbidden))
    assert_same_network(first, again)


def test_looking_at_the_test_set_changes_nothing(category: Category) -> None:
    detector = make()
    epochs = []

    def look(epoch: int, current: Any) -> None:
        epochs.append(epoch)
        scores.append(current.predict(category.test).scores)
        assert len(current.losses_) == current.epoch_ == epoch

    scores: list[Any] = []
    detector.eval_epochs = 3
    detector.fit(category.train, training=Training(after_epoch=look))
    assert epochs == [3, 4]
    assert not np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[1], detector.predict(category.test).scores)
    assert_same_network(detector, make().fit(category.train))


def test_every_step_is_told_with_progress(category: Category) -> None:
    seen: list[tuple[int, int]] = []
    logged: list[tuple[int, float]] = []

    def log(step: int, values: Mapping[str, float]) -> None:
        # None is anomalous where the patches that were taken missed every defect.
        assert set(values) - {"p_fake"} == {"loss", "p_true", "r"}
        assert 0 <= values["p_true"] <= 1
        assert 0 <= values.get("p_fake", 0.5) <= 1
        logged.append((step, values["loss"]))

    def progress(done: int, total: int) -> None:
        if total == 24:
            seen.append((done, total))

    detector = make().fit(category.train, progress=progress, training=Training(log=log))
    assert [step for step, _ in logged] == list(range(8))
    assert seen == [(n, 24) for n in (4, 6, 10, 12, 16, 18, 22, 24)]
    per_epoch = np.array([loss for _, loss in logged]).reshape(4, 2).mean(axis=1)
    np.testing.assert_allclose(detector.losses_, per_epoch, rtol=1e-6)


def test_an_epoch_ends_after_the_batch_that_passes_the_limit(category: Category) -> None:
    steps: list[int] = []
    training = Training(log=lambda step, _: steps.append(step))
    make(batch_size=2, limit=3, meta_epochs=2).fit(category.train, training=training)
    assert steps == [0, 1, 2, 3]


def test_training_learns(category: Category) -> None:
    detector = make(meta_epochs=20, lr=1e-3, spread=0.1).fit(category.train)
    assert detector.losses_[-3:].mean() < 0.9 * detector.losses_[:3].mean()


def test_scores_are_those_of_the_network_on_standardized_embeddings(category: Category) -> None:
    detector = make(spread=0.5, patchsize=5, sigma=2.0).fit(category.train)
    pixels = detector.transform(Image.open(category.test[0].path).convert("RGB"))
    maps = Backbone("efficientnet_lite0", GLASS.default_layers)(pixels[None])
    x = patch_embeddings(maps, 5)[0].numpy().astype(float).reshape(64, -1)
    w = {name: array.astype(float) for name, array in detector.network_.items()}
    x = (x - w["shift"]) * w["scale"]
    u = x @ w["projection.0.weight"].T + w["projection.0.bias"]
    z = u @ w["body.0.weight"].T
    z = (z - w["body.1.running_mean"]) / np.sqrt(w["body.1.running_var"] + 1e-5)
    z = z * w["body.1.weight"] + w["body.1.bias"]
    logit = np.where(z > 0, z, 0.2 * z) @ w["body.3.weight"][0]
    scores = (1 / (1 + np.exp(-logit))).reshape(8, 8)
    predictions = detector.predict(category.test[:1])
    assert predictions.scores[0] == pytest.approx(scores.max(), abs=1e-5)
    expected = smooth_map(scores, (64, 64), sigma=2.0)
    np.testing.assert_allclose(predictions.maps[0], expected, atol=1e-5)


def test_spread_brings_every_dimension_of_good_features_to_one_deviation(
    category: Category,
) -> None:
    detector = make(spread=0.25, meta_epochs=1).fit(category.train)
    batches = [
        Backbone("efficientnet_lite0", GLASS.default_layers)(
            detector.transform(Image.open(path).convert("RGB"))[None]
        )
        for path in category.train.paths
    ]
    features = torch.cat([patch_embeddings(maps).flatten(0, 2) for maps in batches]).numpy()
    scaled = (features - detector.network_["shift"]) * detector.network_["scale"]
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    alive = features.std(axis=0) > 0
    np.testing.assert_allclose(scaled.std(axis=0)[alive], 0.25, rtol=1e-3)


def test_dimensions_and_downsampling_are_those_asked_for(category: Category) -> None:
    detector = make(
        pretrain_embed_dimension=64, target_embed_dimension=48, downsampling=16, meta_epochs=1
    ).fit(category.train)
    assert detector.network_["projection.0.weight"].shape == (48, 48)
    assert detector.grid == (4, 4)
    assert detector.predict(category.test[:1]).maps.shape == (1, 64, 64)


@pytest.mark.parametrize(
    ("changes", "hypersphere"),
    [
        ({"svd": 1, "distribution": 2}, True),
        ({"svd": 0, "distribution": 3}, False),
        ({"distribution": 2}, False),
        ({"distribution": 3}, True),
    ],
)
def test_the_judge_can_be_overruled(
    category: Category, changes: dict[str, int], hypersphere: bool
) -> None:
    detector = make(**changes, meta_epochs=1).fit(category.train)
    assert detector.hypersphere_ is hypersphere


def test_the_judge_decides_where_nobody_does(category: Category) -> None:
    judged = make(meta_epochs=1).fit(category.train).hypersphere_
    assert make(meta_epochs=1, distribution=1).fit(category.train).hypersphere_ is judged
    assert make(meta_epochs=1, distribution=4).fit(category.train).hypersphere_ is not judged


def test_held_out_images_choose_the_epoch_and_are_not_trained_on(category: Category) -> None:
    steps: list[int] = []
    detector = make(selection="held_out", held_out=0.5, meta_epochs=6, batch_size=1)
    detector.fit(category.train, training=Training(log=lambda step, _: steps.append(step)))
    assert len(steps) == 3 * 6
    assert 1 <= detector.epoch_ <= 6
    assert len(detector.losses_) == 6
    patient = make(selection="held_out", held_out=0.5, meta_epochs=50, patience=1, batch_size=1)
    patient.fit(category.train)
    assert len(patient.losses_) < 50
    assert patient.epoch_ < len(patient.losses_) + 1


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        # Of four patches a quarter is one; the last batch of three images is one image.
        {"image_size": 16},
        {"image_size": 16, "variants": 0},
        # One patch an image.
        {"image_size": 8},
        {"image_size": 8, "variants": 0, "patches": 1.0, "spread": None, "svd": 1},
    ],
    ids=["four patches", "four patches, new ones", "one patch", "one patch, new ones"],
)
def test_a_step_of_one_patch_trains(
    category: Category, count: int, batch_size: int, changes: dict[str, Any]
) -> None:
    detector = make(**changes, batch_size=batch_size, meta_epochs=2)
    if count == 1 and changes["image_size"] == 8:
        with pytest.raises(ParameterError, match="one patch of one image"):
            detector.fit(category.train[:count])
        return
    detector.fit(category.train[:count])
    assert np.isfinite(detector.losses_).all()
    assert np.isfinite(detector.predict(category.test).maps).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_images_leave_none_to_hold_out(category: Category, count: int) -> None:
    """Folds of two or three images have one to learn from, of four two."""
    images = category.train[:count]
    detector = make(selection="held_out", meta_epochs=2, image_size=32)
    if count == 1:
        with pytest.raises(ParameterError, match=r"2 images or more.*not 1"):
            detector.fit(images)
        return
    assert 1 <= detector.fit(images).epoch_ <= 2
    if count < 4:
        with pytest.raises(ParameterError, match="4 to be calibrated on folds of them, not 1"):
            detector.calibrate(images)
    else:
        detector.calibrate(images)
        assert detector.calibration_ is not None


def test_a_checkpoint_that_cannot_be_kept_is_told_before_the_work(
    category: Category, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    def forbidden(_done: int, _total: int) -> None:
        raise AssertionError("began")

    for checkpoint in (tmp_path, tmp_path / "file" / "a.training"):
        with pytest.raises(ParameterError, match=str(checkpoint)):
            make().fit(category.train, progress=forbidden, training=Training(checkpoint=checkpoint))


def test_textures_come_from_a_folder_where_one_is_given(category: Category, tmp_path: Path) -> None:
    folder = tmp_path / "textures"
    folder.mkdir()
    Image.new("RGB", (80, 80), "red").save(folder / "red.png")
    given = make(textures=str(folder), meta_epochs=1).fit(category.train)
    drawn = make(meta_epochs=1).fit(category.train)
    assert not np.array_equal(given.losses_, drawn.losses_)
    with pytest.raises(DataError, match="nowhere"):
        make(textures=str(tmp_path / "nowhere")).fit(category.train)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_patches_are_drawn_from_the_part(share: float) -> None:
    pixels = np.full((6, 64, 64, 3), 200, np.uint8)
    pixels[:, 8:24, 16:40] = np.random.default_rng(0).integers(0, 99, (16, 24, 1))
    parts = np.stack([foreground_mask(image) for image in pixels])
    on_part = pool_mask(parts[0], (8, 8)).ravel()
    assert 6 <= on_part.sum() <= 20
    with ThreadPoolExecutor(1) as pool:
        examples = Examples(
            GoodImages(pixels, parts, torch.zeros(6, 64, 3)),
            LocalSynthesis(textures=Textures(), transform=Transform(64), grid=(8, 8)),
            lambda images: torch.zeros(len(images), 64, 3),
            seed=0,
            taken=32,
            on_part=share,
            variants=0,
            noise=0.0,
            batch_size=3,
            memory_limit_mb=100,
            pool=pool,
        )
        batches = [np.arange(3), np.arange(3, 6)]
        for patches in examples.patches(0, batches, torch.device("cpu")):
            where = patches.where.numpy().reshape(3, 32)
            of_part = on_part[where].sum(axis=1)
            assert (of_part >= min(32 * share, on_part.sum())).all()
            assert (of_part < 32).all()
            assert all(len(set(row)) == 32 for row in where.tolist())


@pytest.mark.parametrize(
    ("moves", "changes", "gas"),
    [
        (False, {}, 1),
        (True, {}, 0),
        (True, {"gas": 0.5}, 0.5),
        (True, {"distribution": 2}, 1),
        (True, {"fg": 0}, 1),
    ],
    ids=["stays", "moves", "asked for", "manifold", "no parts"],
)
def test_global_synthesis_needs_parts_that_the_hypersphere_encloses(
    moves: bool, changes: dict[str, Any], gas: float
) -> None:
    rng = np.random.default_rng(0)
    side = 20 if moves else 44
    pattern = rng.integers(0, 99, (side, side, 1))
    images = []
    for _ in range(8):
        image = rng.normal(200, 2, (64, 64, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
        top, left = rng.integers(4, 40, 2) if moves else (8, 12)
        image[top : top + side, left : left + side] = pattern
        images.append(image)
    settings = {"distribution": 3, "meta_epochs": 1, "variants": 1, **changes}
    training = Training()
    assert make(**settings).fit(images, training=training).gas_ == gas
    told = [note for note in training.notes if "global anomaly synthesis was left out" in note]
    assert len(told) == (gas == 0)


def test_a_file_of_before_says_how_it_was_trained(category: Category) -> None:
    """Global synthesis could not be left out then, and patches were drawn from all of the image."""
    detector = make(gas=0.0, on_part=0.5, meta_epochs=1).fit(category.train)
    header, tensors = detector._state()
    assert (header["parameters"].pop("gas"), header["parameters"].pop("on_part")) == (0, 0.5)
    assert header["state"].pop("gas_") == 0
    loaded = GLASS._from_state(header, tensors, "cpu")
    assert (loaded.gas, loaded.on_part, loaded.gas_) == (1, 0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"lr": 0.0},
        {"step": -1},
        {"p": 1.5},
        {"radius": -0.1},
        {"mining": 2},
        {"svd": 3},
        {"distribution": 5},
        {"fg": 2},
        {"rand_aug": -1},
        {"patchsize": 2},
        {"downsampling": 0},
        {"downsampling": 100},
        {"meta_epochs": 0},
        {"limit": 0},
        {"held_out": 1.0},
        {"patches": 0.0},
        {"on_part": 1.5},
        {"gas": -1.0},
        {"variants": -1},
        {"spread": 0.0},
        {"schedule": "linear"},
        {"selection": "best"},
        {"precision": "float16"},
        {"target_embed_dimension": 0},
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(changes))):
        make(**changes)


def test_presets_hold_the_papers_settings() -> None:
    paper = presets("glass")["paper"]
    assert (paper["meta_epochs"], paper["step"], paper["target_embed_dimension"]) == (640, 20, 1536)
    baseline = presets("glass")["baseline"]
    assert (baseline["meta_epochs"], baseline["step"], baseline["p"]) == (1, 1, 0)
    for values in (paper, baseline):
        assert (values["gas"], values["on_part"]) == (1, 0)
    for values in presets("glass").values():
        GLASS(**values)
