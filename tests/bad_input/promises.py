"""Good images that aren't what they should be, and photographs unlike them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bad_input.case import Case, evaluate, fit, grey, parts, save_grey


def with_odd(*odd: int) -> Callable[[Path], object]:
    """Twenty good photographs, some of which are two-valued."""

    def make(here: Path) -> None:
        for i in range(20):
            pixels = grey(i)
            if i in odd:
                pixels = np.zeros_like(pixels)
                pixels[20:40, 20:40] = 255
                pixels[0, 0] = i
            save_grey(here / "parts" / f"{i:03}.png", pixels)

    return make


def shots(here: Path) -> None:
    """Ten photographs each of four parts."""
    rng = np.random.default_rng(0)
    for part in range(4):
        for shot in range(10):
            pixels = grey(part) + rng.integers(-1, 2, (64, 64, 3))
            save_grey(here / "parts" / f"{part}-{shot}.png", pixels.astype(np.uint8))


def labelled(light: int = 0, side: int = 64) -> Callable[[Path], object]:
    """Good photographs and defective ones, of another light or size."""

    def make(here: Path) -> None:
        for i in range(6):
            pixels = np.asarray(Image.fromarray(grey(100 + i)).resize((side, side)))
            save_grey(here / "parts" / "good" / f"{i}.png", pixels + np.uint8(light))
            bad = pixels + np.uint8(light)
            bad[10:30, 10:30] += 90
            save_grey(here / "parts" / "bent" / f"{i}.png", bad)

    return make


def three(here: Path) -> None:
    """Three good photographs that no model was fitted to."""
    for i in range(3):
        save_grey(here / "parts" / f"{i}.png", grey(100 + i))


CASES = [
    fit(
        "a mask among twenty good photographs",
        "",
        "warning: threshold ... is set by parts/017.png, whose score lies far above the others;"
        " without it, and without fitting anew, it would be ...; look at it, --exclude leaves it"
        " out",
        0,
        with_odd(17),
    ),
    fit(
        "three masks alike among them",
        "",
        "warning: threshold ... is set by parts/..., parts/..., parts/..., whose scores lie far"
        " above the others; without them, and without fitting anew, it would be ...; look at them,"
        " --exclude leaves them out",
        0,
        with_odd(3, 9, 17),
    ),
    fit(
        "a mask among them where the threshold is for another rate",
        "--alpha 0.2",
        "warning: parts/017.png: held-out score far above all others'; without it, and without"
        " fitting anew, it would be ...; look at it, --exclude leaves it out",
        0,
        with_odd(17),
    ),
    fit(
        "ten photographs each of four parts",
        "",
        "threshold ..., the highest score of 40 good images of about 4 independent scenes, too"
        " few to guarantee a false-alarm rate of 5%, which takes 19 scenes: so few promise 20.0%,"
        " expect 0.6% to 60.2%",
        0,
        shots,
    ),
    fit(
        "ten photographs each of four parts whose names say so",
        r"--groups by-name '^(\d)-'",
        "Note: 40 images to learn from, 4 independent scenes by name: the promise is for those",
        0,
        shots,
    ),
    fit(
        "a pattern for scenes that is no regular expression",
        "--groups by-name '('",
        "anomalist: error: by-name takes a regular expression, such as 'part(\\d+)', and '(' is"
        " none: missing ), unterminated subpattern at position 0",
        1,
        shots,
    ),
    fit(
        "a pattern for scenes that is in no name",
        "--groups by-name frame",
        "anomalist: error: by-name 'frame' finds nothing in the names of 40 images, such as"
        " 0-0.png: 'part(\\d+)' finds the number after part",
        1,
        shots,
    ),
    fit(
        "a pattern for scenes that finds the same in all names",
        "--groups by-name png",
        "anomalist: error: by-name 'png' gives one scene for all 40 images, such as 0-0.png:"
        " parentheses mark what names the scene, as in 'part(\\d+)'",
        1,
        shots,
    ),
    fit(
        "scenes by folder where all lie in one",
        "--groups by-folder",
        "anomalist: error: by-folder gives one scene for all 40 images, which lie in one folder,"
        " ...: put each scene into a folder of its own, or use by-name",
        1,
        shots,
    ),
    fit(
        "a way to find scenes that there isn't",
        "--groups folder",
        "anomalist: error: groups must be auto, none, by-folder or by-name PATTERN, not 'folder'",
        1,
        shots,
    ),
    evaluate(
        "good photographs that are brighter than any learnt from",
        "Note: 6 of 6 good images are brighter than any learnt from (mean grey level up to ...,"
        " where ... was learnt from): what the threshold promises isn't for them",
        0,
        labelled(light=40),
    ),
    evaluate(
        "good photographs of another size than any learnt from",
        "Note: 6 of 6 good images are of another size (96 x 96 pixels) than any learnt from"
        " (64 x 64): what the threshold promises isn't for them",
        0,
        labelled(side=96),
    ),
    evaluate(
        "good photographs that alarm far more often than promised",
        "Note: 6 of 6 good images alarm: far above the ... to ... that was promised; the promise"
        " doesn't hold for these photographs",
        0,
        labelled(light=60),
    ),
    Case(
        "too few new good photographs for a threshold",
        "calibrate model.anomalist --data parts --out new.anomalist",
        "anomalist: error: parts has 3 new good images, and a threshold for a false-alarm rate of"
        " 0.2 takes 4: photograph 1 more, or ask for a higher --alpha",
        1,
        three,
    ),
    Case(
        "photographs to calibrate with that the model was fitted to",
        "calibrate model.anomalist --data parts --out new.anomalist",
        "anomalist: error: parts has 0 new good images (and 6 others that it was fitted to), and a"
        " threshold for a false-alarm rate of 0.2 takes 4: photograph 4 more, or ask for a higher"
        " --alpha",
        1,
        lambda here: parts(here, 6, 0),
    ),
    fit(
        "a folder to add that has nothing new",
        "--add parts",
        "anomalist: error: parts has no good image to add that isn't in parts",
        1,
    ),
]
