from __future__ import annotations

import dataclasses
import pickle
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data import ImageSet
from anomalist.detectors import CFA, DFM, Detector, Ensemble, PaDiM, PatchCore, load, shards
from anomalist.detectors.shards import deal_shards
from anomalist.errors import DataError, ParameterError
from anomalist.features import Backbone, patch_embeddings
from anomalist.inspection import FitResult, fit_shards, model_card, open_parts
from anomalist.inspection.shard_work import OnShard, ShardWork, Summarised
from anomalist.inspection.sharded import draw
from tests.s3 import upload

SMALL = {"image_size": 64, "device": "cpu", "batch_size": 4}
PARTS = 23

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of plates with a hole each, and a few without, to test on."""
    root = tmp_path_factory.mktemp("plates")
    rng = np.random.default_rng(0)
    for i in range(PARTS + 4):
        pixels = rng.normal(120, 8, (64, 64, 3))
        if i < PARTS + 2:
            pixels[24:40, 24:40] -= 70
        kind = "good" if i < PARTS + 2 else "no_hole"
        of = "train" if i < PARTS else "test"
        path = root / "plate" / of / kind / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return root


def fitted(
    detector: Detector, folder: Path, out: Path, count: int, **settings: object
) -> FitResult:
    parts = open_parts(folder, read=False)
    return fit_shards(detector, parts, out / "plate.anomalist", shards=count, **settings)  # type: ignore[arg-type]


def learnt_from(result: FitResult, folder: Path) -> ImageSet:
    train = open_parts(folder).train
    assert result.held_out is not None
    held_out = set(result.held_out.paths)
    return ImageSet([sample for sample in train if sample.path not in held_out])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", [PaDiM, DFM])
def test_sums_of_shards_are_those_of_all(
    folder: Path, tmp_path: Path, kind: type[Detector], count: int
) -> None:
    result = fitted(kind(**SMALL), folder, tmp_path, count)  # type: ignore[arg-type]
    test = open_parts(folder).test
    whole = kind(**SMALL).fit(learnt_from(result, folder)).predict(test)  # type: ignore[arg-type]
    found = result.detector.predict(test)
    np.testing.assert_allclose(found.scores, whole.scores, rtol=1e-3)
    np.testing.assert_allclose(found.maps, whole.maps, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("limit", [4096, 1])
def test_the_radius_told_covers_every_patch(folder: Path, tmp_path: Path, limit: int) -> None:
    detector = PatchCore(**SMALL, coreset_size=60, memory_limit_mb=limit)  # type: ignore[arg-type]
    result = fitted(detector, folder, tmp_path, 4)
    fit, images = result.detector, learnt_from(result, folder)
    assert isinstance(fit, PatchCore)
    backbone, patches = Backbone(detector.backbone), []
    for sample in images:
        batch = detector.transform(sample.read())[None]
        patches.append(patch_embeddings(backbone(batch)).flatten(0, 2).numpy().astype(float))
    bank = fit.bank_.astype(float)
    apart = np.array(
        [np.linalg.norm(p[:, None] - bank[None], axis=2).min(1).max() for p in patches]
    )
    assert apart.max() <= fit.coverage_radius_ * (1 + 1e-5)
    # Every patch of the bank is one of the image that it is said to come from.
    for row, image in zip(bank, fit.bank_images_, strict=True):
        assert np.abs(patches[image] - row).max(axis=1).min() < 1e-4


def test_the_model_is_like_any_other(folder: Path, tmp_path: Path) -> None:
    stages: list[tuple[str, int, int]] = []
    result = fitted(
        PatchCore(**SMALL),  # type: ignore[arg-type]
        folder,
        tmp_path,
        3,
        calibrate_images=5,
        progress=lambda *stage: stages.append(stage),
    )
    assert result.measured is not None
    assert result.measured.metrics.image_AUROC == 1.0
    assert result.sheet is not None
    assert result.sheet.is_file()
    model = load(result.path)
    test = open_parts(folder).test
    assert np.array_equal(model.predict(test).scores, result.detector.predict(test).scores)
    summary = model.summary_
    assert (summary["images"], summary["shards"], summary["drawn_of"]) == (PARTS, 3, PARTS)
    assert summary["data_hash"] == open_parts(folder).train.content_hash()
    assert summary["sizes"] == [[64, 64, PARTS]]
    assert len(summary["known_images"]) == PARTS
    assert len(model.images_) == PARTS - 5
    assert len(model.pictures_) == PARTS - 5
    assert np.array_equal(model.images_, learnt_from(result, folder).digests())
    assert model.calibration_ is not None
    assert model.calibration_.method == (
        f"5 of {PARTS} images, drawn at random, held out of the fit"
    )
    assert f"fitted to 18 images of {PARTS}, in 3 shards; 5 others, drawn" in " ".join(result.notes)
    assert model_card(result.path)["training"]["shards"] == 3
    assert [stage for stage in stages if stage[0] == "fit"][-1] == ("fit", 18, 18)


def test_the_rule_says_from_how_many_the_images_were_drawn(folder: Path, tmp_path: Path) -> None:
    result = fitted(DFM(**SMALL), folder, tmp_path, 2, alpha=0.2)  # type: ignore[arg-type]
    assert f"from 6 good images, drawn from {PARTS} and held out" in result.rule.describe()
    assert result.rule.as_dict()["drawn_of"] == PARTS


def test_shards_give_the_same_bits_wherever_they_are_done(folder: Path, tmp_path: Path) -> None:
    def elsewhere(works: Sequence[ShardWork], progress: OnShard | None) -> Iterator[Summarised]:
        done = {}
        for work in reversed(works):
            there: ShardWork = pickle.loads(pickle.dumps(work))
            done[work.shard.index] = pickle.dumps(there())
        yield from (pickle.loads(done[index]) for index in sorted(done))

    files = []
    for run in ({}, {"run": elsewhere}):
        result = fitted(PatchCore(**SMALL), folder, tmp_path, 3, **run)  # type: ignore[arg-type]
        files.append(result.path.read_bytes())
    assert files[0] == files[1]


@pytest.mark.usefixtures("cache")
def test_photographs_at_an_address_give_the_model_of_those_here(
    folder: Path, tmp_path: Path, s3: str
) -> None:
    def elsewhere(works: Sequence[ShardWork], progress: OnShard | None) -> Iterator[Summarised]:
        for work in works:
            yield pickle.loads(pickle.dumps(work))()

    here = fitted(DFM(**SMALL), folder / "plate/train", tmp_path, 2)  # type: ignore[arg-type]
    there = fit_shards(
        DFM(**SMALL),  # type: ignore[arg-type]
        open_parts(upload(folder / "plate/train", f"{s3}/plates"), read=False),
        tmp_path / "there.anomalist",
        shards=2,
        run=elsewhere,
    )
    assert isinstance(here.detector, DFM)
    assert isinstance(there.detector, DFM)
    assert np.array_equal(there.detector.components_, here.detector.components_)
    assert np.array_equal(there.detector.images_, here.detector.images_)
    assert there.detector.summary_["data_hash"] == here.detector.summary_["data_hash"]


def test_copies_of_what_is_learnt_calibrate_nothing(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    train = copied / "plate/train/good"
    for i, path in enumerate(sorted(train.iterdir())[:12]):
        shutil.copy(path, train / f"again_{i}.png")
    result = fitted(PaDiM(**SMALL), copied, tmp_path, 2, calibrate_images=12)  # type: ignore[arg-type]
    assert result.held_out is not None
    learnt = {digest.tobytes() for digest in result.detector.images_}
    assert not any(d.tobytes() in learnt for d in result.held_out.images.digests())
    told = " ".join(result.notes)
    assert "drawn to calibrate aren't used" in told
    assert "to learn from are the same as another" in told


def test_of_very_many_images_few_hashes_are_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = fitted(PatchCore(**SMALL, coreset_size=4), folder, tmp_path, 2).detector  # type: ignore[arg-type]
    monkeypatch.setattr("anomalist.detectors.shards.MOST_DIGESTS", 3)
    result = fitted(PatchCore(**SMALL, coreset_size=4), folder, tmp_path, 2)  # type: ignore[arg-type]
    few = load(result.path)
    assert isinstance(full, PatchCore)
    assert isinstance(few, PatchCore)
    assert 3 <= len(few.images_) <= 7
    assert np.array_equal(few.images_[few.bank_images_], full.images_[full.bank_images_])
    assert np.array_equal(few.bank_, full.bank_)
    assert len(few.summary_["known_images"]) == len(few.images_) + 6


def test_scenes_are_held_out_whole() -> None:
    groups = np.repeat(np.arange(40), 3)
    held_out = draw(groups, 20, seed=1)
    assert 20 <= held_out.sum() < 23
    assert (held_out.reshape(40, 3).all(1) | ~held_out.reshape(40, 3).any(1)).all()
    assert draw(np.arange(5000), None, seed=0).sum() == 1000
    assert not np.array_equal(draw(groups, 20, seed=1), draw(groups, 20, seed=2))
    assert draw(groups, 0, seed=0).sum() == 0
    for images in (-1, 120):
        with pytest.raises(ParameterError, match="calibrate_images"):
            draw(groups, images, seed=0)


def test_groups_by_name_are_those_of_the_calibration(folder: Path, tmp_path: Path) -> None:
    result = fitted(
        DFM(**SMALL),  # type: ignore[arg-type]
        folder,
        tmp_path,
        2,
        groups=r"by-name ^\d\d",
        calibrate_images=4,
    )
    assert result.held_out is not None
    assert result.detector.calibration_ is not None
    # Names 000 to 022 are of three scenes, of which none is on both sides.
    scenes = {path.name[:2] for path in result.held_out.paths}
    assert result.detector.calibration_.scenes == len(scenes) < 3
    assert scenes.isdisjoint(path.name[:2] for path in learnt_from(result, folder).paths)


@pytest.mark.parametrize("detector", [CFA(image_size=64), Ensemble(members=(PatchCore(), PaDiM()))])
def test_what_does_not_add_up_is_refused(folder: Path, tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(ParameterError, match="can't be fitted shard by shard: what it learns"):
        fitted(detector, folder, tmp_path, 2)


def test_too_little_memory_is_told_before_any_image(folder: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "image_size": 512}
    work: list[ShardWork] = []
    for detector in (
        PatchCore(**settings, coreset_ratio=0.5, memory_limit_mb=1),  # type: ignore[arg-type]
        DFM(**settings, pooling_kernel_size=1, memory_limit_mb=1),  # type: ignore[arg-type]
    ):
        with pytest.raises(ParameterError, match="memory_limit_mb="):
            fitted(detector, folder, tmp_path, 2, run=lambda works, _: work.extend(works))
    assert not work


def test_shards_must_have_images(folder: Path, tmp_path: Path) -> None:
    for count in (0, PARTS + 1):
        with pytest.raises(ParameterError, match="can't be dealt into"):
            fitted(PaDiM(**SMALL), folder, tmp_path, count)  # type: ignore[arg-type]
    assert [len(shard) for shard in deal_shards(5, 5)] == [1] * 5
    assert shards.spread_evenly(0, 5).tolist() == []


def test_a_damaged_file_is_named_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    bad = sorted((damaged / "plate/train/good").iterdir())[9]
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(DataError, match=bad.name):
        fitted(PaDiM(**SMALL), damaged, tmp_path, 3, calibrate_images=1)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("plate*"))


def test_a_value_above_white_is_told(tmp_path: Path) -> None:
    root = tmp_path / "deep/good"
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(12):
        highest = 60_000 if i == 5 else 4000
        pixels = rng.integers(0, highest, (64, 64), dtype=np.uint16)
        Image.fromarray(pixels).save(root / f"{i:02}.png")
    # One that doesn't draw the bright one to calibrate.
    seed = next(seed for seed in range(99) if not draw(np.arange(12), 2, seed)[5])
    detector = DFM(**SMALL, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"05.png has the value 59.*--bit_depth"):
        fitted(detector, root, tmp_path, 2, calibrate_images=2)
    told = fitted(dataclasses.replace(detector, bit_depth=16), root, tmp_path, 2)
    assert told.detector.bit_depth_ == 16
