"""A forked process is to a test what a started one is, but for what it need not load."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_TOLD = """
import os, sys
print([name in sys.modules for name in ("torch", "anomalist", "tests")])
print(os.getppid(), os.getcwd(), sys.argv, os.environ.get("A"), "HOME" in os.environ)
print(__name__, input(), file=sys.stderr)
sys.exit(3)
"""


def start(code: str, *words: str, **settings: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *words], text=True, **settings)  # type: ignore[call-overload, no-any-return]


@pytest.mark.usefixtures("warm_processes")
@pytest.mark.skipif(sys.platform != "linux", reason="no process is adopted elsewhere")
def test_it_is_a_child_with_all_that_it_was_given(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    environment = {**{k: v for k, v in os.environ.items() if k != "HOME"}, "A": "ä"}
    given = {"cwd": tmp_path, "env": environment}
    process = start(_TOLD, "x y", stdin=pipe, stdout=pipe, stderr=pipe, **given)
    out, err = process.communicate("in\n", timeout=120)
    loaded, told = out.splitlines()
    assert loaded == "[True, False, False]"
    assert told == f"{os.getpid()} {tmp_path} ['-c', 'x y'] ä False"
    assert (err, process.returncode) == ("__main__ in\n", 3)


@pytest.mark.usefixtures("warm_processes")
def test_it_ends_as_others_do() -> None:
    failed = subprocess.run(
        [sys.executable, "-c", "1 / 0"], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")
    module = subprocess.run(
        [sys.executable, "-m", "anomalist", "--version"], stdout=subprocess.PIPE, check=True
    )
    assert module.stdout.startswith(b"anomalist ")
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, 0)):
        process = start(
            "import time\ntry:\n print(1, flush=True)\n time.sleep(60)\n"
            "except KeyboardInterrupt: raise SystemExit",
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        process.send_signal(number)
        assert process.wait() == code
        process.stdout.close()


@pytest.mark.usefixtures("warm_processes")
def test_another_thread_count_is_a_process_of_its_own() -> None:
    code = "import sys; print('torch' in sys.modules)"
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment) == b"False\n"
