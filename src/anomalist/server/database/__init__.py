"""The server's memory: SQLite or PostgreSQL, its tables, and how they came to be."""

from anomalist.server.database.engine import Database

__all__ = ["Database"]
