"""The database: its tables are what migrations make, and what ails it is told in a line."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from anomalist.errors import ParameterError, ResultsError, ServerError
from anomalist.server.database import Database
from anomalist.server.database.engine import migrations
from anomalist.server.database.tables import Model, Table


def test_migrations_make_the_tables(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    database.upgrade()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Table.metadata) == []
    database.close()


def test_every_migration_goes_up_and_down(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    revisions = list(ScriptDirectory.from_config(migrations()).walk_revisions())
    for revision in reversed(revisions):
        for target in (revision.revision, "-1", revision.revision):
            with database.engine.begin() as connection:
                move = command.downgrade if target == "-1" else command.upgrade
                move(migrations(connection), target)
    with database.engine.begin() as connection:
        command.downgrade(migrations(connection), "base")
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    database.close()


def test_upgrading_again_or_at_the_same_time_changes_nothing(empty_database_url: str) -> None:
    failed: list[BaseException] = []

    def upgrade() -> None:
        database = Database(empty_database_url)
        try:
            database.upgrade()
            database.upgrade()
        except BaseException as error:
            failed.append(error)
        finally:
            database.close()

    servers = [threading.Thread(target=upgrade) for _ in range(3)]
    for server in servers:
        server.start()
    for server in servers:
        server.join()
    assert failed == []


def test_one_server_has_a_database(empty_database_url: str) -> None:
    one, two = Database(empty_database_url), Database(empty_database_url)
    with one.held(), pytest.raises(ResultsError, match="is in use by"), two.held():
        pass
    with two.held():
        pass
    one.close()
    two.close()


def test_a_database_of_a_newer_version_is_told(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    database.upgrade()
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ServerError, match="another version of anomalist"):
        database.upgrade()
    database.close()


def test_a_database_of_something_else_is_told(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with database.session() as session:
        session.execute(text("CREATE TABLE models (id INTEGER)"))
    with pytest.raises(ServerError, match=r"holds other tables|can't be used"):
        database.upgrade()
    database.close()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database" * 1000)
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    with pytest.raises(ServerError, match="is damaged: file is not a database"):
        database.upgrade()
    database.close()


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}")
    with pytest.raises(ServerError, match="can't be used: unable to open"):
        database.upgrade()
    database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://a/b", "nothing", ""])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ParameterError, match="no database that can be used"):
        Database(url)


def test_a_password_is_not_told() -> None:
    database = Database("postgresql+psycopg://me:secret@127.0.0.1:1/none")
    with pytest.raises(ServerError) as told:
        database.upgrade()
    assert "secret" not in str(told.value)


def test_sqlite_keeps_what_was_committed_and_readers_wait_for_nobody(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    database.upgrade()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    with database.session() as writing:
        writing.add(Model(name="part"))
        writing.flush()
        with database.reading() as reading:
            assert reading.scalars(select(Model)).all() == []
    with database.reading() as reading:
        assert reading.scalars(select(Model)).one().name == "part"
    database.close()


def test_many_threads_write_at_the_same_time(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    database.upgrade()
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for i in range(5):
                with database.session() as session:
                    session.scalars(select(Model)).all()
                    session.add(Model(name=f"{number} {i}"))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with database.reading() as session:
        assert len(session.scalars(select(Model)).all()) == 80
    database.close()
