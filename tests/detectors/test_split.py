from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import betabinom  # type: ignore[import-untyped]

from anomalist import CFA, DFM, GLASS, Ensemble, PatchCore
from anomalist.data import ImageSet, as_image_set
from anomalist.detectors import Detector
from anomalist.errors import DataError, ParameterError
from anomalist.predictions import Predictions
from anomalist.training import Training

SMALL: dict[str, Any] = {"image_size": 32, "device": "cpu"}


@dataclass(kw_only=True, eq=False)
class Moody(Detector):
    """Scores an image by its first value, on a scale that every training draws anew."""

    name: ClassVar[str] = "moody"
    trained: ClassVar[bool] = True
    folds: ClassVar[int] = 2
    fitted: ClassVar[tuple[str, ...]] = ()

    def _learn(self, images: ImageSet, *others: Any) -> None:
        self._forget()
        self.images_ = images.digests()
        self.backbone_: Any = None
        draw = np.random.default_rng(self.images_.ravel()[:64].tolist())
        self.scale_ = float(np.exp(draw.normal(0, 0.6)))

    def _predict(self, images: ImageSet, *others: Any) -> Predictions:
        values = np.array([float(np.asarray(sample.read())[0, 0, 0]) for sample in images])
        scores = (self.scale_ * values).astype(np.float32)
        return Predictions(images.paths, scores, scores[:, None, None], images=images)

    def _fit(self, features: Any) -> None:
        raise NotImplementedError

    def _score(self, features: Any) -> Any:
        raise NotImplementedError

    def _layout(self, maps: Any) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="module")
def pool() -> list[npt.NDArray[np.uint8]]:
    """Images that all differ, and whose first values come from one distribution."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3000, 2, 2, 3), dtype=np.uint8)
    pixels[:, 0, 0] = rng.gamma(9, 10, 3000).clip(0, 255)[:, None]
    return list(pixels)


def alarms(pool: list[npt.NDArray[np.uint8]], split: float) -> npt.NDArray[np.int64]:
    """False alarms at 0.05 among 50 new images, in 80 draws of 64 good ones."""
    rng, counts = np.random.default_rng(1), []
    for seed in range(80):
        chosen = [pool[i] for i in rng.permutation(len(pool))[:114]]
        detector, learnt = Moody(seed=seed, bit_depth=8), as_image_set(chosen[:64])
        if not split:
            detector.fit(learnt)
        detector.calibrate(learnt, split=split)
        assert detector.calibration_ is not None
        limit = detector.calibration_.threshold(0.05)
        counts.append((detector.predict(chosen[64:]).scores > limit).sum())
    return np.array(counts)


def test_a_split_keeps_its_promise_where_folds_of_other_scales_do_not(
    pool: list[npt.NDArray[np.uint8]],
) -> None:
    # 19 of 64 calibrate: one rank of twenty is an alarm. The mean's standard error is 0.3.
    apart = alarms(pool, 0.3)
    assert abs(apart.mean() - 2.5) < 1
    assert (apart > betabinom(50, 1, 19).ppf(0.975)).mean() < 0.05
    # Of all 64, three ranks.
    assert (alarms(pool, 0.0) > betabinom(50, 3, 62).ppf(0.975)).mean() > 0.1


@pytest.fixture(scope="module")
def good() -> ImageSet:
    rng = np.random.default_rng(0)
    return as_image_set([rng.integers(90, 130, (32, 32, 3), dtype=np.uint8) for _ in range(14)])


MAKERS: dict[str, Detector] = {
    "cfa": CFA(**SMALL, epochs=2),
    "glass": GLASS(**SMALL, meta_epochs=1, variants=1),
    "patchcore": PatchCore(**SMALL, coreset_ratio=0.5),
    "ensemble": Ensemble(members=(DFM(**SMALL), CFA(**SMALL, epochs=1)), **SMALL),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_split_is_a_fit_and_a_calibration_on_the_others(name: str, good: ImageSet) -> None:
    detector = replace(MAKERS[name], seed=5)
    made = detector.calibrate(good, split=0.3)
    held_out, _ = replace(MAKERS[name], seed=5).deal(good, 0.3)
    learnt, others = good[np.flatnonzero(~held_out)], good[np.flatnonzero(held_out)]
    assert len(others) == 4
    apart = replace(MAKERS[name], seed=5).fit(learnt)
    expected = apart.calibrate(others, seen=False)
    assert (made.scores == expected.scores).all()
    assert made.paths == expected.paths
    assert detector.calibration_ is not None
    assert apart.calibration_ is not None
    assert (detector.calibration_.scores == apart.calibration_.scores).all()
    assert detector.calibration_.method == "4 of 14 images, held out of the fit at random"
    assert (detector.images_ == learnt.digests()).all()
    assert (detector.predict(good).scores == apart.predict(good).scores).all()


def test_members_are_scaled_by_what_the_ensemble_is_fitted_to(good: ImageSet) -> None:
    ensemble = replace(MAKERS["ensemble"], seed=0)
    ensemble.calibrate(good, split=0.3)
    assert isinstance(ensemble, Ensemble)
    for member in ensemble.members_:
        assert member.calibration_ is not None
        assert len(member.calibration_.scores) == 10
    assert ensemble.calibration_ is not None
    assert len(ensemble.calibration_.scores) == 4


def test_what_is_fitted_to_the_share_already_is_not_fitted_again(
    good: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = CFA(**SMALL, epochs=1)
    held_out, _ = detector.deal(good, 0.3)
    detector.fit(good[np.flatnonzero(~held_out)])

    def forbidden(*_: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(CFA, "_fit", forbidden)
    assert len(detector.calibrate(good, split=0.3)) == 4


def test_groups_and_copies_never_straddle_the_split(good: ImageSet) -> None:
    images = as_image_set([*good, good[0], good[1]])
    groups = [i // 2 for i in range(14)] + [20, 21]
    for seed in range(20):
        detector = PatchCore(**SMALL, seed=seed)
        held_out, numbers = detector.deal(images, 0.3, groups)
        # Images 0 and 1 are of one group, and so are their copies.
        assert len(set(held_out[[0, 1, 14, 15]])) == 1
        assert len(set(numbers)) == 7
        assert not set(numbers[held_out]) & set(numbers[~held_out])
    detector = PatchCore(**SMALL)
    detector.calibrate(images, split=0.3, groups=groups)
    assert detector.calibration_ is not None
    assert detector.calibration_.scenes == 2


@pytest.mark.parametrize("name", ["cfa", "glass"])
def test_a_split_that_was_killed_goes_on_to_the_same_bits(
    name: str, good: ImageSet, tmp_path: Path
) -> None:
    many = {"epochs": 4} if name == "cfa" else {"meta_epochs": 3}
    whole = replace(MAKERS[name], **many)
    whole.calibrate(good, split=0.3)
    steps: Iterator[int] = itertools.count()

    def kill(step: int, values: Mapping[str, float]) -> None:
        if next(steps) == 5:
            raise KeyboardInterrupt

    path = tmp_path / "a.training"
    with pytest.raises(KeyboardInterrupt):
        replace(MAKERS[name], **many).calibrate(
            good, split=0.3, training=Training(log=kill, checkpoint=path)
        )
    training = Training(checkpoint=path)
    again = replace(MAKERS[name], **many)
    again.calibrate(good, split=0.3, training=training)
    assert training.resumed_seconds > 0
    assert not training.notes
    assert again.calibration_ is not None
    assert whole.calibration_ is not None
    assert (again.calibration_.scores == whole.calibration_.scores).all()


def test_a_model_file_knows_how_it_was_calibrated(good: ImageSet, tmp_path: Path) -> None:
    detector = PatchCore(**SMALL)
    detector.calibrate(good, split=0.3)
    detector.save(tmp_path / "a.anomalist")
    again = PatchCore.load(tmp_path / "a.anomalist")
    assert again.calibration_ is not None
    assert again.calibration_.method == "4 of 14 images, held out of the fit at random"


@pytest.mark.parametrize("split", [-0.1, 1.0, float("nan")])
def test_what_is_no_share_is_refused(split: float, good: ImageSet) -> None:
    with pytest.raises(ParameterError, match="split must be a share"):
        PatchCore(**SMALL).calibrate(good, split=split)


def test_a_split_deals_images_that_are_not_held_out_yet(good: ImageSet) -> None:
    with pytest.raises(ParameterError, match="not seen=False"):
        PatchCore(**SMALL).calibrate(good, seen=False, split=0.3)
    with pytest.raises(DataError, match="at least 2 good images"):
        PatchCore(**SMALL).calibrate(good[:1], split=0.3)


def test_those_that_train_hold_out_where_images_are_enough() -> None:
    for detector in (CFA(), GLASS(), Ensemble(members=("patchcore", "cfa"))):
        assert detector.usual_split(63, 0.05) == 0.3
        assert detector.usual_split(61, 0.05) == 0
        assert detector.usual_split(209, 0.01) == 0
    for detector in (PatchCore(), DFM(), Ensemble()):
        assert detector.usual_split(1000, 0.05) == 0
