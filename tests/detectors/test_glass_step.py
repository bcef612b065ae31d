from __future__ import annotations

import copy

import pytest
import torch

from anomalist.detectors.glass_step import Iteration, Network, losses
from tests.reference import glass as reference

pytestmark = pytest.mark.usefixtures("two_threads")
N, D = 600, 24


def optimizers(projection: torch.nn.Module, judge: torch.nn.Module) -> list[torch.optim.Optimizer]:
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(judge.parameters(), lr=2e-4)]
    if list(projection.parameters()):
        made.append(torch.optim.Adam(projection.parameters(), lr=1e-4, weight_decay=1e-5))
    return made


@pytest.mark.parametrize("hypersphere", [True, False], ids=["hypersphere", "manifold"])
@pytest.mark.parametrize("mining", [0, 1])
@pytest.mark.parametrize("p", [0.0, 0.5])
@pytest.mark.parametrize("hidden", [16, 64])
def test_an_iteration_equals_the_plain_one(
    hypersphere: bool, mining: int, p: float, hidden: int
) -> None:
    compare(hypersphere, mining, p, hidden)


@pytest.mark.parametrize(
    ("pre_proj", "dsc_layers", "step"), [(0, 2, 7), (2, 2, 5), (1, 3, 5), (1, 1, 10), (1, 2, 0)]
)
def test_other_networks_and_steps_equal_the_plain_ones(
    pre_proj: int, dsc_layers: int, step: int
) -> None:
    compare(True, 1, 0.5, 32, step, pre_proj, dsc_layers)


def compare(
    hypersphere: bool,
    mining: int,
    p: float,
    hidden: int,
    step: int = 20,
    pre_proj: int = 1,
    dsc_layers: int = 2,
) -> None:
    generator = torch.Generator().manual_seed(0)
    network = Network(D, pre_proj=pre_proj, dsc_layers=dsc_layers, dsc_hidden=hidden)
    network.initialise(generator)
    projection = copy.deepcopy(network.projection)
    judge = reference.discriminator(D, hidden, dsc_layers)
    judge.load_state_dict(network.body.state_dict(), strict=False)  # it has biases of its own
    clean = torch.randn(N, D, generator=generator)
    augmented = clean + 0.3 * torch.randn(N, D, generator=generator)
    labels = torch.rand(N, generator=generator) < 0.2
    noise = 0.015 * torch.randn(N, D, generator=generator)
    center = 0.1 * torch.randn(N, D, generator=generator)

    expected = reference.iteration(
        projection,
        judge,
        optimizers(projection, judge),
        clean,
        augmented,
        labels.float(),
        noise,
        center,
        hypersphere=hypersphere,
        step=step,
        mining=mining,
        p=p,
        radius=0.75,
    )
    steppers = optimizers(network.projection, network.body)
    got = losses(
        network,
        clean,
        augmented,
        labels,
        noise,
        center,
        Iteration(hypersphere, step, mining, p, radius=0.75),
    )
    loss = got["true_loss"] + got["moved_loss"] + got["fake_loss"]
    loss.backward()
    for optimizer in steppers:
        optimizer.step()

    assert expected["fake_loss"] > 0
    torch.testing.assert_close(loss.detach(), expected["loss"], atol=1e-5, rtol=0)
    for name in ("true_loss", "moved_loss", "fake_loss", "moved", "fake", "r"):
        torch.testing.assert_close(got[name].detach(), expected[name], atol=1e-5, rtol=0)
    weights = dict(judge.named_parameters())
    for name, weight in network.body.named_parameters():
        torch.testing.assert_close(weight, weights[name], atol=1e-5, rtol=0)
    for weight, plain in zip(network.projection.parameters(), projection.parameters(), strict=True):
        torch.testing.assert_close(weight, plain, atol=1e-5, rtol=0)
    variances = [b for n, b in network.body.named_buffers() if n.endswith("running_var")]
    plain_variances = [b for n, b in judge.named_buffers() if n.endswith("running_var")]
    for variance, plain in zip(variances, plain_variances, strict=True):
        torch.testing.assert_close(variance, plain, atol=1e-5, rtol=1e-5)


def test_patches_without_a_defect_are_no_trouble() -> None:
    network = Network(D, pre_proj=1, dsc_layers=2, dsc_hidden=8)
    clean = torch.randn(50, D)
    labels = torch.zeros(50, dtype=torch.bool)
    found = losses(
        network, clean, clean, labels, clean * 0, clean * 0, Iteration(True, 5, 1, 0.5, 0.75)
    )
    assert torch.isfinite(found["true_loss"] + found["moved_loss"] + found["fake_loss"])


def test_global_synthesis_counts_by_its_weight() -> None:
    network = Network(D, pre_proj=1, dsc_layers=2, dsc_hidden=8)
    clean = torch.randn(50, D)
    labels = torch.arange(50) < 10
    found = {}
    for gas in (0.0, 0.5, 1.0):
        settings = Iteration(True, 5, 1, 0, 0.75, gas)
        values = losses(network, clean, clean + 1, labels, clean * 0.1, clean * 0, settings)
        (values["true_loss"] + values["moved_loss"] + values["fake_loss"]).backward()
        found[gas] = values
    assert found[0.5]["moved_loss"] == found[1.0]["moved_loss"] / 2 > 0
    assert found[0.0]["moved_loss"] == 0
    assert len(found[0.0]["moved"]) == len(found[0.0]["moved_scores"]) == 0
    # Batch norm sees the moved points beside the clean ones.
    assert found[0.5]["true_loss"] == found[1.0]["true_loss"] != found[0.0]["true_loss"]


def test_standardized_features_are_shifted_then_scaled() -> None:
    network = Network(2, pre_proj=1, dsc_layers=2, dsc_hidden=4)
    network.shift.copy_(torch.tensor([1.0, 2.0]))
    network.scale.copy_(torch.tensor([10.0, 0.0]))
    assert network.standardized(torch.tensor([[1.5, 9.0]])).tolist() == [[5.0, 0.0]]
