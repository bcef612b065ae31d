"""Maps of what is shown of photographs are brought to where the photographs themselves lie."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from anomalist.data.moving import Affine


def moved_back(values: Tensor, affine: Affine, size: tuple[int, int]) -> Tensor:
    """Bring a map to the photograph that it was made of a part of.

    Parameters
    ----------
    values : tensor of shape (H, W)
        The map.
    affine : Affine
        Where each point of it comes from in the photograph, brought to ``size``.
    size : (int, int)
        Height and width of what comes out.

    Returns
    -------
    tensor of shape (h, w)
        Interpolated bilinearly; the lowest value where nothing was seen.

    Examples
    --------
    >>> from anomalist.data.moving import scaling
    >>> moved_back(torch.tensor([[5.0, 7.0]]), scaling(1.0, 1.0), (1, 4)).tolist()
    [[5.0, 7.0, 5.0, 5.0]]
    """
    height, width = values.shape
    rows, columns = (
        torch.arange(side, dtype=torch.float32, device=values.device) + 0.5 for side in size
    )
    across, down = affine.inverse()(columns[None, :], rows[:, None])
    # What lies from -1 to 1 is the map.
    grid = torch.stack([2 * across / width - 1, 2 * down / height - 1], dim=-1)
    lowest = values.min()
    placed = functional.grid_sample((values - lowest)[None, None], grid[None], align_corners=False)
    moved: Tensor = placed[0, 0] + lowest
    return moved
