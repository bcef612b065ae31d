"""Whether the good test images of a data set look like its training images, by simple statistics.

    python benchmarks/split_shift.py data/mvtec_ad --categories bottle,screw

For each image: brightness, contrast, sharpness (mean absolute Laplacian at half and at full size),
grain (what a median filter takes away), each channel's share of the light, and of what Otsu's
threshold tells from the background its area, centre, direction and elongation. For each statistic,
a permutation test (20,000 draws) of the difference of means between training and good test images
and one of the ratio of their variances; then one test of all together, of the energy distance of
standardised statistics. ``z`` is the difference in standard deviations of the training images. p is
as it is; ``holm`` is it after Holm's correction for the number of tests of a category.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy import ndimage
from scipy.spatial.distance import cdist

from anomalist.report import to_markdown

Float64 = npt.NDArray[np.float64]

_SIDE = 512
_DRAWS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--categories", default="bottle,screw")
    arguments = parser.parse_args()
    for name in arguments.categories.split(","):
        train, test = (
            pd.DataFrame([statistics(p) for p in sorted((arguments.data / name / part).glob("*"))])
            for part in ("train/good", "test/good")
        )
        print(f"\n{name}: {len(train)} training images, {len(test)} good test images")
        print(to_markdown(compared(train, test)))
        print(f"all together: energy distance, p = {together(train, test):.4f}")


def statistics(path: Path) -> dict[str, float]:
    """Return simple statistics of an image."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((_SIDE, _SIDE)), np.float64) / 255
    grey = pixels.mean(axis=2)
    half = grey.reshape(_SIDE // 2, 2, _SIDE // 2, 2).mean(axis=(1, 3))
    part = grey < _otsu(grey)
    if part.mean() > 0.5:
        part = ~part
    rows, columns = np.nonzero(part)
    spread, axes = np.linalg.eigh(np.cov(np.stack([columns, rows])))
    angle = 2 * np.arctan2(axes[1, 1], axes[0, 1])
    light = pixels.mean(axis=(0, 1))
    return {
        "brightness": grey.mean(),
        "background": np.median(grey[~part]),
        "part's brightness": np.median(grey[part]),
        "contrast": grey.std(),
        "sharpness": np.abs(ndimage.laplace(grey)).mean(),
        "sharpness, half size": np.abs(ndimage.laplace(half)).mean(),
        "grain": np.abs(grey - ndimage.median_filter(grey, 3)).mean(),
        "red": light[0] / light.sum(),
        "blue": light[2] / light.sum(),
        "area": part.mean(),
        "centre, across": columns.mean() / _SIDE,
        "centre, down": rows.mean() / _SIDE,
        "direction, cos 2a": np.cos(angle),
        "direction, sin 2a": np.sin(angle),
        "length": np.sqrt(spread[1]) / _SIDE,
        "width": np.sqrt(spread[0]) / _SIDE,
    }


def _otsu(grey: Float64) -> float:
    """The grey value that parts an image into two classes of the least variance within."""
    counts, edges = np.histogram(grey, 256, (0, 1))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    total = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (total[-1] * below / below[-1] - total) ** 2 / (below * (below[-1] - below))
    return float(centres[np.nanargmax(between)])


def compared(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Compare each statistic of training and good test images."""
    rng = np.random.default_rng(0)
    rows = []
    for name in train:
        both = np.concatenate([train[name], test[name]])
        if np.ptp(both) < 1e-9:
            continue
        both = (both - both.mean()) / both.std()
        draws = np.array([rng.permutation(both) for _ in range(_DRAWS)])
        n = len(train)
        means = np.append(_shift(draws, n), _shift(both[None], n))
        spreads = np.append(_ratio(draws, n), _ratio(both[None], n))
        z = (test[name].mean() - train[name].mean()) / train[name].std()
        rows.append(
            {
                "statistic": name,
                "training": f"{train[name].mean():.4f} ± {train[name].std():.4f}",
                "good test": f"{test[name].mean():.4f} ± {test[name].std():.4f}",
                "z": f"{z:+.2f}",
                "p, mean": (np.abs(means) >= np.abs(means[-1])).mean(),
                "p, spread": (np.abs(spreads) >= np.abs(spreads[-1])).mean(),
            }
        )
    table = pd.DataFrame(rows)
    p = table[["p, mean", "p, spread"]].to_numpy()
    table["holm, lowest"] = _holm(p.ravel()).reshape(p.shape).min(axis=1)
    return table.apply(lambda c: c.map("{:.4f}".format) if c.dtype == float else c)


def _shift(draws: Float64, n: int) -> Float64:
    return draws[:, n:].mean(axis=1) - draws[:, :n].mean(axis=1)


def _ratio(draws: Float64, n: int) -> Float64:
    return np.log(draws[:, n:].var(axis=1) / draws[:, :n].var(axis=1))


def _holm(p: Float64) -> Float64:
    order = np.argsort(p)
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    result = np.empty_like(p)
    result[order] = raised
    return result


def together(train: pd.DataFrame, test: pd.DataFrame) -> float:
    """Return the p-value of the energy distance of all statistics."""
    rng = np.random.default_rng(0)
    both = pd.concat([train, test]).to_numpy()
    both = both[:, np.ptp(both, axis=0) > 1e-9]
    both = (both - both.mean(axis=0)) / both.std(axis=0)
    apart = cdist(both, both)
    is_test = np.arange(len(both)) >= len(train)

    def energy(chosen: npt.NDArray[np.bool_]) -> float:
        a, b = apart[np.ix_(~chosen, ~chosen)], apart[np.ix_(chosen, chosen)]
        return float(2 * apart[np.ix_(~chosen, chosen)].mean() - a.mean() - b.mean())

    seen = energy(is_test)
    draws = [energy(rng.permutation(is_test)) for _ in range(2000)]
    return (1 + sum(draw >= seen for draw in draws)) / (len(draws) + 1)


if __name__ == "__main__":
    main()
