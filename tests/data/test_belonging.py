from __future__ import annotations

from pathlib import Path

import pytest

from anomalist.data.belonging import belong
from anomalist.errors import DataError

IMAGES = [
    Path(f"/data/bottle/test/{kind}/{stem}.png")
    for kind in ("broken_large", "broken_small", "good")
    for stem in ("000", "001")
]


@pytest.mark.parametrize(
    "pattern",
    [
        "{kind}/{stem}.npy",
        "{kind}/{stem}.png.npy",
        "{kind}/{stem}_map.tiff",
        "{kind}/{stem}_anomaly_map.tiff",
        "{kind}/{stem}-heatmap.png",
        "{kind}/map_{stem}.tif",
        "Patchcore/MVTecAD/bottle/v0/images/test/{kind}/{stem}.tiff",
        "results\\test\\{kind}\\{stem}.npy",
        "/elsewhere/bottle/test/{kind}/{stem}.png",
        "{kind}_{stem}.npy",
        "test_{kind}_{stem}_map.npy",
        "bottle-test-{kind}-{stem}.npy",
        "BROKEN/{kind}/{stem}.NPY",
    ],
)
def test_names_of_the_field(pattern: str) -> None:
    names = [pattern.format(kind=p.parent.name, stem=p.stem) for p in IMAGES]
    found = belong(names, IMAGES)
    assert found.of == {i: i for i in range(len(IMAGES))}
    assert found.strays == ()


def test_a_bare_stem_will_do_if_it_is_of_one_image() -> None:
    images = [Path("good/a.png"), Path("cut/b.png")]
    assert belong(["b.npy", "a_map.npy", "c.npy"], images).of == {0: 1, 1: 0}
    with pytest.raises(DataError, match=r"the map 000\.npy fits 3 images"):
        belong(["000.npy"], IMAGES)


def test_folders_do_not_contradict() -> None:
    images = [Path("bottle/test/cut/000.png"), Path("bottle/test/good/001.png")]
    found = belong(["test/good/000.npy", "train/good/001.npy", "validation/good/001.npy"], images)
    assert found.of == {}
    assert len(found.strays) == 3


def test_an_exact_stem_comes_before_one_without_its_suffix() -> None:
    images = [Path("cut/a.png"), Path("cut/a_map.png")]
    assert belong(["cut/a_map.npy", "cut/a.npy"], images).of == {0: 1, 1: 0}


def test_two_for_one_image() -> None:
    found = belong(["good/000.png", "good/000.npy", "good/000_map.tiff"], IMAGES)
    assert found.of == {4: 1}
    assert len(found.doubles) == 2
    with pytest.raises(DataError, match="both a map"):
        belong(["good/000.npy", "good/000_map.npy"], IMAGES)


def test_other_categories_are_passed_over() -> None:
    found = belong(
        ["screw/test/good/000.npy", "bottle/test/good/001.npy"], IMAGES, elsewhere=["screw"]
    )
    assert found.of == {5: 1}
    assert found.strays == ()


def test_unicode_and_case() -> None:
    images = [Path("test/Kr\u00e4tzer/\u00fc1.PNG")]
    assert belong(["kra\u0308tzer/u\u03081_map.npy"], images).of == {0: 0}
