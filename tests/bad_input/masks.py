"""Masks that don't fit, aren't there or mean something else."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.bad_input.case import (
    KINDS,
    Case,
    content,
    evaluate,
    fit,
    grey,
    masks,
    moved_away,
    parts,
    photograph,
    predict,
    written,
)
from tests.data.drawn_loco import CONFIG, draw_loco

TRUTH = "parts/ground_truth/scratch/0.png"


def box() -> npt.NDArray[np.bool_]:
    mask = np.zeros((64, 64), np.bool_)
    mask[21:32, 21:32] = True
    return mask


def drawn(here: Path, name: str, image: Image.Image) -> None:
    """Put a mask of the first defect beside a usual one of the second."""
    image.save(here / "parts/ground_truth/scratch" / name)


def inverted(here: Path, *names: str) -> None:
    for name in names:
        drawn(here, name, Image.fromarray((~box() * 255).astype(np.uint8)))


def compressed(here: Path) -> None:
    """A PNG of what was a JPEG."""
    stream = io.BytesIO()
    Image.fromarray((box() * 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
    drawn(here, "0.png", Image.open(stream))


def red_on_white(here: Path) -> None:
    colours = np.full((64, 64, 3), 255, np.uint8)
    colours[box()] = 255, 0, 0
    drawn(here, "0.png", Image.fromarray(colours))


def black_on_nothing(here: Path) -> None:
    layers = np.zeros((64, 64, 4), np.uint8)
    layers[box(), 3] = 255
    drawn(here, "0.png", Image.fromarray(layers))


def as_stored(here: Path) -> None:
    """A mask of the stored photograph, which its EXIF data turn."""
    path = here / "parts/scratch/0.png"
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(np.asarray(Image.open(path))[:48]).save(path, exif=exif)
    drawn(here, "0.png", Image.fromarray((box() * 255).astype(np.uint8)[:48]))


def to_ignore(here: Path, size: tuple[int, int], white: int) -> None:
    """A mask of what is to be ignored, so many rows of it white."""
    mask = np.zeros(size, np.uint8)
    mask[:white] = 255
    Image.fromarray(mask).save(here / "label.png")


def loco(here: Path, config: str | None) -> None:
    """A category of MVTec LOCO whose saturation areas aren't what they should be."""
    path = draw_loco(here) / "defects_config.json"
    if config is None:
        path.unlink()
    else:
        path.write_text(config)


CASES = [
    evaluate(
        "no masks",
        "Note: no pixel metrics: they take masks of defects",
        0,
        parts,
        after=written("out/metrics.json"),
    ),
    evaluate(
        "a mask of one defect is missing",
        "Note: pixels are measured of 1 of 2 anomalous images: 1 has no mask, such as"
        " parts/scratch/1.png",
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
                " parts/scratch/0.png is 64 x 64: if it shows the same, bring it to that size"
                " (without smoothing)...",
                lambda here: masks(here, "0.png", "1.png", size=32),
            ),
            (
                "a mask of low values saved as JPEG",
                "parts/ground_truth/scratch/0.jpg is a mask saved as JPEG whose highest value is"
                " 4, which its compression blurs: save it as PNG...",
                lambda here: (
                    masks(here, "1.png"),
                    drawn(here, "0.jpg", Image.fromarray(box() * np.uint8(3))),
                ),
            ),
            (
                "a mask with a value that isn't a number",
                "parts/ground_truth/scratch/0.tif can't be read as an image: some of its values"
                " aren't numbers; save it with 8 or 16 bits...",
                lambda here: (
                    masks(here, "1.png"),
                    drawn(here, "0.tif", Image.fromarray(np.where(box(), np.nan, np.float32(0)))),
                ),
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
        "Note: 1 anomalous image has an empty mask (all black): no region, all pixels normal",
        0,
        lambda here: (
            masks(here, "0.png", "1.png"),
            Image.new("L", (64, 64)).save(here / "parts/ground_truth/scratch/1.png"),
        ),
    ),
    *(
        evaluate(
            what,
            f"Note: {answer}",
            0,
            lambda here, make=make: (masks(here, "0.png", "1.png"), make(here)),
        )
        for what, answer, make in (
            (
                "a mask in which black means defective",
                f"the mask {TRUTH} marks more than half of its image; if black is what it marks,"
                " invert it",
                lambda here: inverted(here, "0.png"),
            ),
            (
                "masks in all of which black means defective",
                "each of the 2 masks marks more than half of its image; if black is what it marks,"
                " invert it",
                lambda here: inverted(here, "0.png", "1.png"),
            ),
            (
                "an all-white mask",
                f"the mask {TRUTH} marks every pixel of its image",
                lambda here: drawn(here, "0.png", Image.new("L", (64, 64), 255)),
            ),
            (
                "a mask that once was a JPEG",
                f"the mask {TRUTH} has soft edges; half of its highest value is taken for the edge",
                compressed,
            ),
            (
                "a mask of 1 and 2",
                f"the mask {TRUTH} has no black; its lowest value, 1, is taken for the ground",
                lambda here: drawn(here, "0.png", Image.fromarray(box() + np.uint8(1))),
            ),
            (
                "a mask in red on white",
                f"the mask {TRUTH} has no black; its most frequent colour, 255 255 255, is taken"
                " for the ground",
                red_on_white,
            ),
            (
                "a mask in black on a transparent ground",
                f"the mask {TRUTH} has black on a transparent ground; what isn't transparent is"
                " taken for defective",
                black_on_nothing,
            ),
            (
                "a mask of the photograph as it is stored, which its EXIF data turn",
                f"the mask {TRUTH} fits its photograph as it is stored, and was turned as its EXIF"
                " orientation asks",
                as_stored,
            ),
        )
    ),
    evaluate(
        "a mask saved as JPEG",
        "Note: the mask parts/ground_truth/scratch/0.jpg has soft edges; half of its highest value"
        " is taken for the edge",
        0,
        lambda here: masks(here, "0.jpg", "1.png"),
    ),
    *(
        Case(
            f"MVTec LOCO {what}",
            "evaluate model.anomalist pushpins --out out",
            f"Note: no pixel_sPRO: {answer}",
            0,
            make,
            after=written("out/metrics.json"),
        )
        for what, answer, make in (
            (
                "without its defects_config.json",
                "pushpins/defects_config.json is missing: it tells the saturation areas of MVTec"
                " LOCO",
                lambda here: loco(here, None),
            ),
            (
                "with a defects_config.json of something else",
                "pushpins/defects_config.json, entry 0: it must have defect_name, pixel_value,"
                " saturation_threshold, relative_saturation",
                lambda here: loco(here, '[{"defect": "scratch"}]'),
            ),
            (
                "with a mask whose grey value isn't listed",
                "the mask pushpins/ground_truth/logical_anomalies/000/001.png has the grey value"
                " 254, which pushpins/defects_config.json lacks",
                lambda here: loco(here, json.dumps([CONFIG[0], CONFIG[2]])),
            ),
        )
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
    *(
        fit(what, flags, f"anomalist: error: {answer}", 1, make)
        for what, flags, answer, make in (
            (
                "to ignore by a mask that isn't there",
                "--ignore gone.png",
                "there is no file gone.png",
                parts,
            ),
            (
                "to ignore by a mask of other proportions",
                "--ignore label.png",
                "label.png has 64 x 32 pixels, other proportions than photographs of 64 x 64: draw"
                " it on one of them",
                lambda here: (parts(here), to_ignore(here, (32, 64), 9)),
            ),
            (
                "to ignore by a mask that is black",
                "--ignore label.png",
                "label.png ignores nothing: paint white what is to be ignored",
                lambda here: (parts(here), to_ignore(here, (64, 64), 0)),
            ),
            (
                "to ignore everything",
                "--ignore_box 0,0,64,64",
                "all of the photographs is ignored: leave something to look at",
                parts,
            ),
            (
                "a box to ignore that lies outside",
                "--ignore_box 64,0,9,9",
                "ignore_box 64,0,9,9 lies outside the photographs, which have 64 x 64 pixels",
                parts,
            ),
            (
                "a box to ignore in photographs of several sizes",
                "--ignore_box 0,0,9,9",
                "ignore_box is in pixels of the photographs, but they differ in size (32 x 32,"
                " 64 x 64): draw a mask for ignore",
                lambda here: (
                    parts(here),
                    Image.fromarray(grey(9, 32)).save(here / "parts/good/9.png"),
                ),
            ),
            (
                "to ignore the background of a texture",
                "--foreground auto",
                "foreground auto finds no part that stands out from a background in 3 of 3"
                " photographs, such as parts/good/...: leave it out, or draw a mask for ignore",
                parts,
            ),
        )
    ),
]
