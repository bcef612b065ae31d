"""A database that is opened, brought up to date, and asked in transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from anomalist.errors import ParameterError, ServerError

_PATIENCE_S = 30


class Database:
    """The memory that all threads and processes of a server share.

    Parameters
    ----------
    url : str
        As SQLAlchemy has it: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:WORD@HOST/NAME``.

    Raises
    ------
    ParameterError
        If it is no address of SQLite or PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
            self.engine = _engine(url)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ParameterError(
                f"{url} is no database that can be used: give sqlite:///FILE or"
                f" postgresql+psycopg://USER:PASSWORD@HOST/NAME ({error})"
            ) from None
        self._reader = self.engine.execution_options(reading=True)
        if self.engine.dialect.name == "postgresql":  # where each statement saw its own moment
            self._reader = self._reader.execution_options(isolation_level="REPEATABLE READ")
        #: How people call it, without a password.
        self.name = parsed.render_as_string(hide_password=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Begin a transaction, which is committed at the end, or undone where an error leaves it.

        What is read stays readable afterwards. A transaction that writes waits for others; keep it
        short, with no scoring and no files in it.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Begin a transaction that only reads: it sees one moment, and nobody waits for it."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def upgrade(self) -> None:
        """Bring the tables to what this version of the server expects.

        Raises
        ------
        ServerError
            If the database can't be reached.
        """
        try:
            with self.engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    # Servers that start together take turns.
                    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7253019)")
                command.upgrade(migrations(connection), "head")
        except OperationalError as error:
            raise ServerError(f"{self.name} can't be used: {error.orig}") from None

    def close(self) -> None:
        """Give connections back."""
        self.engine.dispose()


def migrations(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, for a connection."""
    config = Config()
    config.set_main_option("script_location", "anomalist.server.database:migrations")
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True)
    if make_url(url).get_backend_name() != "sqlite":
        raise ArgumentError("neither SQLite nor PostgreSQL")
    engine = create_engine(url, connect_args={"timeout": _PATIENCE_S})

    # Python's driver begins transactions late and by itself; here they begin when they are asked
    # for, as what they may become, so that two writers wait for each other instead of failing.
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # what was answered outlives a power cut
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA busy_timeout={_PATIENCE_S * 1000}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
