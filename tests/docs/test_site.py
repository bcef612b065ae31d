"""The site builds without a warning, loads nothing from elsewhere, and has every public name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import anomalist
from anomalist.cli.main import COMMANDS
from tests.docs.blocks import ROOT, read

pytest.importorskip("mkdocstrings_handlers.python", reason="the site needs anomalist[docs]")

PACKAGES = sorted(path.stem for path in (ROOT / "docs" / "reference").glob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in ("index", "commands")])
def test_a_package_has_all_its_public_names(name: str, site: Path) -> None:
    package = importlib.import_module(f"anomalist.{name}")
    page = (site / "reference" / f"{name}.html").read_text(encoding="utf-8")
    anchors = {anchor.split(".")[-1] for anchor in re.findall(r'id="(anomalist\.[\w.]+)"', page)}
    listed = set(re.findall(r"^\| `(\w+)` \|", read(f"docs/reference/{name}.md"), re.MULTILINE))
    assert set(package.__all__) <= anchors | listed
    assert not any(anchor.startswith("_") and anchor != "__call__" for anchor in anchors)


def test_names_of_anomalist_itself_are_listed() -> None:
    first_column = [
        line.split(" | ")[0]
        for line in read("docs/reference/index.md").splitlines()
        if "| " in line
    ]
    assert set(anomalist.__all__) == set(re.findall(r"`(\w+)`", "".join(first_column)))


def test_every_command_and_flag_is_on_the_page_of_commands(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f'<h2 id="{name}">' in page
    for flag in ("--watch", "--exclude", "--store.folder", "--glass.meta_epochs", "--image_size"):
        assert f"<code>{flag}</code>" in page
    assert ":meth:" not in page


def test_roles_of_docstrings_are_links(site: Path) -> None:
    for page in (site / "reference").glob("*.html"):
        assert not re.search(r":(class|func|meth):", page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("name", ["index", "start", "inspect", "metrics", "reference/commands"])
def test_everyone_can_read_a_page_on_a_phone_as_well(
    name: str, site: Path, browser: Any, axe: Callable[[Any], None]
) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto((site / f"{name}.html").as_uri())
    page.add_style_tag(content="* { transition: none !important; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    # The site has a button for its colours, beside the system's wish; tabs need a wide screen.
    for scheme, width in (("default", 360), ("slate", 1280)):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("scheme => document.body.dataset.mdColorScheme = scheme", scheme)
        axe(page)
    page.close()


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://cdn.example/a.js"></script>', 1),
        ('<link rel="stylesheet" href="//fonts.example/a.css">', 1),
        ('<img src="http://example/a.png"><img src="a.png">', 1),
        ('<a href="https://example">a link loads nothing</a>', 0),
        ('<link rel="canonical" href="https://example/">', 0),
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_found(html: str, found: int) -> None:
    assert len(hook("offline").loaded_from_elsewhere(html)) == found


def test_a_page_that_loads_something_from_elsewhere_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<script src="https://cdn.example/a.js"></script>')
    offline = hook("offline")

    class Config:
        site_dir = str(tmp_path)

    with pytest.raises(offline.PluginError, match=r"cdn\.example"):
        offline.on_post_build(Config)
