"""What fuzzing has found stays fixed, and a short run of it finds nothing new."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from anomalist.data import read_image
from anomalist.errors import DataError
from fuzz.harness import attempt
from fuzz.images import Images
from fuzz.models import Models

CORPUS = Path(__file__).parent / "corpus"
BENT = json.loads((CORPUS / "models.json").read_text())
CASES = {"images": 400, "models": 120}


@pytest.fixture(scope="module")
def images() -> Images:
    return Images()


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    made = Models()
    yield made
    made.close()


def fails(target: Images | Models, content: bytes, path: Path) -> str:
    """How a case breaks a promise, warnings included; nothing if it keeps all."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        outcome = attempt(target, content, path, watched=False)
    told = [f"warns {w.category.__name__}: {w.message}" for w in seen]
    return outcome if outcome.startswith("FINDING") else "; ".join(told)


@pytest.mark.parametrize("name", sorted(p.name for p in (CORPUS / "images").iterdir()))
def test_images_that_broke_a_promise_keep_it(name: str, images: Images, tmp_path: Path) -> None:
    content = (CORPUS / "images" / name).read_bytes()
    assert not fails(images, content, tmp_path / "case.bin")


@pytest.mark.parametrize("name", BENT)
def test_headers_that_broke_a_promise_keep_it(name: str, models: Models, tmp_path: Path) -> None:
    bent = BENT[name]
    content = models.bent(bent["seed"], bent["place"], bent["value"])
    assert not fails(models, content, tmp_path / "case.bin")


def test_a_huge_webp_is_refused_before_its_reader_takes_memory(
    images: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="13841 x 11053 pixels, more than the limit"):
        read_image(CORPUS / "images" / "huge-canvas.webp")
    sizes = []

    def check(_: object, size: tuple[int, int], limit: int) -> None:
        sizes.append(size)

    monkeypatch.setattr("anomalist.data.picture.check_pixels", check)
    for name, content in images.seeds.items():
        (tmp_path / name).write_bytes(content)
        read_image(tmp_path / name)
        announced, opened = sizes[-2:]
        assert announced == (opened if name.endswith(".webp") else (0, 0))


def test_seeds_are_read(images: Images, models: Models, tmp_path: Path) -> None:
    for name, content in images.seeds.items():
        outcome = attempt(images, content, tmp_path / "case.bin", watched=False)
        assert outcome.startswith("read as image"), name
    for name, content in models.seeds.items():
        outcome = attempt(models, content, tmp_path / "case.bin", watched=False)
        assert outcome.startswith("loaded"), name


@pytest.mark.parametrize("kind", ["images", "models"])
def test_damaged_files_are_read_or_refused(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    target = request.getfixturevalue(kind)
    outcomes = set()
    for number in range(CASES[kind]):
        content = target.case(np.random.default_rng([1, number]))
        path = tmp_path / "case.bin"
        assert not fails(target, content, path), f"case {number} of seed 1"
        outcomes.add(attempt(target, content, path, watched=False).split(":")[0])
    assert len(outcomes) >= 2  # some are read, some refused


def test_a_broken_promise_is_seen(tmp_path: Path) -> None:
    class Careless(Images):
        def check(self, path: Path) -> str:
            return str(path.read_bytes()[0])

    assert fails(Careless(), b"", tmp_path / "case.bin").startswith("FINDING raises IndexError")
