"""What a newcomer types first is answered with the command that was meant."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from anomalist.cli.commands import COMMANDS
from anomalist.cli.main import main

FIT = "anomalist fit patchcore --data"
PREDICT = "anomalist predict part.anomalist"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "my photos").mkdir()


def told(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(shlex.split(line)) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("fit photos", f"{FIT} photos --out part.anomalist"),
        ("fit", f"{FIT} parts/good --out part.anomalist"),
        ("fit padim photos", "anomalist fit padim --data photos --out part.anomalist"),
        ("fit photos padim+dfm", "anomalist fit padim+dfm --data photos --out part.anomalist"),
        ("fit patchcore photos x.anomalist", f"{FIT} photos --out x.anomalist"),
        (
            "fit --detector padim --data photos",
            "anomalist fit padim --data photos --out part.anomalist",
        ),
        (
            "fit --model=spade --dataset photos --output x.anomalist --alpha 0.01",
            "anomalist fit spade --data photos --out x.anomalist --alpha 0.01",
        ),
        ("fit 'my photos'", f"{FIT} 'my photos' --out part.anomalist"),
        ("predict", f"{PREDICT} photos --out inspected"),
        ("predict photos", f"{PREDICT} photos --out inspected"),
        ("predict photos --arrays", f"{PREDICT} photos --out inspected --arrays"),
        ("predict m.anomalist photos", "anomalist predict m.anomalist photos --out inspected"),
        (
            "predict --model m.anomalist --input photos --output found",
            "anomalist predict m.anomalist photos --out found",
        ),
        ("evaluate photos", "anomalist evaluate part.anomalist photos"),
        ("export m.anomalist part.onnx", "anomalist export m.anomalist --out part.onnx"),
        ("info", "anomalist info part.anomalist"),
        ("calibrate photos", "anomalist calibrate part.anomalist --data photos"),
        ("photos", f"{FIT} photos --out part.anomalist"),
        ("photos", f"{PREDICT} photos --out inspected"),
        ("patchcore --data photos", f"{FIT} photos --out part.anomalist"),
        ("m.anomalist photos", "anomalist predict m.anomalist photos --out inspected"),
        ("train photos", f"{FIT} photos --out part.anomalist"),
        ("infer m.anomalist photos", "anomalist predict m.anomalist photos --out inspected"),
        ("benchmark", "as in: anomalist benchmark data/mvtec_ad"),
        ("server", "anomalist serve models"),
        ("predcit", "did you mean predict?"),
        (
            "fit padim --data photos --out x --sigma 2",
            "did you mean --padim.sigma?",
        ),
        ("fit padim --data photos --out x --image-size 64", "did you mean --image_size?"),
    ],
)
def test_the_command_that_was_meant_is_told(
    line: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = told(line, capsys)
    assert meant in answer
    for command in re.findall(r"(?:did you mean:|to inspect it:) (anomalist .+?)[?;]? \(", answer):
        _, name, *arguments = shlex.split(command)
        importlib.import_module(f"anomalist.cli.{name}").parser().parse_args(arguments)


def test_a_model_that_lies_here_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bottle.anomalist").touch()
    assert "anomalist predict bottle.anomalist photos --out in" in told("predict photos", capsys)


def test_what_nobody_knows_is_told_with_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    answer = told("bake", capsys)
    assert all(name in answer for name in COMMANDS)
    assert "mean" not in answer


def test_what_is_needed_is_named_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "predict needs MODEL, INPUTS, --out; did you mean" in told("predict", capsys)
