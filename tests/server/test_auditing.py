from __future__ import annotations

from collections.abc import Iterator

import pytest

from anomalist.server.auditing import AuditLog
from anomalist.server.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.upgrade()
    yield database
    database.close()


def test_who_is_refused_without_end_fills_no_disk(database: Database) -> None:
    moment = [0.0]
    audit = AuditLog(database, clock=lambda: moment[0])
    for number in range(50):
        audit.refuse(by="unknown", address="203.0.113.9", subject=f"/{number}", detail={})
    audit.refuse(by="unknown", address="203.0.113.10", subject="/other", detail={})
    assert len(audit.page()[0]) == 21
    moment[0] = 61.0
    audit.refuse(by="unknown", address="203.0.113.9", subject="/later", detail={})
    rows, _ = audit.page(limit=2)
    assert {(row.address, row.subject) for row in rows} == {
        ("203.0.113.9", "30 more"),
        ("203.0.113.9", "/later"),
    }
    for number in range(25):
        audit.refuse(by="unknown", address="203.0.113.9", subject=f"/{number}", detail={})
    audit.flush()
    assert audit.page(limit=1)[0][0].detail == {"more": 6}


def test_who_has_many_addresses_fills_no_disk_either(database: Database) -> None:
    moment = [0.0]
    audit = AuditLog(database, clock=lambda: moment[0])
    for number in range(30):
        audit.refuse(by="unknown", address=f"2001:db8::{number:x}", subject="/", detail={})
    for number in range(300):
        audit.refuse(by="unknown", address=f"2001:db8:{number:x}::1", subject="/", detail={})
    assert len(audit.page(limit=1000)[0]) == 200
    audit.flush()
    counted = {row.address: row.detail["more"] for row in audit.page(limit=2)[0]}
    assert sum(counted.values()) == 130
    moment[0] = 61.0
    audit.refuse(by="unknown", address="203.0.113.9", subject="/after", detail={})
    assert audit.page(limit=1)[0][0].subject == "/after"


def test_rows_are_paged_newest_first(database: Database) -> None:
    audit = AuditLog(database)
    for number in range(5):
        audit.add("verdict" if number % 2 else "promote", by="boss", subject=str(number))
    first, before = audit.page(limit=2)
    second, before = audit.page(limit=2, before=before)
    third, end = audit.page(limit=2, before=before)
    assert [row.subject for row in [*first, *second, *third]] == ["4", "3", "2", "1", "0"]
    assert end is None
    assert [row.subject for row in audit.page(action="verdict")[0]] == ["3", "1"]


def test_any_path_can_be_written_down(database: Database) -> None:
    AuditLog(database).add("refused", by="x" * 500, address="y" * 500, subject="/\0" + "z" * 9000)
    (row,) = AuditLog(database).page()[0]
    assert len(row.subject) == 2000
