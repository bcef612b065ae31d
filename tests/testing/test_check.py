from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from anomalist.detectors import Detector, FeatureBatches
from anomalist.features import patch_embeddings
from anomalist.models import Layout
from anomalist.testing import CHECKS, check_detector


@dataclass(kw_only=True, eq=False)
class FarFromMean(Detector):
    """Distance of each patch to the mean good patch.

    Parameters
    ----------
    power : float
        Exponent of the distance.
    """

    name: ClassVar[str] = "far_from_mean"
    fitted: ClassVar[tuple[str, ...]] = ("mean_",)

    power: float = 1.0

    def _fit(self, features: FeatureBatches) -> None:
        total, count = 0.0, 0
        for maps in features:
            patches = patch_embeddings(maps, 3).flatten(0, 2)
            total, count = total + patches.sum(dim=0), count + len(patches)
        self.mean_ = (total / count).cpu().numpy()

    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        return {"mean_": Layout(np.float32, (sum(channels for channels, _, _ in maps),))}

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        patches = patch_embeddings(features, 3)
        distances = (patches - torch.from_numpy(self.mean_)).norm(dim=3) ** self.power
        return distances.amax(dim=(1, 2)), distances


def broken_by(detector: type[Detector], *promises: str) -> str:
    others = {check.__name__ for check in CHECKS} - set(promises)
    with pytest.raises(AssertionError) as caught:
        check_detector(detector, leave_out=others)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip("- ") for line in lines] == list(promises)
    return str(caught.value)


@pytest.mark.usefixtures("warm_processes")
def test_a_detector_from_elsewhere_that_keeps_all_promises_passes() -> None:
    check_detector(FarFromMean)
    check_detector(FarFromMean(image_size=64, device="cpu", power=2.0))


def test_a_check_that_there_is_not_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="there is no check 'nothing'"):
        check_detector(FarFromMean, leave_out=["nothing"])


def test_hyperparameters_that_nobody_tells_of_are_named() -> None:
    @dataclass(kw_only=True, eq=False)
    class Untold(FarFromMean):
        """Something."""

        secret: int = 1

    assert "secret" in broken_by(Untold, "hyperparameters_are_documented")


def test_a_state_that_calls_leave_behind_is_found() -> None:
    class Remembers(FarFromMean):
        def _fit(self, features: FeatureBatches) -> None:
            super()._fit(features)
            self.calls: list[int] = []

        def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
            scores, maps = super()._score(features)
            self.calls.append(len(scores))
            return scores + len(self.calls), maps

    broken_by(Remembers, "predicting_changes_nothing", "threads_get_the_same_bits")


def test_randomness_without_the_seed_is_found() -> None:
    class Draws(FarFromMean):
        def _fit(self, features: FeatureBatches) -> None:
            super()._fit(features)
            self.mean_ = self.mean_ + np.random.default_rng().normal(size=self.mean_.shape).astype(
                np.float32
            )

    broken_by(Draws, "a_seed_gives_the_same_bits")


def test_what_lives_in_the_call_of_another_thread_is_found() -> None:
    class Shares(FarFromMean):
        def _fit(self, features: FeatureBatches) -> None:
            super()._fit(features)
            self.kept = [torch.zeros(0)]

        def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
            self.kept[0] = features[0]
            time.sleep(0.01)
            return super()._score([self.kept[0], *features[1:]])

    broken_by(Shares, "threads_get_the_same_bits")


def test_float64_is_found() -> None:
    class Doubles(FarFromMean):
        def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
            scores, maps = super()._score(features)
            return scores.double().float(), maps

    assert "float64" in broken_by(Doubles, "no_tensor_is_float64")


class Forgets(FarFromMean):
    def _fit(self, features: FeatureBatches) -> None:
        super()._fit(features)
        self._offset = 5.0

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        scores, maps = super()._score(features)
        return scores + getattr(self, "_offset", 0.0), maps


def test_state_that_is_neither_saved_nor_restored_is_found() -> None:
    told = broken_by(Forgets, "saved_and_loaded_is_the_same", "copies_are_the_same")
    assert "pickled" in told
