"""The pages of bad input: an area each, written from its cases."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input import (
    addresses,
    folders,
    images,
    maps,
    masks,
    models,
    promises,
    runs,
    servers,
    settings,
    stresses,
)
from tests.bad_input.case import Case

PAGES = Path(__file__).parents[2] / "docs" / "bad_input"
HEADER = ("input", "command", "what is printed", "exit code")
# The cases of each area's page; those of processes run in functions of their own.
AREAS: dict[str, list[Case]] = {
    "addresses": addresses.CASES,
    "folders": folders.CASES,
    "images": images.CASES,
    "masks": masks.CASES,
    "maps": maps.CASES,
    "promises": promises.CASES,
    "runs": [*runs.CASES, *runs.PROCESSES],
    "settings": settings.CASES,
    "stress": stresses.CASES,
    "models": models.CASES,
    "server": servers.CASES,
}


def table(cases: list[Case]) -> str:
    """The table of an area."""
    head = [" | ".join(HEADER), " | ".join("---" for _ in HEADER)]
    return "\n".join(f"| {row} |" for row in [*head, *(case.row() for case in cases)])


def rows_of(area: str) -> str:
    """The table that an area's page holds."""
    text = (PAGES / f"{area}.md").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if line.startswith("| "))


def write() -> None:
    """Write the tables of all pages again."""
    for area, cases in AREAS.items():
        page = PAGES / f"{area}.md"
        text = page.read_text(encoding="utf-8").splitlines()
        rows = [i for i, line in enumerate(text) if line.startswith("| ")]
        text[rows[0] : rows[-1] + 1] = table(cases).splitlines()
        page.write_text("\n".join(text) + "\n", encoding="utf-8")
