from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomalist import GLASS, Ensemble, PatchCore
from anomalist.data import Sample
from anomalist.digits import shown
from anomalist.errors import ParameterError
from anomalist.inspection import Odd, Rule, fit_parts, model_card, open_model, open_parts
from anomalist.predictions import Predictions


def test_a_batch_that_memory_cannot_hold_is_refused(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.sysconf
    # A gigabyte, in pages.
    small = {"SC_PHYS_PAGES": 2**30 // real("SC_PAGE_SIZE")}
    monkeypatch.setattr(os, "sysconf", lambda name: small.get(name) or real(name))
    detector = PatchCore(image_size=4000, batch_size=1000, device="cpu")
    with pytest.raises(ParameterError, match=r"a batch of 6 images of 4000 x 4000 .* 4 GB .* 1 GB"):
        fit_parts(detector, open_parts(dots), tmp_path / "new" / "dot.anomalist")
    assert not (tmp_path / "new").exists()


def folder_of(root: Path, images: list[np.ndarray[Any, Any]]) -> Path:
    root.mkdir()
    for i, pixels in enumerate(images):
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / f"{i:03}.png")
    return root


def grey_noise(n: int, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(110, 6, (64, 64, 3)) for _ in range(n)]


def test_an_odd_image_that_sets_the_threshold_is_named_beside_it(tmp_path: Path) -> None:
    images = grey_noise(20)
    images[17] = np.zeros((64, 64, 3))
    images[17][20:40, 20:40] = 255
    root = folder_of(tmp_path / "parts", images)
    out = tmp_path / "part.anomalist"
    result = fit_parts(PatchCore(image_size=64, device="cpu"), open_parts(root), out)
    assert result.odd is not None
    assert result.odd.paths == (root / "017.png",)
    assert result.rule.threshold == result.odd.scores[0]
    assert result.odd.without is not None
    assert result.odd.without < result.rule.threshold / 2
    told = result.odd.describe()
    for words in ("is set by", "017.png", f"would be {shown(result.odd.without)}", "--exclude"):
        assert words in told
    whole = result.as_dict()
    assert whole == json.loads(json.dumps(whole, allow_nan=False))
    assert whole["odd"]["paths"] == [str(root / "017.png")]
    fewer = fit_parts(
        PatchCore(image_size=64, device="cpu"), open_parts(root, exclude=["017.png"]), out
    )
    assert fewer.odd is None


def test_an_odd_image_is_told_by_what_it_does_to_the_threshold() -> None:
    scores = np.concatenate([[90.0], 10 + np.random.default_rng(0).random(18)])
    held_out = Predictions([f"{i}.png" for i in range(19)], scores, np.zeros((19, 1, 1)))
    rule = Rule(
        alpha=0.05,
        threshold=90.0,
        pixel_threshold=None,
        low=None,
        high=None,
        given=False,
        images=19,
        scenes=19,
    )
    odd = Odd.of(held_out, rule)
    assert odd is not None
    assert odd.without == np.sort(scores)[-2]
    assert odd.describe().startswith("threshold 90 is set by 0.png")
    lower = dataclasses.replace(odd, threshold=11.0, without=10.9)
    assert lower.describe().startswith("0.png: held-out score far above all others'; without it")
    same = dataclasses.replace(odd, threshold=11.0, without=11.0)
    assert "doesn't change the threshold" in same.describe()


def shots(root: Path, names: str = "{part}-{shot}.png") -> Path:
    """Ten photographs each of four parts."""
    rng = np.random.default_rng(3)
    root.mkdir()
    for part, pixels in enumerate(grey_noise(4, seed=3)):
        for shot in range(10):
            image = (pixels + rng.integers(-1, 2, pixels.shape)).clip(0, 255)
            path = root / names.format(part=part, shot=shot)
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image.astype(np.uint8)).save(path)
    return root


def test_shots_of_few_parts_are_promised_what_so_few_parts_can(tmp_path: Path) -> None:
    root = shots(tmp_path / "shots")
    out = tmp_path / "shots.anomalist"
    result = fit_parts(PatchCore(image_size=64, device="cpu"), open_parts(root), out)
    assert (result.rule.images, result.rule.scenes) == (40, 4)
    assert result.rule.promise == pytest.approx((0.0063, 0.6024), abs=1e-4)
    assert result.rule.threshold == result.least_normal[0][1]
    assert result.rule.describe().endswith(
        "the highest score of 40 good images of about 4 independent scenes, too few to guarantee a"
        " false-alarm rate of 5%, which takes 19 scenes: so few promise 20.0%, expect 0.6% to 60.2%"
    )
    assert result.notes[0] == (
        "40 images to learn from, about 4 independent scenes by what they show: the promise is for"
        " those; --groups says otherwise"
    )
    # Whole parts no one has seen: without the shots of each other they score as high as the known.
    new = [Image.fromarray(p.clip(0, 255).astype(np.uint8)) for p in grey_noise(40, seed=9)]
    alarms = (result.detector.predict(new).scores > result.rule.threshold).mean()
    assert alarms <= 0.6
    none = fit_parts(PatchCore(image_size=64, device="cpu"), open_parts(root), out, groups="none")
    assert (none.detector.predict(new).scores > none.rule.threshold).mean() == 1.0
    assert none.rule.scenes == 40
    again = fit_parts(PatchCore(image_size=64, device="cpu"), open_parts(root), out)
    card = model_card(out)
    assert card["training"]["scenes"] == card["calibration"]["scenes"] == 4
    assert card["calibration"]["method"].endswith("; images of one scene together")
    (row,) = (row for row in card["calibration"]["thresholds"] if row["alpha"] == 0.05)
    assert row["false_alarms_expected"] == list(again.rule.promise or ())
    assert set(card["training"]["looks"]) >= {"brightness", "sharpness"}
    loaded = open_model(out)
    assert Rule.of(loaded).describe() == again.rule.describe()
    assert loaded.calibration_ is not None
    assert loaded.calibration_.groups.tolist() == np.repeat(np.arange(4), 10).tolist()
    assert again.as_dict()["rule"]["rate"] == 0.2


@pytest.mark.parametrize(
    ("names", "groups", "scenes"),
    [
        ("{part}-{shot}.png", r"by-name ^(\d)-", 4),
        ("{part}/{shot}.png", "by-folder", 4),
        ("{part}-{shot}.png", r"by-name [02]-", 22),
        ("{part}-{shot}.png", [i % 5 for i in range(40)], 5),
        ("{part}-{shot}.png", "none", 40),
    ],
)
def test_scenes_are_those_that_are_told(
    tmp_path: Path, names: str, groups: Any, scenes: int
) -> None:
    parts = open_parts(shots(tmp_path / "shots", names))
    detector = Ensemble(members=("patchcore", "padim"), image_size=64, device="cpu")
    result = fit_parts(detector, parts, tmp_path / "part.anomalist", groups=groups)
    assert result.rule.scenes == scenes
    for member in result.detector.members_:
        assert member.calibration_ is not None
        assert member.calibration_.scenes == scenes
    loaded = open_model(tmp_path / "part.anomalist")
    assert Rule.of(loaded).describe() == result.rule.describe()
    told = [note for note in result.notes if "scene" in note]
    assert bool(told) == (scenes < 40)
    if scenes == 22:
        assert "finds nothing in 20 of 40 names" in told[1]


def test_what_a_data_set_says_of_scenes_goes_before_what_is_seen(tmp_path: Path) -> None:
    parts = open_parts(shots(tmp_path / "shots"))
    out = tmp_path / "part.anomalist"
    for group_of, scenes in ((lambda i: str(i // 20), 2), (lambda _: "one", 1)):
        samples = [dataclasses.replace(s, group=group_of(i)) for i, s in enumerate(parts.train)]
        said = dataclasses.replace(parts, train=type(parts.train)(samples, parts.train.name))
        result = fit_parts(PatchCore(image_size=64, device="cpu"), said, out)
        assert result.rule.scenes == scenes
        assert f"{scenes} independent scene" in result.notes[0]
        assert "as the data set says" in result.notes[0]
        assert result.rule.rate == 1 / (scenes + 1)


def test_what_cannot_be_calibrated_is_told_before_the_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("fitted for nothing")

    monkeypatch.setattr("anomalist.detectors.base.Detector.fit", never)
    root = folder_of(tmp_path / "parts", grey_noise(3))
    detector = GLASS(image_size=64, device="cpu", selection="held_out")
    with pytest.raises(ParameterError, match="4 to be calibrated on folds of them, not 3"):
        fit_parts(detector, open_parts(root), tmp_path / "part.anomalist")


def test_an_image_is_decoded_once_for_its_look(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = Sample.read

    def counted(self: Sample, *more: Any) -> Image.Image:
        read.append(self.path)
        return real(self, *more)

    parts = open_parts(dots)
    monkeypatch.setattr(Sample, "read", counted)
    fit_parts(PatchCore(image_size=64, device="cpu"), parts, tmp_path / "dot.anomalist")
    # Scenes are found before the fit, thumbnails of some and the sheet of the least normal drawn,
    # and each has a small picture, by which near copies are found; not all once more for looks.
    assert len(read) <= 4 * len(parts.train) + len(parts.test)
