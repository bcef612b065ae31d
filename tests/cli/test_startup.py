"""What is asked for often, help above all, waits for none of the large packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import anomalist
from anomalist.cli.main import COMMANDS, main

HEAVY = ("torch", "torchvision", "timm", "numpy", "pandas", "numba", "scipy", "plotly", "PIL")
CODE = f"""
import sys
from anomalist.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
loaded = [name for name in {HEAVY!r} if name in sys.modules]
try:
    with open("/proc/self/status") as file:
        kilobytes = next(line.split()[1] for line in file if line.startswith("VmHWM"))
except OSError:
    kilobytes = 0  # other systems tell in other ways
print(code, loaded, kilobytes, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "--version",
        "-V",
        "--print_completion bash",
        *(f"{name} --help" for name in COMMANDS),
        "benchmark --detectors small=patchcore,both=small+padim --help",
        "benchmark data --detectors small=patchcore --small.coreset_rato 1",
    ],
)
def test_it_loads_nothing_large(arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments.split()],
        capture_output=True,
        text=True,
        check=True,
    )
    code, loaded, kilobytes = done.stderr.splitlines()[-1].split(" ")
    assert (code, loaded) == ("2" if "rato" in arguments else "0", "[]")
    assert int(kilobytes) < 100_000


def test_python_runs_it_as_a_module() -> None:
    command = [sys.executable, "-m", "anomalist", "-V"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"anomalist {anomalist.__version__}\n"


def test_help_is_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        out = capsys.readouterr().out
        assert "<" not in out.replace("<=", "")
        assert "lambda" not in out


@pytest.mark.parametrize("module", ["jsonargparse", "torch", "torch._C", "numpy", "rich"])
def test_ctrl_c_while_modules_load_is_told_in_one_line(module: str, tmp_path: Path) -> None:
    code = f"""
import sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
from anomalist.cli.main import main
sys.meta_path.insert(0, Stop())
sys.exit(main(["demo", "--out", {str(tmp_path)!r}]))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "anomalist: error: stopped\n")


def test_ctrl_c_that_became_another_error_is_told_as_what_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def half(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ImportError("half a module")  # noqa: B904 - as an extension module does

    monkeypatch.setattr("anomalist.cli.list.run", half)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "anomalist: error: stopped\n"
