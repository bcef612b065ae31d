"""The files that pages are made of, and how their templates are filled in."""

from __future__ import annotations

from importlib.resources import files

import jinja2
from markupsafe import Markup

_TEMPLATES = files("anomalist.report") / "templates"


def asset(*names: str) -> Markup:
    """Return the text of style sheets, scripts or templates, one after the other.

    Every page has ``base.css`` and ``base.js`` before its own.

    Examples
    --------
    >>> asset("base.css", "report.css").count(":root {")
    1
    """
    return Markup("\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in names))


def environment() -> jinja2.Environment:
    """Return what fills templates in: all text is escaped, and a name that is missing fails.

    Examples
    --------
    >>> environment().from_string("{{ name }}").render(name="<b>")
    '&lt;b&gt;'
    """
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made
