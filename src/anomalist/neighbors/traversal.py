"""Compiled loops of the lazy farthest-first traversal.

A pick is skipped wherever the distance of filter vectors, less a bound on rounding, reaches what is
already known; the rest is computed in float64. The loops stand in one file, with all that they
call: numba's cache doesn't see a change in another.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from anomalist.compiling import njit

LANES = 64  # embeddings in a tile
GROUP = 16  # embeddings looked at together
UNSEEN = 1e300  # squared distance of an embedding that has met no pick yet
PICKED = -1.0  # squared distance that marks a pick
NEVER = np.float32(1e30)  # scaled filter values lie within [-2, 2]
UNDERFLOW = np.float32(2.0**-100)
# nan and inf never reach the filters, so a compiler may vectorise their reductions.
FILTER_MATH = {"reassoc", "contract", "nsz", "nnan", "ninf"}


class Tiles(NamedTuple):
    """Embeddings that lie near each other, in tiles of ``LANES`` (L), with what is known of each.

    ``squared`` bounds the squared distance to the nearest pick from above; it is exact with respect
    to the first ``seen`` picks.
    """

    embeddings: npt.NDArray[np.float32]  # (N, D), read-only
    row: npt.NDArray[np.int64]  # (T, L) row of each lane
    vectors: npt.NDArray[np.float32]  # (T, K, L) filter vectors
    low: npt.NDArray[np.float32]  # (T, K) corners of the box around a tile's filter vectors
    high: npt.NDArray[np.float32]  # (T, K)
    squared: npt.NDArray[np.float64]  # (T, L)
    seen: npt.NDArray[np.int64]  # (T,)
    farthest: npt.NDArray[np.float64]  # (T,) largest of ``squared``
    first: npt.NDArray[np.int64]  # (T,) lowest row that has it
    scale: float  # from squared distances to those of filter vectors
    margin: float  # what rounding may add to a filter distance, relative to the norms


class Picks(NamedTuple):
    """The picks, with room for ``size`` of them."""

    row: npt.NDArray[np.int64]  # (size,)
    tile: npt.NDArray[np.int64]  # (size,) where each lies
    lane: npt.NDArray[np.int64]  # (size,)
    vectors: npt.NDArray[np.float32]  # (size, K) filter vectors
    blocks: npt.NDArray[np.float32]  # (size / L, K, L) the same, transposed in blocks
    half_norm: npt.NDArray[np.float32]  # (size,) half the squared norm, less the margin


@njit()
def _squared_distance(a, b):  # type: ignore[no-untyped-def]
    """Sum squared differences in float64, in the very order in which ``numpy.sum`` does."""
    count = len(a)
    if count > 128:
        half = count // 16 * 8
        return _squared_distance(a[:half], b[:half]) + _squared_distance(a[half:], b[half:])
    total = 0.0
    whole = count // 8 * 8
    if whole:
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for i in range(0, whole, 8):
            s0 += (np.float64(a[i]) - np.float64(b[i])) ** 2
            s1 += (np.float64(a[i + 1]) - np.float64(b[i + 1])) ** 2
            s2 += (np.float64(a[i + 2]) - np.float64(b[i + 2])) ** 2
            s3 += (np.float64(a[i + 3]) - np.float64(b[i + 3])) ** 2
            s4 += (np.float64(a[i + 4]) - np.float64(b[i + 4])) ** 2
            s5 += (np.float64(a[i + 5]) - np.float64(b[i + 5])) ** 2
            s6 += (np.float64(a[i + 6]) - np.float64(b[i + 6])) ** 2
            s7 += (np.float64(a[i + 7]) - np.float64(b[i + 7])) ** 2
        total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for i in range(whole, count):
        total += (np.float64(a[i]) - np.float64(b[i])) ** 2
    return total


@njit(fastmath={"reassoc", "contract"})
def _exceeds(a, b, limit):  # type: ignore[no-untyped-def]
    """Tell whether a squared distance certainly exceeds a limit, whatever the order of its sum."""
    total = 0.0
    for i in range(len(a)):
        total += (np.float64(a[i]) - np.float64(b[i])) ** 2
    return total * (1.0 - len(a) * 2.0**-50) > limit


@njit()
def _threshold(norm, squared, scale, margin):  # type: ignore[no-untyped-def]
    """Return what a dot product, less half the pick's norm, must exceed to bring a pick nearer."""
    if squared <= 0.0:
        return NEVER
    if squared == UNSEEN:
        return -NEVER
    return np.float32((norm * (1.0 - margin) - squared * scale) / 2) - UNDERFLOW


@njit(fastmath=FILTER_MATH)
def _dot(vectors, row, products):  # type: ignore[no-untyped-def]
    """Multiply the columns of (K, m) vectors by one row of K."""
    products[:] = 0.0
    for k in range(0, len(row), 4):
        v0, v1, v2, v3 = vectors[k], vectors[k + 1], vectors[k + 2], vectors[k + 3]
        r0, r1, r2, r3 = row[k], row[k + 1], row[k + 2], row[k + 3]
        for i in range(len(products)):
            products[i] += v0[i] * r0 + v1[i] * r1 + v2[i] * r2 + v3[i] * r3


@njit(fastmath=FILTER_MATH)
def _dot_four(vectors, a, b, c, d, products):  # type: ignore[no-untyped-def]
    """Multiply the columns of a tile by four rows, which share its loads."""
    pa, pb, pc, pd = products[0], products[1], products[2], products[3]
    products[:] = 0.0
    for k in range(0, len(a), 4):
        v0, v1, v2, v3 = vectors[k], vectors[k + 1], vectors[k + 2], vectors[k + 3]
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
        d0, d1, d2, d3 = d[k], d[k + 1], d[k + 2], d[k + 3]
        for i in range(LANES):
            x0, x1, x2, x3 = v0[i], v1[i], v2[i], v3[i]
            pa[i] += x0 * a0 + x1 * a1 + x2 * a2 + x3 * a3
            pb[i] += x0 * b0 + x1 * b1 + x2 * b2 + x3 * b3
            pc[i] += x0 * c0 + x1 * c1 + x2 * c2 + x3 * c3
            pd[i] += x0 * d0 + x1 * d1 + x2 * d2 + x3 * d3


@njit(fastmath=FILTER_MATH)
def _largest_excess(products, thresholds, begin, count):  # type: ignore[no-untyped-def]
    largest = -NEVER
    for i in range(begin, begin + count):
        largest = max(largest, products[i] - thresholds[i])
    return largest


@njit(fastmath=FILTER_MATH)
def _near_box(block, low, high, slack, reach, gaps):  # type: ignore[no-untyped-def]
    """Compute how far within reach of a box each pick of a block comes; positive is within."""
    for i in range(LANES):
        gaps[i] = reach + slack[i]
    zero = np.float32(0.0)
    for k in range(0, len(low), 4):
        v0, v1, v2, v3 = block[k], block[k + 1], block[k + 2], block[k + 3]
        l0, l1, l2, l3 = low[k], low[k + 1], low[k + 2], low[k + 3]
        h0, h1, h2, h3 = high[k], high[k + 1], high[k + 2], high[k + 3]
        for i in range(LANES):
            g0 = max(max(l0 - v0[i], v0[i] - h0), zero)
            g1 = max(max(l1 - v1[i], v1[i] - h1), zero)
            g2 = max(max(l2 - v2[i], v2[i] - h2), zero)
            g3 = max(max(l3 - v3[i], v3[i] - h3), zero)
            gaps[i] -= g0 * g0 + g1 * g1 + g2 * g2 + g3 * g3


@njit()
def _lower(pick, half_norm, products, rows, index, norms, thresholds, squared, scale, margin):  # type: ignore[no-untyped-def]
    """Lower the squared distances that a pick undercuts, checking those that the filter can't."""
    if _largest_excess(products, thresholds, 0, len(products)) <= half_norm:
        return
    for begin in range(0, len(products), GROUP):
        if _largest_excess(products, thresholds, begin, GROUP) <= half_norm:
            continue
        for i in range(begin, begin + GROUP):
            if products[i] - thresholds[i] > half_norm:
                row = rows[index[i]]
                if _exceeds(row, pick, squared[i]):
                    continue
                distance = _squared_distance(row, pick)
                if distance < squared[i]:
                    squared[i] = distance
                    thresholds[i] = _threshold(norms[i], distance, scale, margin)


@njit()
def _rank(tiles, tile):  # type: ignore[no-untyped-def]
    """Note a tile's largest squared distance, and the lowest row that has it."""
    squared = tiles.squared[tile]
    farthest = squared.max()
    first = np.int64(len(tiles.embeddings))
    for lane in range(LANES):
        if squared[lane] == farthest:
            first = min(first, tiles.row[tile, lane])
    tiles.farthest[tile] = farthest
    tiles.first[tile] = first


@njit()
def refresh(items, tiles, picks, count):  # type: ignore[no-untyped-def]
    """Bring some tiles up to date with the first ``count`` picks."""
    length = tiles.vectors.shape[1]
    near = np.zeros(count + 3, np.int64)
    gaps = np.empty(LANES, np.float32)
    slack = np.empty(LANES, np.float32)
    products = np.empty((4, LANES), np.float32)
    norms = np.empty(LANES)
    thresholds = np.empty(LANES, np.float32)
    for tile in items:
        vectors = tiles.vectors[tile]
        squared = tiles.squared[tile]
        norms[:] = 0.0
        for k in range(length):
            for lane in range(LANES):
                norms[lane] += np.float64(vectors[k, lane]) ** 2
        for lane in range(LANES):
            thresholds[lane] = _threshold(norms[lane], squared[lane], tiles.scale, tiles.margin)
        # Of all scaled squared distances none exceeds 4, and UNSEEN would overflow float32.
        farthest = min(tiles.farthest[tile], 1e6 / tiles.scale)
        reach = (farthest * tiles.scale + norms.max() * tiles.margin) * (1.0 + 2.0**-16)
        reach = np.float32(reach) + UNDERFLOW
        found = 0
        seen = tiles.seen[tile]
        for block in range(seen // LANES, (count + LANES - 1) // LANES):
            begin = block * LANES
            for lane in range(LANES):
                slack[lane] = picks.half_norm[begin + lane] * np.float32(3 * tiles.margin)
            _near_box(picks.blocks[block], tiles.low[tile], tiles.high[tile], slack, reach, gaps)
            for lane in range(max(seen - begin, 0), min(count - begin, LANES)):
                near[found] = begin + lane
                found += gaps[lane] > 0
        near[found : found + 3] = near[0]  # fills the last group; its products aren't looked at
        for group in range(0, found, 4):
            _dot_four(
                vectors,
                picks.vectors[near[group]],
                picks.vectors[near[group + 1]],
                picks.vectors[near[group + 2]],
                picks.vectors[near[group + 3]],
                products,
            )
            for member in range(min(4, found - group)):
                pick = near[group + member]
                _lower(
                    tiles.embeddings[picks.row[pick]],
                    picks.half_norm[pick],
                    products[member],
                    tiles.embeddings,
                    tiles.row[tile],
                    norms,
                    thresholds,
                    squared,
                    tiles.scale,
                    tiles.margin,
                )
        tiles.seen[tile] = count
        _rank(tiles, tile)


@njit()
def traverse(tiles, picks, front, count, limit, limit_index):  # type: ignore[no-untyped-def]
    """Pick among the lanes of up-to-date tiles that lie beyond all that the other tiles may hold.

    Of these others, the farthest has the squared distance ``limit`` and the row ``limit_index``.
    Returns the number of picks, and the largest squared distance that is left.
    """
    ahead = 0
    for tile in front:
        for lane in range(LANES):
            ahead += tiles.squared[tile, lane] >= max(limit, 0.0)
    length = tiles.vectors.shape[1]
    padded = (ahead + GROUP - 1) // GROUP * GROUP
    tile_of = np.empty(ahead, np.int64)
    lane_of = np.empty(ahead, np.int64)
    index = np.zeros(padded, np.int64)
    vectors = np.zeros((length, padded), np.float32)
    squared = np.full(padded, PICKED)
    norms = np.zeros(padded)
    thresholds = np.full(padded, NEVER)
    products = np.empty(padded, np.float32)
    ahead = 0
    for tile in front:
        for lane in range(LANES):
            if tiles.squared[tile, lane] >= max(limit, 0.0):
                tile_of[ahead] = tile
                lane_of[ahead] = lane
                index[ahead] = tiles.row[tile, lane]
                squared[ahead] = tiles.squared[tile, lane]
                for k in range(length):
                    vectors[k, ahead] = tiles.vectors[tile, k, lane]
                    norms[ahead] += np.float64(vectors[k, ahead]) ** 2
                thresholds[ahead] = _threshold(
                    norms[ahead], squared[ahead], tiles.scale, tiles.margin
                )
                ahead += 1
    while ahead:
        radius = squared.max()
        best = -1
        for i in range(ahead):
            if squared[i] == radius and (best < 0 or index[i] < index[best]):
                best = i
        if count == len(picks.row) or radius < limit:
            break
        if (radius == limit and index[best] > limit_index) or radius == PICKED:
            break
        picks.row[count] = index[best]
        picks.tile[count] = tile_of[best]
        picks.lane[count] = lane_of[best]
        count += 1
        squared[best] = PICKED
        thresholds[best] = NEVER
        _dot(vectors, vectors[:, best].copy(), products)
        _lower(
            tiles.embeddings[index[best]],
            np.float32(norms[best] * (1.0 - tiles.margin) / 2),
            products,
            tiles.embeddings,
            index,
            norms,
            thresholds,
            squared,
            tiles.scale,
            tiles.margin,
        )
    for i in range(ahead):
        tiles.squared[tile_of[i], lane_of[i]] = squared[i]
    for tile in front:
        _rank(tiles, tile)
    return count, squared.max() if ahead else PICKED
