"""SegF1 and ClassF1 of MVTec AD 2, counted pixel by pixel."""


def f1(hits, false_alarms, misses):
    return 2 * hits / (2 * hits + false_alarms + misses)


def seg_f1(maps, masks, threshold):
    """All pixels of all images in one pot."""
    hits = false_alarms = misses = 0
    for values, mask in zip(maps, masks, strict=True):
        for row, truth in zip(values.tolist(), mask.tolist(), strict=True):
            for value, defective in zip(row, truth, strict=True):
                hits += value > threshold and defective
                false_alarms += value > threshold and not defective
                misses += value <= threshold and defective
    return f1(hits, false_alarms, misses)


def class_f1(maps, labels, threshold):
    """An image is anomalous where any of its pixels is."""
    hits = false_alarms = misses = 0
    for values, anomalous in zip(maps, labels, strict=True):
        alarm = any(value > threshold for row in values.tolist() for value in row)
        hits += alarm and anomalous
        false_alarms += alarm and not anomalous
        misses += anomalous and not alarm
    return f1(hits, false_alarms, misses)


def threshold(good):
    """Mean plus three standard deviations of the values of good maps."""
    values = [value for one in good for row in one.tolist() for value in row]
    mean = sum(values) / len(values)
    return mean + 3 * (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
