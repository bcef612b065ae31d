from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomalist import PatchCore, Predictions
from anomalist.data import ImageSet, Sample
from anomalist.detectors.judging import Judgement, KindJudged, judge, trials
from anomalist.errors import DataError, ModelFileError, ParameterError
from anomalist.features import FeatureStore
from anomalist.synthesis import DECIDING

RNG = np.random.default_rng(0)


def part(i: int, side: int = 64) -> np.ndarray:
    """A grained disc before a plain background."""
    rng = np.random.default_rng(i)
    rows, columns = np.mgrid[:side, :side] - side / 2
    disc = np.hypot(rows, columns) < 0.35 * side
    grain = rng.normal(90, 8, (side, side))
    return np.where(disc, grain, 220).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def good() -> ImageSet:
    return ImageSet([Sample(f"{i}.png", image=part(i)) for i in range(18)], "parts")


def small(**settings: Any) -> PatchCore:
    return PatchCore(**{"image_size": 64, "coreset_ratio": 0.2, "device": "cpu", **settings})


def test_a_judgement_is_the_same_again_and_leaves_the_detector_as_it_was(good: ImageSet) -> None:
    detector, store = small(), FeatureStore()
    seen = []
    one = judge(
        detector, good, kinds=("stain", "missing"), store=store, progress=lambda *p: seen.append(p)
    )
    two = judge(detector, good, kinds=("stain", "missing"), store=store)
    assert not hasattr(detector, "backbone_")
    assert one.kinds == two.kinds
    assert set(one.kinds) == {"stain", "missing"}
    assert sum(judged.made for judged in one.kinds.values()) >= 40
    assert one.good == 18
    assert one.learnt == 12
    assert one.seconds_per_image > 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    assert 0.5 < one.image_AUROC <= 1
    assert 0 < one.hits <= 1
    assert one.score == pytest.approx((one.image_AUROC + one.pixel_PRO) / 2)


def test_one_that_sees_more_is_judged_better(good: ImageSet) -> None:
    store = FeatureStore()
    seeing = judge(small(), good, kinds=("missing", "scratch"), store=store)
    nearly_blind = judge(
        small(image_size=32, sigma=12.0), good, kinds=("missing", "scratch"), store=store
    )
    assert seeing.score > nearly_blind.score
    assert seeing.pixel_PRO > nearly_blind.pixel_PRO


@pytest.mark.parametrize(
    ("images", "held", "rounds"),
    [(2, 1, 2), (6, 2, 3), (20, 7, 3), (40, 14, 2), (90, 30, 1), (250, 50, 1)],
)
def test_how_many_images_are_held_out(images: int, held: int, rounds: int) -> None:
    given = ImageSet(
        [Sample(f"{i}", image=RNG.integers(0, 255, (8, 8), np.uint8)) for i in range(images)]
    )
    dealt = trials(given)
    assert len(dealt) == rounds
    assert max(int((~t.shown.labels).sum()) for t in dealt) == held  # type: ignore[operator]
    made = [kind for t in dealt for kind in t.shown.defects if kind != "good"]
    assert len(made) >= 20 * len(DECIDING)
    assert set(made) == set(DECIDING)
    for trial in dealt:
        assert not {s.path for s in trial.learnt} & {s.path for s in trial.shown}
        assert len(trial.shown_groups) == len(trial.shown)


def test_images_that_are_not_independent_stay_together(good: ImageSet) -> None:
    groups = [i // 3 for i in range(18)]
    for trial in trials(good, groups=groups):
        assert not set(trial.groups.tolist()) & set(trial.shown_groups.tolist())
        for sample, group in zip(trial.shown, trial.shown_groups.tolist(), strict=True):
            assert int(sample.path.stem) // 3 == group


def test_another_seed_deals_and_draws_anew(good: ImageSet) -> None:
    one, other = trials(good)[0], trials(good, seed=1)[0]
    assert one.learnt.paths != other.learnt.paths
    hashes = [{sample.sha256() for sample in trial.shown} for trial in (one, other)]
    assert hashes[0] != hashes[1]


def test_what_is_measured_of_perfect_and_of_blind_predictions(good: ImageSet) -> None:
    trial = trials(good, kinds=("missing", "dent"))[0]
    labels = trial.shown.labels
    assert labels is not None
    masks = np.stack(
        [np.zeros((64, 64)) if s.mask is None else s.read_mask() for s in trial.shown]
    ).astype(np.float32)
    perfect = Predictions(
        trial.shown.paths,
        labels * 1.0,
        masks,
        labels,
        masks > 0,
        trial.shown.defects,
        images=trial.shown,
    )
    judged = Judgement.of([perfect])
    assert (judged.image_AUROC, judged.hits) == (1, 1)
    assert judged.pixel_AUROC == 1
    assert judged.pixel_PRO == pytest.approx(1)
    blind = Predictions(
        trial.shown.paths,
        np.zeros(len(labels)),
        np.zeros_like(masks),
        labels,
        masks > 0,
        trial.shown.defects,
        images=trial.shown,
    )
    judged = Judgement.of([blind, blind])
    assert (judged.image_AUROC, judged.hits, judged.pixel_AUROC) == (0.5, 0, 0.5)
    assert judged.kinds["dent"].made == 2 * trial.shown.defects.count("dent")


def test_a_defect_where_nothing_counts_is_none(good: ImageSet) -> None:
    trial = trials(good, kinds=("missing", "pits"))[0]
    labels = trial.shown.labels
    assert labels is not None
    masks = np.stack(
        [np.zeros((64, 64), bool) if s.mask is None else s.read_mask() for s in trial.shown]
    )
    left = np.zeros((64, 64), bool)
    left[:, :32] = True

    def judged(ignored: np.ndarray) -> Judgement:
        hidden = np.broadcast_to(ignored, masks.shape)
        # Wrong in all that is ignored, right elsewhere.
        maps = np.where(hidden, 9.0, masks).astype(np.float32)
        scores = np.where((masks & ~hidden).any(axis=(1, 2)), 1.0, 0.0)
        return Judgement.of(
            [
                Predictions(
                    trial.shown.paths,
                    scores,
                    maps,
                    labels,
                    masks & ~hidden,
                    trial.shown.defects,
                    images=trial.shown,
                    ignored=hidden,
                )
            ]
        )

    half = judged(left)
    assert (half.image_AUROC, half.pixel_AUROC, half.hits) == (1, 1, 1)
    made = sum(kind.made for kind in half.kinds.values())
    assert 0 < made < np.count_nonzero(labels)
    assert made == np.count_nonzero((masks & ~left).any(axis=(1, 2)))
    with pytest.raises(DataError, match="no made defect lies where a pixel counts"):
        judged(np.ones((64, 64), bool))


def test_a_detector_that_ignores_and_one_that_crops_are_judged(good: ImageSet) -> None:
    kinds = ("missing", "stain")
    part = judge(small(ignore_box=((0, 0, 32, 64),)), good, kinds=kinds)
    made = sum(kind.made for kind in part.kinds.values())
    assert 0 < made < 44
    assert part.image_AUROC > 0.5
    assert judge(small(crop_size=32), good, kinds=kinds).pixel_PRO < 1


def test_a_judgement_can_be_kept_as_json(good: ImageSet) -> None:
    kinds = {"stain": KindJudged(9, 0.9, 0.97, 0.8, 0.6), "blur": KindJudged(9, 0.8, 0.9, 0.7, 0.0)}
    judgement = Judgement(kinds, good=20, learnt=40, seconds_per_image=0.02, fit_seconds=1.0)
    kept = json.loads(json.dumps(judgement.as_dict()))
    assert Judgement.from_dict(kept) == judgement
    for broken in (
        {},
        {**kept, "kinds": 3},
        {**kept, "more": 1},
        {**kept, "kinds": {"a": {"made": 1}}},
    ):
        with pytest.raises(ModelFileError, match="judgement is damaged"):
            Judgement.from_dict(broken)


def test_what_can_not_be_judged_by_is_refused(good: ImageSet) -> None:
    with pytest.raises(DataError, match="at least 2 good images"):
        judge(small(), good[:1])
    with pytest.raises(DataError, match="at least 2 groups"):
        judge(small(), good, groups=[0] * 18)
    with pytest.raises(ParameterError, match="no made defect 'rust'"):
        judge(small(), good, kinds=("rust",))
    with pytest.raises(DataError, match="labelled anomalous"):
        judge(small(), ImageSet([*good, Sample(Path("bad.png"), True)]))
