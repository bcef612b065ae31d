"""Checks a release: ``python .ci/contents.py FOLDER`` looks at its wheel and its sdist."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LICENCES = {
    "LICENSE",
    "NOTICE",
    "src/anomalist/server/api/swagger/LICENSE",
    "src/anomalist/server/api/swagger/NOTICE",
    "src/anomalist/server/api/swagger/swagger-ui-bundle.js.LICENSE.txt",
    "src/anomalist/server/page/static/htmx.LICENSE",
}
# Of what a checkout has, an sdist needs at least this to build, to test and to tell.
SOURCE = {"CHANGELOG.md", "CITATION.cff", "SECURITY.md", "docs/index.md", "tests/conftest.py"}
MEGABYTES = 4


def tracked(folder: str) -> set[str]:
    """Files below a folder that belong to the project."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", folder]
    return set(filter(None, subprocess.check_output(command, text=True).split("\0")))


def check_wheel(path: Path) -> str:
    """Check a wheel, and return its version."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        about = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
        entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    package = {name for name in names if not name.startswith(f"{info}/")}
    expected = {name.removeprefix("src/") for name in tracked("src/anomalist")}
    assert package == expected, f"{path.name}: not as tracked: {sorted(package ^ expected)}"
    licences = {name.removeprefix(f"{info}/licenses/") for name in names if "/licenses/" in name}
    assert licences == LICENCES, f"{path.name}: licences {sorted(licences ^ LICENCES)}"
    assert set(about.get_all("License-File", [])) == LICENCES
    assert about["License-Expression"] == "Apache-2.0"
    assert "anomalist = anomalist.cli.main:main" in entry_points
    assert not any(" @ " in need for need in about.get_all("Requires-Dist", []))
    size = path.stat().st_size / 1e6
    assert size < MEGABYTES, f"{path.name} has {size:.1f} MB"
    print(f"{path.name}: {len(names)} files, {size:.2f} MB")
    return str(about["Version"])


def check_source(path: Path) -> None:
    """Check an sdist."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = SOURCE | LICENCES | tracked("src/anomalist")
    assert needed <= names, f"{path.name} lacks {sorted(needed - names)}"
    size = path.stat().st_size / 1e6
    print(f"{path.name}: {len(names)} files, {size:.2f} MB")


def check_version(version: str) -> None:
    """Hold what people read of a release against the version that it has."""
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == version, f"CITATION.cff names {cited[1]}, the package {version}"
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.search(r"^## v?(\d+\.\S+)", log, re.MULTILINE)
    assert released is None or released[1] == version, f"CHANGELOG.md: {released and released[1]}"
    assert re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", version), f"{version} isn't a semantic version"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (wheel,) = folder.glob("*.whl")
    (source,) = folder.glob("*.tar.gz")
    check_source(source)
    check_version(check_wheel(wheel))
