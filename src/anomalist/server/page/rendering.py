"""From a template and what it shows to an answer in HTML."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from anomalist import __version__
from anomalist.digits import shown
from anomalist.server.principals import Principal, Role
from anomalist.server.security.exchange import exchange_of
from anomalist.server.security.signing import FIELD, form_token

#: What is in the menu: path, name, and the role that it takes.
MENU: tuple[tuple[str, str, Role], ...] = (
    ("/", "Live", "review"),
    ("/queue", "Review", "review"),
    ("/history", "History", "inspect"),
    ("/models", "Models", "review"),
    ("/drift", "Drift", "review"),
    ("/try", "Try", "inspect"),
    ("/tokens", "Tokens", "admin"),
    ("/audit", "Audit", "admin"),
)

#: How a decision is shown: its word, which is also told without colour and shape.
WORDS = {"normal": "OK", "anomalous": "Defect", "unsure": "Unsure", None: "No threshold"}
#: The shape and colour of a decision, as style and marks call it.
KINDS = {"normal": "ok", "anomalous": "defect", "unsure": "unsure", None: "none"}


def share(value: float | None) -> str:
    """Return a share that was counted or is expected, as the command line writes it.

    Examples
    --------
    >>> share(0.0064), share(0.132), share(0.5), share(0.0), share(None)
    ('0.6%', '13.2%', '50.0%', '0.0%', '–')

    What would be nothing isn't.

    >>> share(0.0004)
    '0.04%'
    """
    if value is None:
        return "–"
    return f"{100 * value:.2g}%" if 0 < value < 0.0005 else f"{value:.1%}"


def asked(value: float) -> str:
    """Return a share that was asked for, as the command line writes it.

    Examples
    --------
    >>> asked(0.05), asked(0.025), asked(0.0001)
    ('5%', '2.50%', '0.01%')
    """
    return f"{value:.2%}".replace(".00%", "%") if value >= 0.0001 else f"{100 * value:g}%"


def moment(value: datetime | str | None, form: str = "both") -> Markup:
    """Return a time as an element; the browser shows it in its own zone.

    Examples
    --------
    >>> print(moment("2026-01-02T03:04:05+00:00", "ago"))
    <time datetime="2026-01-02T03:04:05+00:00" data-form="ago">2026-01-02 03:04 UTC</time>
    """
    if value is None:
        return Markup("–")
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return Markup('<time datetime="{}" data-form="{}">{}</time>').format(
        at.isoformat(), form, at.strftime("%Y-%m-%d %H:%M UTC")
    )


_TITLES = {404: "Not found", 403: "Not allowed", 413: "Too large", 429: "Too often"}

_templates = Environment(
    loader=PackageLoader("anomalist.server.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(figure=shown, share=share, asked=asked, moment=moment)
_templates.globals.update(release=__version__, words=WORDS, kinds=KINDS, zip=zip)


def render(
    request: Request,
    template: str,
    principal: Principal | None = None,
    *,
    status: int = 200,
    **shown: Any,
) -> HTMLResponse:
    """Return a page, with the menu of what its reader may see.

    Parameters
    ----------
    request : Request
        What is answered.
    template : str
        A file of ``templates``.
    principal : Principal, optional
        Who reads it; without one there is no menu.
    status : int
        Of the answer.
    **shown
        What the template names.
    """
    path = request.url.path
    menu = [
        (at, name, path == at or (at != "/" and path.startswith(at)))
        for at, name, role in MENU
        if principal is not None and principal.may(role)
    ]
    page = _templates.get_template(template)
    token = form_token(request)
    field = Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, token)
    text = page.render(principal=principal, menu=menu, form_token=token, own_form=field, **shown)
    return HTMLResponse(text, status)


def page_error(request: Request, status: int, sentence: str) -> HTMLResponse:
    """Return the page that tells a person what went wrong."""
    title = _TITLES.get(status, "That can't be done" if status < 500 else "Something went wrong")
    principal = exchange_of(request).principal
    return render(request, "error.html", principal, status=status, title=title, sentence=sentence)
