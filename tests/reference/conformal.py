"""Calibration by its definitions: exact fractions, one score, threshold or order at a time."""

from fractions import Fraction
from itertools import pairwise, permutations


def p_value(score, normal_scores):
    at_least = sum(normal >= score for normal in normal_scores)
    return Fraction(1 + at_least, len(normal_scores) + 1)


def grouped_p_value(score, normal_scores, groups):
    """Each group counts by the share of it that scores as high or more."""
    total = Fraction(1)
    for group in set(groups):
        mine = [s for s, g in zip(normal_scores, groups, strict=True) if g == group]
        total += Fraction(sum(s >= score for s in mine), len(mine))
    return total / (len(set(groups)) + 1)


def threshold(normal_scores, alpha):
    """The lowest normal score above which every p-value is at most alpha, or else the highest."""
    for candidate in sorted(normal_scores):
        above = sum(normal > candidate for normal in normal_scores)
        if float(Fraction(1 + above, len(normal_scores) + 1)) <= alpha:
            return candidate
    return max(normal_scores)


def cross_p_value(fold_scores, held_out_scores, folds):
    at_least = 0
    for held_out, fold in zip(held_out_scores, folds, strict=True):
        at_least += held_out >= fold_scores[fold]
    return Fraction(1 + int(at_least), len(held_out_scores) + 1)


def pixel_threshold(normal_maps, alpha):
    """The lowest map value whose mean share of pixels above, a lost image added, is at most alpha;
    the highest where there is none.

    The allowance for rounding is far below the step of one pixel.
    """
    n = len(normal_maps)
    for candidate in sorted({value for one in normal_maps for value in one.ravel().tolist()}):
        shares = [Fraction(int((one > candidate).sum()), one.size) for one in normal_maps]
        if (sum(shares) + 1) / (n + 1) <= Fraction(alpha) + Fraction(1, 10**12):
            return candidate
    return max(one.max() for one in normal_maps)


def error_coverage(confidence, errors):
    """The error of the j surest, averaged over every order that descends in confidence."""
    n = len(errors)
    totals, orders = [Fraction(0)] * n, 0
    for order in permutations(range(n)):
        if any(confidence[a] < confidence[b] for a, b in pairwise(order)):
            continue
        orders += 1
        for j in range(n):
            totals[j] += Fraction(sum(int(errors[i]) for i in order[: j + 1]), j + 1)
    return [float(total / orders) for total in totals]
