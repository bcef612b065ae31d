"""Mahalanobis distances of images to the Gaussians of all others, without fitting anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Float32 = npt.NDArray[np.float32]


def leave_each_of_few_out(rows: Float32, regularization: float) -> Float32:
    """Distances of images that are fewer than dimensions, each to the Gaussians of all others.

    With the Gram matrix G of the centred embeddings, l = regularization * (n - 2), and K the
    inverse of G + l I without the direction (1, ..., 1), along which centring leaves nothing, the
    squared distance of image i is n (n - 2) / (n - 1) * (1 - 1 / n - l K_ii) / (l K_ii): nothing in
    it cancels.

    Parameters
    ----------
    rows : float32 array of shape (locations, n, D)
        Embeddings of n images, 2 or more.
    regularization : float
        Multiple of the identity that is added to covariances.

    Returns
    -------
    float32 array of shape (locations, n)
    """
    n = rows.shape[1]
    others = max(n - 2, 1)  # of two images, the other has no spread
    ridge = regularization * others
    distances = np.empty(rows.shape[:2], np.float32)

    def leave_out(part: slice) -> None:
        deviations = rows[part].astype(np.float64)
        deviations -= deviations.mean(axis=1, keepdims=True)
        gram = deviations @ deviations.transpose(0, 2, 1)
        gram += ridge * np.eye(n)
        own = ridge * np.diagonal(np.linalg.inv(gram), axis1=1, axis2=2) - 1 / n
        own = np.clip(own, np.finfo(np.float64).tiny, 1 - 1 / n)
        distances[part] = np.sqrt(others * n / (n - 1) * (1 - 1 / n - own) / own)

    in_threads(leave_out, blocks(len(rows), n * max(n, rows.shape[2])))
    return distances


def leave_groups_out(
    rows: Float32, groups: npt.NDArray[np.int64], regularization: float
) -> Float32:
    """Distances of images, each to the Gaussians of all images of other groups.

    With the centred embeddings Z of n images, l = regularization * (m - 1) for the m that a group
    leaves, and H = 1 / n + Z (Z'Z + l I)^-1 Z', of which the group has the block S, the squared
    distance of its image i is (m - 1) * (((I - S)^-1)_ii - 1 - 1 / m): the leverage of a row of a
    ridge regression with an intercept, of which its whole block is left out (Cook and Weisberg,
    "Residuals and Influence in Regression", 1982, on leaving out several cases). One decomposition
    of Z'Z, or of ZZ' where that is smaller, serves all groups.

    Parameters
    ----------
    rows : float32 array of shape (locations, n, D)
        Embeddings.
    groups : int64 array of shape (n,)
        Numbers of their groups from 0, two groups or more.
    regularization : float
        Multiple of the identity that is added to covariances.

    Returns
    -------
    float32 array of shape (locations, n)
    """
    _, n, dimensions = rows.shape
    members = [np.flatnonzero(groups == group) for group in range(int(groups.max()) + 1)]
    distances = np.empty(rows.shape[:2], np.float32)

    def leave_out(part: slice) -> None:
        deviations = rows[part].astype(np.float64)
        deviations -= deviations.mean(axis=1, keepdims=True)
        across = deviations.transpose(0, 2, 1)
        if n <= dimensions:
            squares, axes = np.linalg.eigh(deviations @ across)
            axes -= axes.mean(axis=1, keepdims=True)  # 1 - 1 / n of all directions
        else:
            squares, axes = np.linalg.eigh(across @ deviations)
            coordinates = deviations @ axes
        squares = squares.clip(0)[:, None]
        for mine in members:
            left = n - len(mine)
            others = max(left - 1, 1)  # one image alone has no spread
            ridge = regularization * others
            if n <= dimensions:  # I - S as a sum in which nothing cancels
                kept = axes[:, mine]
                rest = kept * (ridge / (squares + ridge)) @ kept.transpose(0, 2, 1)
            else:
                kept = coordinates[:, mine]
                rest = (
                    np.eye(len(mine)) - 1 / n - kept / (squares + ridge) @ kept.transpose(0, 2, 1)
                )
            leverage = np.diagonal(np.linalg.inv(rest), axis1=1, axis2=2) - 1 - 1 / left
            distances[part, mine] = np.sqrt(others * leverage.clip(0))

    in_threads(leave_out, blocks(len(rows), n * max(n, dimensions)))
    return distances


def blocks(locations: int, floats: int) -> Iterator[slice]:
    """Blocks of locations whose float64 matrices, of so many numbers each, take about 4 MB."""
    step = max(1, 2**19 // floats)
    for start in range(0, locations, step):
        yield slice(start, min(start + step, locations))


def in_threads(work: Callable[[slice], None], blocks: Iterable[slice]) -> None:
    """Work on blocks in parallel; BLAS gets one thread each, as its matrices are small."""
    threads = min(torch.get_num_threads(), 8)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, blocks):
            pass
