"""AUPIMO by its definition: the overlap at each rate, integrated over the logarithm of the rate.

Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low
Tolerance", BMVC 2024, section 3: the shared false positive rate of a threshold is that of each
image without a defect, averaged; of all thresholds that keep a rate, the lowest counts.
"""

import math

import numpy as np


def aupimo(maps, masks, low, high, good=None):
    """Score of each image, NaN of those without a defect; a list of arrays will do."""
    good = [not mask.any() for mask in masks] if good is None else good
    normal = [
        np.ravel(values).tolist() for values, is_good in zip(maps, good, strict=True) if is_good
    ]

    def shared_rate(threshold):
        return np.mean([sum(v >= threshold for v in values) / len(values) for values in normal])

    # Just above each value of a good image the rate drops; -inf lets all in.
    steps = sorted({v for values in normal for v in values}, reverse=True)
    rates = [0.0] + [shared_rate(v) for v in steps]
    scores = []
    for values, mask in zip(maps, masks, strict=True):
        if not mask.any():
            scores.append(math.nan)
            continue
        defective = values[mask]
        area = 0.0
        for i, step in enumerate(steps):
            # From rates[i] up to rates[i + 1], the lowest threshold is just above this step.
            start, stop = max(rates[i], low), min(rates[i + 1], high)
            if start < stop:
                area += (defective > step).mean() * math.log(stop / start)
        if rates[-1] < high:
            area += math.log(high / max(rates[-1], low))
        scores.append(area / math.log(high / low))
    return scores
