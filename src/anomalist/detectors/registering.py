"""How the part lies in good photographs, and what is looked at of it, before a fit learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage  # type: ignore[import-untyped]

from anomalist.data import ImageSet, Transform
from anomalist.data.images import MAX_PIXELS
from anomalist.data.matching import Match, Template
from anomalist.data.moving import Affine, moved_plane
from anomalist.data.registration import (
    NARROWEST,
    SIDE,
    Float32,
    Registration,
    Window,
    grey,
    reference_size,
)
from anomalist.errors import DataError, ModelFileError
from anomalist.models import Layout, check_state
from anomalist.synthesis import foreground_mask

# Photographs of which the reference is the mean, and from which it is told if there can be one.
_LEARNT = 64
_ROUNDS = 3
# Photographs tried as the first one, which may be the odd one out.
_TRIED = 3
# Least likeness of the good photographs to the reference, and by how much at least it must exceed
# that at another angle. Textures have 0.3 and 0.01, round parts 0.95 and 0.02, cloth 0.85 and 0.05,
# parts that can be registered 0.9 and 0.15 or more.
_LEAST_LIKENESS = 0.6
_LEAST_MARGIN = 0.08
# Of the good photographs' likeness what others must have.
_SHARE = 0.6
# How far the photographs' proportions may differ.
_ALIKE = 0.01
# What is shown around the part, as a share of the longer side; and how much smaller than an upright
# rectangle a turned one must be.
_MARGIN = 0.03
# Beyond any turn, place or length of a window.
_MOST = 8.0
_SMALLER = 0.8


def find_registration(
    images: ImageSet,
    transform: Transform,
    choose_frame: Callable[[tuple[int, int]], tuple[int, int]],
) -> Registration:
    """Find how the part lies in good photographs, and around it the smallest rectangle.

    The reference is the mean of up to 64 photographs, evenly spread, each moved to lie as the first
    one does, or as another one where the first is like no other. The part is what stands out from
    the background of that, see `foreground_mask`; where nothing does, all of the photograph is
    looked at.

    Parameters
    ----------
    images : ImageSet
        Good photographs, two at least.
    transform : Transform
        How they are read and resized.
    choose_frame : callable
        Told the height and width in pixels of what is looked at, says those of the backbone's
        input.

    Raises
    ------
    DataError
        If an image can't be read, there is but one, they differ in their proportions or are too
        narrow, nothing lies alike in them, or they look much the same at several angles.
    """
    places = np.unique(np.linspace(0, len(images) - 1, _LEARNT).round().astype(np.intp))
    if len(places) < 2:
        raise DataError("align needs two good photographs at least, to see how they lie")
    size = images[0].size()
    if min(reference_size(size)) < NARROWEST:
        raise DataError(
            f"align takes photographs at most {SIDE // NARROWEST} times as long as they are wide,"
            f" to tell how parts are turned in them: {images[0].path} has {size[1]} x {size[0]}"
            " pixels; leave it out"
        )
    pictures = []
    for sample in images[places]:
        height, width = sample.size()
        if abs(height * size[1] / (width * size[0]) - 1) > _ALIKE:
            raise DataError(
                f"{sample.path} has other proportions than {images[0].path}: align needs"
                " photographs of one shape"
            )
        pictures.append(grey(sample.read(transform.bit_depth), reference_size(size)))
    matches = _first_matches(pictures)
    for _ in range(1, _ROUNDS):
        reference = _mean(pictures, matches)
        template = Template(reference)
        matches = [template.match(picture) for picture in pictures]
    reference = _mean(pictures, matches)
    least = _SHARE * _check(matches)
    picture = np.rint(np.clip(reference, 0, 255)).astype(np.uint8)
    window = _window(picture)
    side = max(size)
    frame = choose_frame((round(window.height * side), round(window.width * side)))
    # No finer than the photographs are, nor than the backbone can tell.
    scale = min(1.0, 2 * frame[1] / (window.width * side))
    source = max(2, round(size[0] * scale)), max(2, round(size[1] * scale))
    return Registration(picture, least, window, frame, source)


#: Names of the arrays that a model file keeps of a registration.
REGISTRATION = tuple(f"registration.{name}" for name in ("reference", "least", "window", "sizes"))


def registration_arrays(registration: Registration) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that a model file keeps of a registration, by name."""
    window = registration.window
    values = (
        registration.reference,
        np.array(registration.least),
        np.array([window.turn, window.across, window.down, window.width, window.height]),
        np.array([registration.frame, registration.source], np.int64),
    )
    return dict(zip(REGISTRATION, values, strict=True))


def registration_of(arrays: dict[str, npt.NDArray[Any] | None]) -> Registration:
    """Make it again of what `registration_arrays` returned.

    Raises
    ------
    ModelFileError
        If an array is missing or doesn't fit.
    """
    there = {name: array for name, array in arrays.items() if array is not None}
    reference, least, window, sizes = REGISTRATION
    check_state(
        there,
        {
            reference: Layout(np.uint8, ("rows", "columns")),
            least: Layout(np.float64, (), minimum=-1, below=1),
            window: Layout(np.float64, (5,), minimum=-_MOST, below=_MOST),
            sizes: Layout(np.int64, (2, 2), minimum=1, below=2**15),
        },
    )
    shape, (frame, source) = there[reference].shape, there[sizes].tolist()
    within = all(side[0] * side[1] <= MAX_PIXELS for side in (frame, source))
    where = Window(*there[window].tolist())
    if not (
        within
        and min(where.width, where.height) > 0
        and NARROWEST <= min(shape) <= max(shape) <= SIDE
    ):
        raise ModelFileError(f"{window!r}, {sizes!r} or {reference!r} makes no sense")
    return Registration(
        there[reference],
        float(there[least]),
        where,
        (frame[0], frame[1]),
        (source[0], source[1]),
    )


def _first_matches(pictures: list[Float32]) -> list[Match]:
    """Those with the first picture, or with another one where the first is like no other."""
    best: list[Match] = []
    for place in np.linspace(0, len(pictures), _TRIED, endpoint=False).astype(int):
        template = Template(pictures[place])
        matches = [template.match(picture) for picture in pictures]
        if not best or _likeness(matches) > _likeness(best):
            best = matches
        if _likeness(best) >= _LEAST_LIKENESS:
            break
    if _likeness(best) < _LEAST_LIKENESS / 2:  # of which no mean can be made
        _refuse_unlike(_likeness(best))
    return best


def _likeness(matches: list[Match]) -> float:
    return float(np.median([match.likeness for match in matches]))


def _refuse_unlike(likeness: float) -> NoReturn:
    raise DataError(
        f"align finds nothing that lies alike in the good photographs (likeness {likeness:.2f},"
        f" {_LEAST_LIKENESS} needed): leave it out for textures, and for parts that differ or"
        " deform"
    )


def _check(matches: list[Match]) -> float:
    """The middle likeness; DataError if it, or the middle margin, is too low."""
    likeness = _likeness(matches)
    margin = float(np.median([match.margin for match in matches]))
    if likeness < _LEAST_LIKENESS:
        _refuse_unlike(likeness)
    if margin < _LEAST_MARGIN:
        raise DataError(
            "align can't tell how the part is turned in the good photographs: they look much the"
            f" same at several angles (likeness {likeness:.2f}, {max(margin, 0):.2f} less at"
            f" another angle, {_LEAST_MARGIN} needed), as round and symmetric parts and textures"
            " do; leave it out"
        )
    return likeness


def _mean(pictures: list[Float32], matches: list[Match]) -> Float32:
    """The mean of moved pictures, of each what lies within it."""
    likely = _SHARE * _likeness(matches)
    height, width = pictures[0].shape
    everywhere = Image.fromarray(np.ones((height, width), np.float32))
    total = np.zeros((height, width), np.float32)
    weights = np.zeros((height, width), np.float32)
    for picture, match in zip(pictures, matches, strict=True):
        if match.likeness < likely:
            continue
        affine = match.motion.affine((height, width))
        inside = np.asarray(
            everywhere.transform(
                (width, height),
                Image.Transform.AFFINE,
                _coefficients(affine),
                Image.Resampling.NEAREST,
            )
        )
        total += inside * moved_plane(picture, affine, Image.Resampling.BILINEAR)
        weights += inside
    seen = weights > 0
    mean = np.full((height, width), total[seen].sum() / weights[seen].sum(), np.float32)
    mean[seen] = total[seen] / weights[seen]
    return mean


def _coefficients(affine: Affine) -> tuple[float, float, float, float, float, float]:
    return affine.xx, affine.xy, affine.x0, affine.yx, affine.yy, affine.y0


def _window(reference: npt.NDArray[np.uint8]) -> Window:
    """The smallest rectangle around the largest part of a reference, and some more."""
    height, width = reference.shape
    side = max(height, width)
    part = foreground_mask(np.repeat(reference[..., None], 3, axis=2))
    if part.all():
        return Window(0.0, 0.0, 0.0, width / side, height / side)
    pieces, _ = ndimage.label(part)
    part = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    rows, columns = np.nonzero(part)
    x, y = (columns + 0.5 - width / 2) / side, (rows + 0.5 - height / 2) / side
    turns = sorted(range(-90, 90), key=abs)
    windows = [_around(x, y, math.radians(turn)) for turn in turns]
    areas = [window.width * window.height for window in windows]
    return windows[int(np.argmin(areas))] if min(areas) < _SMALLER * areas[0] else windows[0]


def _around(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], turn: float) -> Window:
    """The rectangle at an angle around points, and some more."""
    cos, sin = math.cos(turn), math.sin(turn)
    along, over = cos * x + sin * y, cos * y - sin * x
    middle, middle_over = (along.min() + along.max()) / 2, (over.min() + over.max()) / 2
    return Window(
        turn,
        float(cos * middle - sin * middle_over),
        float(sin * middle + cos * middle_over),
        float(np.ptp(along)) + 2 * _MARGIN,
        float(np.ptp(over)) + 2 * _MARGIN,
    )
