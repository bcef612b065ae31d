"""Exact nearest neighbours in a bank of vectors.

On a CPU, distances of short vectors bound the true ones from below (``axes``): boxes and rows of
the bank that lie too far are passed over (``boxes``), and what is left is measured in float64
(``nearest``). Where a bank has no structure and most rows would have to be measured, matrix
products bound the distances instead (``products``). All bounds carry the rounding error of their
computation, so nothing is lost. On an accelerator matrix products choose candidates (``matrix``).
"""

from __future__ import annotations

from typing import overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from anomalist.errors import ParameterError
from anomalist.neighbors.axes import Float32, Int64
from anomalist.neighbors.boxes import Boxes
from anomalist.neighbors.matrix import MatrixIndex
from anomalist.neighbors.nearest import nothing_found
from anomalist.neighbors.products import Products

_AXES_TIME = 2e7  # nanoseconds that finding the axes of a bank takes at least
PROBE_QUERIES = 64  # queries that decide whether bounds pay
TENSOR_CHUNK = 2**24  # floats in a buffer on an accelerator: 64 MB
TENSOR_SPARE = 16  # candidates beyond k on an accelerator


class Index:
    """A bank of vectors made ready for repeated exact nearest-neighbour queries.

    Building it takes about as long as some ten thousand queries; every query then measures a few
    rows of the bank instead of all. The bank is kept, not copied: it must not change afterwards.

    Parameters
    ----------
    bank : array or tensor of shape (m, d)
        The vectors to search, finite, at least one. Other floating types are converted to float32.
        A tensor on an accelerator is searched there, in float32: near ties are then ordered by its
        rounding, and of more than k + 16 equally distant rows not always the lowest come first.

    Raises
    ------
    ParameterError
        If the bank isn't two-dimensional, is empty or has values that aren't finite.

    Examples
    --------
    >>> index = Index(np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]))
    >>> distances, indices = index.query(np.array([[0.0, 1.0]]), k=2)
    >>> distances.round(3), indices
    (array([[1.   , 4.243]], dtype=float32), array([[0, 1]]))
    """

    def __init__(self, bank: ArrayLike | Tensor) -> None:
        self._matrix: MatrixIndex | None = None
        if isinstance(bank, Tensor) and bank.device.type != "cpu":
            tensor = _checked_tensor(bank, "bank")
            self.size, self.dimensions = tensor.shape
            self._check_size()
            self._matrix = MatrixIndex(tensor, spare=TENSOR_SPARE)
            return
        self._bank = _checked_array(bank, "bank")
        self.size, self.dimensions = self._bank.shape
        self._check_size()
        self._boxes = Boxes(self._bank)
        self._products = Products(self._bank, self._boxes.mean, self._boxes.norms)

    @overload
    def query(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]: ...
    @overload
    def query(self, queries: ArrayLike, k: int) -> tuple[Float32, Int64]: ...
    def query(
        self, queries: ArrayLike | Tensor, k: int
    ) -> tuple[Float32, Int64] | tuple[Tensor, Tensor]:
        """Find the k nearest rows of the bank for every query.

        The answer to a query doesn't depend on the other queries or on the number of threads.

        Parameters
        ----------
        queries : array or tensor of shape (q, d)
            The vectors to find neighbours of. A tensor is answered by tensors on its device.
        k : int
            How many neighbours, from 1 to the size of the bank.

        Returns
        -------
        distances : float32 of shape (q, k)
            Euclidean, ascending.
        indices : int64 of shape (q, k)
            Rows of the bank; of equally distant ones the lowest first.

        Raises
        ------
        ParameterError
            If the queries don't have the bank's d or aren't finite, if k is out of range, or if
            they lie on another device than a bank on an accelerator.
        """
        if not 1 <= k <= self.size:
            raise ParameterError(
                f"k must be between 1 and the bank's size, {self.size}, but it is {k}"
            )
        if self._matrix is not None:
            device = self._matrix.bank.device
            if not isinstance(queries, Tensor) or queries.device != device:
                where = queries.device if isinstance(queries, Tensor) else "cpu"
                raise ParameterError(
                    f"the queries are on {where} and the bank on {device}: move them to one device"
                )
            tensor = _checked_tensor(queries, "queries")
            self._check_dimensions(tensor.shape[1])
            return _in_chunks(self._matrix, tensor, k)
        array = _checked_array(queries, "queries")
        self._check_dimensions(array.shape[1])
        distances, indices = self._query(array, k)
        if isinstance(queries, Tensor):
            device = queries.device
            return torch.from_numpy(distances).to(device), torch.from_numpy(indices).to(device)
        return distances, indices

    def _check_size(self) -> None:
        if not self.size:
            raise ParameterError("the bank is empty: there is no vector to search")

    def _check_dimensions(self, dimensions: int) -> None:
        if dimensions != self.dimensions:
            raise ParameterError(
                f"the queries have {dimensions} dimensions and the bank has {self.dimensions}"
            )

    def _query(self, queries: Float32, k: int) -> tuple[Float32, Int64]:
        squares, indices = nothing_found(len(queries), k)
        if self._bounds_pay(queries, k) or not self._products.can_bound(queries):
            self._boxes.search(queries, squares, indices)
        else:
            self._products.search(queries, squares, indices)
        return np.sqrt(squares).astype(np.float32), indices

    def _bounds_pay(self, queries: Float32, k: int) -> bool:
        """Try a few queries; both ways give the same answer, so only the time depends on it."""
        if len(queries) < 8 * PROBE_QUERIES:
            return True
        probe = np.ascontiguousarray(queries[:: len(queries) // PROBE_QUERIES])
        bounded, measured = self._boxes.search(
            probe, *nothing_found(len(probe), k), PROBE_QUERIES // 4
        )
        # Nanoseconds on one core; only their ratios matter.
        boxes = 4 * bounded + (10 + 0.1 * self.dimensions) * measured
        return bool(boxes < _products_time(len(probe), self.size, self.dimensions))


def _in_chunks(matrix: MatrixIndex, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Search on an accelerator within its memory."""
    size, dimensions = matrix.bank.shape
    chunk = max(1, TENSOR_CHUNK // max(size, min(k + TENSOR_SPARE, size) * dimensions))
    found = [matrix.query(part, k) for part in torch.split(queries, chunk)]
    return torch.cat([part[0] for part in found]), torch.cat([part[1] for part in found])


def _checked_array(vectors: ArrayLike | Tensor, name: str) -> Float32:
    if isinstance(vectors, Tensor):
        vectors = vectors.detach().cpu().float().numpy()
    with np.errstate(over="ignore"):  # what float32 can't hold becomes inf, refused below
        array = np.ascontiguousarray(vectors, dtype=np.float32)
    _check_shape(array.ndim, name)
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise ParameterError(f"the {name} must be finite float32 values, but some are nan or inf")
    return array


def _checked_tensor(vectors: Tensor, name: str) -> Tensor:
    vectors = vectors.detach().float()
    _check_shape(vectors.ndim, name)
    if not bool(torch.isfinite(vectors).all()):
        raise ParameterError(f"the {name} must be finite float32 values, but some are nan or inf")
    return vectors


def _check_shape(ndim: int, name: str) -> None:
    if ndim != 2:
        raise ParameterError(
            f"the {name} must be a matrix of one vector a row, but its shape has {ndim} dimensions"
        )


@overload
def nearest_neighbors(
    queries: Tensor, bank: ArrayLike | Tensor, k: int
) -> tuple[Tensor, Tensor]: ...
@overload
def nearest_neighbors(
    queries: ArrayLike, bank: ArrayLike | Tensor, k: int
) -> tuple[Float32, Int64]: ...
def nearest_neighbors(
    queries: ArrayLike | Tensor, bank: ArrayLike | Tensor, k: int
) -> tuple[Float32, Int64] | tuple[Tensor, Tensor]:
    """Find the k nearest rows of a bank for every query, exactly.

    On a CPU the neighbours are those that float64 finds and the distances are float64's rounded to
    float32. On an accelerator all is float32: rows whose distances differ by less than its rounding
    may change places. For repeated queries of one bank, make a `Index` once.

    Parameters
    ----------
    queries : array or tensor of shape (q, d)
        The vectors to find neighbours of, finite. A tensor is answered by tensors on its device.
    bank : array or tensor of shape (m, d)
        The vectors to search, finite, at least one.
    k : int
        How many neighbours, from 1 to m.

    Returns
    -------
    distances : float32 of shape (q, k)
        Euclidean, ascending.
    indices : int64 of shape (q, k)
        Rows of the bank; of equally distant ones the lowest first.

    Raises
    ------
    ParameterError
        If the dimensions disagree, the bank is empty, k is out of range, a value isn't finite, or
        queries and bank lie on different devices and the bank's is an accelerator.

    Examples
    --------
    >>> bank = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> distances, indices = nearest_neighbors(np.array([[0.0, 1.0]]), bank, k=2)
    >>> distances.round(3), indices
    (array([[1.   , 4.243]], dtype=float32), array([[0, 1]]))
    """
    on_accelerator = isinstance(bank, Tensor) and bank.device.type != "cpu"
    if not on_accelerator and _are_few(np.shape(queries), np.shape(bank), k):
        rows, asked = _checked_array(bank, "bank"), _checked_array(queries, "queries")
        if (found := _among_few(asked, rows, k)) is not None:
            if not isinstance(queries, Tensor):
                return found
            device = queries.device
            return torch.from_numpy(found[0]).to(device), torch.from_numpy(found[1]).to(device)
    return Index(bank).query(queries, k)


def _are_few(queries: tuple[int, ...], bank: tuple[int, ...], k: int) -> bool:
    """Whether products are done sooner than the axes of an `Index` are found."""
    fit = len(queries) == len(bank) == 2 and queries[1] == bank[1] and 1 <= k <= bank[0]
    return fit and _products_time(queries[0], *bank) < _AXES_TIME


def _products_time(queries: int, size: int, dimensions: int) -> float:
    """Nanoseconds on one core, roughly, that products take; only ratios matter."""
    return (0.5 + 0.02 * dimensions) * size * queries


def _among_few(queries: Float32, bank: Float32, k: int) -> tuple[Float32, Int64] | None:
    """Search once without the axes of an `Index`, if float32 holds the products."""
    mean = bank.mean(axis=0, dtype=np.float64)
    centred = bank - mean
    products = Products(bank, mean, np.sqrt(np.einsum("ij,ij->i", centred, centred)))
    if not products.can_bound(queries):
        return None
    squares, indices = nothing_found(len(queries), k)
    products.search(queries, squares, indices)
    return np.sqrt(squares).astype(np.float32), indices
