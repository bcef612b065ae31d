"""Outlines and run lengths by one pixel and one number after the other."""

import numpy as np


def filled(points, size):
    """True where a pixel's centre is inside of an outline, by the even-odd rule."""
    mask = np.zeros(size, bool)
    for row, column in np.ndindex(*size):
        x, y = column + 0.5, row + 0.5
        crossings = 0
        for (xa, ya), (xb, yb) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if ya > yb:
                xa, ya, xb, yb = xb, yb, xa, ya
            crossings += ya <= y < yb and xa + (y - ya) / (yb - ya) * (xb - xa) <= x
        mask[row, column] = crossings % 2 == 1
    return mask


def run_lengths(mask):
    """The lengths of runs in the columns of a mask, the first of zeros."""
    lengths, current = [0], False
    for value in np.asarray(mask).T.ravel():
        if bool(value) != current:
            lengths.append(0)
            current = bool(value)
        lengths[-1] += 1
    return lengths


def packed(lengths):
    """Run lengths as the text that COCO's tools write."""
    text = ""
    for i, length in enumerate(lengths):
        value = length - lengths[i - 2] if i > 2 else length
        more = True
        while more:
            letter = value & 31
            value >>= 5
            more = value != -1 if letter & 16 else value != 0
            text += chr((letter | 32 if more else letter) + 48)
    return text
