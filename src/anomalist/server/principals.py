"""Who asks, and what they may do."""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from anomalist.errors import NotFoundError, ParameterError
from anomalist.server.database import Database
from anomalist.server.database.tables import Audit, SignIn, Token, now

#: Who acts where the server does so by itself, or the person who started it.
OPERATOR = "operator"

Role = Literal["inspect", "review", "admin"]
# As many as can't be guessed: a token is searched for by its hash, at any rate.
_BYTES = 32
_LONGEST = 100
_PREFIX = "anomalist_"
# How old what is known of all tokens may be where somebody who was let in goes on listening.
_KNOWN_S = 1.0


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Parameters
    ----------
    name : str
        Of the token; ``local`` where there are none.
    role : {"inspect", "review", "admin"}
        Each may what those before it may.
    token_id : int or None
        None where there are no tokens.
    """

    name: str
    role: Role
    token_id: int | None = None

    def may(self, role: Role) -> bool:
        """Whether it may what a role may."""
        roles = get_args(Role)
        return roles.index(self.role) >= roles.index(role)


#: Whoever is at the machine itself, as long as there is no token.
LOCAL = Principal("local", "admin")


def hash_of(token: str) -> str:
    """Return what is kept of a token: it is random, so that one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens of a server.

    Parameters
    ----------
    database : Database
        Where their hashes are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known: tuple[float, dict[int, bool]] = (-math.inf, {})

    def make(
        self, name: str, role: str, *, expires: datetime | None = None, by: str = OPERATOR
    ) -> str:
        """Make a token and return it, for the only time.

        Parameters
        ----------
        name : str
            Of the person or the machine that will hold it.
        role : {"inspect", "review", "admin"}
            What it may do.
        expires : datetime, optional
            Until when it is good; by default until it is revoked.
        by : str
            Who makes it, for the audit log.

        Raises
        ------
        ParameterError
            If the name is empty, too long or taken, or the role is none; or if it would be the
            first, of no admin, and not made at the command line: it would lock its maker out.
        """
        if role not in get_args(Role):
            raise ParameterError(f"a role is {', '.join(get_args(Role))}, not {role!r}")
        if not name.strip() or len(name) > _LONGEST or not name.isprintable():
            raise ParameterError(
                f"a token's name is 1 to {_LONGEST} characters that can be read, not {name!r}"
            )
        token = _PREFIX + secrets.token_urlsafe(_BYTES)
        with self._database.session() as session:
            if by != OPERATOR and role != "admin" and not _admins(session):
                raise ParameterError(
                    "make a token of the role admin first: from then on, who has"
                    " no token isn't let in"
                )
            if session.scalar(select(Token).where(Token.name == name)) is not None:
                raise ParameterError(f"there is a token named {name!r}: choose another name")
            session.add(Token(name=name, role=role, hash=hash_of(token), expires=expires))
            session.add(Audit(by=by, action="token made", subject=name, detail={"role": role}))
        return token

    def revoke(self, name: str, *, by: str = OPERATOR) -> None:
        """End a token, and all browsers that signed in with it, from this moment on.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        ParameterError
            If it is the last of an admin, and not revoked at the command line.
        """
        with self._database.session() as session:
            row = session.scalar(select(Token).where(Token.name == name))
            if row is None:
                raise NotFoundError(f"there is no token named {name!r}")
            if by != OPERATOR and [other.id for other in _admins(session)] == [row.id]:
                raise ParameterError(f"{name!r} is the last token of an admin: make another first")
            if row.revoked is None:
                row.revoked = now()
                session.add(Audit(by=by, action="token revoked", subject=name))
            session.execute(delete(SignIn).where(SignIn.token_id == row.id))

    def list(self) -> list[dict[str, Any]]:
        """Return all tokens as JSON values, the newest last; nothing that could be used as one."""
        with self._database.reading() as session:
            rows = session.scalars(select(Token).order_by(Token.id)).all()
        return [
            {
                "id": row.id,
                "name": row.name,
                "role": row.role,
                "state": _state(row),
                "created": row.created.isoformat(),
                "expires": None if row.expires is None else row.expires.isoformat(),
                "revoked": None if row.revoked is None else row.revoked.isoformat(),
            }
            for row in rows
        ]

    def find(self, token: str) -> Principal | None:
        """Return who a token is; None of one that isn't known, is revoked or has expired."""
        with self._database.reading() as session:
            row = session.scalar(select(Token).where(Token.hash == hash_of(token)))
        return None if row is None else principal_of_row(row)

    def let_in(self, token_id: int | None) -> bool:
        """Whether who was let in still would be, as far as was known a second ago.

        However many go on listening ask, the database is asked once a second, for tokens are also
        revoked by other processes.

        Parameters
        ----------
        token_id : int or None
            None for who was let in while there were no tokens.
        """
        with self._lock:
            at, good = self._known
            if time.monotonic() - at > _KNOWN_S:
                with self._database.reading() as session:
                    rows = session.scalars(select(Token)).all()
                good = {row.id: _state(row) == "good" for row in rows}
                self._known = time.monotonic(), good
        return not good if token_id is None else good.get(token_id, False)

    def exist(self) -> bool:
        """Whether there is any that lets someone in."""
        with self._database.reading() as session:
            rows = session.scalars(select(Token).where(Token.revoked.is_(None))).all()
        return any(_state(row) == "good" for row in rows)

    def existed(self) -> bool:
        """Whether there ever was one: from then on, who has none is not let in."""
        with self._database.reading() as session:
            return session.scalar(select(Token.id).limit(1)) is not None


def principal_of_row(row: Token) -> Principal | None:
    """Return who a token is, unless it no longer lets anyone in."""
    if _state(row) != "good":
        return None
    return Principal(row.name, row.role, row.id)  # type: ignore[arg-type]


def _admins(session: Session) -> list[Token]:
    rows = session.scalars(select(Token).where(Token.role == "admin"))
    return [row for row in rows if _state(row) == "good"]


def _state(row: Token) -> str:
    if row.revoked is not None:
        return "revoked"
    return "expired" if row.expires is not None and row.expires <= now() else "good"
