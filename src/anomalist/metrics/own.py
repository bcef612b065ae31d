"""Metrics of one's own: functions of predictions, named by where they are."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from anomalist.errors import ParameterError
from anomalist.predictions import Predictions


def is_own(name: str) -> bool:
    """Whether a metric is one's own, which its name tells.

    Examples
    --------
    >>> is_own("my_metrics:missed"), is_own("image_AUROC")
    (True, False)
    """
    return ":" in name


@dataclass(frozen=True)
class OwnMetric:
    """A function that makes a number of predictions, found by its name wherever it is asked.

    Parameters
    ----------
    name : str
        ``module:function``, as columns of tables call it.
    code : str
        SHA-256 of the file that it is in, so that one that was changed is measured again; empty
        where there is no file.

    Examples
    --------
    >>> import numpy as np
    >>> metric = OwnMetric.of("statistics:mean")
    >>> metric.name, len(metric.code)
    ('statistics:mean', 64)
    """

    name: str
    code: str = ""

    @classmethod
    def of(cls, function: str | Callable[[Predictions], Any]) -> OwnMetric:
        """Find a function by its name, or the name of a function.

        Parameters
        ----------
        function : str or callable
            ``module:function``, or the function, which must be found by its name where it is.

        Raises
        ------
        ParameterError
            If there is no such module or function, or it isn't one that takes predictions.
        """
        if not isinstance(function, str):
            place = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
            if None in place or "<" in str(place[1]):
                raise ParameterError(
                    f"a metric must be a function at the top of a module, not {function!r}: it is"
                    " found by its name"
                )
            function = f"{place[0]}:{place[1]}"
        found = _found(function)
        try:
            inspect.signature(found).bind(None)
        except TypeError as error:
            raise ParameterError(
                f"the metric {function} can't be called with predictions alone: {error}"
            ) from error
        except ValueError:  # one that tells no signature
            pass
        return cls(function, _code_of(found))

    def __call__(self, predictions: Predictions) -> float | None:
        """Return the number; None where the function gives None, nan or an infinite one.

        Raises
        ------
        ParameterError
            If the function fails, or gives no number.
        """
        try:
            value = _found(self.name)(predictions)
        except ParameterError:
            raise
        except Exception as error:  # what fails is the user's, and may fail in any way
            raise ParameterError(
                f"the metric {self.name} fails: {type(error).__name__}: {error}"
            ) from error
        if getattr(value, "shape", None) == ():
            value = value.item()
        if value is not None and not isinstance(value, numbers.Real):
            raise ParameterError(
                f"the metric {self.name} must give a number or None, not"
                f" {type(value).__name__} {str(value)[:40]}"
            )
        return None if value is None or not math.isfinite(value) else float(value)


def _found(name: str) -> Callable[[Predictions], Any]:
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise ParameterError(
            f"a metric is named module:function, such as my_metrics:missed, not {name!r}"
        )
    try:
        found = attrgetter(function)(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise ParameterError(f"the metric {name} can't be imported: {error}") from error
        raise ParameterError(
            f"there is no module {module} for the metric {name}: run the command where"
            f" {module.replace('.', '/')}.py is, or set PYTHONPATH to its folder"
        ) from error
    except AttributeError as error:
        raise ParameterError(f"the metric {name} isn't there: {error}") from error
    except Exception as error:  # a module may fail in any way
        raise ParameterError(
            f"the metric {name} can't be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise ParameterError(f"the metric {name} is no function but {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _code_of(function: Callable[..., Any]) -> str:
    try:
        file = inspect.getsourcefile(function)
        return "" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except (TypeError, OSError):  # built in, or typed into a notebook
        return ""
