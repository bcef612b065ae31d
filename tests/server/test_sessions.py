from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from anomalist.server.database import Database
from anomalist.server.database.tables import SignIn, now
from anomalist.server.principals import Tokens
from anomalist.server.sessions import SignIns


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.upgrade()
    yield database
    database.close()


def test_a_cookie_is_who_signed_in(database: Database, tmp_path: Path) -> None:
    tokens, sign_ins = Tokens(database), SignIns(database, tmp_path, 1)
    token = tokens.make("boss", "admin")
    assert sign_ins.begin("wrong") is None
    begun = sign_ins.begin(f" {token}\n")
    assert begun is not None
    cookie, principal = begun
    assert sign_ins.find(cookie) == principal == tokens.find(token)
    assert sign_ins.find(token) is None
    assert tokens.find(cookie) is None
    sign_ins.end(cookie)
    sign_ins.end(cookie)
    assert sign_ins.find(cookie) is None


def test_it_ends_in_time_and_is_forgotten(database: Database, tmp_path: Path) -> None:
    tokens, sign_ins = Tokens(database), SignIns(database, tmp_path, 1)
    token = tokens.make("boss", "admin", expires=now() + timedelta(days=3))
    begun = sign_ins.begin(token)
    assert begun is not None
    with database.session() as session:
        row = session.scalars(select(SignIn)).one()
        row.expires = now() - timedelta(seconds=1)
    assert sign_ins.find(begun[0]) is None
    assert sign_ins.begin(token) is not None
    with database.reading() as session:
        assert len(session.scalars(select(SignIn)).all()) == 1


def test_forms_outlive_a_restart_and_are_of_one_browser(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    before = SignIns(database, tmp_path, 1).form_token("one")
    after = SignIns(database, tmp_path, 1)
    assert after.is_form_token(before, "one")
    assert not after.is_form_token(before, "two")
    assert not after.is_form_token(before, None)
    assert not after.is_form_token("", None)
    assert not after.is_form_token("ä", None)
    assert (tmp_path / "forms.key").stat().st_mode & 0o077 == 0
    (tmp_path / "forms.key").write_bytes(b"cut")
    assert SignIns(database, tmp_path, 1).form_token("one") != before
    database.close()
