from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalist.data import (
    ImageSet,
    MVTecAD,
    Sample,
    Transform,
    as_image_set,
    load_batches,
    load_masks,
    read_image,
    read_mask,
)
from anomalist.errors import DataError, ParameterError

RNG = np.random.default_rng(0)
COUNT = 23
TRANSFORM = Transform((24, 16), 12)


def loader_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("anomalist-loader")]


@pytest.fixture(autouse=True)
def _leaves_no_thread() -> None:
    yield
    assert not loader_threads()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    root = tmp_path_factory.mktemp("images")
    for i in range(COUNT):
        # Of many sizes, so that threads finish out of turn.
        size = (8, 8) if i % 2 else (200 + 10 * i, 150)
        pixels = RNG.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{i:02}.png")
    return ImageSet(Sample(path) for path in sorted(root.iterdir()))


@pytest.mark.parametrize("workers", [None, 1, 2, 7])
@pytest.mark.parametrize("batch_size", [1, 4, COUNT, 100])
def test_all_images_in_order(images: ImageSet, batch_size: int, workers: int | None) -> None:
    batches = list(load_batches(images, TRANSFORM, batch_size, workers=workers))
    sizes = [len(batch) for batch in batches]
    assert sizes[:-1] == [batch_size] * (len(batches) - 1)
    assert sum(sizes) == COUNT
    assert all(batch.dtype == np.uint8 and batch.flags.c_contiguous for batch in batches)
    expected = np.stack([TRANSFORM(read_image(path)) for path in images.paths])
    assert np.array_equal(np.concatenate(batches), expected)


def test_no_images() -> None:
    assert list(load_batches(ImageSet([]), TRANSFORM, 4)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size must"), ({"batch_size": 1, "workers": 0}, "workers must")],
)
def test_wrong_numbers_are_told_at_once(
    images: ImageSet, options: dict[str, int], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        load_batches(images, TRANSFORM, **options)


@pytest.mark.parametrize("workers", [1, 4])
def test_first_broken_file_is_named(images: ImageSet, tmp_path: Path, workers: int) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(images.paths[0].read_bytes()[:1000])
    mixed = ImageSet([*images[:9], Sample(broken), Sample(tmp_path / "missing.png"), *images])
    batches = load_batches(mixed, TRANSFORM, 4, workers=workers)
    assert len(next(batches)) == len(next(batches)) == 4
    with pytest.raises(DataError, match=r"broken\.png can't be read"):
        next(batches)
    assert not loader_threads()
    with pytest.raises(StopIteration):
        next(batches)


def test_closing_early_leaves_no_thread(images: ImageSet) -> None:
    batches = load_batches(images, TRANSFORM, 2, workers=3)
    next(batches)
    assert loader_threads()
    batches.close()
    assert not loader_threads()


def test_leaving_a_loop_leaves_no_thread(images: ImageSet) -> None:
    for _ in load_batches(images, TRANSFORM, 2, workers=3):
        break
    assert not loader_threads()


@pytest.mark.parametrize(("batch_size", "workers", "most"), [(4, 2, 12), (1, 4, 9), (8, 1, 24)])
def test_reads_a_few_batches_ahead_and_no_more(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch, batch_size: int, workers: int, most: int
) -> None:
    many = ImageSet(list(images) * 4)
    read: list[Path] = []
    enough = threading.Event()

    def recorded(sample: Sample, bit_depth: int) -> Image.Image:
        read.append(sample.path)
        if len(read) >= most:
            enough.set()
        return read_image(sample.path)

    monkeypatch.setattr(Sample, "read", recorded)
    batches = load_batches(many, TRANSFORM, batch_size, workers=workers)
    next(batches)
    assert enough.wait(30)
    assert not threading.Event().wait(0.1)
    assert len(read) == most
    batches.close()


def test_closing_early_drops_what_is_not_begun(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    closing = threading.Event()

    def slow(sample: Sample, bit_depth: int) -> Image.Image:
        read.append(sample.path)
        if len(read) > 4:
            closing.wait(30)
        return read_image(sample.path)

    monkeypatch.setattr(Sample, "read", slow)
    batches = load_batches(images, TRANSFORM, 4, workers=1)
    next(batches)
    threading.Timer(0.5, closing.set).start()
    batches.close()
    assert len(read) <= 5


def test_images_in_memory_give_the_same_batches(images: ImageSet) -> None:
    expected = list(load_batches(images, TRANSFORM, 4))
    arrays = [np.asarray(read_image(path)) for path in images.paths]
    for held in (arrays, [path.read_bytes() for path in images.paths]):
        batches = list(load_batches(as_image_set(held), TRANSFORM, 4))
        assert all(np.array_equal(a, b) for a, b in zip(batches, expected, strict=True))
    broken = as_image_set([*arrays, b"broken"])
    with pytest.raises(DataError, match=f"image-{COUNT} isn't an image"):
        list(load_batches(broken, TRANSFORM, 4))


def masked(root: Path, size: tuple[int, int], mask_size: tuple[int, int]) -> Sample:
    Image.new("RGB", size).save(root / "cut.png")
    mask = np.zeros(mask_size[::-1], np.uint8)
    mask[: mask_size[1] // 2] = 255
    Image.fromarray(mask).save(root / "cut_mask.png")
    return Sample(root / "cut.png", True, "cut", root / "cut_mask.png")


def test_masks(tmp_path: Path) -> None:
    cut = masked(tmp_path, (40, 20), (40, 20))
    good = Sample(tmp_path / "good.png", False, "good", tmp_path / "not_read.png")
    masks = load_masks(ImageSet([good, cut]), Transform((10, 8), 4))
    assert masks.dtype == np.bool_
    assert not masks[0].any()
    assert masks[1].tolist() == [[True] * 4] * 2 + [[False] * 4] * 2


def test_masks_in_memory(tmp_path: Path) -> None:
    cut = masked(tmp_path, (40, 20), (40, 20))
    held = Sample("cut", True, mask=read_mask(cut.mask), image=np.asarray(read_image(cut.path)))
    expected = load_masks(ImageSet([cut]), Transform((10, 8), 4))
    assert np.array_equal(load_masks(ImageSet([held]), Transform((10, 8), 4)), expected)


def test_unknown_masks(tmp_path: Path) -> None:
    cut = masked(tmp_path, (4, 4), (4, 4))
    good = Sample(tmp_path / "good.png", False, "good")
    unmasked, unlabelled = Sample(cut.path, True, "cut"), Sample(cut.path, None, "", cut.mask)
    assert load_masks(ImageSet([good, cut]), Transform(4)) is not None
    assert load_masks(ImageSet([good, cut, unlabelled]), Transform(4)) is None
    assert load_masks(ImageSet([good, unmasked]), Transform(4)) is None
    some = load_masks(ImageSet([good, cut, unmasked]), Transform(4))
    assert some is not None
    assert some.any(axis=(1, 2)).tolist() == [False, True, False]


def test_mask_of_another_size(tmp_path: Path) -> None:
    cut = masked(tmp_path, (40, 20), (20, 40))
    with pytest.raises(
        DataError, match=r"cut_mask\.png is 20 x 40 pixels, but its image .*cut\.png is 40 x 20"
    ):
        load_masks(ImageSet([cut]), Transform(8))


def test_mask_of_a_turned_photo_is_drawn_as_one_sees_it(tmp_path: Path) -> None:
    cut = masked(tmp_path, (40, 20), (20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(cut.path, exif=exif)
    masks = load_masks(ImageSet([cut]), Transform(4))
    assert masks[0].tolist() == [[True] * 4] * 2 + [[False] * 4] * 2


def test_masks_of_no_images() -> None:
    assert load_masks(ImageSet([]), TRANSFORM).shape == (0, 12, 12)


def test_real_images_and_masks(mvtec_ad: Path) -> None:
    test = MVTecAD(mvtec_ad).category("bottle").test[::8]
    (batch,) = load_batches(test, Transform(64), len(test))
    masks = load_masks(test, Transform(64))
    assert batch.shape[:3] == masks.shape
    assert np.array_equal(masks.any(axis=(1, 2)), test.labels)
    assert 30 < batch.mean() < 225
