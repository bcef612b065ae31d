from __future__ import annotations

import numpy as np
import pytest
import torch

from anomalist.errors import ParameterError
from anomalist.features import patch_embeddings


def test_each_patch_is_the_mean_of_its_neighbourhood() -> None:
    maps = torch.randn(2, 5, 7, 6, generator=torch.Generator().manual_seed(0))
    padded = np.pad(maps.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.empty((2, 7, 6, 5), np.float32)
    for y in range(7):
        for x in range(6):
            expected[:, y, x] = padded[:, :, y : y + 3, x : x + 3].mean(axis=(2, 3))
    np.testing.assert_allclose(patch_embeddings([maps], 3).numpy(), expected, atol=1e-6)


def test_deeper_layers_are_upsampled_to_the_first() -> None:
    first, deep = torch.zeros(1, 1, 4, 4), torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    patches = patch_embeddings([first, deep], 1)
    assert patches.shape == (1, 4, 4, 2)
    # Bilinear with half-pixel centres: the corners keep their value, the centre is the mean.
    assert patches[0, 0, 0, 1] == 0
    assert patches[0, 3, 3, 1] == 3
    assert patches[0, 1:3, 1:3, 1].mean() == 1.5


@pytest.mark.parametrize("neighbourhood", [0, 2, -1])
def test_a_neighbourhood_has_a_centre(neighbourhood: int) -> None:
    with pytest.raises(ParameterError, match="odd"):
        patch_embeddings([torch.zeros(1, 1, 4, 4)], neighbourhood)
