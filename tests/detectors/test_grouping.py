from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from anomalist import PatchCore
from anomalist.data import ImageSet, Sample
from anomalist.detectors.grouping import calibrate_grouped, group_images
from anomalist.errors import AnomalistError

NAMES = ["a/p1_1.png", "a/p1_2.png", "b/p2_1.png", "b/p2_2.png", "b/p10_1.png"]


def named(names: Sequence[str], groups: Sequence[str | None] | None = None) -> ImageSet:
    told = groups or [None] * len(names)
    return ImageSet([Sample(Path("/data") / n, group=g) for n, g in zip(names, told, strict=True)])


def found(how: str | Sequence[object], images: ImageSet | None = None) -> list[int]:
    images = named(NAMES) if images is None else images
    return group_images(images, how).groups.tolist()  # type: ignore[arg-type]


def test_scenes_are_found_by_folder_name_or_as_given() -> None:
    assert found("none") == [0, 1, 2, 3, 4]
    assert found("by-folder") == [0, 0, 1, 1, 1]
    assert found(r"by-name p\d+") == found(r"by-name p(\d+)_") == [0, 0, 1, 1, 2]
    assert found(r"by-name ([ab])/p(\d)") == [0, 0, 1, 1, 2]
    assert found(r"by-name p1_") == [0, 0, 1, 2, 3]
    assert found([7, 7, 7, "x", "x"]) == [0, 0, 0, 1, 1]
    assert found("auto", named(NAMES, [None, "x", "x", "y", None])) == [0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("by-name (", "by-name takes a regular expression, .* is none: missing"),
        ("by-name", "by-name takes a pattern"),
        ("by-name  ", "by-name takes a pattern"),
        ("by-name x+", "finds nothing in the names of 5 images, such as a/p1_1.png"),
        ("by-name p", "gives one scene for all 5 images, such as a/p1_1.png: parentheses"),
        ("folders", "groups must be auto, none, by-folder or by-name PATTERN, not 'folders'"),
        ("", "groups must be auto"),
        ([1, 2], "groups must be one an image, 5 in all, not 2"),
        ([[1], [2], [3], [4], [5]], "names or numbers that can be compared"),
    ],
)
def test_groups_that_make_no_sense_are_refused(how: str | list[object], told: str) -> None:
    with pytest.raises(AnomalistError, match=told):
        found(how)


def test_one_folder_names_no_scene() -> None:
    with pytest.raises(AnomalistError, match="one scene for all 2 images, which lie in one folder"):
        found("by-folder", named(["a/1.png", "a/2.png"]))


def test_frames_of_a_run_are_found_by_what_they_show() -> None:
    rng = np.random.default_rng(0)
    samples = []
    for scene in range(5):
        cloth = rng.normal(120, 40, (16, 40, 3)).repeat(4, axis=0).repeat(4, axis=1)
        cloth += rng.normal(0, 20, cloth.shape) + 60 * rng.random(3)
        for shot in range(8):
            crop = cloth[:, 12 * shot : 12 * shot + 64].clip(0, 255).astype(np.uint8)
            # Nine before ten, as people count.
            samples.append(Sample(Path(f"{scene}_{shot + 5}.png"), image=crop))
    order = rng.permutation(len(samples))
    shuffled = ImageSet([samples[i] for i in order])
    detector = PatchCore(image_size=64, device="cpu")
    grouping = group_images(shuffled, "auto")
    # Frames far apart have nothing in common, and may well be of pieces of their own.
    found_in_order = grouping.groups[np.argsort(order)].reshape(5, 8)
    assert (np.diff(found_in_order, axis=1) == 0).mean() > 0.7
    assert (found_in_order[1:, 0] == found_in_order[:-1, -1]).sum() <= 1
    assert "independent scenes by what they show" in grouping.notes[0]
    calibrate_grouped(detector.fit(shuffled), shuffled, grouping)
    assert detector.calibration_ is not None
    assert detector.calibration_.scenes == grouping.groups.max() + 1


def test_images_of_one_scene_promise_what_one_can() -> None:
    rng = np.random.default_rng(1)
    shots = rng.normal(110, 6, (20, 64, 64, 3)).astype(np.uint8)
    images = ImageSet([Sample(Path(f"{i}.png"), image=shot) for i, shot in enumerate(shots)])
    detector = PatchCore(image_size=64, device="cpu").fit(images)
    grouping = group_images(images, ["one"] * 20)
    assert grouping.apart is None
    good = calibrate_grouped(detector, images, grouping)
    assert detector.calibration_ is not None
    assert detector.calibration_.scenes == 1
    assert detector.calibration_.threshold(0.05) == good.scores.max()
    assert detector.calibration_.p_values(1e9) == 0.5
