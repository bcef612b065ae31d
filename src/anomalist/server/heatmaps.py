"""Anomaly maps as they are kept: small, on the scale of the calibration; drawn when asked for."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin

from anomalist.data import Transform
from anomalist.errors import DataError
from anomalist.inspection import Rule
from anomalist.report import colour_map, overlay

# On the scale that is kept, 0 is a typical good pixel and 1 the threshold; what is higher is cut,
# as it is in pictures.
_TOP = 2.0
_LEVELS = 255
_TRANSFORM, _LINE = "transform", "line"


@dataclass(frozen=True, eq=False)
class Heatmap:
    """One anomaly map at the detector's resolution, in 256 levels.

    Parameters
    ----------
    levels : uint8 array of shape (H, W)
        0 for a typical good pixel and below, 127.5 at the threshold, 255 for twice that and above.
    seen : bool array of shape (H, W)
        True but where it is ignored.
    transform : Transform
        How the photograph came to the detector, which tells where in it the map lies.
    line : bool
        Whether there is a threshold of pixels, around which a line is drawn.

    Examples
    --------
    >>> seen = np.ones((8, 8), bool)
    >>> heatmap = Heatmap(np.full((8, 8), 255, np.uint8), seen, Transform(8), line=True)
    >>> Heatmap.from_bytes(heatmap.to_bytes()).values().max()
    np.float32(2.0)
    """

    levels: npt.NDArray[np.uint8]
    seen: npt.NDArray[np.bool_]
    transform: Transform
    line: bool

    @classmethod
    def of(cls, values: npt.NDArray[np.float32], rule: Rule, transform: Transform) -> Self:
        """Bring an anomaly map (H, W) to the scale of a rule, or to its own where it has none.

        It is NaN where it is ignored.
        """
        low, high = rule.low, rule.high
        if low is None or high is None:
            low = float(np.nanmedian(values))
            high = low + (float(np.nanmax(values)) - low) / _TOP
        unit = max(high - low, float(np.finfo(np.float32).tiny))
        with np.errstate(over="ignore"):
            shown = np.clip((values - np.float32(low)) / np.float32(unit), 0, _TOP)
        seen = ~np.isnan(values)
        levels = (np.where(seen, shown, 0) * np.float32(_LEVELS / _TOP)).round().astype(np.uint8)
        return cls(levels, seen, transform, rule.pixel_threshold is not None)

    def to_bytes(self) -> bytes:
        """Return it as a grey PNG, transparent where ignored, that says how it is to be read."""
        told = PngImagePlugin.PngInfo()
        told.add_text(_TRANSFORM, json.dumps(self.transform.as_dict()))
        told.add_text(_LINE, json.dumps(self.line))
        buffer = io.BytesIO()
        picture = Image.fromarray(self.levels)
        if not self.seen.all():
            picture.putalpha(Image.fromarray(self.seen.astype(np.uint8) * 255))
        picture.save(buffer, "PNG", compress_level=1, pnginfo=told)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        DataError
            If it is something else.
        """
        try:
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                bands = [np.array(band) for band in image.split()]
                told = image.info
            levels, *opacity = bands
            seen = opacity[0] > 0 if opacity else np.ones(levels.shape, np.bool_)
            transform = Transform.from_dict(json.loads(told[_TRANSFORM]))
            return cls(levels, seen, transform, json.loads(told[_LINE]) is True)
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DataError(f"a heatmap that was kept is damaged: {error}") from None

    def values(self) -> npt.NDArray[np.float32]:
        """Return the map (H, W), where 0 is a typical good pixel and 1 the threshold.

        It is NaN where it is ignored.
        """
        values = self.levels.astype(np.float32) * np.float32(_TOP / _LEVELS)
        values[~self.seen] = np.nan
        return values

    def over(self, photograph: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Lay it over a photograph (H, W, 3) of any size, as pictures of the command line are."""
        placed = self.transform.on_original(self.values(), photograph.shape[:2])
        line = 1.0 if self.line else None
        return overlay(photograph, placed, low=0.0, high=1.0, threshold=line)

    def layer(self, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Return it in colours with opacity (H, W, 4), to be laid over a photograph by a page."""
        placed = self.transform.on_original(self.values() * np.float32(_LEVELS / _TOP), size)
        scale = np.linspace(0, _TOP, _LEVELS + 1)
        # The more anomalous, the less of the photograph shines through, as in `overlay`.
        opacity = (255 * np.minimum(scale, 1) ** 2).round().astype(np.uint8)
        drawn = np.column_stack([colour_map(scale / _TOP), opacity])
        shown: npt.NDArray[np.uint8] = drawn[np.nan_to_num(placed).round().astype(np.uint8)]
        return shown

    def mask(self, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return where a photograph of this height and width is above the threshold."""
        placed = self.transform.on_original(self.values(), size)
        above: npt.NDArray[np.bool_] = placed > 1  # NaN isn't
        return above if self.line else np.zeros(size, np.bool_)
