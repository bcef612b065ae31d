"""LaTeX as an author compiles it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def check_compiles(table: Path, packages: str) -> None:
    """Compile a file of tables with packages; nothing may be wider than the line."""
    document = (
        rf"\documentclass{{article}}\usepackage{{{packages}}}\begin{{document}}\noindent"
        "\n" + table.read_text(encoding="utf-8") + r"\end{document}"
    )
    (table.parent / "table.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"],
        cwd=table.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout
