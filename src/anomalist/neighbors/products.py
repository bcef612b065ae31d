"""Search of a bank without structure: matrix products bound all distances."""

from __future__ import annotations

import numpy as np
import torch

from anomalist.neighbors.axes import Float32, Float64, Int64
from anomalist.neighbors.nearest import OVERFLOW, search_block, sort_all
from anomalist.neighbors.threads import in_threads

BLOCK = 2048  # rows and columns of a block of matrix products: 16 MB of float32


class Products:
    """A bank whose distances to queries are bounded by float32 products of centred vectors.

    Parameters
    ----------
    bank : float32 array of shape (m, d)
        Finite, at least one row. It is kept.
    mean : float64 array of shape (d,)
        What to centre by.
    norms : float64 array of shape (m,)
        The rows' distances from ``mean``.
    """

    def __init__(self, bank: Float32, mean: Float64, norms: Float64) -> None:
        self._bank = bank
        self._mean = mean
        self._norms = norms
        self._radius = float(norms.max())

    def can_bound(self, queries: Float32) -> bool:
        """Tell whether float32 surely holds the products."""
        largest = max(queries.max(initial=0), -queries.min(initial=0)) + np.abs(self._mean).max()
        return bool(largest * np.sqrt(len(self._mean)) + self._radius <= OVERFLOW)

    def search(self, queries: Float32, squares: Float64, indices: Int64) -> None:
        """Fill in the nearest of every query."""
        # Not kept from query to query: centred, the bank would stand in memory twice, and centring
        # it takes little beside the products.
        products = torch.empty(BLOCK, BLOCK)
        for first in range(0, len(queries), BLOCK):
            block = slice(first, min(first + BLOCK, len(queries)))
            centred = queries[block] - self._mean
            norms = np.sqrt(np.einsum("ij,ij->i", centred, centred))
            # A float32 sum of d products errs by d roundings at most, each of 2^-24.
            reach = norms + self._radius
            slack = (len(self._mean) + 8) * 2.0**-23 * reach**2 + 1e-30
            left = torch.from_numpy(centred.astype(np.float32))
            for start in range(0, len(self._bank), BLOCK):
                rows = self._bank[start : start + BLOCK] - self._mean
                right = torch.from_numpy(rows.astype(np.float32))
                out = products[: len(left), : len(right)]
                torch.mm(left, right.T, out=out)
                self._offer(
                    queries[block], out.numpy(), norms, slack, start, squares[block], indices[block]
                )
            sort_all(squares[block], indices[block])

    def _offer(
        self,
        queries: Float32,
        products: Float32,
        norms: Float64,
        slack: Float64,
        start: int,
        squares: Float64,
        indices: Int64,
    ) -> None:
        bank_squares = (self._norms[start : start + products.shape[1]] ** 2).astype(np.float32)

        def work(part: slice) -> None:
            search_block(
                queries[part],
                products[part],
                norms[part],
                slack[part],
                self._bank,
                bank_squares,
                start,
                squares[part],
                indices[part],
            )

        in_threads(work, len(queries))
