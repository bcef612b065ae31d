"""What the pages show to be typed: fenced blocks of commands and of Python, in order."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    str(path.relative_to(ROOT))
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
_COMMAND = re.compile(r"(anomalist|python3?|pytest|pip|cp|mkdir|head|echo) ")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    line: int
    language: str
    title: str | None
    text: str


@dataclass(frozen=True)
class Command:
    """A command line, and what stands below it as its output."""

    line: int
    text: str
    output: str


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[Block]:
    for fence in _FENCE.finditer(text):
        title = re.search(r'title="([^"]+)"', fence["info"])
        yield Block(
            line=text[: fence.start()].count("\n") + 2,
            language=(fence["info"].split() or [""])[0],
            title=title[1] if title else None,
            text=textwrap.dedent(fence["text"]),
        )


def commands(block: Block) -> Iterator[Command]:
    """The command lines of a block: after ``$ `` where there is one, else those of known words."""
    lines = block.text.replace("\\\n", "  ").splitlines()
    prompted = any(line.startswith("$ ") for line in lines)
    starts = [
        i
        for i, line in enumerate(lines)
        if (line.startswith("$ ") if prompted else _COMMAND.match(line))
    ]
    for start, stop in pairwise([*starts, len(lines)]):
        output = "\n".join(lines[start + 1 : stop]) if prompted else ""
        yield Command(block.line + start, lines[start].removeprefix("$ "), output)


def inline(text: str) -> Iterator[Command]:
    """Command lines within sentences and tables."""
    for span in re.finditer(r"`((?:anomalist|python) [^`]+)`", _FENCE.sub(_blank, text)):
        yield Command(text[: span.start()].count("\n") + 1, span[1], "")


def _blank(fence: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", fence[0])
