"""Tables of text as Markdown."""

from __future__ import annotations

from typing import Any

import pandas as pd


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table as Markdown.

    Examples
    --------
    >>> print(to_markdown(pd.DataFrame({"detector": ["patchcore"], "fit s": ["1.5"]})))
    | detector | fit s |
    |---|---|
    | patchcore | 1.5 |
    <BLANKLINE>
    """
    lines = [_pipe(table.columns), "|" + "---|" * len(table.columns)]
    lines += [_pipe(row) for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _pipe(cells: Any) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
