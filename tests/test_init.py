from __future__ import annotations

import subprocess
import sys

import pytest

import anomalist
import anomalist.detectors


def test_every_public_name_resolves() -> None:
    assert sorted(anomalist._HOMES) == sorted(anomalist.__all__)
    for name in anomalist.__all__:
        assert getattr(anomalist, name) is not None
    assert dir(anomalist) == sorted([*anomalist.__all__, "__version__"])


def test_every_detector_of_the_package_is_public() -> None:
    classes = {
        cls.__name__ for cls in anomalist.DETECTORS.values() if cls.__module__.startswith("anom")
    }
    assert classes <= set(anomalist.__all__)
    assert classes <= set(anomalist.detectors.__all__)


@pytest.mark.parametrize("name", ["Path", "np", "annotations", "torch", "Transform", "x"])
def test_nothing_else_resolves(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        getattr(anomalist, name)


def test_importing_it_costs_nothing() -> None:
    code = (
        "import sys, anomalist\n"
        "for name in ('Path', 'annotations', 'CommaList'): assert not hasattr(anomalist, name)\n"
        "print(*(m for m in ('torch', 'numpy', 'anomalist.data') if m in sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""
