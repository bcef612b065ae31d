"""What lies beside a page of results: small photographs, and what is drawn above each of them."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data import Transform
from anomalist.files import write_text
from anomalist.report.layers import heat_layer, on_display_scale, outline

# Longer side of the colours, between whose pixels a browser draws smoothly; outlines are exact.
_HEAT_SIDE = 128
_DIGITS = 24
_PHOTOGRAPH = re.compile(rf"[0-9a-f]{{{_DIGITS}}}\.jpg")
_LAYERS = re.compile(rf"([0-9a-f]{{{_DIGITS}}})-(\d+)x(\d+)\.svg")
# What is seen is told by the fragment: colours alone, or with #lines the outlines alone.
_STYLE = (
    "path{fill:none;vector-effect:non-scaling-stroke;stroke-linecap:square}"
    ".halo{stroke:#000;stroke-opacity:.75;stroke-width:2.8px}"
    ".contour{stroke:#00dcff;stroke-width:1.4px}"
    ".ignored{stroke:#fff;stroke-width:1px}"
    ".truth{stroke:#fff;stroke-width:1.4px;stroke-dasharray:3 4;stroke-linecap:butt}"
    "g{display:none}g:target{display:inline}g:target~image{display:none}"
)


@dataclass(frozen=True)
class Layers:
    """A file of layers, and the width and height in pixels of its photograph."""

    file: str
    width: int
    height: int


@dataclass(frozen=True)
class Previews:
    """What of previews a folder holds.

    Parameters
    ----------
    photographs : set of str
        Files of small photographs.
    layers : dict of str to Layers
        What lies above them, by `layers_name`.
    """

    photographs: set[str] = field(default_factory=set)
    layers: dict[str, Layers] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: str | Path) -> Previews:
        """Return those of a folder, which needn't be there."""
        found = cls()
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if _PHOTOGRAPH.fullmatch(entry.name):
                    found.photographs.add(entry.name)
                elif match := _LAYERS.fullmatch(entry.name):
                    found.layers[match[1]] = Layers(entry.name, int(match[2]), int(match[3]))
        return found

    def prune(self, folder: str | Path, kept: Collection[str]) -> None:
        """Remove the files of these that aren't kept."""
        for name in (*self.photographs, *(one.file for one in self.layers.values())):
            if name not in kept:
                (Path(folder) / name).unlink(missing_ok=True)


def layers_name(sha256: str, model: str | None, threshold: float | None) -> str:
    """Return what layers are called: the same for the same content, judged alike.

    Parameters
    ----------
    sha256 : str
        Of the photograph's bytes.
    model : str or None
        What rows call the model.
    threshold : float or None
        The score above which an image is anomalous.

    Examples
    --------
    >>> layers_name("ab" * 32, "0123", 1.5)
    'd4c5aaac1a04c58bdfad86a8'
    """
    told = f"{sha256} {model or ''} {'' if threshold is None else repr(float(threshold))}"
    return hashlib.sha256(told.encode()).hexdigest()[:_DIGITS]


def write_layers(
    folder: str | Path,
    name: str,
    size: tuple[int, int],
    values: npt.NDArray[np.floating[Any]],
    *,
    transform: Transform,
    low: float,
    high: float,
    threshold: float | None = None,
    truth: npt.NDArray[np.bool_] | None = None,
) -> Path:
    """Write what lies above a photograph on a page as an SVG file, and return where it is.

    Parameters
    ----------
    folder : str or Path
        Made where missing.
    name : str
        As `layers_name` gives it; what is there is replaced.
    size, values, transform, low, high, threshold, truth
        As `layers_svg` takes them.

    Raises
    ------
    OSError
        If the file can't be written.
    """
    text = layers_svg(
        size, values, transform=transform, low=low, high=high, threshold=threshold, truth=truth
    )
    target = Path(folder) / f"{name}-{size[1]}x{size[0]}.svg"
    write_text(target, text)
    return target


def layers_svg(
    size: tuple[int, int],
    values: npt.NDArray[np.floating[Any]],
    *,
    transform: Transform,
    low: float,
    high: float,
    threshold: float | None = None,
    truth: npt.NDArray[np.bool_] | None = None,
) -> str:
    """Return the colours of a map as an SVG of a photograph's shape; its outlines at ``#lines``.

    Parameters
    ----------
    size : (int, int)
        Height and width of the photograph.
    values : array of shape (H, W)
        Its anomaly map at the detector's resolution, NaN where it is ignored.
    transform : Transform
        The one that the photograph passed through, which tells where in it the map lies.
    low, high : float
        Map values of a typical good pixel and of the threshold.
    threshold : float, optional
        Map value above which a pixel is outlined.
    truth : bool array of shape (H, W), optional
        Which pixels are known to be anomalous.

    Returns
    -------
    str

    Examples
    --------
    >>> text = layers_svg((480, 640), np.eye(8), transform=Transform(8), low=0.0, high=1.0)
    >>> text.partition("<style")[0]
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8" preserveAspectRatio="none">'
    """
    height, width = values.shape
    left, top, right, bottom = transform.region(size)
    across, down = width / (right - left), height / (bottom - top)
    box = (-left * across, -top * down, size[1] * across, size[0] * down)
    levels = Image.fromarray(on_display_scale(values, low, high))
    levels.thumbnail((_HEAT_SIDE, _HEAT_SIDE), Image.Resampling.BILINEAR)
    heat = base64.b64encode(heat_layer(np.asarray(levels))).decode()
    lines = []
    if threshold is not None:
        lines.append(("contour", outline(values > threshold)))
    if truth is not None:
        lines.append(("truth", outline(truth)))
    lines.append(("ignored", outline(np.isnan(values))))
    drawn = "".join(
        f'<path class="halo" d="{path}"/><path class="{kind}" d="{path}"/>'
        for kind, path in lines
        if path
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{" ".join(f"{v + 0.0:g}" for v in box)}"'
        f' preserveAspectRatio="none"><style>{_STYLE}</style><g id="lines">{drawn}</g>'
        f'<image width="{width}" height="{height}" preserveAspectRatio="none"'
        f' href="data:image/png;base64,{heat}"/></svg>\n'
    )
