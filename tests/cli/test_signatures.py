from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anomalist.calibration import DEFAULT_ALPHA
from anomalist.cli import signatures
from anomalist.cli.signatures import (
    NotReadableError,
    Signature,
    constant,
    constructor_signature,
    detector_signatures,
    shared_signature,
    signature_of,
)
from anomalist.detectors import DETECTORS, Detector
from anomalist.export.exporter import Format
from anomalist.features import FeatureStore


def told(signature: Signature) -> list[tuple[Any, ...]]:
    return [(p.name, str(p.hint), p.default, p.text) for p in signature.parameters.values()]


def test_what_is_read_is_what_the_classes_say() -> None:
    read = signatures._read_detectors()
    assert list(read) == list(DETECTORS)
    for name, detector in DETECTORS.items():
        imported = signature_of(detector)
        assert (read[name].name, read[name].summary) == (imported.name, imported.summary)
        assert told(read[name]) == told(imported)
        assert all(p.text for p in read[name].parameters.values())
    assert told(shared_signature()) == told(signature_of(Detector))


def test_the_store_is_read_as_it_is() -> None:
    read = constructor_signature("anomalist.features.store", "FeatureStore").parameters
    imported = inspect.signature(FeatureStore).parameters
    assert {n: p.default for n, p in read.items()} == {n: p.default for n, p in imported.items()}
    assert {n: inspect.formatannotation(p.hint) for n, p in read.items()} == {
        "memory_limit_mb": "float",
        "folder": "str | pathlib.Path | None",
        "disk_limit_mb": "float",
    }
    assert all(p.text for p in read.values())


def test_constants_are_read_through_the_packages_that_pass_them_on() -> None:
    assert constant("anomalist.calibration", "DEFAULT_ALPHA") == DEFAULT_ALPHA
    assert constant("anomalist.export.exporter", "Format") == Format


WRITTEN = '''
from __future__ import annotations
from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, ClassVar, Literal
import torch
from anomalist.detectors.base import Detector
if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["a", "b"]
_HALF = 2**-1

class Between(Detector):
    """No detector: it has no name."""
    sides: int = 4

@dataclass(kw_only=True)
class {name}(Between):
    """Made up.

    Parameters
    ----------
    kind : str
        Of two
        kinds.
    """
    name: ClassVar[str] = "made"
    kind: Kind | None = "b"
    share: float = _HALF * pi
    folder: str | Path = {default}
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "anomalist"
    (root / "detectors").mkdir(parents=True)
    base = "from abc import ABC\nclass Detector(ABC):\n    seed: int = 0\n"
    (root / "detectors" / "base.py").write_text(base)
    monkeypatch.setattr(signatures, "_ROOT", root)
    for cached in (signatures._read_detectors, signatures._read_dataclass, signatures._source):
        cached.cache_clear()
        monkeypatch.setattr(signatures, cached.__name__, cached)
    yield root / "detectors"
    for cached in (signatures._read_detectors, signatures._read_dataclass, signatures._source):
        cached.cache_clear()


def test_a_subclass_of_a_subclass_is_read(package: Path) -> None:
    (package / "made.py").write_text(WRITTEN.format(name="Made", default="'x'"))
    (signature,) = detector_signatures().values()
    assert signature.name == "made"
    assert signature.summary == "Made up."
    values = [(p.name, str(p.hint), p.default) for p in signature.parameters.values()]
    assert values == [
        ("seed", "<class 'int'>", 0),
        ("sides", "<class 'int'>", 4),
        ("kind", "typing.Optional[typing.Literal['a', 'b']]", "b"),
        ("share", "<class 'float'>", pytest.approx(1.5707963)),
        ("folder", "str | pathlib.Path", "x"),
    ]
    assert signature.parameters["kind"].text == "Of two kinds."


def test_what_the_source_does_not_tell_is_asked_of_the_classes(package: Path) -> None:
    (package / "made.py").write_text(WRITTEN.format(name="Made", default="torch.inf"))
    with pytest.raises(NotReadableError):
        signatures._read_detectors()
    assert list(detector_signatures()) == list(DETECTORS)


def test_detectors_of_other_packages_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "entry_points", lambda group: [SimpleNamespace(name="own")])
    monkeypatch.setitem(DETECTORS, "own", DETECTORS["padim"])
    assert "own" in detector_signatures()
