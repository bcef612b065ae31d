"""The walk through adding a detector that CONTRIBUTING.md takes is run as it is printed."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

from anomalist.data import MVTecAD

ROOT = Path(__file__).resolve().parents[1]


def test_the_detector_of_the_guide_works(dots: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    module = types.ModuleType("guide")
    sys.modules["guide"] = module
    exec(compile(code, "CONTRIBUTING.md", "exec"), module.__dict__)
    category = MVTecAD(dots).category("dot")
    detector = module.Norm(image_size=64, device="cpu").fit(category.train)
    predictions = detector.predict(category.test)
    assert predictions.scores[predictions.labels].min() > predictions.scores[:3].max()
    del sys.modules["guide"]
