"""What is known of a request while it is answered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from anomalist.server.database.tables import new_id
from anomalist.server.principals import Principal, Role


@dataclass
class Exchange:
    """A request and what became of it, for routes, the audit log, metrics and logs.

    Parameters
    ----------
    method, path : str
        What was asked for.
    address : str or None
        Who asked, as far as the connection or a trusted proxy tells.
    """

    method: str
    path: str
    address: str | None
    id: str = field(default_factory=new_id)
    began: float = field(default_factory=time.perf_counter)
    #: None where nobody is known.
    principal: Principal | None = None
    #: ``token`` in the header, ``cookie``, ``local``, or ``nothing``.
    means: str = "nothing"
    cookie: str | None = None
    #: The role that the route takes, once it was checked, and what the route is called.
    role: Role | None = None
    action: str = ""
    #: What it is done to and what of it is worth remembering, as the route says.
    subject: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    #: Whether a row of the audit log is to be written for it.
    audited: bool = True

    @property
    def by(self) -> str:
        """Who asks, for people."""
        return "unknown" if self.principal is None else self.principal.name


def exchange_of(request: Request) -> Exchange:
    """Return what is known of a request."""
    exchange: Exchange = request.scope["state"]["exchange"]
    return exchange


def note(request: Request, subject: str, **detail: Any) -> None:
    """Say for the audit log what a changing request was done to.

    A route that takes the role ``review`` or ``admin`` and changes something has its row anyway,
    named after the route; with this it also says what: ``note(request, "bottle", version=3)``.
    """
    exchange = exchange_of(request)
    exchange.subject = subject
    exchange.detail |= detail
