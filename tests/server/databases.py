"""Databases of each kind for tests: empty, or with the tables of a server."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from anomalist.server.database import Database

KINDS = ("sqlite", "postgresql")


def server() -> str:
    """The address of a server's ``postgres`` database whose user may make databases."""
    address = os.environ.get("ANOMALIST_TEST_POSTGRESQL")
    if address is None:
        pytest.skip("ANOMALIST_TEST_POSTGRESQL isn't set")
    return address


@contextmanager
def made(kind: str, folder: Path, *, like: str | None = None) -> Iterator[str]:
    """The address of a database that is there meanwhile: an empty one, or a copy of another."""
    if kind == "sqlite":
        file = folder / "test.db"
        if like is not None:
            shutil.copyfile(like.removeprefix("sqlite:///"), file)
        yield f"sqlite:///{file}"
        return
    name = f"anomalist_{secrets.token_hex(6)}"
    template = "" if like is None else f" TEMPLATE {like.rpartition('/')[2]}"
    engine = create_engine(server(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}{template}"))
    yield server().rsplit("/", 1)[0] + f"/{name}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@contextmanager
def with_tables(kind: str, folder: Path) -> Iterator[str]:
    """The address of a database that was brought up to date, and that nobody is connected to."""
    with made(kind, folder) as url:
        database = Database(url)
        database.upgrade()
        database.close()
        yield url
