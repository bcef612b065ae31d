"""What the values and arrays of a model file must be, before anything is computed with them."""

from __future__ import annotations

import math
import numbers
import os
import reprlib
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.errors import ModelFileError


@dataclass(frozen=True)
class Layout:
    """What an array of a model file must be.

    Parameters
    ----------
    dtype : type
        Of NumPy.
    shape : tuple of int or str
        Sizes, or names of sizes that are free but alike wherever the name comes.
    minimum : float, optional
        The lowest value.
    below : float, optional
        What every value is below.
    """

    dtype: type[np.generic]
    shape: tuple[int | str, ...]
    minimum: float | None = None
    below: float | None = None


def conforms(value: object, kind: Any) -> bool:
    """Whether a value is of a kind that a type hint, or a dictionary of them, describes.

    Whole numbers fit in 64 bits and others are finite; lists pass for tuples, and whole numbers
    for floating-point ones.

    Examples
    --------
    >>> conforms([1, 2], int | tuple[int, int]), conforms([1, 2.5], tuple[int, ...])
    (True, False)
    >>> conforms({"a": 1}, {"a": float, "b": str}), conforms(float("nan"), float)
    (False, False)
    """
    if isinstance(kind, dict):
        return (
            isinstance(value, dict)
            and kind.keys() <= value.keys()
            and all(conforms(value[key], of_key) for key, of_key in kind.items())
        )
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(conforms(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is dict:
        return isinstance(value, dict) and all(
            conforms(k, parts[0]) and conforms(v, parts[1]) for k, v in value.items()
        )
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if parts[1:] == (Ellipsis,):
            return all(conforms(entry, parts[0]) for entry in value)
        return len(value) == len(parts) and all(map(conforms, value, parts))
    if kind is Any:
        return True
    if kind is int:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return whole and -(2**63) <= value < 2**63  # type: ignore[operator]
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        if isinstance(value, numbers.Integral):
            return abs(int(value)) <= sys.float_info.max
        return math.isfinite(float(value))
    if kind is str:
        return isinstance(value, str | os.PathLike)
    return isinstance(value, kind)


def check_state(state: Mapping[str, Any], layout: Mapping[str, Layout | Any]) -> None:
    """Hold arrays and values by name against their layout, or the kind of a value.

    Raises
    ------
    ModelFileError
        If one is missing, superfluous, or of another shape, type or range.

    Examples
    --------
    >>> layout = {"bank_": Layout(np.float32, ("n", 3)), "radius_": float}
    >>> check_state({"bank_": np.zeros((5, 3), np.float32), "radius_": 1.0}, layout)
    >>> check_state({"bank_": np.zeros((5, 2), np.float32), "radius_": 1.0}, layout)
    Traceback (most recent call last):
    anomalist.errors.ModelFileError: bank_ is float32 of shape (5, 2) instead of ...
    """
    for name in layout:
        if name not in state:
            raise ModelFileError(f"{name} is missing")
    sizes: dict[str, int] = {}
    for name, value in state.items():
        if name not in layout:
            raise ModelFileError(f"{reprlib.repr(name)} doesn't belong there")
        expected = layout[name]
        if isinstance(expected, Layout):
            _check_array(name, value, expected, sizes)
        elif isinstance(value, np.ndarray) or not conforms(value, expected):
            raise ModelFileError(f"{name} makes no sense: {reprlib.repr(value)}")


def _check_array(name: str, value: Any, expected: Layout, sizes: dict[str, int]) -> None:
    if not isinstance(value, np.ndarray):
        raise ModelFileError(f"{name} is no array")
    fits = value.dtype == expected.dtype and value.ndim == len(expected.shape)
    for found, size in zip(value.shape, expected.shape, strict=False):
        fits &= found == (sizes.setdefault(size, found) if isinstance(size, str) else size)
    if not fits:
        shape = ", ".join(str(sizes.get(str(s), s)) for s in expected.shape)
        raise ModelFileError(
            f"{name} is {value.dtype} of shape {value.shape} instead of"
            f" {np.dtype(expected.dtype)} of shape ({shape})"
        )
    if value.size == 0:
        return
    if expected.minimum is not None and value.min() < expected.minimum:
        raise ModelFileError(f"{name} goes down to {value.min()}, below {expected.minimum}")
    if expected.below is not None and value.max() >= expected.below:
        raise ModelFileError(f"{name} goes up to {value.max()}, not below {expected.below}")


def array_state(tensors: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    """Return tensors as NumPy arrays, by the same names.

    Raises
    ------
    ModelFileError
        If one is of a kind that NumPy doesn't have.
    """
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bfloat16:
            raise ModelFileError(f"{reprlib.repr(name)} is of an unknown kind of number")
    return {name: tensor.numpy() for name, tensor in tensors.items()}
