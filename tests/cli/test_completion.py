"""The scripts are asked in the shells themselves: what a person at the keyboard would see."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from anomalist.cli.main import main

# What bash does when the last word is to be completed.
ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p anomalist | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""
ASK_FISH = "source $argv[1]; for words in $argv[2..]; complete -C $words; echo --end--; end"
CASES = [
    ("anomalist b", ["benchmark"]),
    ("anomalist --ver", ["--version"]),
    (
        "anomalist benchmark data --patchcore.core",
        ["--patchcore.coreset_ratio", "--patchcore.coreset_size"],
    ),
    ("anomalist fit pat", ["patchcore"]),
    ("anomalist fit --help_", ["--help_all"]),
    ("anomalist benchmark --detectors gl", ["glass"]),
    ("anomalist benchmark --glass.interpolation bil", ["bilinear"]),
    ("anomalist predict model photos --heatmaps an", ["anomalous"]),
    ("anomalist fit padim --data pho", ["photos"]),
    ("anomalist evaluate mod", ["model.anomalist"]),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    names = {"bash": "anomalist.bash", "zsh": "_anomalist", "fish": "anomalist.fish"}
    for shell, name in names.items():
        with pytest.MonkeyPatch.context() as patch, (folder / name).open("w") as file:
            patch.setattr("sys.stdout", file)
            assert main(["--print_completion", shell]) == 0
    return {shell: folder / name for shell, name in names.items()}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "model.anomalist").touch()
    return tmp_path


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"there is no {shell}")


@needs("bash")
@pytest.mark.parametrize(("words", "completed"), CASES)
def test_bash_completes(
    words: str, completed: list[str], scripts: dict[str, Path], here: Path
) -> None:
    command = ["bash", "-c", ASK_BASH, "bash", scripts["bash"], *words.split()]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (completed, "")


@needs("fish")
def test_fish_completes(scripts: dict[str, Path], here: Path) -> None:
    command = ["fish", "--no-config", "-c", ASK_FISH, scripts["fish"], *(w for w, _ in CASES)]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    answers = [
        [line.split("\t")[0].rstrip("/") for line in answer.splitlines()]
        for answer in done.stdout.split("--end--\n")[:-1]
    ]
    assert answers == [completed for _, completed in CASES]
    assert done.stderr == ""


@needs("zsh")
def test_zsh_completes(scripts: dict[str, Path], here: Path) -> None:
    import pty

    lines = (
        "PS1='> '; LISTMAX=0",
        f"fpath=({scripts['zsh'].parent} $fpath)",
        "autoload -Uz compinit",
        f"compinit -u -d {here / 'dump'}",
        "stty cols 500",
        "echo ready",
    )
    (here / ".zshrc").write_text("\n".join(lines) + "\n")
    child, screen = pty.fork()
    if child == 0:  # the shell, on a terminal of its own
        os.chdir(here)
        os.environ |= {"TERM": "dumb", "ZDOTDIR": str(here)}
        os.execvp("zsh", ["zsh", "-d", "-i"])
    try:
        assert "ready" in _read(screen, "> ")
        for words, completed in CASES:
            # Ctrl-U empties the line again.
            os.write(screen, b"\x15" + words.encode() + b"\t\t")
            shown = _read(screen, completed[-1])
            for one in completed:
                assert one in shown, (words, shown)
    finally:
        os.close(screen)
        os.waitpid(child, 0)


def _read(screen: int, until: str, seconds: float = 30) -> str:
    """Return what a terminal shows, until it shows a text."""
    shown, end = "", time.monotonic() + seconds
    while until not in shown and time.monotonic() < end:
        if select.select([screen], [], [], 0.2)[0]:
            shown += os.read(screen, 65536).decode(errors="replace")
            shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\b", "")
    return shown


@pytest.mark.parametrize("arguments", [["--print_completion"], ["--print_completion", "cmd"]])
def test_an_unknown_shell_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "no completion for" in err
    assert "bash, zsh" in err
    assert err.endswith("(anomalist --help)\n")
