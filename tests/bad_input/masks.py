"""Masks that don't fit, aren't there or mean something else."""

from __future__ import annotations

from PIL import Image

from tests.bad_input.case import (
    KINDS,
    content,
    evaluate,
    fit,
    masks,
    moved_away,
    parts,
    photograph,
    predict,
    written,
)

CASES = [
    evaluate(
        "no masks",
        "Note: no pixel metrics: they take a mask of every defect",
        0,
        parts,
        after=written("out/metrics.json"),
    ),
    evaluate(
        "a mask of one defect is missing",
        "Note: no pixel metrics: they take a mask of every defect",
        0,
        lambda here: masks(here, "0_mask.png"),
    ),
    *(
        case(
            what,
            *more,
            f"anomalist: error: {answer}",
            1,
            make,
        )
        for what, answer, make in (
            (
                "a mask of another size than its image",
                "the mask parts/ground_truth/scratch/0.png is 32 x 32 pixels, but its image"
                " parts/scratch/0.png is 64 x 64...",
                lambda here: masks(here, "0.png", "1.png", size=32),
            ),
            (
                "a mask saved as JPEG",
                "parts/ground_truth/scratch/0.jpg is a mask saved as JPEG, whose compression smears"
                " its edges: save it as PNG...",
                lambda here: masks(here, "0.jpg", "1.png"),
            ),
            (
                "two masks of one image",
                "parts/scratch/0.png has two masks, parts/ground_truth/scratch/0_mask.png and"
                " parts/ground_truth/scratch/0.png: rename or remove one",
                lambda here: masks(here, "0.png", "0_mask.png", "1.png"),
            ),
            (
                "a mask of two images",
                "the mask parts/ground_truth/scratch/0.png fits both parts/scratch/0.jpg and"
                " parts/scratch/0.png: rename one of them",
                lambda here: (masks(here, "0.png"), photograph(here, "parts/scratch/0.jpg")),
            ),
            (
                "a mask without an image beside an image without a mask",
                "the mask parts/ground_truth/scratch/7.png belongs to no image, while"
                " parts/scratch/1.png has no mask: rename it as the image it belongs to"
                " (parts/ground_truth/scratch/1_mask.png, for one), or remove it",
                lambda here: masks(here, "0.png", "7.png"),
            ),
            (
                "a mask that is no image",
                f"parts/ground_truth/scratch/1.png isn't an image that can be read {KINDS}: replace"
                " or remove it...",
                lambda here: (
                    masks(here, "0.png"),
                    content("parts/ground_truth/scratch/1.png", "x")(here),
                ),
            ),
        )
        for case, *more in ((fit, ""), (evaluate,))
    ),
    evaluate(
        "an all-black mask of a defect",
        "Note: 1 anomalous image has an empty mask (all black, or the defect is too small for the"
        " map's resolution): no region, all pixels normal",
        0,
        lambda here: (
            masks(here, "0.png", "1.png"),
            Image.new("L", (64, 64)).save(here / "parts/ground_truth/scratch/1.png"),
        ),
    ),
    predict(
        "photographs beside a folder of masks, which is left out",
        "parts",
        "6 images: 2 anomalous, 4 normal",
        0,
        lambda here: masks(here, "0.png", "1.png"),
    ),
    predict(
        "nothing but masks",
        "parts",
        "anomalist: error: parts holds nothing but masks, such as parts/ground_truth/scratch/0.png",
        1,
        lambda here: (masks(here, "0.png"), moved_away(here)),
    ),
    fit(
        "nothing but masks",
        "",
        "anomalist: error: parts has no good images; it has nothing but masks, in ground_truth. Put"
        " them right into it, or into parts/good with each kind of defect in a folder beside it",
        1,
        lambda here: (masks(here, "0.png"), moved_away(here)),
    ),
]
