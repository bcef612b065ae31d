"""DeLong's test as its paper writes it: a kernel over all pairs, and a covariance matrix."""

import numpy as np


def delong(scores_a, scores_b, labels):
    """Difference of the two AUROCs, and its variance L S L'."""
    labels = np.asarray(labels, dtype=bool)
    areas, by_positive, by_negative = [], [], []
    for scores in (np.asarray(scores_a, float), np.asarray(scores_b, float)):
        x, y = scores[labels][:, None], scores[~labels][None, :]
        kernel = np.where(y < x, 1.0, np.where(y == x, 0.5, 0.0))
        areas.append(kernel.mean())
        by_positive.append(kernel.mean(axis=1))
        by_negative.append(kernel.mean(axis=0))
    covariance = np.cov(by_positive) / labels.sum() + np.cov(by_negative) / (~labels).sum()
    contrast = np.array([1.0, -1.0])
    return areas[0] - areas[1], contrast @ covariance @ contrast
