"""Per-region overlap as MVTec's evaluation defines it, by one global sort of all pixels."""

import numpy as np
from scipy import ndimage


def pro_curve(maps, masks):
    """Points (false positive rate, overlap) at every distinct score, from (0, 0) to (1, 1)."""
    overlap_gain = np.zeros(maps.shape)
    n_regions = 0
    for mask, gain in zip(masks, overlap_gain, strict=True):
        regions, n = ndimage.label(mask, structure=np.ones((3, 3)))
        for region in range(1, n + 1):
            inside = regions == region
            gain[inside] = 1 / inside.sum()
        n_regions += n
    order = np.argsort(-maps, axis=None)
    scores = maps.ravel()[order]
    fpr = np.cumsum(~masks.ravel()[order]) / (~masks).sum()
    overlap = np.cumsum(overlap_gain.ravel()[order]) / n_regions
    last_of_its_score = np.append(scores[1:] != scores[:-1], True)
    fpr = np.concatenate([[0], fpr[last_of_its_score], [1]])
    overlap = np.concatenate([[0], overlap[last_of_its_score], [1]])
    return fpr, overlap


def area_up_to(x, y, limit):
    """Trapezoids under (x, y) up to ``limit``, the last one cut by linear interpolation."""
    inside = x <= limit
    xs, ys = x[inside], y[inside]
    if not inside.all():
        cut = len(xs)
        slope = (y[cut] - y[cut - 1]) / (x[cut] - x[cut - 1])
        xs = np.append(xs, limit)
        ys = np.append(ys, y[cut - 1] + slope * (limit - x[cut - 1]))
    return ((ys[1:] + ys[:-1]) / 2 * np.diff(xs)).sum()


def pro(maps, masks, fpr_limit=0.3):
    return area_up_to(*pro_curve(maps, masks), fpr_limit) / fpr_limit
