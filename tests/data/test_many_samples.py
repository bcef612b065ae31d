"""Very many samples are held by name, and are the same as if each were held."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from anomalist.data import ImageSet, Sample, many_samples
from anomalist.data.many_samples import FileSamples
from anomalist.data.paths import Paths

COUNT = 10


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_samples, "MOST_HELD", 4)


def samples() -> list[Sample]:
    return [
        Sample(
            f"parts/{i} #%?é.png",
            label=i % 3 == 0,
            defect="cut" if i % 3 == 0 else "good",
            mask=f"masks/{i}.png" if i % 3 == 0 else None,
            group=f"g{i // 2}" if i > 5 else None,
            saturation=Path("saturation.json") if i == 9 else None,
        )
        for i in range(COUNT)
    ]


def test_they_are_what_was_given() -> None:
    given = samples()
    images = ImageSet(iter(given), "parts")
    assert isinstance(images._samples, FileSamples)
    assert list(images) == given
    assert images[-1] == given[-1]
    assert images[np.int64(3)] == given[3]
    assert list(images.paths) == [sample.path for sample in given]
    assert images.labels is not None
    assert images.labels.tolist() == [sample.label for sample in given]
    assert images.defects == [sample.defect for sample in given]
    with pytest.raises(IndexError):
        images[COUNT]


def test_what_is_chosen_of_them_is_chosen_again() -> None:
    given = samples()
    images = ImageSet(given)
    for chosen in (slice(2, 9, 3), slice(None, None, -1), [7, 1, 1], np.arange(COUNT) % 2 == 1):
        some = images[chosen]  # type: ignore[index]
        wanted = ImageSet(tuple(given))._samples
        of = np.arange(COUNT)[chosen]
        assert list(some) == [wanted[i] for i in of]
        assert list(some[1:]) == [wanted[i] for i in of[1:]]
        assert [defect for _, defect, _ in some._samples.said()] == some.defects  # type: ignore[attr-defined]
    assert len(images[[]]) == 0
    assert ImageSet(images).labels is not None


def test_those_asked_for_last_keep_what_was_learnt_of_them(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(COUNT)]
    for path in paths:
        path.write_bytes(path.name.encode())
    images = ImageSet(map(Sample, paths))
    assert images[2] is images[[2]][0]
    first = images[0]
    assert len({sample.sha256() for sample in images}) == COUNT
    assert images[0] is not first
    assert images[0] == first


def test_they_travel_by_name_those_that_were_chosen() -> None:
    images = ImageSet(samples())
    some = pickle.loads(pickle.dumps(images[6:]))
    assert list(some) == list(images[6:])
    assert len(pickle.dumps(images[6:7])) < len(pickle.dumps(images))


def test_what_is_in_memory_is_held_as_it_is() -> None:
    frame = Sample("frame", image=np.zeros((4, 4), np.uint8))
    given = [*samples(), frame, *samples()]
    images = ImageSet(given)
    assert isinstance(images._samples, tuple)
    assert list(images) == given
    assert images[COUNT] is frame


def test_a_name_that_is_no_text_survives() -> None:
    odd = Path("parts") / b"\xff.png".decode("utf-8", "surrogateescape")
    assert list(Paths([odd])) == [odd]
    assert Paths([odd, Path("a")])[-2] == odd
    with pytest.raises(IndexError):
        Paths()[0]


def test_memory_is_that_of_the_names() -> None:
    tracemalloc.start()
    try:
        images = ImageSet(
            Sample(f"plant/line/day/{i:07}.png", False, "good") for i in range(20_000)
        )
        gc.collect()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(images) == 20_000
    assert held < 20_000 * 80
    assert peak < 20_000 * 100
