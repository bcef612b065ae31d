from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from anomalist.detectors import ascent
from anomalist.detectors.ascent import Ascent, linear, truncate

pytestmark = pytest.mark.usefixtures("two_threads")


def body(dimension: int, hidden: int, layers: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    modules: list[nn.Module] = []
    for _ in range(layers - 1):
        norm = nn.BatchNorm1d(hidden)
        nn.init.normal_(norm.weight, 1, 0.3)
        nn.init.normal_(norm.bias, 0, 0.3)
        modules += [nn.Linear(dimension, hidden, bias=False), norm, nn.LeakyReLU(0.2)]
        dimension = hidden
    return nn.Sequential(*modules, nn.Linear(dimension, 1, bias=False))


def climbed(network: nn.Sequential, clean: Tensor, points: Tensor, steps: int) -> Tensor:
    """The ascent with autograd through the whole network, all points at once."""
    for _ in range(steps):
        points = points.detach().requires_grad_()
        logits = network(torch.cat([clean, points]))[len(clean) :]
        loss = nn.functional.binary_cross_entropy(logits.sigmoid(), torch.ones_like(logits))
        (slope,) = torch.autograd.grad(loss, [points])
        points = points + 0.001 * slope / (slope.norm(dim=1, keepdim=True) + 1e-10)
    return points.detach()


@pytest.mark.parametrize(
    ("dimension", "hidden", "layers"),
    [(30, 16, 2), (8, 40, 2), (12, 20, 3), (9, 0, 1)],
    ids=["steps in hidden values", "steps in features", "two hidden layers", "no hidden layer"],
)
def test_it_climbs_as_autograd_says(dimension: int, hidden: int, layers: int) -> None:
    network = body(dimension, hidden, layers).train()
    expected_network = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(1)
    clean = torch.randn(700, dimension, generator=generator)
    points = clean + 0.1 * torch.randn(700, dimension, generator=generator)
    with torch.no_grad():
        moved = Ascent(network, network[0](clean))(points, steps=6)
    expected = climbed(expected_network, clean, points, steps=6)
    assert (expected - points).norm(dim=1).median() > 0.004
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)
    # The running statistics of batch norms have seen the same batches.
    for got, want in zip(network.buffers(), expected_network.buffers(), strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_bfloat16_climbs_much_the_same_way() -> None:
    network = body(64, 32).train()
    clean = torch.randn(500, 64)
    points = clean + 0.1
    hidden = network[0](clean).detach()
    moves = [Ascent(network, hidden, half=half)(points, 5) - points for half in (False, True)]
    cosine = nn.functional.cosine_similarity(*moves)
    assert cosine.median() > 0.99
    assert not torch.equal(*moves)


def test_no_steps_move_nothing() -> None:
    network = body(4, 4).train()
    clean = torch.randn(10, 4)
    assert Ascent(network, network[0](clean).detach())(clean, 0) is clean


def test_rows_are_shared_out_among_threads_without_loss() -> None:
    """Fewer rows than a block, a block, and one more than whole blocks for two threads."""
    network = body(6, 5).train()
    for rows in (3, ascent._ROWS, 2 * ascent._ROWS + 1):
        clean, points = torch.randn(rows, 6), torch.randn(rows, 6)
        moved = Ascent(copy.deepcopy(network), network[0](clean).detach())(points, 2)
        expected = climbed(copy.deepcopy(network), clean, points, 2)
        torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_half_products_are_near_and_so_are_their_gradients() -> None:
    inputs = torch.randn(40, 30, requires_grad=True)
    weight = torch.randn(20, 30, requires_grad=True)
    bias = torch.randn(20, requires_grad=True)
    results = []
    for half in (False, True):
        output = linear(inputs, weight, bias, half=half)
        assert output.dtype == torch.float32
        gradients = torch.autograd.grad(output.square().sum(), (inputs, weight, bias))
        results.append((output.detach(), *gradients))
    for full, near in zip(*results, strict=True):
        assert (full - near).norm() / full.norm() < 0.01
        assert not torch.equal(full, near)


def test_truncation_moves_along_the_ray_and_no_further_than_needed() -> None:
    origins = torch.tensor([[1.0, 0.0]]).expand(3, 2)
    points = origins + torch.tensor([[0.1, 0.0], [0.0, 1.5], [-6.0, 8.0]])
    moved = truncate(points, origins, 1.0, 2.0) - origins
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.5], [-1.2, 1.6]])
    torch.testing.assert_close(moved, expected)
    low = torch.tensor([0.05, 2.0, 20.0])
    lengths = (truncate(points, origins, low, 2 * low) - origins).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([0.1, 2.0, 20.0]))
