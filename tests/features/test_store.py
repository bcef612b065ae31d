from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from anomalist.data import ImageSet, MVTecAD, Transform, load_batches
from anomalist.errors import ParameterError
from anomalist.features import Backbone, FeatureStore

TRANSFORM = Transform(64)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone("efficientnet_lite0", ["stride8", "stride16"])


@pytest.fixture
def images(dots: Path) -> ImageSet:
    return MVTecAD(dots).category("dot").train


def plain(backbone: Backbone, images: ImageSet, transform: Transform = TRANSFORM) -> list[object]:
    return [backbone(batch) for batch in load_batches(images, transform, 4)]


def assert_same(got: list[object], expected: list[object]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        for x, y in zip(a, b, strict=True):  # type: ignore[call-overload]
            assert torch.equal(x, y)


def ask(store: FeatureStore, backbone: Backbone, images: ImageSet) -> list[object]:
    return list(store.features(backbone, images, TRANSFORM, 4))


@pytest.mark.parametrize("limit", [0, 0.5, 100])
@pytest.mark.parametrize("on_disk", [False, True])
def test_the_store_gives_what_the_backbone_gives(
    backbone: Backbone, images: ImageSet, tmp_path: Path, limit: float, on_disk: bool
) -> None:
    store = FeatureStore(memory_limit_mb=limit, folder=tmp_path if on_disk else None)
    expected = plain(backbone, images)
    for _ in range(3):
        assert_same(ask(store, backbone, images), expected)
    if limit == 100 or on_disk:
        assert store.passes == len(images)
        assert store.saved_seconds > 0
    elif limit == 0:
        assert store.passes == 3 * len(images)
        assert store.saved_seconds == 0


def test_all_layers_come_from_one_pass(images: ImageSet) -> None:
    store = FeatureStore()
    store.adopt(Backbone("efficientnet_lite0", ["stride4", "stride8", "stride16"]))
    for layers in (["stride8", "stride16"], ["stride4"], ["stride16", "stride4"]):
        backbone = Backbone("efficientnet_lite0", layers)
        assert_same(ask(store, backbone, images), plain(backbone, images))
    assert store.passes == len(images)


def test_layers_that_nobody_adopted_get_a_pass_of_their_own(
    backbone: Backbone, images: ImageSet
) -> None:
    store = FeatureStore()
    store.adopt(Backbone("efficientnet_lite0", ["stride4"]))
    assert_same(ask(store, backbone, images), plain(backbone, images))


def test_another_transform_or_changed_bytes_are_other_features(
    backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    store = FeatureStore()
    ask(store, backbone, images)
    other = Transform(96)
    got = list(store.features(backbone, images, other, 4))
    assert_same(got, plain(backbone, images, other))
    copy = tmp_path / "a.png"
    copy.write_bytes(images.paths[0].read_bytes())
    from anomalist.data import Sample

    single = ImageSet([Sample(copy)])
    passes = store.passes
    ask(store, backbone, single)
    assert store.passes == passes  # the same bytes under another name
    copy.write_bytes(images.paths[1].read_bytes())
    ask(store, backbone, single)
    assert store.passes == passes


def test_files_serve_another_process_and_torn_ones_are_made_again(
    backbone: Backbone, images: ImageSet, tmp_path: Path
) -> None:
    expected = ask(FeatureStore(folder=tmp_path), backbone, images)
    again = FeatureStore(folder=tmp_path)
    assert_same(ask(again, backbone, images), expected)
    assert again.passes == 0
    files = sorted(tmp_path.glob("*/*.safetensors"))
    files[0].write_bytes(files[0].read_bytes()[:100])
    files[1].unlink()
    mended = FeatureStore(folder=tmp_path)
    assert_same(ask(mended, backbone, images), expected)
    assert 0 < mended.passes <= len(images)
    assert_same(ask(FeatureStore(folder=tmp_path), backbone, images), expected)


def test_limits_hold(backbone: Backbone, images: ImageSet, tmp_path: Path) -> None:
    store = FeatureStore(memory_limit_mb=0.1, folder=tmp_path, disk_limit_mb=0.1)
    expected = plain(backbone, images)
    for _ in range(2):
        assert_same(ask(store, backbone, images), expected)
    kept = sum(f.stat().st_size for f in tmp_path.glob("*/*.safetensors"))
    assert 0 < kept <= 0.1 * 2**20
    held = [t.nbytes for maps in store._memory.values() for t in maps.values()]
    assert 0 < sum(held) <= 0.1 * 2**20


@pytest.fixture
def eight(dots: Path) -> ImageSet:
    category = MVTecAD(dots).category("dot")
    return ImageSet([*category.train, *category.test[:2]])


def bytes_of_one(backbone: Backbone) -> int:
    return sum(c * h * w * 4 for c, h, w in backbone.shapes(64, 64))


def scan(store: FeatureStore, backbone: Backbone, images: ImageSet) -> int:
    before = store.passes
    for _ in store.features(backbone, images, TRANSFORM, 1):
        pass
    return store.passes - before


def test_images_that_come_round_again_do_not_push_each_other_out(
    backbone: Backbone, eight: ImageSet
) -> None:
    store = FeatureStore(memory_limit_mb=7 * bytes_of_one(backbone) / 2**20)
    assert [scan(store, backbone, eight) for _ in range(5)] == [8, 1, 1, 1, 1]
    # Two sets in turn, of which seven of ten images fit.
    store = FeatureStore(memory_limit_mb=7 * bytes_of_one(backbone) / 2**20)
    train, test = eight[:5], eight[[5, 6, 7]]
    rounds = [scan(store, backbone, part) for _ in range(4) for part in (train, test)]
    assert rounds == [5, 3, *[1, 0] * 3]


def test_images_of_another_category_take_the_place_of_those_that_wait(
    backbone: Backbone, eight: ImageSet
) -> None:
    store = FeatureStore(memory_limit_mb=4 * bytes_of_one(backbone) / 2**20)
    first, second = eight[:4], eight[4:]
    assert [scan(store, backbone, first) for _ in range(2)] == [4, 0]
    assert [scan(store, backbone, second) for _ in range(3)] == [4, 0, 0]


def test_sets_of_layers_lie_beside_each_other_on_disk(eight: ImageSet, tmp_path: Path) -> None:
    one, other = (Backbone("efficientnet_lite0", [layer]) for layer in ("stride8", "stride16"))
    store = FeatureStore(memory_limit_mb=0, folder=tmp_path)
    assert [scan(store, b, eight) for b in (one, other, one, other)] == [8, 8, 0, 0]


def test_a_file_is_read_once_for_its_hash_and_its_pixels(
    backbone: Backbone, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anomalist.data import Sample, source

    opened: list[str] = []
    for name in ("read_bytes", "develop_file", "sha256_of", "image_size"):
        plain_read = getattr(source, name)

        def reading(
            path: Path, *rest: object, plain: object = plain_read, **more: object
        ) -> object:
            if isinstance(path, Path):
                opened.append(path.name)
            return plain(path, *rest, **more)  # type: ignore[operator]

        monkeypatch.setattr(source, name, reading)
    fresh = ImageSet(Sample(path) for path in images.paths)
    store = FeatureStore()
    for _ in range(2):
        ask(store, backbone, fresh)
    fresh.digests()
    assert sorted(opened) == sorted(path.name for path in images.paths)


def test_threads_share_a_store(backbone: Backbone, images: ImageSet) -> None:
    store = FeatureStore(memory_limit_mb=0.1)
    expected = plain(backbone, images)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: ask(store, backbone, images), range(12)):
            assert_same(got, expected)


def test_progress_counts_images(backbone: Backbone, images: ImageSet) -> None:
    store, told = FeatureStore(), []
    for _ in range(2):
        for _maps in store.features(
            backbone, images, TRANSFORM, 4, lambda done, total: told.append((done, total))
        ):
            pass
    assert told == [(4, 6), (6, 6)] * 2


def test_negative_limits_are_refused() -> None:
    with pytest.raises(ParameterError, match="memory_limit_mb"):
        FeatureStore(memory_limit_mb=-1)
