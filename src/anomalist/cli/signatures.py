"""What detectors take, read from their source: importing one costs seconds, for it needs torch."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import docstring_parser

_PACKAGE = "anomalist"
_ROOT = Path(__file__).parents[1]
_BASE = ("anomalist.detectors.base", "Detector")
#: The detector that chooses itself, which is none of those that there are to choose from.
AUTO = "auto"


@dataclass(frozen=True)
class Parameter:
    """A keyword argument of a constructor.

    Parameters
    ----------
    name : str
        Its name.
    hint : type
        Its type hint. Classes of this package are stood in for by empty ones of the same name.
    default : Any
        Its default.
    text : str
        What the docstring says of it.
    """

    name: str
    hint: Any
    default: Any
    text: str


@dataclass(frozen=True)
class Signature:
    """What the constructor of a class takes.

    Parameters
    ----------
    name : str
        Of a detector, that on the command line; else the class's.
    summary : str
        The first line of the docstring.
    parameters : dict
        The parameters by name, in their order.
    """

    name: str
    summary: str
    parameters: Mapping[str, Parameter]


class NotReadableError(Exception):
    """The source alone doesn't tell: only importing the module does."""


def detector_signatures() -> dict[str, Signature]:
    """Return the signatures of all detectors by name, in order.

    The source of this package's detectors is read. Where it doesn't tell, or where other
    packages bring detectors, all are imported.

    Examples
    --------
    >>> detector_signatures()["patchcore"].parameters["num_neighbors"].default
    9
    """
    if not entry_points(group="anomalist.detectors"):
        try:
            return _read_detectors()
        except NotReadableError:
            pass
    from anomalist.detectors import DETECTORS

    return {name: signature_of(detector) for name, detector in DETECTORS.items()}


def named_signatures() -> dict[str, Signature]:
    """Return the signatures of all that a command line can name: the detectors, and ``auto``.

    Examples
    --------
    >>> list(named_signatures())[-1], named_signatures()["auto"].parameters["budget"].default
    ('auto', '5min')
    """
    auto = dataclasses.replace(_read_dataclass("anomalist.choosing.auto", "Auto"), name=AUTO)
    return {**detector_signatures(), AUTO: auto}


def shared_signature() -> Signature:
    """Return what all detectors take.

    Examples
    --------
    >>> list(shared_signature().parameters)[:3]
    ['backbone', 'layers', 'weights']
    """
    return _read_dataclass(*_BASE)


def signature_of(detector: type[Any]) -> Signature:
    """Return the signature of an imported dataclass, such as a detector."""
    texts: dict[str, str] = {}
    for cls in reversed(detector.__mro__):
        if dataclasses.is_dataclass(cls):
            texts |= _texts(cls.__doc__)
    hints = typing.get_type_hints(detector)
    return Signature(
        getattr(detector, "name", detector.__name__),
        _summary(detector.__doc__),
        {
            field.name: Parameter(
                field.name, hints[field.name], field.default, texts.get(field.name, "")
            )
            for field in dataclasses.fields(detector)
        },
    )


def constructor_signature(module: str, name: str) -> Signature:
    """Return the keyword-only arguments of a class's ``__init__``, read from its source.

    Examples
    --------
    >>> list(constructor_signature("anomalist.features.store", "FeatureStore").parameters)
    ['memory_limit_mb', 'folder', 'disk_limit_mb']
    """
    source = _source(module)
    node = source.bound[name]
    assert isinstance(node, ast.ClassDef)
    (init,) = (n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    text = ast.get_docstring(node)
    texts = _texts(text)
    parameters = {
        argument.arg: Parameter(
            argument.arg,
            source.value(argument.annotation),
            source.value(default),
            texts.get(argument.arg, ""),
        )
        for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    }
    return Signature(name, _summary(text), parameters)


def constant(module: str, name: str) -> Any:
    """Return a constant, or an alias of a type, that a module defines or passes on.

    Examples
    --------
    >>> constant("anomalist.calibration", "DEFAULT_ALPHA")
    0.05
    """
    return _source(module)[name]


@cache
def _read_detectors() -> dict[str, Signature]:
    found = {}
    for path in sorted((_ROOT / "detectors").glob("*.py")):
        # What can't hold a detector needn't be parsed.
        if not re.search(r"^class \w+\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            continue
        source = _source(f"{_PACKAGE}.detectors.{path.stem}")
        for node in source.bound.values():
            if not isinstance(node, ast.ClassDef):
                continue
            named = dict(_assigned(node)).get("name")
            *_, (base, top) = _lineage(source, node)
            if named is not None and (base.module, top.name) == _BASE:
                signature = _read_dataclass(source.module, node.name)
                name = source.value(named)
                found[name] = dataclasses.replace(signature, name=name)
    return dict(sorted(found.items()))


@cache
def _read_dataclass(module: str, name: str) -> Signature:
    source = _source(module)
    node = source.bound[name]
    assert isinstance(node, ast.ClassDef)
    texts: dict[str, str] = {}
    fields: dict[str, tuple[Any, Any]] = {}
    for place, cls in reversed(list(_lineage(source, node))):
        texts |= _texts(ast.get_docstring(cls))
        for field in cls.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                if re.match(r"(typing\.)?ClassVar\b", ast.unparse(field.annotation)):
                    continue
                default = place.value(field.value)
                if isinstance(default, dataclasses.Field):
                    raise NotReadableError(f"{module}: {ast.unparse(field)}")
                fields[field.target.id] = place.value(field.annotation), default
    return Signature(
        name,
        _summary(ast.get_docstring(node)),
        {key: Parameter(key, *field, texts.get(key, "")) for key, field in fields.items()},
    )


def _lineage(source: _Source, node: ast.ClassDef) -> Iterator[tuple[_Source, ast.ClassDef]]:
    """Yield a class and its bases of this package, nearest first, up to that of detectors."""
    yield source, node
    if (source.module, node.name) == _BASE:
        return
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in source.bound:
            place, name = source.origin(base.id)
            definition = place.bound[name]
            if isinstance(definition, ast.ClassDef):
                yield from _lineage(place, definition)


def _assigned(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the names that a class body gives values to, and the values."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, statement.value
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement.value


@dataclass(frozen=True)
class _Imported:
    """A name that is imported: a module where ``name`` is None, else what that module calls so."""

    module: str
    name: str | None


class _Source(Mapping[str, Any]):
    """A module of this package, read, not imported: the values of its top level by name.

    A value is made when it is asked for, by evaluating its expression. Other modules that it needs
    are read too if they are this package's, and imported if they are the standard library's.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        path = _ROOT.joinpath(*module.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (OSError, SyntaxError) as error:
            raise NotReadableError(module) from error
        #: What binds each name: a class, an import, or the expression assigned.
        self.bound: dict[str, ast.ClassDef | ast.expr | _Imported] = {}
        self._values: dict[str, Any] = {}
        self._bind(tree.body)

    def _bind(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                self.bound[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.bound[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                if node.value is not None:
                    self.bound[node.target.id] = node.value
            elif isinstance(node, ast.ImportFrom):
                module = "" if node.level else node.module or ""
                for alias in node.names:
                    self.bound[alias.asname or alias.name] = _Imported(module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    module = alias.name if alias.asname else alias.name.partition(".")[0]
                    self.bound[alias.asname or module] = _Imported(module, None)
            elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                self._bind(node.body)

    def origin(self, name: str) -> tuple[_Source, str]:
        """Return the module that defines a name, through those that pass it on, and its name."""
        node = self.bound[name]
        if isinstance(node, _Imported) and node.name and _top(node.module) == _PACKAGE:
            return _source(node.module).origin(node.name)
        return self, name

    def value(self, expression: ast.expr | None) -> Any:
        """Evaluate an expression of the module."""
        if expression is None:
            raise NotReadableError(f"{self.module}: a value is missing")
        try:
            # A part of this package, which importing it would run too.
            return eval(compile(ast.Expression(expression), self.module, "eval"), {}, self)
        except Exception as error:
            raise NotReadableError(f"{self.module}: {ast.unparse(expression)}") from error

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = self._make(name)
        return self._values[name]

    def _make(self, name: str) -> Any:
        place, defined = self.origin(name)
        if place is not self:
            return place[defined]
        node = self.bound[name]
        if isinstance(node, ast.ClassDef):
            return type(name, (), {"__module__": self.module})
        if isinstance(node, ast.expr):
            return self.value(node)
        if _top(node.module) not in sys.stdlib_module_names:
            raise NotReadableError(f"{self.module}: {name} comes from {node.module}")
        module = importlib.import_module(node.module)
        return module if node.name is None else getattr(module, node.name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.bound)

    def __len__(self) -> int:
        return len(self.bound)


_source = cache(_Source)


def _top(module: str) -> str:
    return module.partition(".")[0]


def _summary(text: str | None) -> str:
    return (text or "").partition("\n")[0]


def _texts(text: str | None) -> dict[str, str]:
    """What a docstring says of each parameter, in one line each."""
    texts: dict[str, str] = {}
    for parameter in docstring_parser.parse(text or "").params:
        words = _in_words(parameter.description or "")
        texts |= dict.fromkeys((n.strip() for n in parameter.arg_name.split(",")), words)
    return texts


def _in_words(text: str) -> str:
    """Return a text of a docstring in one line, as those who don't write Python read it."""
    text = re.sub(r":\w+:`~?([\w.]+)`", r"\1", " ".join(text.split()))
    return re.sub(r"\bNone\b", "none", text.replace("``", ""))
