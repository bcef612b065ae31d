"""Told to stop at any moment, the command says so in one line, and its exit code says by what."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anomalist.cli.main import main
from anomalist.cli.stops import Stops

FAST = ["--image_size", "64", "--layers", "stride4,stride8", "--device", "cpu"]
STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="signals are seen on Linux alone")


def started(*arguments: str, listens: bool = True) -> subprocess.Popen[str]:
    """Start the command and wait till it listens to signals, if it is to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "anomalist", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background is started deaf to a Ctrl-C.
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL if listens else signal.SIG_IGN
        ),
    )
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None and not int(
        status.read_text().partition("SigCgt:")[2].split()[0], 16
    ) & (1 << (signal.SIGTERM - 1)):
        time.sleep(0.001)
    return process


def moments() -> list[tuple[str, float, bool, int]]:
    rng = random.Random(7)
    cases = []
    for name in ("fit", "fit", "evaluate", "list", "synthesize"):
        delay = rng.choice([rng.uniform(0, 0.05), rng.uniform(0, 4)])
        cases.append((name, delay, rng.random() < 0.5, rng.choice([2, 2, 15])))
    return cases


@pytest.mark.parametrize(("command", "delay", "as_json", "number"), moments())
def test_a_stop_at_any_moment_is_one_line(
    command: str, delay: float, as_json: bool, number: int, dots: Path, tmp_path: Path
) -> None:
    arguments = {
        "fit": ["patchcore", "--data", str(dots), "--out", str(tmp_path / "m.anomalist"), *FAST],
        "evaluate": [str(tmp_path / "none.anomalist"), str(dots)],
        "list": [],
        "synthesize": [str(dots / "dot" / "train"), "--out", str(tmp_path / "s.png")],
    }[command]
    process = started(command, *arguments, *(["--json"] if as_json else []))
    time.sleep(delay)
    process.send_signal(number)
    process.send_signal(number)  # many press twice
    out, err = process.communicate(timeout=60)
    if process.returncode in (0, 1):  # it was faster
        return
    assert process.returncode == 128 + number
    assert err.splitlines()[-1] == "anomalist: error: stopped"
    assert "Traceback" not in err
    assert sum("error" in line for line in err.splitlines()) == 1
    assert not list(tmp_path.glob(".partial*"))
    if as_json:
        told = json.loads(out)
        assert told["error"] == {"kind": "Stopped", "message": "stopped"}
        assert told["exit_code"] == process.returncode


def test_a_job_that_is_deaf_to_ctrl_c_stays_so() -> None:
    process = started("--print_completion", "bash", listens=False)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def run(code: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys, os, signal, time\nimport anomalist.cli.list as command\n{code}"
    code += "\nfrom anomalist.cli.main import main\nsys.argv = ['anomalist', 'list']\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\nsys.exit(main())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_stop_that_is_lost_in_a_finalizer_comes_again() -> None:
    done = run("""
class Loses:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
def run(arguments, output):
    Loses()
    time.sleep(30)
command.run = run
""")
    assert (done.returncode, done.stderr) == (130, "anomalist: error: stopped\n")


def test_a_stop_that_became_an_error_of_a_library_is_told_as_what_it_is() -> None:
    done = run("""
def run(arguments, output):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        pass
    raise SystemError("half a module")
command.run = run
""")
    assert (done.returncode, done.stderr) == (130, "anomalist: error: stopped\n")


def test_what_is_tidied_up_after_a_stop_can_fail() -> None:
    done = run("""
def run(arguments, output):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    finally:
        raise OSError(28, "No space left on device", "sheet.png")
command.run = run
""")
    assert done.returncode == 1
    assert done.stderr == "anomalist: error: sheet.png: No space left on device\n"


def test_once_all_is_told_a_stop_says_nothing() -> None:
    done = run("""
import atexit
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(0.1)))
command.run = lambda arguments, output: 3
""")
    assert (done.returncode, done.stderr) == (3, "")


def test_signals_of_the_caller_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    assert main(["--version"]) == 0
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


def test_a_second_stop_within_half_a_second_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(os, "_exit", lambda code: None)
    stops = Stops(told.append)
    stops.work()
    with pytest.raises(KeyboardInterrupt):
        stops._heard(signal.SIGINT, None)
    stops._heard(signal.SIGINT, None)
    monkeypatch.setattr("anomalist.cli.stops._SAME_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        stops._heard(signal.SIGTERM, None)
    assert stops.asked == signal.SIGINT
    assert told == []
