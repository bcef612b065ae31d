from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import timm
import torch

from anomalist.errors import ParameterError
from anomalist.features import Backbone, find_weights, timm_name
from anomalist.features.folding import fold_batch_norms


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
