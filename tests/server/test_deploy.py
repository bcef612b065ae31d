"""The files of ``deploy/`` say what the command takes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest
import yaml

from anomalist.cli import serve, tokens
from anomalist.server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "anomalist.service").read_text("utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def settings(*arguments: str) -> ServerSettings:
    """What ``anomalist serve`` makes of its arguments."""
    return serve.settings_of(serve.parser().parse_args(list(arguments)))


def unit(key: str) -> list[str]:
    """The values that the unit has for a key."""
    return re.findall(rf"^{key}=(.*)$", UNIT, re.M)


def instruction(name: str) -> list[str]:
    """The last of the Dockerfile's instructions of a name, as its list."""
    found: list[str] = json.loads(re.findall(rf"^{name} (\[.*\])$", DOCKERFILE, re.M)[-1])
    return found


def test_the_unit_starts_a_server_that_may_write_what_it_keeps() -> None:
    (line,) = unit("ExecStart")
    program, command, *arguments = shlex.split(line)
    assert (program, command) == ("/opt/anomalist/bin/anomalist", "serve")
    given = settings(*arguments)
    assert given.is_local
    assert (given.logs, given.keep_days, given.keep_gb) == ("json", 90, 100)
    (state,), (cache,) = unit("StateDirectory"), unit("CacheDirectory")
    assert given.folder == Path("/var/lib") / state
    assert f"NUMBA_CACHE_DIR=/var/cache/{cache}" in unit("Environment")[0]
    assert unit("ProtectSystem") == ["strict"]


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    program = which("systemd-analyze")
    if program is None:
        pytest.skip("systemd isn't installed")
    # Verified is also that what it starts is there.
    file = tmp_path / "anomalist.service"
    file.write_text(UNIT.replace("/opt/anomalist/bin/anomalist", sys.executable))
    done = subprocess.run(
        [program, "verify", "--man=no", str(file)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_container_starts_a_server_for_others_with_its_state_in_the_volume() -> None:
    program, command, *arguments = [*instruction("ENTRYPOINT"), *instruction("CMD")]
    assert (program, command) == ("anomalist", "serve")
    given = settings(*arguments)
    assert not given.is_local
    assert f"VOLUME {given.folder.as_posix()}\n" in DOCKERFILE
    assert f"EXPOSE {given.port}\n" in DOCKERFILE
    assert f":{given.port}/healthz" in DOCKERFILE
    for folder in (given.folder, Path(str(given.models)), Path("/cache")):
        assert folder.as_posix() in re.findall(r"mkdir (.*?) *\\\n", DOCKERFILE)[0].split()
    # What the image is built from is there, and so is the extra.
    for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.M):
        assert all((ROOT / name).exists() for name in line.split())


def test_the_composition_keeps_rows_in_postgresql_and_files_in_volumes() -> None:
    server, database = COMPOSE["services"]["server"], COMPOSE["services"]["database"]
    command, *arguments = shlex.split(server["command"])
    given = settings(*arguments)
    assert command == "serve"
    assert not given.is_local
    user, host, name = re.fullmatch(  # type: ignore[union-attr]
        r"postgresql\+psycopg://(\w+)@(\w+)/(\w+)", given.database_url
    ).groups()
    assert host in COMPOSE["services"]
    environment = database["environment"]
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == (user, name)
    # The password is in no address: the driver takes it from there.
    assert server["environment"]["PGPASSWORD"] == "${POSTGRES_PASSWORD}"
    mounted = {volume.split(":")[1] for volume in server["volumes"]}
    assert mounted == {str(given.models), given.folder.as_posix()}
    named = {v.split(":")[0] for s in COMPOSE["services"].values() for v in s["volumes"]}
    assert {name for name in named if "/" not in name} == set(COMPOSE["volumes"])
    assert server["ports"] == [f"{given.port}:{given.port}"]
    context = (DEPLOY / server["build"]["context"]).resolve()
    assert (context / server["build"]["dockerfile"]).is_file()


def test_what_the_page_tells_of_tokens_is_taken() -> None:
    page = (ROOT / "docs" / "server" / "deploy.md").read_text("utf-8").replace("\\\n", " ")
    told = re.findall(r"serve tokens (make anna .*)$", page, re.M)
    assert len(told) == 3
    for line in told:
        given = tokens.parser().parse_args(shlex.split(line))
        assert (given.name, given.role) == ("anna", "admin")
    assert COMPOSE["services"]["server"]["command"].split("--database ")[1].strip() in told[2]
