from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from anomalist.cli.main import COMMANDS, main

# What bash does when the last word is to be completed.
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p anomalist | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "anomalist.bash"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as file:
        patch.setattr("sys.stdout", file)
        assert main(["--print_completion", "bash"]) == 0
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("anomalist b", ["benchmark"]),
        ("anomalist --ver", ["--version"]),
        (
            "anomalist benchmark data --patchcore.core",
            ["--patchcore.coreset_ratio", "--patchcore.coreset_size"],
        ),
        ("anomalist fit pat", ["patchcore"]),
        ("anomalist benchmark --detectors gl", ["glass"]),
        ("anomalist benchmark --glass.interpolation b", ["bilinear", "bicubic"]),
        ("anomalist predict model photos --heatmaps an", ["anomalous"]),
        ("anomalist fit padim --data pho", ["photos"]),
        ("anomalist evaluate mod", ["model.anomalist"]),
    ],
)
def test_bash_completes(words: str, completed: list[str], script: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "model.anomalist").touch()
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", script, *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == completed
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--print_completion={shell}"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    assert "coreset_ratio" in out


@pytest.mark.parametrize("arguments", [["--print_completion"], ["--print_completion", "cmd"]])
def test_an_unknown_shell_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "no completion for" in err
    assert "bash, zsh" in err
    assert err.endswith("(anomalist --help)\n")
