"""Hyperparameters: the fields of a detector, their types, and what all of them must be."""

from __future__ import annotations

import dataclasses
import reprlib
import types
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from anomalist.data import DEPTHS
from anomalist.data.images import MAX_PIXELS
from anomalist.data.turning import Augmentation
from anomalist.detectors.input_size import check_input
from anomalist.errors import ParameterError
from anomalist.models import conforms

_MAX_NEIGHBOURHOOD = 31


@cache
def hyperparameter_kinds(detector: type[Any]) -> dict[str, Any]:
    """Return the type hints of the hyperparameters of a detector, by name."""
    hints = get_type_hints(detector)
    return {field.name: hints[field.name] for field in dataclasses.fields(detector)}


def in_words(kind: Any) -> str:
    """A type hint for people.

    Examples
    --------
    >>> in_words(int | tuple[int, int]), in_words(float | None)
    ('a whole number or a list', 'a finite number or null')
    """
    plain = {
        int: "a whole number",
        float: "a finite number",
        bool: "true or false",
        str: "text",
        type(None): "null",
    }
    if get_origin(kind) is Literal:
        return " or ".join(str(value) for value in get_args(kind))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(in_words(part) for part in get_args(kind))
    if get_origin(kind) is dict:
        return f"names with values ({in_words(get_args(kind)[1])})"
    return plain.get(kind, "a list")


def check_hyperparameters(detector: Any) -> None:
    """Refuse values of another type, and those that make no sense for any method.

    Raises
    ------
    ParameterError
        It names the hyperparameter.
    """
    for name, kind in hyperparameter_kinds(detector.__class__).items():
        value = getattr(detector, name)
        if not conforms(value, kind):
            raise ParameterError(f"{name} must be {in_words(kind)}, not {reprlib.repr(value)}")
    if detector.batch_size < 1:
        raise ParameterError(f"batch_size must be at least 1, not {detector.batch_size}")
    if detector.seed < 0:
        raise ParameterError(f"seed must not be negative, not {detector.seed}")
    if detector.align and detector.crop_size is not None:
        raise ParameterError("align chooses what is looked at: leave crop_size out")
    if detector.align and detector.tile_size is not None:
        raise ParameterError("align shows the part alone, and cuts no tiles: leave tile_size out")
    if detector.augment is not None:
        Augmentation.from_mapping(detector.augment)
    if detector.bit_depth not in (None, *DEPTHS):
        raise ParameterError(
            f"bit_depth must be {', '.join(map(str, DEPTHS))} or null, not {detector.bit_depth}"
        )
    for box in detector.ignore_box:
        if min(box[:2]) < 0 or min(box[2:]) < 1:
            raise ParameterError(
                "ignore_box must be left, top, width and height in pixels, such as 0,0,200,50, not"
                f" {','.join(map(str, box))}"
            )
    # A wrong size must be told before any work is done.
    check_input(detector)
    height, width = detector.transform.output_size
    if height * width > MAX_PIXELS:
        raise ParameterError(
            f"image_size {detector.image_size} makes more than {MAX_PIXELS} pixels: lower it"
        )
    # A method that smooths, or averages neighbourhoods, has these.
    sigma = getattr(detector, "sigma", 0.0)
    if not 0 <= sigma <= max(height, width):
        raise ParameterError(f"sigma must not be negative, nor above the image's side, not {sigma}")
    side = getattr(detector, "neighbourhood", 1)
    if side % 2 == 0 or not 1 <= side <= _MAX_NEIGHBOURHOOD:
        raise ParameterError(
            f"neighbourhood must be odd and positive, at most {_MAX_NEIGHBOURHOOD}, not {side}"
        )
