"""Every command line and every block of Python that the pages show is run, page by page.

Data sets stand in for those that the pages name: small drawn images at the same paths. Detectors
are made cheap from outside: small images and one epoch, whatever a page says.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from PIL import Image
from threadpoolctl import threadpool_limits

import anomalist.data
from anomalist import PatchCore
from anomalist.benchmark import CONDITIONS
from anomalist.cli import building, signatures
from anomalist.cli.main import COMMANDS, main
from anomalist.cli.output import Output
from anomalist.data import Folder, make_sample_set
from anomalist.detectors import DETECTORS, Detector
from anomalist.errors import WeightsError
from anomalist.features import PINNED, WeightsFile, find_weights, weights
from tests.data.drawn_loco import draw_loco
from tests.docs.blocks import PAGES, ROOT, Block, Command, blocks, commands, inline, read

SIZE = 64
# What can't be run here, by a word of the line, and why.
NOT_RUN = {
    "--ray ": "needs a cluster, which tests/cluster has",
    "pip install": "installs into an environment of its own, which continuous integration does",
    "anomalist serve": "answers until it is stopped, which tests/server does",
    "mosquitto_": "talks to a broker, which tests/server does",
    "s3://": "reads a bucket that isn't there, which tests/data does",
    "export ": "sets what a server reads that isn't started here",
    "curl ": "asks a server that the page has started, which tests/server does",
}
# What a page takes for given, beside data/mvtec_ad.
GIVEN = {
    "README.md": ("my_parts", "new_photos"),
    "docs/start.md": ("my_parts", "new_photos"),
    "docs/metrics.md": ("data/mvtec_loco_anomaly_detection",),
    "docs/export.md": ("bottle.anomalist", "photos", "new.png"),
    "docs/reproduce.md": ("resnet18.pth", "dtd/images"),
    "docs/model_file.md": ("bottle.anomalist",),
    "docs/cluster/predict.md": ("bottle.anomalist", "photos"),
    "docs/server/index.md": ("photos/bottle",),
}
# Pages that name images by number, or need as many as a threshold takes, get them all.
WHOLE = ("docs/inspect.md", "docs/tutorials/inspection_engineer.md")


def is_run(command: Command) -> bool:
    return not any(words in command.text for words in NOT_RUN)


def runs_something(page: str) -> bool:
    found = list(blocks(read(page)))
    return any(b.language == "python" or any(map(is_run, commands(b))) for b in found)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Draws a sample set once, small, however often it is asked for."""
    folder = tmp_path_factory.mktemp("drawn")

    def draw(**settings: Any) -> Path:
        root = folder / "-".join(f"{key}={value}" for key, value in sorted(settings.items()))
        return make_sample_set(root, image_size=SIZE, **settings)

    return draw


@pytest.fixture(scope="session")
def mvtec_stand_in(drawn: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mvtec_ad")
    settings: dict[str, Any] = {"train": 4, "good": 2, "per_defect": 1}
    for name, category in (("bottle", "bottle_mouth"), ("screw", "brass_key")):
        shutil.copytree(drawn(categories=[category], **settings) / category, root / name)
    return root


@pytest.fixture(scope="session")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), path)
    return path


@pytest.fixture
def place(
    tmp_path: Path,
    mvtec_stand_in: Path,
    resnet18: Path,
    drawn: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """An empty folder to work in, in which all is small and nothing is fetched."""
    monkeypatch.chdir(tmp_path)
    _shrink(monkeypatch)
    # So little work is done sooner by one thread, on busy cores above all.
    torch.set_num_threads(1)
    # The stand-in for all weights of the hub, but for published runs, which are many.
    monkeypatch.setattr(weights, "_from_hub", lambda backbone: resnet18)
    for name in PINNED:
        monkeypatch.setitem(PINNED, name, "resnet18.tv_in1k")

    def find(backbone: str, file: str | None = None) -> WeightsFile:
        if file is None and backbone != "efficientnet_lite0":
            raise WeightsError(f"the weights of {backbone} are neither cached nor reachable")
        return find_weights(backbone, file)

    monkeypatch.setattr("anomalist.benchmark.reproduction.find_weights", find)

    def fetch(dataset: str, to: str | None, *, categories: Any, **_: Any) -> Path:
        root = Path(to or f"data/{dataset}")
        for name in categories:
            shutil.copytree(mvtec_stand_in / name, root / name, dirs_exist_ok=True)
        return root

    monkeypatch.setattr("anomalist.data.download", fetch)
    # Watching ends after the second look, as by Ctrl-C.
    looks: list[float] = []

    def pause(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("anomalist.inspection.watching.pause", pause)
    with threadpool_limits(1):
        yield tmp_path


def _shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Detector.__post_init__

    def small(detector: Any) -> None:
        check(detector)
        short = {
            "meta_epochs": 1,
            "epochs": 1,
            "variants": 1,
            "image_size": SIZE,
            "smallest_defect": None,
            "crop_size": None,
        }
        if detector.backbone in PINNED:
            short["layers"] = ("layer1", "layer2")
        for name, value in short.items():
            if hasattr(detector, name):
                setattr(detector, name, value)

    monkeypatch.setattr(Detector, "__post_init__", small)
    # Of a shallow network an ONNX graph is written much sooner.
    monkeypatch.setattr(PatchCore, "default_layers", ("blocks.1", "blocks.2"))
    # Each condition at its first level, and the one above where that is none.
    for name, condition in CONDITIONS.items():
        levels = condition.levels[: 2 if condition.levels[0] == 0 else 1]
        monkeypatch.setitem(CONDITIONS, name, dataclasses.replace(condition, levels=levels))


@pytest.fixture
def small_samples(
    drawn: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Has the pages' calls of make_sample_set draw small images, few unless the page needs all."""

    def install(page: str) -> None:
        text = read(page)
        named = [name for name in ("bottle_mouth", "brass_key", "woven_fabric") if name in text]

        def draw(root: str | Path, **asked: Any) -> Path:
            few = {} if page in WHOLE else {"train": 4, "good": 2, "per_defect": 1}
            categories = asked.pop("categories", named or None)
            source = drawn(categories=categories, **{**asked, **few})
            return Path(shutil.copytree(source, root, dirs_exist_ok=True))

        monkeypatch.setattr(anomalist.data, "make_sample_set", draw)

    return install


def give(name: str, place: Path, mvtec: Path, resnet18: Path) -> None:
    """Put a stand-in for what a page takes for given."""
    bottle, path = mvtec / "bottle", place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "bottle.anomalist":
        good = Folder(bottle / "train" / "good")
        PatchCore().fit(good.category(good.categories[0]).train).save(path)
    elif name == "resnet18.pth":
        shutil.copy(resnet18, path)
    elif name == "new.png":
        shutil.copy(bottle / "test" / "good" / "000.png", path)
    elif name == "data/mvtec_loco_anomaly_detection":
        draw_loco(path)
    elif name == "dtd/images":
        path.mkdir()
        noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
        Image.fromarray(noise).save(path / "banded_0001.jpg")
    else:
        shutil.copytree(bottle / "train" / "good", path / "good")


class Page:
    """Runs what a page shows, in order, in one folder and one Python session."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
        self.name = name
        self.monkeypatch = monkeypatch
        self.checkout = checkout
        self.python: dict[str, Any] = {"__name__": "__main__"}
        self.exit_code = 0
        self.ran = 0

    def run(self, block: Block) -> None:
        if block.language == "python":
            self.ran += 1
            if "check_detector" in block.text:
                # It sees that settings are shrunk, and asks a process that finds what was written.
                self._python("-c", block.text)
            elif block.title is None:
                exec(self._compiled(block.text, block.line), self.python)
            else:
                self._write(block, block.title)
        else:
            for command in commands(block):
                self.command(command)

    def command(self, command: Command) -> None:
        if not is_run(command):
            return
        self.ran += 1
        where = f"{self.name}:{command.line}: {command.text}"
        if command.text == "echo $?":
            assert int(command.output) == self.exit_code, where
            self.exit_code = 0
            return
        assert self.exit_code == 0, f"exit code {self.exit_code} before {where}"
        words = shlex.split(command.text, comments=True)
        if words[0] == "anomalist":
            self.exit_code = main(words[1:])
        elif words[:2] == ["python", "-c"]:
            exec(self._compiled(words[2], command.line), {})
        elif words[0] == "python" and words[1].startswith("benchmarks/"):
            check_benchmark(words[1:], self.monkeypatch)
        elif words[0] == "pytest":
            self._pytest(words[1:])
        else:
            assert words[0] in ("cp", "mkdir", "head"), f"no way to run {where}"
            self.exit_code = subprocess.run(["bash", "-c", command.text], check=False).returncode

    def end(self) -> None:
        assert self.exit_code == 0, f"{self.name}: the last command ended with {self.exit_code}"
        assert self.ran, f"{self.name} has nothing to run"

    def _compiled(self, text: str, line: int) -> types.CodeType:
        return compile("\n" * (line - 1) + text, str(ROOT / self.name), "exec")

    def _write(self, block: Block, title: str) -> None:
        """A file that the page has its reader write, there or where commands are typed."""
        path = (self.checkout if "/" in title else Path.cwd()) / title
        assert not path.exists(), f"{title} is there already"
        path.write_text(block.text, encoding="utf-8")
        if title.startswith("src/anomalist/detectors/"):
            # In a fresh process it registers itself by being there; this one has looked before.
            name = f"anomalist.detectors.{path.stem}"
            module = types.ModuleType(name)
            self.monkeypatch.setitem(sys.modules, name, module)
            exec(self._compiled(block.text, block.line), module.__dict__)
            (found,) = (
                value
                for value in vars(module).values()
                if isinstance(value, type) and value.__module__ == name
            )
            self.monkeypatch.setitem(DETECTORS, found.name, found)
            # The command line reads the sources of the installed package, not of the checkout.
            known = {**signatures.detector_signatures(), found.name: signatures.signature_of(found)}
            self.monkeypatch.setattr(signatures, "_read_detectors", lambda: known)

    def _pytest(self, arguments: list[str]) -> None:
        quiet = ("-q", "-p", "no:cacheprovider", "-n", "0")
        assert "passed" in self._python("-m", "pytest", *quiet, *arguments)

    def _python(self, *arguments: str) -> str:
        """Run Python in the checkout, and return what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.checkout,
            env={**os.environ, "PYTHONPATH": str(self.checkout / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of what a method's author works in."""
    root = tmp_path_factory.mktemp("checkout")
    # What is compiled goes along, but for what is being written.
    ignore = shutil.ignore_patterns("*.pyc.*", "*.tmp.*")
    for name in ("src", "tests/detectors", "tests/reference"):
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "conftest.py", "tests/__init__.py"):
        shutil.copy(ROOT / name, root / name)
    for name in ("browser.py", "conftest.py", "nursery.py", "processes.py", "s3.py"):
        shutil.copy(ROOT / "tests" / name, root / "tests" / name)
    yield root
    shutil.rmtree(root)


@pytest.mark.parametrize("name", [page for page in PAGES if runs_something(page)])
@pytest.mark.usefixtures("warm_processes")
def test_what_a_page_shows_runs(
    name: str,
    place: Path,
    checkout: Path,
    mvtec_stand_in: Path,
    resnet18: Path,
    small_samples: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_samples(name)
    shutil.copytree(mvtec_stand_in, place / "data" / "mvtec_ad")
    for given in GIVEN.get(name, ()):
        give(given, place, mvtec_stand_in, resnet18)
    page = Page(name, monkeypatch, checkout)
    for block in blocks(read(name)):
        page.run(block)
    page.end()


class _ParsedError(Exception):
    """The arguments are fine."""


def check_benchmark(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a script of benchmarks/ read its arguments, and stop it there."""
    parse = argparse.ArgumentParser.parse_args

    def parse_only(*args: Any, **kwargs: Any) -> None:
        parse(*args, **kwargs)
        raise _ParsedError

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        patch.setattr(sys, "argv", words)
        patch.syspath_prepend(ROOT / "benchmarks")
        with pytest.raises(_ParsedError):
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")


def check_arguments(words: list[str]) -> None:
    """Parse a command line as far as it goes: in a sentence, a few flags may stand alone."""
    name, *arguments = words
    if name in ("COMMAND", "--help", "--version", "--print_completion"):
        return
    assert name in COMMANDS, name
    parser = importlib.import_module(f"anomalist.cli.{name}").parser()
    if arguments and arguments[0] in parser.subcommands:
        parser = parser.subcommands[arguments.pop(0)]
    parser.add_names(arguments)
    known = set(parser._option_string_actions)
    flags = [word.split("=")[0] for word in arguments if word.startswith("--")]
    assert set(flags) <= known, set(flags) - known
    if "--help" in flags:
        return
    with contextlib.suppress(_IncompleteError):
        parsed = _parsed(parser, arguments)
        if name == "benchmark":
            assert building.build_detectors(parsed, Output())


class _IncompleteError(Exception):
    """Arguments are missing."""


def _parsed(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    try:
        return parser.parse_args(arguments)
    except ArgumentError as error:
        if " needs " in str(error):
            raise _IncompleteError from error
        raise


@pytest.mark.parametrize("name", [page for page in PAGES if next(inline(read(page)), None)])
def test_commands_in_sentences_have_arguments_that_exist(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in inline(read(name)):
        words = shlex.split(command.text)
        print(f"{name}:{command.line}: {command.text}")
        if words[0] == "anomalist":
            check_arguments(words[1:])
        elif words[1].startswith("benchmarks/"):
            check_benchmark(words[1:], monkeypatch)


def test_every_reason_for_leaving_a_line_out_is_needed() -> None:
    lines = [c.text for page in PAGES for b in blocks(read(page)) for c in commands(b)]
    assert all(any(words in line for line in lines) for words in NOT_RUN)
