"""Saturated per-region overlap by its definition, one threshold and one defect at a time.

Bergmann et al., "Beyond Dents and Scratches", IJCV 130 (2022), section 4: of a defect with the
saturation area s, min(found pixels / s, 1), averaged over defects; a false positive lies in none of
an image's defects.
"""

import numpy as np

from tests.reference.pro import area_up_to


def curve(maps, defects):
    """Rates and overlaps at every distinct score, of maps of any sizes.

    ``defects`` has for each image a list of (pixels, saturation area).
    """
    normal = []
    for values, of_image in zip(maps, defects, strict=True):
        beside = np.ones(values.shape, bool)
        for pixels, _ in of_image:
            beside &= ~pixels
        normal.append(beside)
    scores = sorted({v for values in maps for v in values.ravel().tolist()}, reverse=True)
    rates, overlaps = [0.0], [0.0]
    for threshold in scores:
        false = sum(((m >= threshold) & n).sum() for m, n in zip(maps, normal, strict=True))
        rates.append(false / sum(n.sum() for n in normal))
        found = [
            min((values[pixels] >= threshold).sum() / saturation, 1)
            for values, of_image in zip(maps, defects, strict=True)
            for pixels, saturation in of_image
        ]
        overlaps.append(np.mean(found))
    return np.array(rates), np.array(overlaps)


def spro(maps, defects, limit):
    return area_up_to(*curve(maps, defects), limit) / limit
