"""Which inspections a page is of, as its address says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request

from anomalist.errors import ParameterError
from anomalist.server.api.asking import require
from anomalist.server.memory import Filters
from anomalist.server.principals import Principal

_TEXTS = ("model", "decision", "verdict", "camera", "source", "name")
_NUMBERS = {"version": int, "min_score": float, "max_score": float}
_TIMES = {"from": "since", "to": "until"}


class Chosen:
    """What a form of filters holds, of which those left empty ask for nothing.

    Parameters
    ----------
    given : dict of str to str
        Fields of the form by name, with what was written.
    token_id : int or None
        Of the only token whose inspections may be seen.

    Raises
    ------
    ParameterError
        If a field makes no sense.

    Examples
    --------
    >>> chosen = Chosen({"model": "bottle", "camera": "", "page": "2"})
    >>> chosen.filters.model, chosen.filters.camera, chosen.query
    ('bottle', None, 'model=bottle')
    """

    def __init__(self, given: dict[str, str], token_id: int | None = None) -> None:
        fields = (*_TEXTS, *_NUMBERS, *_TIMES)
        #: What was written, by field.
        self.given = {name: given[name] for name in fields if given.get(name, "").strip()}
        if self.given.keys() & _TIMES.keys():
            self.given["offset"] = given.get("offset") or "0"
        values: dict[str, Any] = {name: self.given.get(name) for name in _TEXTS}
        for name, number in _NUMBERS.items():
            values[name] = self._read(name, number)
        minutes = self._read("offset", int) or 0
        for name, field in _TIMES.items():
            at = self._read(name, datetime.fromisoformat)
            # A browser gives the time of its own zone and, beside it, how far that is from UTC.
            values[field] = at and at + timedelta(minutes=max(-1440, min(minutes, 1440)))
        self.filters = Filters(**values, token_id=token_id)

    def _read(self, name: str, kind: Any) -> Any:
        text = self.given.get(name)
        try:
            return None if text is None else kind(text)
        except ValueError:
            raise ParameterError(f"{name}: {text!r} can't be read") from None

    @property
    def api_query(self) -> str:
        """The same for the interface for programs, which takes times with their zone."""
        asked = {name: text for name, text in self.given.items() if name != "offset"}
        for name, field in _TIMES.items():
            if (at := getattr(self.filters, field)) is not None:
                asked[name] = (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
        return urlencode(asked)

    @property
    def query(self) -> str:
        """The fields as the query of an address."""
        return urlencode(self.given)


def chosen_of(request: Request, principal: Annotated[Principal, require("inspect")]) -> Chosen:
    """Return which inspections the address asks for, among those that its reader may see."""
    token = None if principal.may("review") else principal.token_id
    return Chosen(dict(request.query_params), token)


Choice = Annotated[Chosen, Depends(chosen_of)]
