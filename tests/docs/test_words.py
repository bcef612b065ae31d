"""One word for one thing: docs/glossary.md says which, and these aren't used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, read

AVOIDED = re.compile(r"\b(cut-?off|confidence|probabilit\w+|anomaly scores?)\b", re.IGNORECASE)
# They tell what others call it.
OTHERS = ("docs/glossary.md", "docs/server/http.md", "docs/migrate/")
# What people are shown by commands, reports and the server.
SHOWN = ("cli", "report", "inspection", "server/page")


def shown() -> list[Path]:
    folders = [ROOT / "src" / "anomalist" / folder for folder in SHOWN]
    return [
        p for f in folders for p in sorted(f.rglob("*.*")) if p.suffix in (".py", ".j2", ".html")
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith(OTHERS)])
def test_a_page_uses_the_words_of_the_glossary(page: str) -> None:
    assert AVOIDED.findall(read(page)) == []


def test_commands_reports_and_pages_use_the_words_of_the_glossary() -> None:
    found = {path: AVOIDED.findall(path.read_text(encoding="utf-8")) for path in shown()}
    assert {path: words for path, words in found.items() if words} == {}
