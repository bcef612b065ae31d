"""AUROC, average precision and best F1 by their definitions, one threshold or pair at a time."""

import numpy as np


def auroc(scores, labels):
    """Share of (positive, negative) pairs in the right order, a tie being half right."""
    positives = np.ravel(scores)[np.ravel(labels)]
    negatives = np.ravel(scores)[~np.ravel(labels)]
    right = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return right / (len(positives) * len(negatives))


def average_precision(scores, labels):
    scores, labels = np.ravel(scores), np.ravel(labels)
    total, last_recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        called = scores >= threshold
        recall = (called & labels).sum() / labels.sum()
        total += (recall - last_recall) * (called & labels).sum() / called.sum()
        last_recall = recall
    return total


def best_f1(scores, labels):
    scores, labels = np.ravel(scores), np.ravel(labels)
    best = (-1.0, None)
    for threshold in sorted(set(scores.tolist()), reverse=True):
        called = scores >= threshold
        f1 = 2 * (called & labels).sum() / (called.sum() + labels.sum())
        if f1 > best[0]:
            best = (f1, threshold)
    return best
