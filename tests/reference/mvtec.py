"""MVTec's evaluation of maps at each mask's own size, as its paper describes it, slowly.

"The MVTec Anomaly Detection Dataset", IJCV 129 (2021), section 5: maps have the size of the ground
truth; all pixels of all images are sorted by their scores; a component is an 8-connected part of a
mask, and every one weighs the same; the curve is integrated to a false positive rate of 0.3.
"""

import numpy as np
from scipy import ndimage

from tests.reference.pro import area_up_to


def enlarged(values, region, size):
    """A map at an image's size, of which it covers ``region``; NaN where it doesn't reach."""
    left, top, right, bottom = region
    height, width = values.shape
    y = (np.arange(size[0]) + 0.5 - top) / (bottom - top)
    x = (np.arange(size[1]) + 0.5 - left) / (right - left)
    rows = np.clip(y * height - 0.5, 0, height - 1)
    columns = np.clip(x * width - 0.5, 0, width - 1)
    grid = np.meshgrid(rows, columns, indexing="ij")
    whole = ndimage.map_coordinates(values.astype(float), grid, order=1, mode="nearest")
    whole = whole.astype(np.float32)
    whole[(y < 0) | (y > 1)] = np.nan
    whole[:, (x < 0) | (x > 1)] = np.nan
    return whole


def with_unseen_lowest(maps):
    lowest = min((np.nanmin(m) for m in maps if not np.isnan(m).all()), default=0)
    return [np.where(np.isnan(m), lowest - 1, m) for m in maps]


def curve(maps, masks):
    """False positive rate, overlap, true positive rate and thresholds at every distinct score."""
    scores, normal, overlap_gain, n_regions = [], [], [], 0
    for values, mask in zip(maps, masks, strict=True):
        regions, n = ndimage.label(mask, structure=np.ones((3, 3)))
        areas = np.bincount(regions.ravel(), minlength=n + 1)
        gain = np.zeros(mask.shape)
        gain[mask] = 1 / areas[regions[mask]]
        scores.append(values.ravel())
        normal.append(~mask.ravel())
        overlap_gain.append(gain.ravel())
        n_regions += n
    scores, normal = np.concatenate(scores), np.concatenate(normal)
    order = np.argsort(-scores)
    last = np.append(np.diff(scores[order]) != 0, True)
    fp = np.cumsum(normal[order])[last]
    tp = np.cumsum(~normal[order])[last]
    overlap = np.cumsum(np.concatenate(overlap_gain)[order])[last] / n_regions
    return scores[order][last], tp, fp, overlap


def metrics(maps, masks):
    """AUROC, AP, best F1 and PRO of maps and masks of the same sizes, one array an image."""
    _, tp, fp, overlap = curve(maps, masks)
    tpr, fpr = tp / tp[-1], fp / fp[-1]
    precision, recall = tp / (tp + fp), tpr
    start = np.zeros(1)
    return {
        "pixel_AUROC": area_up_to(np.append(start, fpr), np.append(start, tpr), 1.0),
        "pixel_AP": (np.diff(recall, prepend=0) * precision).sum(),
        "pixel_F1Score": (2 * tp / (tp[-1] + tp + fp)).max(),
        "pixel_PRO": area_up_to(np.append(start, fpr), np.append(start, overlap), 0.3) / 0.3,
        "pixel_PRO_0.05": area_up_to(np.append(start, fpr), np.append(start, overlap), 0.05) / 0.05,
    }
