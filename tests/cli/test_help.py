from __future__ import annotations

import importlib
import re
import shlex
from typing import Any

import pytest

from anomalist.cli.commands import COMMANDS, EXAMPLES
from anomalist.cli.main import main
from anomalist.cli.signatures import detector_signatures, named_signatures

INTERNALS = re.compile(
    r"lambda|<|:\w+:`|\bnull\b|\bNone\b|Literal|\w\[|NoneType|self\.|anomalist\.\w+\.|==SUPPRESS=="
)


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def shown(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line))
    assert stop.value.code == 0
    return capsys.readouterr().out


def parser_of(command: str) -> Any:
    parser = importlib.import_module(f"anomalist.cli.{command}").parser()
    parser.prog = f"anomalist {command}"
    return parser


@pytest.mark.parametrize(
    ("line", "most"), [("fit --help", 60), ("fit patchcore --help", 120), ("predict -h", 60)]
)
def test_the_help_of_what_people_use_is_short(
    line: str, most: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(line, capsys).splitlines()
    assert len(lines) <= most
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", list(COMMANDS))
def test_it_begins_with_what_the_command_does_and_has_words_alone(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(f"{command} --help_all", capsys)
    first, blank, usage = out.splitlines()[:3]
    assert first.startswith(COMMANDS[command][:1].upper() + COMMANDS[command][1:40])
    assert blank == ""
    assert usage.startswith(f"usage: anomalist {command}")
    assert f"  {EXAMPLES[command][0]}" in out
    found = INTERNALS.search(out.replace("INT[,INT]", "INT"))
    assert found is None, found


@pytest.mark.parametrize("command", list(COMMANDS))
def test_examples_are_commands(command: str) -> None:
    for example in EXAMPLES[command]:
        program, name, *arguments = shlex.split(example)
        assert (program, name) == ("anomalist", command)
        parser_of(command).parse_args(arguments)


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize("asked", ["--help", "--help_all"])
def test_every_argument_is_shown_or_named(
    command: str, asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(f"{command} {asked}", capsys)
    parser = parser_of(command)
    detectors = named_signatures()
    for action in parser._actions:
        owner = action.dest.partition(".")[0]
        if asked == "--help" and owner in detectors and "." in action.dest:
            assert f"\n  {owner} " in out
        elif action.option_strings:
            assert re.search(rf"(^|\s){re.escape(action.option_strings[0])}(\s|,|$)", out, re.M)


def test_a_detectors_settings_come_with_its_name_alone(capsys: pytest.CaptureFixture[str]) -> None:
    general = shown("fit --help", capsys)
    assert "--patchcore.coreset_ratio" not in general
    assert "more, all told by anomalist fit --help_all:" in general
    own = shown("fit patchcore --help", capsys)
    assert "--patchcore.coreset_ratio NUMBER" in own
    assert "(default: 0.05)" in own
    assert "\n  --patchcore.image_size" not in own
    assert "\n  --glass.step" not in own
    both = shown("fit padim+dfm --help", capsys)
    assert "--padim.dimensions" in both
    assert "--dfm.pca_level" in both
    assert "--ensemble.combine" in both
    compared = shown("benchmark data --detectors small=patchcore --help", capsys)
    assert "settings of small (patchcore)" in compared
    assert "--small.coreset_ratio" in compared
    assert "--patchcore.coreset_ratio" in compared
    everything = shown("fit --help_all", capsys)
    assert all(f"settings of {name}" in everything for name in detector_signatures())
    assert "more, all told" not in everything


def test_help_asks_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("help fit", capsys) == shown("fit --help", capsys)
    assert shown("help --json fit", capsys) == shown("fit --help", capsys)
    assert main(["help", "help"]) == 0
    first = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert first == capsys.readouterr().out


def test_help_comes_first_whatever_else_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    general = shown("fit --help", capsys)
    for line in ("fit nothing --help", "fit --nothing --help", "fit --config nowhere.yaml -h"):
        assert shown(line, capsys) == general
    assert main(["fit", "--", "--help"]) == 2


def test_it_is_as_wide_as_the_terminal_within_bounds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lengths = []
    for columns in ("20", "60", "100", "300"):
        monkeypatch.setenv("COLUMNS", columns)
        lengths.append(max(map(len, shown("fit patchcore --help", capsys).splitlines())))
    assert lengths[0] == lengths[1] <= 62
    assert lengths[2] == lengths[3] <= 100
