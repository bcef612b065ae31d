"""A database that is opened, brought up to date, and asked in transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from anomalist.errors import ParameterError, ResultsError, ServerError
from anomalist.files import held_alone

_PATIENCE_S = 30
# As many as threads that answer, so that none waits for another's connection.
_CONNECTIONS = 40
# Numbers of PostgreSQL's advisory locks, which mean something to servers of this kind alone.
_UPGRADING, _IN_USE = 7253019, 7253020


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
        except (exc.ArgumentError, exc.NoSuchModuleError, ImportError) as error:
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
        with self._told(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Begin a transaction that only reads: it sees one moment, and nobody waits for it."""
        with (
            self._told(),
            Session(self._reader, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in a line that the database fails: it is full, gone, or locked for too long."""
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            raise ServerError(f"{self.name} can't be used: {_reason(error)}") from error
        except (exc.IntegrityError, exc.DataError, exc.ProgrammingError):  # what is asked is wrong
            raise
        except exc.DatabaseError as error:
            raise ServerError(f"{self.name} is damaged: {_reason(error)}") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no other server use the database meanwhile; both would answer by what each holds.

        Raises
        ------
        ResultsError
            If another does.
        ServerError
            If the database can't be reached.
        """
        if self.engine.dialect.name == "sqlite":
            with held_alone(f"{self.engine.url.database}.lock"):
                yield
            return
        with self._told():
            connection = self.engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        with connection:
            if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_IN_USE})").scalar():
                raise ResultsError(
                    f"{self.name} is in use by another server: stop it or choose another --database"
                )
            try:
                yield
            finally:
                # It would go with the connection, which the pool keeps.
                connection.invalidate()

    def upgrade(self) -> None:
        """Bring the tables to what this version of the server expects.

        Raises
        ------
        ServerError
            If the database can't be reached, or isn't what a server keeps.
        """
        try:
            with self._told(), self.engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    # Servers that start together take turns.
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADING})")
                command.upgrade(migrations(connection), "head")
        except CommandError as error:
            raise ServerError(
                f"{self.name} was written by another version of anomalist, which knows more of it:"
                f" pip install -U anomalist ({error})"
            ) from None
        except exc.ProgrammingError as error:
            raise ServerError(
                f"{self.name} holds other tables: give a database of its own ({_reason(error)})"
            ) from None

    def close(self) -> None:
        """Give connections back."""
        self.engine.dispose()


def _reason(error: exc.SQLAlchemyError) -> str:
    """What the driver says, in a line."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split())


def migrations(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, for a connection."""
    config = Config()
    config.set_main_option("script_location", "anomalist.server.database:migrations")
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() == "postgresql":
        return create_engine(url, pool_pre_ping=True, pool_size=_CONNECTIONS)
    if make_url(url).get_backend_name() != "sqlite":
        raise exc.ArgumentError("neither SQLite nor PostgreSQL")
    if make_url(url).database in (None, "", ":memory:"):
        raise exc.ArgumentError("a server's memory needs a file")
    engine = create_engine(url, pool_size=_CONNECTIONS, connect_args={"timeout": _PATIENCE_S})

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
