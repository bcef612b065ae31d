"""The page on folders holds the table of words as the program has it.

``python -m tests.docs.test_folders`` writes it again.
"""

from __future__ import annotations

import re
from pathlib import Path

from anomalist.data.words import WORDS

PAGE = Path(__file__).parents[2] / "docs" / "folders.md"
_TABLE = re.compile(r"(?<=<!-- words -->\n).*?(?=\n<!-- /words -->)", re.DOTALL)


def table() -> str:
    """The words by language."""
    languages = dict.fromkeys(name for words in WORDS.values() for name in words)
    rows = [["language", *(role.value for role in WORDS)], ["---"] * (len(WORDS) + 1)]
    rows += [[name, *(words.get(name, "") for words in WORDS.values())] for name in languages]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_page_has_the_words_of_the_program() -> None:
    (found,) = _TABLE.findall(PAGE.read_text(encoding="utf-8"))
    assert found == table(), "python -m tests.docs.test_folders writes it again"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_TABLE.sub(lambda _: table(), text), encoding="utf-8")
