"""Nearest neighbours by matrix products: the way of accelerators, and of exported graphs."""

from __future__ import annotations

import torch
from torch import Tensor


class MatrixIndex:
    """A bank of tensors made ready for nearest-neighbour queries in float32.

    Products choose candidates; their distances are measured by differences, so that small ones are
    as exact as large ones. All is done by torch on the bank's device, and can be traced.

    Parameters
    ----------
    bank : Tensor of shape (m, d)
        The vectors to search, float32. It is kept, and centred once.
    rows : int, optional
        Rows of the bank that one product takes; all by default.
    spare : int
        Candidates measured beyond k, among which rounding may have hidden a neighbour; of equally
        distant ones the lowest then comes first. A graph has no stable sort, and takes none.

    Examples
    --------
    >>> index = MatrixIndex(torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]), rows=2)
    >>> distances, indices = index.query(torch.tensor([[0.0, 1.0]]), k=2)
    >>> distances, indices
    (tensor([[1.0000, 4.2426]]), tensor([[0, 1]]))
    """

    def __init__(self, bank: Tensor, *, rows: int | None = None, spare: int = 0) -> None:
        self.bank = bank
        self._spare = spare
        self._mean = bank.mean(dim=0)
        self._blocks = [
            ((-2 * block).T.contiguous(), block.square().sum(dim=1))
            for block in torch.split(bank - self._mean, rows or len(bank))
        ]

    def query(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return distances (q, k), ascending, and rows of the bank (q, k)."""
        found = self._candidates(queries, min(k + self._spare, len(self.bank)))
        if self._spare:
            found = found.sort(dim=1).values  # so that a stable sort leaves the lowest first
        exact = (self.bank[found] - queries[:, None]).square().sum(dim=2).sqrt()
        if self._spare:
            values, places = exact.sort(dim=1, stable=True)
        else:
            values, places = exact.topk(k, 1, largest=False)
        return values[:, :k], found.gather(1, places[:, :k])

    def _candidates(self, queries: Tensor, count: int) -> Tensor:
        centred = queries - self._mean
        bounds, rows, start = [], [], 0
        for factors, squares in self._blocks:
            size = len(squares)
            best = torch.addmm(squares, centred, factors).topk(min(count, size), 1, largest=False)
            bounds.append(best.values)
            rows.append(best.indices + start)
            start += size
        if len(self._blocks) == 1:
            return rows[0]
        best = torch.cat(bounds, dim=1).topk(count, 1, largest=False)
        return torch.cat(rows, dim=1).gather(1, best.indices)
