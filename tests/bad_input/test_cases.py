"""Whatever is thrown at the command line has the answer that docs/bad_input gives."""

from __future__ import annotations

import io
import resource
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest

from anomalist.cli.main import main
from tests.bad_input import runs
from tests.bad_input.case import FAST, Case, printed, state, told
from tests.bad_input.pages import AREAS, rows_of, table

CASES = [case for cases in AREAS.values() for case in cases if case not in runs.PROCESSES]


@pytest.mark.parametrize("area", AREAS)
def test_the_page_holds_every_case_as_it_is(area: str) -> None:
    written_again = "python -m tests.bad_input writes the table again"
    assert rows_of(area) == table(AREAS[area]), written_again


def arguments_of(case: Case) -> list[str]:
    command, *more = shlex.split(case.command)
    fast = FAST.get(command, [])
    if command == "fit" and "patchcore" not in more[0]:  # which refuses flags of others
        at = fast.index("--patchcore.coreset_ratio")
        fast = [*fast[:at], *fast[at + 2 :]]
    return [
        command,
        *(more[:1] if command == "fit" else []),
        *fast,
        *(more[1:] if command == "fit" else more),
    ]


@contextmanager
def limits(case: Case) -> Iterator[None]:
    """What the machine lacks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if case.fsize is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (case.fsize, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=f"{c.command.split()[0]}: {c.what}") for c in CASES]
)
def test_it_has_its_answer(
    case: Case, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if case.make is not None:
        case.make(here)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(case.stdin)))
    if case.temporary is not None:
        monkeypatch.setattr(tempfile, "tempdir", case.temporary)
    before = state(here)
    with limits(case):
        code = main(arguments_of(case))
    monkeypatch.setattr(tempfile, "tempdir", None)
    out, err = capsys.readouterr()
    assert printed(case.answer, out + err), out + err
    assert code == case.code, out + err
    told(code, err)
    left = state(here)
    if code in (1, 2):
        new = {name for name in left if name not in before}
        assert not {n for n in new if not any(fnmatch(n, kept) for kept in case.leaves)}
    if code != 0:
        assert {name: left.get(name) for name in before} == before
    assert not [name for name in left if ".partial-" in name]
    if case.after is not None:
        case.after(here)
