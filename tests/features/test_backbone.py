from __future__ import annotations

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import timm
import torch

from anomalist.errors import ParameterError
from anomalist.features import Backbone, find_weights, timm_name, unite_backbones
from anomalist.features.folding import fold_batch_norms
from anomalist.features.network import Network


@pytest.fixture(autouse=True)
def _own_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that other tests still hold aren't borrowed."""
    monkeypatch.setattr("anomalist.features.backbone._networks", weakref.WeakSet())


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    safetensors.torch.save_file(timm.create_model("resnet18").state_dict(), path)
    return path


def normalised(images: npt.NDArray[np.uint8], model: torch.nn.Module) -> torch.Tensor:
    mean, std = (torch.tensor(model.pretrained_cfg[k])[:, None, None] for k in ("mean", "std"))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std


def test_embedded_weights_give_the_features_of_the_whole_network(
    images: npt.NDArray[np.uint8],
) -> None:
    model = timm.create_model("tf_efficientnet_lite0").eval()
    file = find_weights("efficientnet_lite0")
    state = torch.load(file.path, weights_only=True)
    # The package's names in its own order: an independent look at what stands for what.
    assert [n.split(".")[0].lstrip("_") for n in list(state)[:2]] == ["conv_stem", "bn0"]
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    with torch.inference_mode():
        expected = model.forward_intermediates(
            normalised(images, model), indices=[2, 3], intermediates_only=True
        )
    for ours, theirs in zip(Backbone("efficientnet_lite0")(images), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_layers_by_name_and_by_stride_are_the_same(
    images: npt.NDArray[np.uint8], resnet_file: Path
) -> None:
    by_name = Backbone("resnet18", ["layer2", "layer3"], weights=resnet_file)
    by_stride = Backbone("resnet18", ["stride8", "stride16"], weights=resnet_file)
    assert by_name.layers == by_stride.layers == ("layer2", "layer3")
    for a, b in zip(by_name(images), by_stride(images), strict=True):
        assert torch.equal(a, b)


def test_order_of_layers_is_the_order_asked_for(
    images: npt.NDArray[np.uint8], resnet_file: Path
) -> None:
    deep_first = Backbone("resnet18", ["layer3", "layer1"], weights=resnet_file)(images)
    assert [m.shape[1] for m in deep_first] == [256, 64]


def test_only_what_the_layers_need_is_kept(resnet_file: Path) -> None:
    names = Backbone("resnet18", ["layer2"], weights=resnet_file).state()
    assert any(n.startswith("layer2") for n in names)
    assert not any(n.startswith(("layer3", "layer4", "fc")) for n in names)


def test_a_transformer_gives_maps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224").eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "vit.pth")
    image = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    backbone = Backbone("vit_tiny_patch16_224", ["blocks.3"], weights=tmp_path / "vit.pth")
    with torch.inference_mode():
        expected = model.forward_intermediates(
            normalised(image, model), indices=[3], intermediates_only=True, norm=False
        )[0]
    torch.testing.assert_close(backbone(image)[0], expected, rtol=1e-4, atol=1e-4)
    assert backbone(np.zeros((1, 96, 64, 3), np.uint8))[0].shape == (1, 192, 6, 4)
    assert Backbone("vit_tiny_patch16_224", weights=tmp_path / "vit.pth").layers == (
        "blocks.5",
        "blocks.8",
    )
    with pytest.raises(ParameterError, match="100x100"):
        backbone(np.zeros((1, 100, 100, 3), np.uint8))


def test_channels_last_networks_give_channels_first_maps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("swin_tiny_patch4_window7_224")
    torch.save(model.state_dict(), tmp_path / "swin.pth")
    backbone = Backbone("swin_tiny_patch4_window7_224", ["stride8"], weights=tmp_path / "swin.pth")
    assert backbone(np.zeros((1, 224, 224, 3), np.uint8))[0].shape == (1, 192, 28, 28)


@pytest.mark.parametrize("name", ["test_maxvit", "eva02_tiny_patch14_224"])
def test_modules_that_are_read_but_never_called_are_kept(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    safetensors.torch.save_model(model, str(tmp_path / "w.safetensors"))
    side = model.pretrained_cfg["input_size"][-1]
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    backbone = Backbone(name, weights=tmp_path / "w.safetensors")
    with torch.inference_mode():
        expected = model.forward_intermediates(
            normalised(image, model), intermediates_only=True, norm=False
        )
    for layer, found in zip(backbone.layers, backbone(image), strict=True):
        near = [
            e for e in expected if e.shape == found.shape and torch.allclose(e, found, atol=1e-4)
        ]
        assert near, layer
    shallow = Backbone(name, backbone.layers[:1], weights=tmp_path / "w.safetensors")
    again = Backbone.from_state(name, shallow.layers, shallow.state(), shallow.weights_sha256)
    assert torch.equal(again(image)[0], backbone(image)[0])
    with pytest.raises(ParameterError, match="33x33"):
        backbone(np.zeros((1, 33, 33, 3), np.uint8))


def test_papers_weights_are_pinned() -> None:
    assert timm_name("resnet18") == "resnet18.tv_in1k"
    assert timm_name("wide_resnet50_2") == "wide_resnet50_2.tv_in1k"


@pytest.mark.parametrize("layers", [["layer9"], [], ["layer2", "stride8"], [""]])
def test_layers_that_make_no_sense_are_refused(layers: list[str], resnet_file: Path) -> None:
    with pytest.raises(ParameterError, match="layer"):
        Backbone("resnet18", layers, weights=resnet_file)


class _Twice(torch.nn.Module):
    """Uses its convolution's output both with and without the normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        torch.nn.init.constant_(self.norm.weight, 3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.convolution(x)
        return x + self.norm(x)


def test_a_convolution_that_is_used_twice_is_not_folded() -> None:
    torch.manual_seed(0)
    network, image = _Twice().eval(), torch.randn(1, 3, 8, 8)
    before = network(image)
    fold_batch_norms(network, lambda: [network(image)])
    assert torch.equal(network(image), before)
    assert isinstance(network.norm, torch.nn.BatchNorm2d)


def test_a_layer_inside_a_pair_keeps_its_own_output(
    images: npt.NDArray[np.uint8], resnet_file: Path
) -> None:
    model = timm.create_model("resnet18").eval()
    model.load_state_dict(safetensors.torch.load_file(resnet_file))
    with torch.inference_mode():
        expected = model.conv1(normalised(images, model))
    got = Backbone("resnet18", ["conv1", "layer1"], weights=resnet_file)(images)[0]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_threads_get_what_one_gets(images: npt.NDArray[np.uint8]) -> None:
    deep, shallow = Backbone(layers=["stride4", "stride16"]), Backbone(layers=["stride8"])
    assert shallow.shares_network(deep)
    expected = [[b(images[i : i + 1]) for i in range(3)] for b in (deep, shallow)]

    def asked(turn: int) -> bool:
        which, i = turn % 2, turn % 3
        got = (deep, shallow)[which](images[i : i + 1])
        return all(torch.equal(a, b) for a, b in zip(got, expected[which][i], strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(asked, range(120)))


def test_a_process_has_one_network_of_the_same_weights(
    resnet_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    plain = Network.__init__

    def counted(self: Network, name: str, *rest: object) -> None:
        made.append(name)
        plain(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Network, "__init__", counted)
    gc.collect()
    first = Backbone("resnet18", ["layer3"], weights=resnet_file)
    others = [
        Backbone("resnet18", layers, weights=resnet_file)
        for layers in (["layer1", "layer2"], ["stride4"], ["layer3"])
    ]
    copies = [copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(others[0]))]
    assert all(b.shares_network(first) for b in (*others, *copies))
    assert made == ["resnet18"]
    deeper = Backbone("resnet18", ["layer4"], weights=resnet_file)
    assert made == ["resnet18"] * 2
    (united,) = unite_backbones([first, *others, deeper])
    assert set(united.layers) == {"layer1", "layer2", "layer3", "layer4"}
    assert united.shares_network(deeper)
    # A layer whose own output folding would change has a network for itself.
    bare = Backbone("resnet18", ["conv1"], weights=resnet_file)
    assert not bare.shares_network(deeper)
    assert len(unite_backbones([bare, deeper])) == 2


def test_what_is_saved_does_not_depend_on_who_shares_the_network(resnet_file: Path) -> None:
    alone = Backbone("resnet18", ["layer2"], weights=resnet_file).state()
    gc.collect()
    deeper = Backbone("resnet18", ["layer4"], weights=resnet_file)
    shared = Backbone("resnet18", ["layer2"], weights=resnet_file)
    assert shared.shares_network(deeper)
    assert shared.state().keys() == alone.keys()


def test_weights_that_only_claim_to_be_the_same_are_not_shared(
    images: npt.NDArray[np.uint8], resnet_file: Path
) -> None:
    true = Backbone("resnet18", ["layer1"], weights=resnet_file)
    state = {name: tensor.clone() for name, tensor in true.state().items()}
    state["conv1.weight"] += 0.1
    false = Backbone.from_state("resnet18", ["layer1"], state, true.weights_sha256)
    assert not false.shares_network(true)
    assert not torch.equal(false(images)[0], true(images)[0])
    again = Backbone.from_state("resnet18", ["layer1"], true.state(), true.weights_sha256)
    assert again.shares_network(true)


def with_random_weights(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    torch.save(timm.create_model(name).state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


def test_tokens_become_a_map_or_are_refused_in_words(tmp_path: Path) -> None:
    image = np.zeros((1, 224, 224, 3), np.uint8)
    file = with_random_weights("mixer_s32_224", tmp_path)
    assert Backbone("mixer_s32_224", ["blocks.3"], weights=file)(image)[0].shape == (1, 512, 7, 7)
    file = with_random_weights("hiera_tiny_224", tmp_path)
    with pytest.raises(ParameterError, match="choose other layers"):
        Backbone("hiera_tiny_224", weights=file)(image)
    file = with_random_weights("mvitv2_tiny", tmp_path)
    with pytest.raises(ParameterError, match="mvitv2_tiny names no feature layers: choose them"):
        Backbone("mvitv2_tiny", weights=file)
    with pytest.raises(ParameterError, match="choose other layers"):
        Backbone("mvitv2_tiny", ["stages.1"], weights=file)(image)
