"""What is ignored has no part in what any detector learns, scores, keeps or exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from anomalist import Ensemble, PaDiM, PatchCore, load
from anomalist.data import ImageSet, Sample
from anomalist.detectors import DETECTORS, Detector
from anomalist.detectors.shards import deal_shards
from anomalist.errors import DataError, ModelFileError, ParameterError
from anomalist.features import FeatureStore

FAST: dict[str, Any] = {"image_size": 64, "layers": ("blocks.2",), "device": "cpu"}
OF: dict[str, dict[str, Any]] = {
    "glass": {"meta_epochs": 2, "variants": 1},
    "cfa": {"epochs": 1},
    "spade": {"layers": ("blocks.2", "blocks.4")},
    "ensemble": {"members": ("padim", "dfm")},
}
LABEL = (40, 40, 30, 20)


def photographs(n: int = 6, seed: int = 0, *, label: bool = True) -> list[npt.NDArray[np.uint8]]:
    """Of a grey plate on white, of which each carries a label of its own."""
    made = []
    for i in range(n):
        rng = np.random.default_rng(100 * seed + i)
        plate = np.full((96, 96, 3), 235, np.uint8)
        plate[16:80, 16:80] = rng.integers(110, 130, (64, 64, 3), np.uint8)
        if label:
            x, y, width, height = LABEL
            plate[y : y + height, x : x + width] = np.random.default_rng(
                1000 + 100 * seed + i
            ).integers(0, 256, (height, width, 3))
        made.append(plate)
    return made


def other_labels(plates: list[npt.NDArray[np.uint8]]) -> list[npt.NDArray[np.uint8]]:
    x, y, width, height = LABEL
    changed = [plate.copy() for plate in plates]
    for plate in changed:
        plate[y : y + height, x : x + width] = 255 - plate[y : y + height, x : x + width]
    return changed


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_no_pixel_that_is_ignored_changes_a_bit(name: str, tmp_path: Path) -> None:
    kind: type[Detector] = DETECTORS[name]
    detector = kind(**{**FAST, **OF.get(name, {})}, ignore_box=(LABEL,))
    detector.fit(photographs())
    ignored = detector.preparation.ignored
    assert ignored is not None
    plates = photographs(3, seed=1)
    found = detector.predict(plates)
    again = detector.predict(other_labels(plates))
    assert np.array_equal(found.scores, again.scores)
    assert np.array_equal(found.maps, again.maps)
    assert (found.maps[:, ignored.mask] == found.maps.min(axis=(1, 2))[:, None]).all()
    detector.save(tmp_path / "a.anomalist")
    loaded = load(tmp_path / "a.anomalist")
    assert np.array_equal(loaded.predict(plates).maps, found.maps)
    plain = kind(**{**FAST, **OF.get(name, {})}).fit(photographs())
    assert not np.array_equal(plain.predict(plates).maps, plain.predict(other_labels(plates)).maps)


def test_it_is_settled_once_for_all_folds_and_each_photograph_passes_once() -> None:
    plates = photographs(6)
    store = FeatureStore()
    detector = PaDiM(**FAST, ignore_box=(LABEL,)).fit(plates, store=store)
    copied = detector.unfitted(ImageSet([Sample(str(i), image=p) for i, p in enumerate(plates)]))
    assert copied.settled_ is detector.settled_
    PatchCore(**FAST, ignore_box=(LABEL,)).fit(plates, store=store).calibrate(plates, store=store)
    assert store.passes == 6
    assert copied.fit(plates[:4], store=store).preparation.key == detector.preparation.key
    assert store.passes == 6
    # What a fit settled is not kept for the next.
    assert copied.fit(photographs(6, seed=2)).preparation.key != detector.preparation.key


def test_a_mask_is_told_apart_from_the_same_photographs_without(tmp_path: Path) -> None:
    mask = np.zeros((48, 48), np.uint8)
    mask[10:30] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    store = FeatureStore()
    for settings in ({}, {"ignore": str(tmp_path / "mask.png")}, {"foreground": "auto"}):
        PaDiM(**FAST, **settings).fit(photographs(label=False), store=store)
    assert store.passes == 18


def test_foreground_keeps_the_part_and_a_little_around_it() -> None:
    detector = PaDiM(**FAST, foreground="auto").fit(photographs(label=False))
    ignored = detector.preparation.ignored
    assert ignored is not None
    assert not ignored.mask[10:54, 10:54].any()
    assert ignored.mask[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    # A label is no part of it, though it stands out as well.
    both = PaDiM(**FAST, foreground="auto", ignore_box=((70, 70, 26, 26),))
    labelled = photographs(label=False)
    for plate in labelled:
        plate[74:92, 74:92] = 20
    found = both.fit(labelled).preparation.ignored
    assert found is not None
    assert found.mask[48:, 58:].all()
    assert found.mask[58:, 48:].all()
    texture = [np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8) for i in range(4)]
    with pytest.raises(DataError, match=r"foreground auto finds no part .* in 4 of 4 photographs"):
        PaDiM(**FAST, foreground="auto").fit(texture)


def test_values_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for box in ((-1, 0, 5, 5), (0, 0, 0, 5)):
        with pytest.raises(ParameterError, match="ignore_box must be left, top, width and height"):
            PaDiM(ignore_box=(box,))
    with pytest.raises(ParameterError, match="foreground must be auto or null"):
        PaDiM(foreground="part")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="all of the photographs is ignored"):
        PaDiM(**FAST, ignore_box=((0, 0, 96, 96),)).fit(photographs())


def test_an_ensemble_ignores_what_no_member_looks_at(tmp_path: Path) -> None:
    members = (PaDiM(**{**FAST, "image_size": 32}), "dfm")
    ensemble = Ensemble(members=members, **FAST, ignore_box=(LABEL,)).fit(photographs())
    assert all(member.preparation.ignored for member in ensemble.members_)
    ignored = ensemble.preparation.ignored
    assert ignored is not None
    assert ignored.mask.shape == (64, 64)
    ensemble.save(tmp_path / "a.anomalist")
    kept = load(tmp_path / "a.anomalist").preparation.ignored
    assert kept is not None
    assert kept.key == ignored.key


def test_a_file_that_lacks_or_garbles_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.anomalist"
    PaDiM(**FAST, ignore_box=(LABEL,)).fit(photographs()).save(path)
    header, tensors = PaDiM.load(path)._state()
    header = json.loads(json.dumps(header))
    lacking = {n: t for n, t in tensors.items() if n != "preparation.ignored.mask"}
    short = tensors | {"preparation.ignored.fill": torch.zeros(2, 3, dtype=torch.uint8)}
    small = tensors | {"preparation.ignored.mask": torch.zeros(8, 8, dtype=torch.bool)}
    for changed, told in ((lacking, "is missing"), (short, "doesn't fit"), (small, "of shape")):
        with pytest.raises(ModelFileError, match=told):
            PaDiM.rebuild(path, header, changed, None)
    header["parameters"]["ignore_box"] = []
    with pytest.raises(ModelFileError, match="doesn't belong there"):
        PaDiM.rebuild(path, header, tensors, None)


def test_what_is_ignored_has_no_part_in_how_photographs_look() -> None:
    detector = PaDiM(**FAST, ignore_box=(LABEL,)).fit(photographs())
    for store in (None, FeatureStore()):
        one, other = (
            ImageSet([Sample("a", image=plates[0])])
            for plates in (photographs(1), other_labels(photographs(1)))
        )
        for images in (one, other):
            detector.predict(images, store=store)
        looks = [images[0].known_look(detector.sight) for images in (one, other)]
        assert looks[0] is not None
        assert looks[1] is not None
        assert looks[0].brightness == looks[1].brightness
        again = Sample("a", image=photographs(1)[0]).look(detector.sight)
        assert again.contrast == looks[0].contrast
        assert again.contrast != one[0].look(detector.transform).contrast


def test_shards_share_it() -> None:
    plates = ImageSet([Sample(str(i), image=plate) for i, plate in enumerate(photographs())])
    detector = PaDiM(**FAST, ignore_box=(LABEL,), dimensions=4)
    settled, shards = detector.settle(plates), deal_shards(len(plates), 2)
    summaries = [detector.summarise(plates[s.slice], s, settled=settled) for s in shards]
    joined = PaDiM(**detector.parameters()).join(summaries, shards, settled=settled)
    whole = detector.fit(plates)
    assert joined.preparation.key == whole.preparation.key
    assert np.allclose(joined.predict(plates).maps, whole.predict(plates).maps, rtol=1e-3)
