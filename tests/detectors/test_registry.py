from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from anomalist.detectors import DETECTORS, Detector, PatchCore
from anomalist.detectors.registry import _descendants

_PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
from anomalist.detectors import PatchCore

@dataclass(kw_only=True, eq=False)
class Sparse(PatchCore):
    '''PatchCore with a small bank.

    Parameters
    ----------
    shrinkage : float
        How small.
    '''

    name: ClassVar[str] = "sparse"
    shrinkage: float = 0.5

@dataclass(kw_only=True, eq=False)
class Usurper(PatchCore):
    '''Takes a name that is taken.'''

    name: ClassVar[str] = "padim"
"""

_ENTRIES = """[anomalist.detectors]
sparse = far_away:Sparse
padim = far_away:Usurper
broken = not_there:Broken
wrong = far_away:dataclass
"""

_ASKED = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import numpy as np
    import anomalist
    names = list(anomalist.DETECTORS)
images = np.random.default_rng(0).integers(0, 255, (4, 64, 64), np.uint8)
path = sys.argv[1]
anomalist.DETECTORS["sparse"](image_size=64, device="cpu").fit(images).save(path)
kind = type(anomalist.load(path)).__name__
pair = anomalist.Ensemble(members=("sparse", "padim")).label
from anomalist.cli.main import main
code = main(["fit", "sparse", "--data", "nowhere", "--out", "x", "--sparse.shrinkage", "0.1"])
print(json.dumps([names, kind, pair, code, [str(w.message) for w in told]]))
"""


@pytest.mark.usefixtures("warm_processes")
def test_detectors_of_other_packages_come_by_entry_points(tmp_path: Path) -> None:
    (tmp_path / "far_away.py").write_text(_PLUGIN)
    info = tmp_path / "far_away-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-away\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRIES)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{_ASKED}"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model.anomalist")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names, kind, pair, code, told = json.loads(done.stdout)
    assert names[: len(DETECTORS)] == list(DETECTORS)
    assert names[len(DETECTORS) :] == ["sparse"]
    assert (kind, pair, code) == ("Sparse", "sparse+padim", 1)
    assert "there is no folder nowhere" in done.stderr or "nowhere" in done.stderr
    assert len(told) == 3
    assert "the detector 'broken' of far-away (not_there:Broken) can't be used" in told[0]
    assert "there is a detector 'padim' already" in told[1]
    assert "it is no subclass of anomalist.Detector" in told[2]


def test_subclasses_of_subclasses_are_found() -> None:
    class Quick(PatchCore):
        name: ClassVar[str] = "quick"

    class Quicker(Quick):
        name: ClassVar[str] = "quicker"

    class Unnamed(Quicker):
        pass

    found = set(_descendants(Detector))  # type: ignore[type-abstract]
    assert {Quick, Quicker} <= found
    assert Unnamed not in found
