"""What notebooks show of an object: small tables in HTML, in the notebook's own style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    notes: Iterable[str] = (),
) -> str:
    """Return a table in HTML, for ``_repr_html_``; no text of it is taken for markup.

    Parameters
    ----------
    caption : str
        What it is, above the table.
    header : sequence of str
        The titles of the columns, of which the first names the rows.
    rows : iterable of sequence of str
        The cells.
    notes : iterable of str
        What is told below it.

    Examples
    --------
    >>> html_table("1 image", ["path", "score"], [["<a>.png", "0.5"]])
    '<p>1 image</p><table><thead>...<th scope="row">&lt;a&gt;.png</th><td>0.5</td>...</table>'
    """
    top = "".join(f'<th scope="col">{escape(title)}</th>' for title in header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    table = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f"<p>{escape(caption)}</p>{table}{below}"
