from __future__ import annotations

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
    assert sum(t.nbytes for t in store._memory.values()) <= 0.1 * 2**20


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
