"""Conditions and levels of a stress test that make no sense, and data that lack what they take."""

from __future__ import annotations

from pathlib import Path

from tests.bad_input.case import both, content, parts, stress


def only_good(here: Path) -> None:
    parts(here, good=8, defects=0)


def more_settings(here: Path) -> None:
    """Results of another stress test."""
    from anomalist.cli.main import main
    from tests.bad_input.case import FAST

    parts(here)
    assert main(["stress", *FAST["stress"], "parts", "--out", "results", *_ONE]) == 0


_ONE = ["--conditions", "turn=3"]

CASES = [
    stress(
        "a condition that there isn't",
        "--conditions blur",
        "anomalist: error: no condition 'blur'; the conditions are shots, contamination,"
        " brightness, gamma, gradient, focus, noise, jpeg, shift, turn, scale, each with levels as"
        " in brightness=0.8:1.2",
        1,
    ),
    stress(
        "a condition that is misspelt",
        "--conditions brigthness",
        "anomalist: error: no condition 'brigthness'; did you mean brightness? ...",
        1,
    ),
    stress(
        "a condition that is named twice",
        "--conditions turn,turn=3",
        "anomalist: error: condition turn is named twice: join its levels with colons",
        1,
    ),
    stress(
        "a level that is out of range",
        "--conditions contamination=0.1:0.7",
        "anomalist: error: '0.7' is no level of contamination (share of defects among the"
        " photographs learnt from): it must be a number from 0 to 0.4",
        1,
    ),
    stress(
        "a level that is no number",
        "--conditions jpeg=high",
        "anomalist: error: 'high' is no level of jpeg (quality of JPEG): it must be a whole number"
        " from 1 to 95",
        1,
    ),
    stress(
        "a level of half a photograph",
        "--conditions shots=1.5",
        "anomalist: error: '1.5' is no level of shots (good photographs learnt from): it must be a"
        " whole number from 1 up",
        1,
    ),
    stress(
        "images to change that are neither",
        "--where train",
        "anomalist: error: where must be test, all or both, not train",
        1,
    ),
    stress(
        "no draw",
        "--draws 0",
        "anomalist: error: draws must be at least 1, not 0",
        1,
    ),
    stress(
        "fewer images to learn from than shots",
        "--conditions shots=1:16",
        "parts has 3 images to learn from: shots 16 left out",
        0,
    ),
    stress(
        "results of other settings in the folder",
        "--conditions turn=3 --alpha 0.2",
        "anomalist: error: the name patchcore is taken in results by runs of other settings (alpha"
        " 0.05 there, 0.2 here): ...",
        1,
        more_settings,
    ),
    stress(
        "an output folder that is a file",
        "--out taken",
        "anomalist: error: taken/stress.csv: Not a directory",
        1,
        both(parts, content("taken", "kept")),
    ),
    stress(
        "nothing but good images",
        "--conditions turn=3",
        "anomalist: error: parts has no test image to measure on: fit and predict need none",
        1,
        only_good,
    ),
]
