"""Who asks, and what they may do."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import select

from anomalist.errors import NotFoundError, ParameterError
from anomalist.server.database import Database
from anomalist.server.database.tables import Token, now

Role = Literal["inspect", "review", "admin"]
_BITS = 32
_PREFIX = "anomalist_"


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

    def make(self, name: str, role: str, *, expires: datetime | None = None) -> str:
        """Make a token and return it, for the only time.

        Raises
        ------
        ParameterError
            If the name is taken, or the role is none.
        """
        if role not in get_args(Role):
            raise ParameterError(f"a role is {', '.join(get_args(Role))}, not {role!r}")
        token = _PREFIX + secrets.token_urlsafe(_BITS)
        with self._database.session() as session:
            if session.scalar(select(Token).where(Token.name == name)) is not None:
                raise ParameterError(f"there is a token named {name!r}: choose another name")
            session.add(Token(name=name, role=role, hash=hash_of(token), expires=expires))
        return token

    def find(self, token: str) -> Principal | None:
        """Return who a token is; None of one that isn't known, is revoked or has expired."""
        with self._database.session() as session:
            row = session.scalar(select(Token).where(Token.hash == hash_of(token)))
        if row is None or row.state != "good":
            return None
        return Principal(row.name, row.role, row.id)  # type: ignore[arg-type]

    def revoke(self, name: str) -> None:
        """Make a token worth nothing from now on; its row stays, for what was done by it.

        Raises
        ------
        NotFoundError
            If there is none of that name.
        """
        with self._database.session() as session:
            row = session.scalar(select(Token).where(Token.name == name))
            if row is None:
                raise NotFoundError(f"there is no token named {name!r}")
            if row.revoked is None:
                row.revoked = now()

    def listed(self) -> list[dict[str, Any]]:
        """Return the tokens as JSON values, the oldest first: nothing that lets anyone in."""
        with self._database.session() as session:
            rows = session.scalars(select(Token).order_by(Token.id)).all()
        return [
            {
                "name": row.name,
                "role": row.role,
                "state": row.state,
                "created": row.created.isoformat(),
                "expires": None if row.expires is None else row.expires.isoformat(),
            }
            for row in rows
        ]

    def exist(self) -> bool:
        """Whether there is any that isn't revoked."""
        with self._database.session() as session:
            return (
                session.scalar(select(Token.id).where(Token.revoked.is_(None)).limit(1)) is not None
            )
