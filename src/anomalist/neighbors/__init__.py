"""Exact greedy coresets and nearest neighbours, fast on two cores."""

from anomalist.neighbors.coreset import (
    greedy_coreset,
    greedy_coreset_with_radius,
    random_projection,
)
from anomalist.neighbors.matrix import MatrixIndex
from anomalist.neighbors.search import Index, nearest_neighbors
from anomalist.neighbors.streaming import CoresetSummary, StreamingCoreset, summary_size

__all__ = [
    "CoresetSummary",
    "Index",
    "MatrixIndex",
    "StreamingCoreset",
    "greedy_coreset",
    "greedy_coreset_with_radius",
    "nearest_neighbors",
    "random_projection",
    "summary_size",
]
