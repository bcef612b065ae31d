from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data import ImageSet, Sample, Transform, load_masks
from anomalist.errors import DataError, ParameterError
from anomalist.synthesis import CHECKING, DECIDING, draw_defect, make_defects
from anomalist.synthesis.kinds import KINDS, ON_SURFACE


@dataclass(frozen=True)
class Inverted:
    key: str = "inverted"

    def image(self, samples: np.ndarray, white: int, rng: np.random.Generator) -> np.ndarray:
        return white - samples

    def mask(self, mask: np.ndarray) -> np.ndarray:
        return mask


EVERY = (*DECIDING, *CHECKING)


def part(side: int = 96, seed: int = 0) -> np.ndarray:
    """A grained square before a plain background."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), 225, np.uint8)
    inner = slice(side // 5, side - side // 5)
    length = inner.stop - inner.start
    pixels[inner, inner] = rng.normal(90, 25, (length, length, 1)).clip(0, 255).astype(np.uint8)
    return pixels


def fabric(side: int = 96) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    wave = 128 + 60 * np.sin(rows / 3) * np.cos(columns / 2)
    return np.stack([wave, wave * 0.8, wave * 0.6], axis=2).astype(np.uint8)


def test_half_of_the_kinds_decide_and_the_other_half_check() -> None:
    assert set(EVERY) == set(KINDS)
    assert len(EVERY) == len(set(EVERY))
    assert len(DECIDING) == len(CHECKING) >= 6


@pytest.mark.parametrize("kind", EVERY)
def test_a_defect_is_seen_where_its_mask_says_and_nowhere_else(kind: str) -> None:
    for good in (part(), fabric()):
        kept = good.copy()
        for seed in range(3):
            made, mask = draw_defect(kind, good, np.random.default_rng(seed))
            again, same = draw_defect(kind, good, np.random.default_rng(seed))
            assert (good == kept).all()
            assert made.shape == good.shape
            assert made.dtype == np.uint8
            assert np.array_equal(made, again)
            assert np.array_equal(mask, same)
            change = np.abs(made.astype(int) - good).max(axis=2)
            assert 0 < mask.sum() < 0.6 * mask.size
            assert change[mask].mean() > 4
            assert change[~mask].max() <= 0.021 * good.max()


@pytest.mark.parametrize("kind", sorted(ON_SURFACE))
def test_what_is_on_the_surface_stays_on_the_part(kind: str) -> None:
    good = part()
    there = (good != 225).any(axis=2)
    for seed in range(3):
        made, mask = draw_defect(kind, good, np.random.default_rng(seed), there)
        assert (made[~there] == 225).all()
        assert not (mask & ~there).any()


@pytest.mark.parametrize("kind", EVERY)
def test_any_photograph_can_have_a_defect(kind: str) -> None:
    rng = np.random.default_rng(1)
    deep = rng.integers(100, 1000, (60, 80, 1)).astype(np.uint16)
    images = [
        deep,
        deep[..., 0],
        np.zeros((40, 30, 3), np.uint8),
        np.full((40, 30, 3), 255, np.uint8),
        np.full((4, 4, 3), 9, np.uint8),
        np.full((1, 1), 200, np.uint8),
        rng.integers(0, 255, (3, 90, 3)).astype(np.uint8),
    ]
    for good in images:
        made, mask = draw_defect(kind, good, np.random.default_rng(0))
        assert (made.shape, made.dtype) == (good.shape, good.dtype)
        assert mask.shape == good.shape[:2]
        assert mask.any()
        assert made.max() <= max(good.max(), 1)


def test_sizes_go_from_tiny_to_large() -> None:
    for kind in EVERY:
        masks = [draw_defect(kind, fabric(), np.random.default_rng(seed))[1] for seed in range(12)]
        shares = sorted(mask.mean() for mask in masks)
        assert shares[0] < 0.02
        assert shares[-1] > 4 * shares[0]


def test_grey_photographs_stay_grey() -> None:
    good = np.full((48, 48), 128, np.uint8)
    sample = make_defects(ImageSet([Sample("a", image=good)]), kinds=("stain",))[0]
    shown = np.asarray(sample.read())
    assert (shown[..., 0] == shown[..., 2]).all()
    assert (shown[..., 0] != good).any()


@pytest.fixture
def good(tmp_path: Path) -> ImageSet:
    samples = []
    for i in range(5):
        path = tmp_path / f"{i}.png"
        Image.fromarray(part(seed=i)).save(path)
        samples.append(Sample(path, False, "good"))
    return ImageSet(samples, "parts")


def test_every_kind_comes_equally_often_with_labels_and_masks(good: ImageSet) -> None:
    made = make_defects(good, each=6)
    assert len(made) == 30
    assert made.labels is not None
    assert made.labels.all()
    assert {kind: made.defects.count(kind) for kind in DECIDING} == dict.fromkeys(DECIDING, 5)
    assert {made.defects[i] for i in range(0, 30, 5)} == set(DECIDING)
    masks = load_masks(made, Transform(96))
    assert masks is not None
    for sample, mask in zip(made, masks, strict=True):
        before = np.asarray(Sample(sample.path).read()).astype(int)
        change = np.abs(np.asarray(sample.read()) - before).max(axis=2)
        assert change[mask].mean() > change[~mask].mean()
        assert mask.any()
    assert len({sample.sha256() for sample in [*made, *good]}) == 35


def test_a_mask_is_the_same_before_and_after_reading_and_in_another_process(good: ImageSet) -> None:
    one, other = make_defects(good, each=2), make_defects(good, each=2)
    sent = pickle.loads(pickle.dumps(other))
    for a, b, c in zip(one, other, sent, strict=True):
        a.read()
        assert np.array_equal(a.read_mask(), b.read_mask())
        assert np.array_equal(a.read_mask(), c.read_mask())
        assert np.array_equal(np.asarray(a.read()), np.asarray(c.read()))
        assert a == b


def test_another_seed_draws_others_and_kinds_that_come_again_differ(good: ImageSet) -> None:
    one = make_defects(good[:1], kinds=("stain",), each=2)
    other = make_defects(good[:1], kinds=("stain",), seed=5)
    hashes = {sample.sha256() for sample in [*one, *other]}
    assert len(hashes) == 3
    assert make_defects(good[:1], kinds=("stain",))[0].sha256() == one[0].sha256()


def test_a_photograph_that_is_turned_has_its_mask_turned_too() -> None:
    picture = Image.fromarray(fabric()[:64])
    exif = picture.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "PNG", exif=exif)
    good = Sample("turned", False, image=file.getvalue())
    made = make_defects(ImageSet([good]), kinds=("missing",))[0]
    mask = made.read_mask()
    assert mask is not None
    assert mask.shape == (96, 64) == good.size()
    change = np.abs(np.asarray(made.read()).astype(int) - np.asarray(good.read())).max(axis=2)
    assert change[~mask].max() <= 5


def test_a_photograph_that_is_changed_already_stays_so(good: ImageSet) -> None:
    first = make_defects(good[:1], kinds=("missing",))[0]
    alone = first.changed(Inverted())
    assert alone.read_mask().any()
    changed = good[0].changed(Inverted())
    made = make_defects(ImageSet([changed]), kinds=("stain",))[0]
    mask = made.read_mask()
    change = np.abs(np.asarray(made.read()).astype(int) - np.asarray(changed.read())).max(axis=2)
    assert change[~mask].max() <= 6
    assert mask.any()


def test_what_makes_no_sense_is_refused(good: ImageSet) -> None:
    with pytest.raises(ParameterError, match="no made defect 'rust'; there are cut_paste, scratch"):
        make_defects(good, kinds=("rust",))
    with pytest.raises(ParameterError, match="at least one kind"):
        make_defects(good, kinds=())
    with pytest.raises(ParameterError, match="each must be at least 1, not 0"):
        make_defects(good, each=0)
    with pytest.raises(DataError, match=r"bad\.png is labelled anomalous"):
        make_defects(ImageSet([Sample(Path("bad.png"), True)]))
    with pytest.raises(ParameterError, match="foreground of shape"):
        draw_defect("stain", part(), np.random.default_rng(0), np.ones((3, 3), bool))
