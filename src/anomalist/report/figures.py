"""Pictures of predictions: photographs, what is wrong with them, and what a detector saw."""

from __future__ import annotations

import functools
import math
import os.path
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.data import IMAGE_SUFFIXES, Sample, Transform
from anomalist.errors import DataError, ParameterError
from anomalist.files import absolute, atomic_path
from anomalist.predictions import Predictions

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Map = npt.NDArray[np.floating[Any]]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Deep blue to pale yellow. The lightness rises all the way, for colour-blind readers too.
_COLOURS = np.array(
    [
        (13, 8, 135),
        (83, 2, 163),
        (139, 10, 165),
        (184, 50, 137),
        (219, 92, 104),
        (244, 136, 73),
        (254, 189, 42),
        (240, 249, 33),
    ],
    float,
)
# On the display scale 0 is a typical good pixel, 1 the threshold; what lies higher is cut.
_TOP = 2.0
_CONTOUR = (0, 220, 255)
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_GAP = 6
_MARK = (230, 60, 60)
_MARK_WIDTH = 4
_CAPTION = 18
_TEXT = 13
_SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf"),
    *("Arial Unicode.ttf", "Arial.ttf", "segoeui.ttf", "Helvetica.ttc"),
)
# In bytes, without the suffix of a picture.
_LONGEST_STEM = 251
_MOST_COLUMNS = 8
_BAR = (260, 14)
HEATMAP_LEVEL = 1
"""How hard PNG files of heatmaps are compressed: a third of the time for a sixth more bytes, as
writing, not scoring, is the cost."""


def colour_map(values: Map) -> Pixels:
    """Colour values from 0 (dark blue) to 1 (bright yellow); what lies outside is cut.

    Parameters
    ----------
    values : array of shape (...)

    Returns
    -------
    uint8 array of shape (..., 3)

    Examples
    --------
    >>> colour_map(np.array([0.0, 1.0])).tolist()
    [[13, 8, 135], [240, 249, 33]]
    """
    position = np.clip(values, 0, 1) * (len(_COLOURS) - 1)
    knots = np.arange(len(_COLOURS))
    channels = [np.interp(position, knots, _COLOURS[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def overlay(
    photograph: Pixels,
    anomaly_map: Map,
    *,
    low: float,
    high: float,
    threshold: float | None = None,
    truth: Mask | None = None,
    opacity: float = 0.6,
) -> Pixels:
    """Lay the colours of an anomaly map over a photograph.

    The scale doesn't depend on the image, so that equal colours mean the same in all pictures:
    ``low`` and below leave the photograph as it is, ``high`` has the colour in the middle, and all
    that is twice as far from ``low`` or farther has the last one. A solid line, cyan with a black
    edge, runs around what is above the threshold; dashes of black and white around the truth. Both
    are told apart without colour as well.

    Parameters
    ----------
    photograph : uint8 array of shape (H, W, 3)
    anomaly_map : array of shape (h, w)
        Of all that the photograph shows; brought to its size, bilinearly. NaN where the detector
        saw nothing, as `Transform.on_original` gives it: there the photograph is left as it is,
        and a thin line in black and white runs around the rest.
    low, high : float
        Map values of a typical good pixel and of the threshold.
    threshold : float, optional
        Map value above which a pixel is anomalous, for the line.
    truth : bool array of shape (H, W), optional
        True where the photograph is known to be anomalous.
    opacity : float
        How much the colours cover at ``high`` and above, from 0 to 1.

    Returns
    -------
    uint8 array of shape (H, W, 3)

    Raises
    ------
    DataError
        If photograph or truth has another shape.
    ParameterError
        If ``high`` is below ``low``, one of them isn't finite, or the opacity isn't from 0 to 1.

    Examples
    --------
    >>> photograph = np.full((4, 6, 3), 100, np.uint8)
    >>> good = overlay(photograph, np.zeros((2, 3)), low=0.0, high=1.0, threshold=1.0)
    >>> bool((good == photograph).all())
    True
    """
    _check_scale(low, high)
    if not 0 <= opacity <= 1:
        raise ParameterError(f"opacity must be from 0 to 1, not {opacity}")
    if photograph.ndim != 3 or photograph.shape[2] != 3 or photograph.dtype != np.uint8:
        raise DataError(
            f"a photograph is a uint8 array of shape (H, W, 3), not {photograph.dtype} of shape "
            f"{photograph.shape}"
        )
    height, width = photograph.shape[:2]
    if truth is not None and truth.shape != (height, width):
        raise DataError(f"the truth has shape {truth.shape}, the photograph ({height}, {width}, 3)")
    values = anomaly_map.astype(np.float32)
    if values.shape != (height, width):
        bilinear = Image.Resampling.BILINEAR
        values = np.asarray(Image.fromarray(values).resize((width, height), bilinear))

    # 256 levels, looked up: a photograph of many megapixels needs no copy in floating point.
    scale = np.linspace(0, _TOP, 256)
    unit = max(high - low, float(np.finfo(np.float32).tiny))
    with np.errstate(over="ignore"):
        shown = np.clip((values - np.float32(low)) / np.float32(unit), 0, _TOP)
    level = np.nan_to_num(shown * np.float32(255 / _TOP)).round().astype(np.uint8)
    # The more anomalous, the less of the photograph shines through.
    cover = (255 * opacity * np.minimum(scale, 1) ** 2).round().astype(np.uint8)
    picture = Image.composite(
        Image.fromarray(colour_map(scale / _TOP)[level]),
        Image.fromarray(photograph),
        Image.fromarray(cover[level]),
    )
    line = _line_width(height, width)
    if threshold is not None:
        above = values > threshold
        picture.paste(_BLACK, mask=_paint(_outline(above, line + 1)))
        picture.paste(_CONTOUR, mask=_paint(_outline(above, line)))
    if truth is not None:
        _draw_dashes(picture, truth, line)
    unseen = np.isnan(values)
    if unseen.any():
        picture.paste(_BLACK, mask=_paint(_outline(~unseen, 2)))
        picture.paste(_WHITE, mask=_paint(_outline(~unseen, 1)))
    return np.array(picture)


def heatmap_sheet(
    predictions: Predictions,
    transform: Transform,
    *,
    low: float | None = None,
    high: float | None = None,
    threshold: float | None = None,
) -> Image.Image:
    """Draw a typical image of each kind of defect: photograph, truth outlined, heatmap.

    Typical is the image of the median score, so the sheet shows neither the best nor the worst.
    A legend says what colours and lines mean.

    Parameters
    ----------
    predictions : Predictions
        With the kinds of defect known.
    transform : Transform
        The one that the images passed through.
    low, high : float, optional
        Map values of a typical good pixel and of the threshold, as `overlay` takes them. Where
        they aren't given, one scale from the median to the maximum of all maps serves the sheet.
    threshold : float, optional
        Map value above which a pixel is anomalous.

    Returns
    -------
    PIL image
        A column a kind of defect, ``good`` first, at most eight.

    Raises
    ------
    DataError
        If the kinds of defect are unknown.
    ParameterError
        If ``high`` is below ``low``, or only one of them is given.
    """
    if predictions.defects is None:
        raise DataError("a sheet of heatmaps needs the kind of defect of each image")
    if (low is None) != (high is None):
        raise ParameterError("low and high make a scale together: give both or none")
    marks = None
    if low is None or high is None:
        low, top = float(np.median(predictions.maps)), float(predictions.maps.max())
        high = low + (top - low) / _TOP
        marks = [(0.0, f"median {low:.3g}"), (_TOP, f"maximum {top:.3g}")]
    kinds = sorted(set(predictions.defects), key=lambda kind: (kind != "good", kind))
    columns = []
    for kind in kinds[:_MOST_COLUMNS]:
        chosen = _typical(predictions, kind)
        photograph = transform(predictions.images[chosen].read(transform.bit_depth))
        truth = None if predictions.masks is None else predictions.masks[chosen]
        outlined = Image.fromarray(photograph)
        if truth is not None:
            _draw_dashes(outlined, truth, _line_width(*truth.shape))
        heatmap = overlay(
            photograph,
            predictions.maps[chosen],
            low=low,
            high=high,
            threshold=threshold,
            truth=truth,
        )
        caption = f"{kind}  {predictions.scores[chosen]:.3g}"
        pictures = [Image.fromarray(photograph), outlined, Image.fromarray(heatmap)]
        columns.append(stack([*pictures, captions([caption], photograph.shape[1])]))
    body = beside(columns)
    truth_known = predictions.masks is not None
    legend = _legend(body.width, marks or _marks(low, high, threshold), threshold, truth_known)
    return stack([body, legend])


def contact_sheet(
    predictions: Predictions,
    transform: Transform,
    *,
    low: float,
    high: float,
    threshold: float | None = None,
    image_threshold: float | None = None,
    columns: int = 6,
    side: int = 224,
    max_pixels: int = 20_000_000,
    marked: Mapping[Path, str] | None = None,
) -> Image.Image:
    """Lay the heatmaps of many images out in rows, the highest score first.

    Below each stand its name, its score and the decision. Images beyond the limit of pixels are
    left out, those of the lowest scores, and the sheet says how many.

    Parameters
    ----------
    predictions : Predictions
        N images.
    transform : Transform
        The one that the images passed through.
    low, high, threshold
        As `overlay` takes them.
    image_threshold : float, optional
        Score above which an image is anomalous; without it there is no decision.
    columns : int
        Images a row.
    side : int
        Longer side of an image on the sheet, in pixels.
    max_pixels : int
        Largest width x height of the sheet.
    marked : dict of Path to str, optional
        Images with a frame, and what is said of each beside its score.

    Returns
    -------
    PIL image

    Raises
    ------
    DataError
        If there is no image, or one can't be read.
    ParameterError
        If a number isn't positive, the limit holds not even one row, or ``high`` is below ``low``.
    """
    _check_scale(low, high)
    for name, number in (("columns", columns), ("side", side), ("max_pixels", max_pixels)):
        if number < 1:
            raise ParameterError(f"{name} must be at least 1, not {number}")
    if len(predictions) == 0:
        raise DataError("a contact sheet needs at least one image")
    columns = min(columns, len(predictions))
    shape = transform.output_size
    size = max(1, shape[1] * side // max(shape)), max(1, shape[0] * side // max(shape))
    width = columns * (size[0] + _GAP) - _GAP
    known = predictions.masks is not None
    legend = _legend(width, _marks(low, high, threshold), threshold, known)
    row = size[1] + 2 * _CAPTION + 2 * _GAP
    taken_up = legend.height + _GAP + _CAPTION
    rows = (max_pixels // max(width, legend.width) - taken_up) // row
    if rows < 1:
        raise ParameterError(
            f"max_pixels {max_pixels} doesn't hold a row of {columns} images of {side} pixels: "
            "raise it, or take fewer columns or a smaller side"
        )
    ranked = np.argsort(-predictions.scores, kind="stable")
    shown = ranked[: rows * columns]
    tiles = []
    for i in shown.tolist():
        sample = predictions.images[i]
        photograph = np.asarray(
            Image.fromarray(transform(sample.read(transform.bit_depth))).resize(size)
        )
        truth = None
        if predictions.masks is not None:
            mask = _paint(predictions.masks[i])
            truth = np.asarray(mask.resize(size, Image.Resampling.BILINEAR)) > 127
        heatmap = overlay(
            photograph, predictions.maps[i], low=low, high=high, threshold=threshold, truth=truth
        )
        score = float(predictions.scores[i])
        decision = ""
        if image_threshold is not None:
            decision = "anomalous" if score > image_threshold else "normal"
        called = f"{sample.path.parent.name}/{sample.path.name}".lstrip("/")
        mark = (marked or {}).get(sample.path)
        picture = Image.fromarray(heatmap)
        if mark is not None:
            outlined = ImageDraw.Draw(picture)
            outlined.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=_MARK, width=_MARK_WIDTH)
        lines = [called, f"{score:.4g}  {mark or decision}"]
        tiles.append(stack([picture, captions(lines, size[0])]))
    parts = [legend]
    parts += [beside(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    if len(ranked) > len(shown):
        parts.append(captions([f"and {len(ranked) - len(shown)} more of lower scores"], width))
    return stack(parts)


def heatmap(
    sample: Sample,
    values: npt.NDArray[np.floating[Any]],
    *,
    transform: Transform,
    low: float,
    high: float,
    threshold: float | None = None,
    truth: npt.NDArray[np.bool_] | None = None,
    original: bool = True,
) -> Image.Image:
    """Draw the heatmap of one image.

    Parameters
    ----------
    sample : Sample
        The image, which is read.
    values : array of shape (H, W)
        Its anomaly map at the detector's resolution.
    transform : Transform
        The one that the image passed through.
    low, high, threshold
        As `overlay` takes them.
    truth : bool array of shape (H, W), optional
        Its mask at the detector's resolution.
    original : bool
        As `write_heatmaps` takes it.

    Returns
    -------
    PIL image

    Raises
    ------
    DataError
        If the image can't be read.

    Examples
    --------
    >>> from anomalist.data import Sample, Transform
    >>> frame = Sample("frame", image=np.zeros((48, 64), np.uint8))
    >>> heatmap(frame, np.ones((8, 8)), transform=Transform(8), low=0.0, high=1.0).size
    (64, 48)
    """
    image = sample.read(transform.bit_depth)
    if original:
        size = image.height, image.width
        photograph = np.asarray(image)
        values = transform.on_original(values, size)
        if truth is not None:
            truth = transform.on_original(truth.astype(np.float32), size) > 0.5
    else:
        photograph = transform(image)
    return Image.fromarray(
        overlay(photograph, values, low=low, high=high, threshold=threshold, truth=truth)
    )


def write_heatmaps(
    predictions: Predictions | Iterable[Predictions],
    out: str | Path,
    *,
    transform: Transform,
    low: float,
    high: float,
    threshold: float | None = None,
    arrays: bool = False,
    original: bool = True,
    taken: set[str] | None = None,
) -> list[Path]:
    """Write the heatmap of each image as a PNG file, on one scale.

    A picture has the name of its image, in a folder of the name of the image's folder:
    ``crack/003.png`` for ``bottle/test/crack/003.jpg``, and ``image-0.png`` for an image in memory
    of that name. Where that is taken already, a number follows, as in ``003_2.png``. Images are
    read and written one at a time, so memory doesn't grow with their number, and each file is
    written whole or not at all.

    Parameters
    ----------
    predictions : Predictions or iterable of Predictions
        All at once, or part by part as they are made.
    out : str or Path
        The folder to write to, made where missing.
    transform : Transform
        The one that the images passed through.
    low, high, threshold
        As `overlay` takes them.
    arrays : bool
        Whether to write the raw map beside each picture, as a float32 array ``.npy`` of the
        detector's resolution.
    original : bool
        Whether a picture has the size of its image, with a line around what the detector saw where
        a crop cut some off; otherwise it shows the detector's input.
    taken : set of str, optional
        Names of pictures, casefolded and without suffix, that earlier calls have taken in this
        folder; those of this call are added.

    Returns
    -------
    list of Path
        The pictures, in the order of the images.

    Raises
    ------
    DataError
        If an image can't be read.
    ParameterError
        If ``high`` is below ``low``.
    OSError
        If a file can't be written.
    """
    _check_scale(low, high)
    written: list[Path] = []
    taken = set() if taken is None else taken
    for part in predictions:  # of one image each, or of more
        for i, sample in enumerate(part.images):
            target = Path(out) / f"{_free_name(sample, taken)}.png"
            picture = heatmap(
                sample,
                part.maps[i],
                transform=transform,
                low=low,
                high=high,
                threshold=threshold,
                truth=None if part.masks is None else part.masks[i],
                original=original,
            )
            with atomic_path(target) as temporary:
                picture.save(temporary, compress_level=HEATMAP_LEVEL)
            if arrays:
                with atomic_path(target.with_suffix(".npy")) as temporary:
                    np.save(temporary, part.maps[i].astype(np.float32))
            written.append(target)
    return written


def synthesis_sheet(pairs: Sequence[tuple[Pixels, Mask]], columns: int = 6) -> Image.Image:
    """Lay images out in rows, each with a thin line around what its mask covers.

    Parameters
    ----------
    pairs : sequence of (uint8 array of shape (H, W, 3), bool array of shape (H, W))
        Images of one size with their masks, such as those of synthetic defects.
    columns : int
        Images a row.

    Returns
    -------
    PIL image

    Raises
    ------
    DataError
        If there is no image or they differ in size.
    ParameterError
        If ``columns`` is less than 1.

    Examples
    --------
    >>> pair = np.zeros((20, 30, 3), np.uint8), np.ones((20, 30), bool)
    >>> synthesis_sheet([pair] * 5, columns=3).size
    (102, 46)
    """
    if columns < 1:
        raise ParameterError(f"columns must be at least 1, not {columns}")
    sizes = {image.shape[:2] for image, _ in pairs}
    if len(sizes) != 1:
        raise DataError(f"a sheet takes images of one size, not of {sorted(sizes) or 'none'}")
    pictures = []
    for image, mask in pairs:
        outlined = image.copy()
        outlined[_outline(mask, 1)] = _CONTOUR
        pictures.append(Image.fromarray(outlined))
    rows = [beside(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    return stack(rows)


def _check_scale(low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ParameterError(
            f"low and high must be finite and high not below low, not {low}, {high}"
        )


def _typical(predictions: Predictions, kind: str) -> int:
    """The image of the median score among those of a kind."""
    of_kind = [i for i, defect in enumerate(predictions.defects or ()) if defect == kind]
    ranked = sorted(of_kind, key=lambda i: float(predictions.scores[i]))
    return ranked[len(ranked) // 2]


def _free_name(sample: Sample, taken: set[str]) -> str:
    """A name for an image's files that no other has, whatever the case of letters means."""
    in_memory = sample.image is not None
    # Not resolved: what a link is called is what its owner calls it. A mere name has no folder.
    path = Path(os.sep) / sample.path if in_memory else sample.path
    image = Path(absolute(path))
    plain = image.stem
    if in_memory and image.suffix.lower() not in IMAGE_SUFFIXES:
        plain = image.name
    stem, number = plain, 1
    while (name := f"{image.parent.name}/{stem}".lstrip("/")).casefold() in taken:
        number += 1
        stem = _numbered(plain, number)
    taken.add(name.casefold())
    return name


def _numbered(stem: str, number: int) -> str:
    """A stem with a number, cut to what names of files may be long."""
    whole, end = os.fsencode(stem), f"_{number}"
    if len(whole) + len(end) > _LONGEST_STEM:
        stem = whole[: _LONGEST_STEM - len(end)].decode("utf-8", "ignore")
    return stem + end


def _line_width(height: int, width: int) -> int:
    return max(2, round(max(height, width) / 350))


def _outline(mask: Mask, thickness: int) -> Mask:
    """The pixels just around a mask."""
    around: Mask = ndimage.maximum_filter(mask, 2 * thickness + 1, mode="constant") & ~mask
    return around


def _paint(mask: Mask) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * 255)


def _draw_dashes(picture: Image.Image, mask: Mask, width: int) -> None:
    """Draw dashes of black and white just around a mask."""
    white = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.bool_)
    for path in _loops(mask):
        corners = np.array(path[:-1])
        # A whole number of dashes, so that the last meets the first. Widening lengthens the white.
        period = len(corners) / max(1, round(len(corners) / (8 * width)))
        x, y = corners[np.arange(len(corners)) % period <= period / 4].T
        white[y, x] = True
    wide = ndimage.maximum_filter(white, 2 * width, mode="constant")[1:, 1:]
    around = _outline(mask, width)
    picture.paste(_BLACK, mask=_paint(around))
    picture.paste(_WHITE, mask=_paint(around & wide))


def _loops(mask: Mask) -> list[list[tuple[int, int]]]:
    """Closed paths of corners (x, y) around the parts of a mask and their holes."""
    inside = np.pad(mask, 1)
    following = defaultdict(list)
    # Of each side of a pixel: the neighbour, and where it starts and ends, clockwise.
    for (down, right), start, end in (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (1, 1)),
        ((1, 0), (1, 1), (0, 1)),
        ((0, -1), (0, 1), (0, 0)),
    ):
        border = inside & ~np.roll(inside, (-down, -right), (0, 1))
        for y, x in (np.argwhere(border) - 1).tolist():
            following[x + start[0], y + start[1]].append((x + end[0], y + end[1]))
    loops = []
    while following:
        path = [next(iter(following))]
        while path[-1] in following:
            ends = following[path[-1]]
            here, there = path[-1], ends.pop()
            if not ends:
                del following[here]
            path.append(there)
        loops.append(path)
    return loops


def _marks(low: float, high: float, threshold: float | None) -> list[tuple[float, str]]:
    """What stands below the colour bar: places on the display scale and texts."""
    good = (0.0, f"typical good {low:.3g}")
    if threshold is None:
        return [good, (1.0, f"highest good {high:.3g}")]
    place = (threshold - low) / (high - low or 1.0)
    return [good, (min(max(place, 0.0), _TOP), f"threshold {threshold:.3g}")]


def _legend(
    width: int, marks: list[tuple[float, str]], threshold: float | None, truth: bool
) -> Image.Image:
    """A colour bar and a sample of each line, in as many rows as the width asks for."""
    items = [_bar(marks)]
    if threshold is not None:
        items.append(_sample("above the threshold", threshold=0.5))
    if truth:
        items.append(_sample("true defect", truth=True))
    rows: list[list[Image.Image]] = [[]]
    for item in items:
        row = rows[-1]
        if row and sum(i.width + 2 * _GAP for i in [*row, item]) > width:
            rows.append(row := [])
        row.append(item)
    body = stack([beside(row, 2 * _GAP) for row in rows])
    framed = Image.new("RGB", (body.width + 2 * _GAP, body.height + 2 * _GAP), "white")
    framed.paste(body, (_GAP, _GAP))
    return framed


def _bar(marks: list[tuple[float, str]]) -> Image.Image:
    width, height = _BAR
    ramp = np.linspace(0, _TOP, width)[None].repeat(height, 0)
    grey = np.full((height, width, 3), 200, np.uint8)
    bar = Image.fromarray(overlay(grey, ramp, low=0.0, high=1.0))
    font = _font()
    texts = []
    for place, text in marks:
        at, length = place / _TOP * (width - 1), math.ceil(font.getlength(text))
        texts.append((at, max(0, round(at - length / 2)), length, text))
    # Texts keep a distance from each other, to the right if need be.
    end = 0
    picture = Image.new("RGB", (2 * width, height + 4 + _CAPTION), "white")
    picture.paste(bar)
    draw = ImageDraw.Draw(picture)
    for at, left, length, text in texts:
        left = max(left, end)
        draw.line([(at, height), (at, height + 4)], fill=_BLACK)
        draw.text((left, height + 4), text, fill=_BLACK, font=font)
        end = left + length + _GAP
    return picture.crop((0, 0, max(width, end), picture.height))


def _sample(text: str, *, threshold: float | None = None, truth: bool = False) -> Image.Image:
    """What a line looks like, and what it means."""
    size = 40
    patch = np.zeros((_BAR[1] + _GAP, size), np.float32)
    patch[5:-5, 6:-6] = 1
    grey = np.full((*patch.shape, 3), 200, np.uint8)
    drawn = overlay(
        grey,
        patch,
        low=0.0,
        high=1.0,
        threshold=threshold,
        truth=patch > 0 if truth else None,
        opacity=0.0,
    )
    return beside([Image.fromarray(drawn), captions([text], round(_font().getlength(text)) + 4)])


def _font() -> Font:
    """The font that Pillow carries: the same everywhere, but for ASCII alone."""
    return ImageFont.load_default(_TEXT)


@functools.cache
def _system_font() -> Font | None:
    """A font of the system that has more letters, where there is one."""
    for name in _SYSTEM_FONTS:
        try:
            return ImageFont.truetype(name, _TEXT)
        except OSError:
            continue
    return None


def _drawable(text: str) -> tuple[str, Font]:
    """A text as it can be drawn, and with which font.

    Letters that the font lacks stand without their accent, and others as escapes.
    """
    text = unicodedata.normalize("NFC", text)
    font = _font() if text.isascii() else _system_font() or _font()
    missing = _look(font, "\U0010ffff")

    def drawn(letter: str) -> str:
        if letter.isprintable() and (letter.isascii() or _look(font, letter) != missing):
            return letter
        base = unicodedata.normalize("NFD", letter)[0]
        return base if base.isascii() and base.isalpha() else ascii(letter)[1:-1]

    return "".join(map(drawn, text)), font


def _look(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def captions(lines: Sequence[str], width: int) -> Image.Image:
    """Lines of text, each cut in its middle to fit the width."""
    picture = Image.new("RGB", (width, _CAPTION * len(lines)), "white")
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        text, font = _drawable(line)
        cut, kept = text, len(text)
        while kept and font.getlength(cut) > width - 4:
            kept -= 1
            cut = f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"
        draw.text((2, row * _CAPTION + 1), cut, fill=_BLACK, font=font)
    return picture


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other."""
    height = sum(p.height + _GAP for p in pictures) - _GAP
    sheet = Image.new("RGB", (max(p.width for p in pictures), height), "white")
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + _GAP
    return sheet


def beside(pictures: Sequence[Image.Image], gap: int = _GAP) -> Image.Image:
    """Pictures in a row."""
    width = sum(p.width + gap for p in pictures) - gap
    sheet = Image.new("RGB", (width, max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet
