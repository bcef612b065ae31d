from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from anomalist.errors import NotFoundError, ParameterError
from anomalist.server.database import Database
from anomalist.server.database.tables import Audit, Token, now
from anomalist.server.principals import Tokens


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.upgrade()
    yield database
    database.close()


def test_a_token_is_who_it_was_made_for(database: Database) -> None:
    tokens = Tokens(database)
    token = tokens.make("line 1", "inspect")
    found = tokens.find(token)
    assert found is not None
    assert (found.name, found.role) == ("line 1", "inspect")
    assert found.may("inspect")
    assert not found.may("review")
    assert tokens.find(token + "x") is None


def test_the_database_holds_no_token(database: Database) -> None:
    tokens = Tokens(database)
    token = tokens.make("line 1", "inspect")
    with database.reading() as session:
        row = session.scalars(select(Token)).one()
        audit = session.scalars(select(Audit)).one()
    assert token not in str(vars(row))
    assert token not in str(vars(audit))
    assert token not in str(tokens.list())


def test_a_revoked_or_expired_token_is_nobody(database: Database) -> None:
    tokens = Tokens(database)
    revoked = tokens.make("one", "admin")
    expired = tokens.make("two", "admin", expires=now() - timedelta(seconds=1))
    assert tokens.exist()
    tokens.revoke("one")
    tokens.revoke("one")
    assert tokens.find(revoked) is None
    assert tokens.find(expired) is None
    assert [row["state"] for row in tokens.list()] == ["revoked", "expired"]
    assert not tokens.exist()
    assert tokens.existed()
    with database.reading() as session:
        actions = session.scalars(select(Audit.action).order_by(Audit.id)).all()
    assert actions == ["token made", "token made", "token revoked"]


@pytest.mark.parametrize(
    ("name", "role"), [("a", "boss"), ("", "admin"), ("a\nb", "admin"), ("a" * 101, "admin")]
)
def test_a_token_that_makes_no_sense_is_not_made(database: Database, name: str, role: str) -> None:
    with pytest.raises(ParameterError):
        Tokens(database).make(name, role)
    assert not Tokens(database).existed()


def test_names_of_tokens_are_taken_for_good(database: Database) -> None:
    tokens = Tokens(database)
    tokens.make("line 1", "inspect")
    tokens.revoke("line 1")
    with pytest.raises(ParameterError, match="choose another"):
        tokens.make("line 1", "inspect")
    with pytest.raises(NotFoundError, match="line 2"):
        tokens.revoke("line 2")
