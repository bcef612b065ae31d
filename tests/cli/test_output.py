"""What commands print for scripts: one JSON object, or results and warnings alone."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalist.cli.main import COMMANDS, EXIT_CODES, main
from anomalist.cli.output import Output, as_json

FAST = ["--image_size", "64", "--layers", "stride4,stride8", "--device", "cpu"]
PAGE = Path(__file__).parents[2] / "docs" / "scripts.md"


def strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def documented() -> dict[str, set[str]]:
    """The fields of each command, from the page on scripts."""
    rows = re.findall(
        r"^\| `(\w+)` \| `([^|]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    fields: dict[str, set[str]] = {}
    for command, field in rows:
        fields.setdefault(command, set()).add(field)
    return fields


@pytest.fixture(scope="module")
def model(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "dot.anomalist"
    ratio = ["--patchcore.coreset_ratio", "0.2"]
    assert main(["fit", "patchcore", "--data", str(dots), "--out", str(path), *FAST, *ratio]) == 0
    return path


Told = tuple[int, Any, str]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    def run(*arguments: object) -> Told:
        capsys.readouterr()
        code = main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        assert out.endswith("\n")
        assert out.count("\n") == 1, "one object, in a line"
        fields = strict(out)
        assert fields["command"] == arguments[0]
        assert fields["exit_code"] == code
        assert isinstance(fields["warnings"], list)
        return code, fields, err

    return run


def test_every_command_prints_the_fields_that_the_page_tells(
    told: Callable[..., Told], model: Path, dots: Path, tmp_path: Path
) -> None:
    good = dots / "dot" / "train" / "good"
    run = ["--detectors", "padim", "--calibrate", "false", *FAST, "--padim.dimensions", "20"]
    new = tmp_path / "new.anomalist"
    names = [path.relative_to(dots) for path in sorted((dots / "dot" / "test").rglob("*.png"))]
    rows = [f"{name},{i}" for i, name in enumerate(names)]
    (tmp_path / "s.csv").write_text("\n".join(["path,score", *rows]))
    calls: dict[str, list[object]] = {
        "fit": ["padim", "--data", dots, "--out", new, *FAST, "--padim.dimensions", 20],
        "predict": [model, good, "--out", tmp_path / "found", "--heatmaps", "none"],
        "evaluate": [model, dots, "--out", tmp_path / "measured", "--alpha", 0.2],
        "measure": ["--data", dots, "--scores", tmp_path / "s.csv", "--out", tmp_path / "given"],
        "benchmark": [dots, "--out", tmp_path / "results", *run],
        "report": [tmp_path / "results"],
        "info": [model],
        "list": [],
        "synthesize": [good, "--out", tmp_path / "s.png", "--image_size", 64, "--count", 2],
    }
    page = documented()
    everywhere = page.pop("every")
    assert page.keys() <= COMMANDS.keys()
    assert COMMANDS.keys() == page.keys()
    for command, arguments in calls.items():
        code, fields, err = told(command, *arguments)
        assert (code, err) == (0, ""), command
        assert fields.keys() >= everywhere
        named = {"recall_KIND" if name.startswith("recall_") else name for name in fields}
        assert named - everywhere == page[command], command


def test_an_error_is_an_object_too_and_a_line(told: Callable[..., Told], tmp_path: Path) -> None:
    code, fields, err = told("info", tmp_path / "none.anomalist")
    assert code == 1
    assert fields["error"]["kind"] == "ModelFileError"
    assert err == f"anomalist: error: {fields['error']['message']}\n"
    code, fields, err = told("fit")
    assert code == 2
    assert fields["error"]["kind"] == "ArgumentError"


def test_files_that_fail_are_warnings_and_an_exit_code(
    told: Callable[..., Told], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    code, fields, err = told("predict", model, tmp_path / "bad.png", "--out", tmp_path / "out")
    assert (code, err) == (3, "")
    assert fields["failed"] == 1
    assert "bad.png" in fields["warnings"][0]


def test_quiet_leaves_results_and_warnings(
    model: Path, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(dots / "dot" / "train" / "good")
    capsys.readouterr()
    assert main(["predict", str(model), good, "--out", str(tmp_path), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("6 images: ")
    assert err == ""
    (tmp_path / "bad.png").write_bytes(b"no image")
    wrong = [str(tmp_path / "bad.png"), "--out", str(tmp_path / "out")]
    assert main(["predict", str(model), *wrong, "--quiet"]) == 3
    assert "bad.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--json", "list"], ["list", "--json"], ["--quiet", "--json", "list"]]
)
def test_what_every_command_takes_may_come_first(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    assert strict(capsys.readouterr().out)["command"] == "list"


@pytest.mark.parametrize("arguments", [["--json"], ["--json", "bake"], ["--json", "list", ""]])
def test_misuse_is_an_object_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert strict(capsys.readouterr().out)["exit_code"] == 2


def test_a_file_called_like_a_flag_is_a_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(model), "--out", str(tmp_path), "--", "--json"]) != 0
    assert capsys.readouterr().out == ""


def test_exit_codes_are_told_in_help_and_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    page = PAGE.read_text(encoding="utf-8")
    for code, text in EXIT_CODES.items():
        assert re.search(rf"^  {code} +{text}$", shown, re.MULTILINE)
        assert re.search(rf"^\| {code} \| {text}", page, re.MULTILINE)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs"]))
    | st.builds(np.float32, st.floats(width=32))
    | st.builds(Path, st.text(st.characters(exclude_characters="\0"))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.dictionaries(st.text(), VALUES))
def test_whatever_is_found_becomes_a_line_of_strict_json(fields: dict[str, Any]) -> None:
    line = as_json(fields)
    assert "\n" not in line
    assert strict(line.encode("utf-8").decode("utf-8")).keys() == fields.keys()


def test_the_terminal_is_safe_from_names(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.result("\x1b[2J\u202egnp.exe\udcff")
    output.warn("\x1b[2J")
    assert capsys.readouterr() == ("\\x1b[2J\\u202egnp.exe\\udcff\n", "\\x1b[2J\n")


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not Output().live
    monkeypatch.setenv("TERM", "xterm")
    assert Output().live
    assert not Output(quiet=True).live


@pytest.mark.skipif(sys.platform == "win32", reason="of the shell")
@pytest.mark.parametrize(
    ("shell", "code", "err"),
    [
        ("{} --help >&-", 0, ""),
        ("{} bake 2>&-", 2, ""),
        ("{} bake <&- >&- 2>&-", 2, ""),
        (
            "{} --help > /dev/full",
            1,
            "anomalist: error: standard output: No space left on device\n",
        ),
        (
            "{} bake --json > /dev/full 2>/dev/null",
            2,
            "",
        ),
        ("{} bake 2> /dev/full", 2, ""),
        ("mkdir gone; cd gone; rmdir ../gone; {} list", 1, "current folder is gone"),
        ("COLUMNS=1 {} fit --help > /dev/null", 0, ""),
        ("COLUMNS=x TERM= LC_ALL=xx_YY {} --help > /dev/null", 0, ""),
        ("PYTHONIOENCODING=ascii {} 'bäke'", 2, "no command 'b\\xe4ke'"),
    ],
)
def test_odd_streams_and_surroundings(shell: str, code: int, err: str, tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m anomalist"
    done = subprocess.run(
        ["sh", "-c", shell.format(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert err in done.stderr
    assert done.stderr.count("\n") == bool(err)


def test_a_reader_that_has_gone_is_no_failure() -> None:
    command = f"('{sys.executable}' -m anomalist fit --help; echo $? >&2) | head -1 >/dev/null"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr in ("141\n", "0\n")
