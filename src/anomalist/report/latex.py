"""Tables of text as LaTeX, for the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from anomalist.metrics import is_own


def to_latex(table: pd.DataFrame) -> str:
    r"""Return a table as LaTeX for the booktabs package, each detector's rows below its name.

    Examples
    --------
    >>> row = {"detector": "patchcore", "category": "bottle", "image_AUROC": "99.1 ± 0.2"}
    >>> print(to_latex(pd.DataFrame([row])))
    \begingroup\small\setlength{\tabcolsep}{3pt}
    \begin{tabular}{lr}
    \toprule
     & image \\
    category & AUROC \\
    \midrule
    \multicolumn{2}{l}{\textit{patchcore}} \\
    bottle & 99.1{\scriptsize\,$\pm$\,0.2} \\
    \bottomrule
    \end{tabular}\endgroup
    <BLANKLINE>
    """
    columns = [name for name in table.columns if name != "detector"]
    kinds = "".join("l" if name == "category" else "r" for name in columns)
    lines = [
        r"\begingroup\small\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        *_head(columns),
        r"\midrule",
    ]
    previous = None
    for row in table.to_dict("records"):
        detector = row.get("detector")
        if detector != previous:
            lines += [r"\midrule"] if previous is not None else []
            name = str(detector).translate(LATEX)
            lines.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\textit{{{name}}}}} \\")
            previous = detector
        lines.append(ampersand(latex_cell(row[name]) for name in columns))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}\endgroup"]) + "\n"


LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "_": r"\_",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "–": "--",
    }
)
"""What stands for characters that mean something else in LaTeX."""


def _head(names: list[str]) -> list[str]:
    """The heads of the columns, in two lines where one of them has two words or more."""
    told = [name if is_own(name) else name.replace("_", " ") for name in names]
    heads = [name.translate(LATEX).partition(" ") for name in told]
    upper = [first if rest else "" for first, _, rest in heads]
    lower = [rest or first for first, _, rest in heads]
    return [ampersand(line) for line in (upper, lower) if any(line)]


def latex_cell(cell: str) -> str:
    """Return the text of a cell, a deviation in it made smaller."""
    mean, plus_minus, deviation = (part.translate(LATEX) for part in cell.partition(" ± "))
    return rf"{mean}{{\scriptsize\,$\pm$\,{deviation}}}" if plus_minus else mean


def ampersand(cells: Iterable[str]) -> str:
    """Return a row of cells."""
    return " & ".join(cells) + r" \\"
