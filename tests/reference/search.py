"""Nearest neighbours by brute force in float64."""

import numpy as np


def nearest_neighbors(queries, bank, k):
    """Measure every pair; of equal distances the lower index comes first."""
    queries = np.asarray(queries, np.float64)
    bank = np.asarray(bank, np.float64)
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), np.int64)
    for row, query in enumerate(queries):
        squares = np.square(bank - query).sum(axis=1)
        indices[row] = np.argsort(squares, kind="stable")[:k]
        distances[row] = np.sqrt(squares[indices[row]])
    return distances.astype(np.float32), indices
