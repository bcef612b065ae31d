"""Types of arguments: how a word becomes a value, and what is said where it doesn't."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from typing import Any

import yaml


class CommaList:
    """An argument type that reads ``a,b,c`` (or a YAML list) into a tuple.

    Parameters
    ----------
    convert : callable
        Type of the entries.

    Examples
    --------
    >>> CommaList(int)("0,1,2")
    (0, 1, 2)
    """

    def __init__(self, convert: Callable[[str], Any] = str) -> None:
        self.convert = convert

    def __repr__(self) -> str:
        return f"{self.convert.__name__},..."

    def __call__(self, value: Any) -> tuple[Any, ...]:
        """Split and convert; a single value that is no text is a list of one."""
        if isinstance(value, str):
            value = [part.strip() for part in value.strip("[]()").split(",")]
        elif not isinstance(value, list | tuple):
            value = [value]
        if "" in value:
            raise ValueError("an entry of the list is empty")
        return tuple(self.convert(part) for part in value)


class EntryOf:
    """Reads one entry of several, itself a list of so many, such as a box; given once for each.

    Parameters
    ----------
    hint : type
        A tuple of any number of tuples of a fixed length.

    Examples
    --------
    >>> EntryOf(tuple[tuple[int, int], ...])("3,4")
    (3, 4)
    """

    def __init__(self, hint: Any) -> None:
        self.entry = typing.get_args(hint)[0]
        self._kinds = typing.get_args(self.entry)

    def __repr__(self) -> str:
        return str(self.entry)

    def __call__(self, value: Any) -> tuple[Any, ...]:
        """Split and convert; of a list of entries, as a file has them, each."""
        if isinstance(value, list | tuple) and all(isinstance(v, list | tuple) for v in value):
            return tuple(self(entry) for entry in value)
        values = CommaList(self._kinds[0])(value)
        if len(values) != len(self._kinds):
            raise ValueError(f"{len(self._kinds)} values expected")
        return values


def is_repeated(hint: Any) -> bool:
    """Whether a flag of a type is given once for each entry.

    Examples
    --------
    >>> is_repeated(tuple[tuple[int, int], ...]), is_repeated(tuple[int, int] | None)
    (True, False)
    """
    entries = typing.get_args(hint) if typing.get_origin(hint) is tuple else ()
    return len(entries) == 2 and entries[1] is ... and typing.get_origin(entries[0]) is tuple


class NamedValues:
    """Reads a mapping from ``turn=360,flip=true`` as well as from YAML's ``{turn: 360}``.

    Parameters
    ----------
    hint : type
        Of a mapping, or none.

    Examples
    --------
    >>> NamedValues(dict[str, float] | None)("turn=360,flip=true")
    {'turn': 360, 'flip': True}
    """

    def __init__(self, hint: Any) -> None:
        self._hint = hint

    def __repr__(self) -> str:
        return str(self._hint)

    def __call__(self, value: Any) -> dict[str, Any] | None:
        """Split at commas, and each entry at its equals sign."""
        if isinstance(value, str):
            text = value.strip()
            if not text.startswith("{") and "=" in text:
                text = "{" + text.replace("=", ": ") + "}"
            try:
                value = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise ValueError("names and values expected") from error
        if value in (None, "none"):
            return None
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise ValueError("names and values expected")
        return value


def argument_type(hint: Any) -> Any:
    """Return what reads a value of a type; all but tuples and mappings are left to the parser."""
    if any(typing.get_origin(option) is dict for option in (hint, *typing.get_args(hint))):
        return NamedValues(hint)
    if is_repeated(hint):
        return EntryOf(hint)
    return _TupleOr(hint) if "tuple[" in str(hint) else hint


class _TupleOr:
    """Reads a tuple from ``a,b`` as well as from ``[a, b]``, or one of the hint's other types."""

    def __init__(self, hint: Any) -> None:
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        options = typing.get_args(hint) if union else (hint,)
        literals = [option for option in options if typing.get_origin(option) is typing.Literal]
        self._words = [word for literal in literals for word in typing.get_args(literal)]
        (of_tuple,) = (option for option in options if typing.get_origin(option) is tuple)
        self._element = typing.get_args(of_tuple)[0]
        if isinstance(self._element, types.UnionType):
            self._element = _as_given
        self._alone = self._element in options
        self.hint = hint

    def __repr__(self) -> str:
        return str(self.hint)

    def __call__(self, value: Any) -> Any:
        if value in (None, "null", "none"):
            return None
        if value in self._words:
            return value
        values = CommaList(self._element)(value)
        return values[0] if self._alone and len(values) == 1 else values


def _as_given(value: Any) -> Any:
    """An entry that may be of several types, as the parser read it."""
    return value


def as_typed(value: Any) -> str:
    """Write a value as a command line takes it.

    Examples
    --------
    >>> as_typed(None), as_typed(True), as_typed((1, 2)), as_typed(0.05)
    ('none', 'true', '1,2', '0.05')
    """
    if isinstance(value, list | tuple):
        return ",".join(map(as_typed, value))
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


_WORDS = {int: "INT", float: "NUMBER", str: "TEXT", bool: "true|false"}


def type_word(kind: Any) -> str:
    """Return what a help calls a value of a type.

    Examples
    --------
    >>> type_word(float), type_word(CommaList(int)), type_word(int | tuple[int, int] | None)
    ('NUMBER', 'INT,...', 'INT[,INT]')
    >>> type_word(typing.Literal["onnx", "openvino"] | None)
    'onnx|openvino'
    """
    if isinstance(kind, CommaList):
        return f"{type_word(kind.convert)},..."
    if isinstance(kind, _TupleOr):
        kind = kind.hint
    if isinstance(kind, NamedValues):
        return "NAME=VALUE,..."
    if isinstance(kind, EntryOf):
        kind = kind.entry
    entries = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "|".join(map(as_typed, entries))
    if origin is tuple:
        each = ["..." if entry is ... else type_word(entry) for entry in entries]
        return ",".join(each)
    if origin in (typing.Union, types.UnionType):
        words = dict.fromkeys(type_word(e) for e in entries if e is not types.NoneType)
        return re.sub(r"^(\w+)\|\1,(\w+)", r"\1[,\2]", "|".join(words))
    return _WORDS.get(kind, "TEXT")


# What types are called where a value isn't of one.
_HINTS = {
    "dict[str, float | bool] | None": "names and values, such as turn=360,flip=true",
    "str,...": "texts, separated by commas",
    "int,...": "whole numbers, separated by commas",
    "tuple[str, ...] | None": "texts, separated by commas",
    "tuple[int, int, int, int]": "four whole numbers, separated by commas",
    "int | tuple[int, int]": "a whole number, or two, separated by a comma",
    "int | tuple[int, int] | None": "a whole number, or two, separated by a comma",
    "typing.Union[int, tuple[int, int], typing.Literal['auto']]": "a whole number, two, separated"
    " by a comma, or auto",
    "typing.Union[tuple[float, ...], typing.Literal['auto'], NoneType]": "numbers, separated by"
    " commas, or auto",
}


def one_line(error: Exception) -> str:
    r"""Bring the parser's message to one line that names the flag, the value and what fits.

    Examples
    --------
    >>> one_line(ValueError('Parser key "seeds":\n  Given value: x\n  list of int expected'))
    '--seeds: Given value: x; list of int expected'
    >>> one_line(ValueError("Parser key \"alpha\":\n  Expected a <class 'float'>. Got value: nan"))
    '--alpha: expected a number. Got value: nan'
    """
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    text = "; ".join(lines)
    text = re.sub(r'Parser key "([^"]+)":;? ?', r"--\1: ", text)
    text = text.replace("Does not validate against any of the Union subtypes; ", "")
    for hint, words in _HINTS.items():
        text = text.replace(f"invalid {hint} value:", f"expected {words}. Got value:")
    text = re.sub(
        r"Subtypes: \[.+?\]; Errors:; Expected a typing\.Literal\[(.+?)\]; "
        r"Expected a <class 'NoneType'>(?:\. Got value: .+?)?;"
        r" Given value type: .+?; Given value: ",
        r"expected one of \1 or none. Got value: ",
        text,
    )
    text = re.sub(r"Expected a typing.Literal\[(.+?)\]\.", r"expected one of \1.", text)
    kinds = {"float": "number", "int": "whole number", "str": "text", "bool": "true or false"}
    return re.sub(
        r"Expected an? <class '(\w+)'>", lambda m: f"expected a {kinds.get(m[1], m[1])}", text
    )
