from __future__ import annotations

import subprocess
import sys

import pytest

from anomalist.benchmark.resources import peak_memory_mb

# Windows has no module of that name.
_WITHOUT = """
import sys
sys.modules["resource"] = None
import anomalist.inspection
import anomalist.cli.main
import importlib
for command in anomalist.cli.main.COMMANDS:
    importlib.import_module(f"anomalist.cli.{command}")
from anomalist.benchmark.resources import peak_memory_mb
from pathlib import Path
Path.read_text = lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError())
assert peak_memory_mb() == 0
"""


@pytest.mark.usefixtures("warm_processes")
def test_commands_are_there_where_the_system_has_no_resource_module() -> None:
    subprocess.run([sys.executable, "-c", _WITHOUT], check=True)


def test_peak_memory_is_known_here() -> None:
    assert peak_memory_mb() > 10
