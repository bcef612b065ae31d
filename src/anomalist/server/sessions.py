"""Browsers that have signed in with a token, and the proof that a form is one of ours.

For the page: `security.signing` has what its routes call, with the cookies; this knows no HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import joinedload

from anomalist.server.database import Database
from anomalist.server.database.tables import Audit, SignIn, Token, now
from anomalist.server.principals import Principal, hash_of, principal_of_row

_BYTES = 32


class SignIns:
    """The browsers that are signed in.

    Parameters
    ----------
    database : Database
        Where hashes of their cookies are kept.
    folder : Path
        Where the key of forms is kept, so that a page that is open stays good over a restart.
    days : float
        How long a browser stays signed in; it ends with its token at the latest.
    """

    def __init__(self, database: Database, folder: Path, days: float) -> None:
        self._database, self.lasts = database, timedelta(days=days)
        self._key = _key(folder / "forms.key")

    def begin(self, token: str, *, address: str | None = None) -> tuple[str, Principal] | None:
        """Sign in with a token; return what the cookie holds and who it is, None for a wrong one.

        Parameters
        ----------
        token : str
            As it was typed.
        address : str, optional
            Where it came from, for the audit log.
        """
        cookie = secrets.token_urlsafe(_BYTES)
        with self._database.session() as session:
            row = session.scalar(select(Token).where(Token.hash == hash_of(token.strip())))
            principal = None if row is None else principal_of_row(row)
            if row is None or principal is None:
                return None
            session.execute(delete(SignIn).where(SignIn.expires <= now()))
            session.add(SignIn(hash=hash_of(cookie), token_id=row.id, expires=now() + self.lasts))
            session.add(Audit(by=row.name, address=address, action="sign in"))
        return cookie, principal

    def find(self, cookie: str) -> Principal | None:
        """Return who a cookie is; None where it ended, or its token did."""
        with self._database.reading() as session:
            row = session.get(SignIn, hash_of(cookie), options=[joinedload(SignIn.token)])
        if row is None or row.expires <= now():
            return None
        return principal_of_row(row.token)

    def end(self, cookie: str, *, address: str | None = None) -> None:
        """Sign out."""
        with self._database.session() as session:
            row = session.get(SignIn, hash_of(cookie), options=[joinedload(SignIn.token)])
            if row is not None:
                session.add(Audit(by=row.token.name, address=address, action="sign out"))
                session.delete(row)

    def form_token(self, cookie: str | None) -> str:
        """Return what forms carry that are made for a browser: another site can't know it."""
        return hmac.new(self._key, (cookie or "").encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, given: str, cookie: str | None) -> bool:
        """Whether a form was made for the browser that sends it."""
        return hmac.compare_digest(given.encode(), self.form_token(cookie).encode())


def _key(path: Path) -> bytes:
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(_BYTES))
    key = path.read_bytes()
    if len(key) == _BYTES:
        return key
    path.unlink()  # cut short by a crash
    return _key(path)
