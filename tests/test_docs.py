from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from anomalist.detectors import DETECTORS, Detector

ROOT = Path(__file__).resolve().parents[1]
METHODS = ROOT / "docs" / "methods"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detectors_page_tells_of_all_its_own_hyperparameters(name: str) -> None:
    table = (METHODS / f"{name}.md").read_text(encoding="utf-8").split("## Hyperparameters")[1]
    named = set(re.findall(r"`(\w+)`", table))
    shared = {field.name for field in dataclasses.fields(Detector)}
    own = {field.name for field in dataclasses.fields(DETECTORS[name])} - shared
    assert own <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
