"""Writes the first migration again from the tables: ``python -m tests.server.first_migration``.

For as long as no version with a server was released; from then on each change of the tables is a
migration of its own (``alembic revision --autogenerate``), and this goes.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from alembic import command

from anomalist.server.database import migrations as package
from anomalist.server.database.engine import Database, migrations


def main() -> None:
    folder = Path(next(iter(package.__path__))) / "versions"
    for file in folder.glob("0001*.py"):
        file.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        database = Database(f"sqlite:///{scratch}/empty.db")
        with database.engine.begin() as connection:
            command.revision(
                migrations(connection), "The first tables.", autogenerate=True, rev_id="0001"
            )
        database.close()
    subprocess.run(["ruff", "format", "--quiet", str(folder)], check=True)
    subprocess.run(["ruff", "check", "--quiet", "--fix", str(folder)], check=True)


if __name__ == "__main__":
    main()
