"""Photographs that are damaged, odd or of a rare kind."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tests.bad_input.case import (
    KINDS,
    Case,
    benchmark,
    both,
    content,
    deep_colour,
    deep_grey,
    evaluate,
    failed,
    fit,
    floats,
    good_ones,
    grey,
    has_proportions,
    opaque_nowhere,
    parts,
    photograph,
    png,
    predict,
    same_as,
    tiff,
    torn,
    turned,
)

CASES = [
    predict(
        "truncated image",
        "torn.png",
        "failed: torn.png can't be read as an image: image file is truncated",
        3,
        torn("torn.png"),
        after=failed(1),
    ),
    predict(
        "empty file",
        "empty.png",
        "failed: empty.png is empty: replace or remove it",
        3,
        content("empty.png", b""),
        after=failed(1),
    ),
    predict(
        "PNG file called .jpg",
        "a.jpg",
        "1 image: 1 normal",
        0,
        lambda here: photograph(here, "a.jpg", format="PNG"),
    ),
    predict(
        "text file called .png",
        "text.png",
        f"failed: text.png isn't an image that can be read {KINDS}: replace or remove it",
        3,
        content("text.png", "hello"),
        after=failed(1),
    ),
    predict(
        "small file that says it has 100000 x 100000 pixels",
        "bomb.png",
        "failed: bomb.png has far more pixels than the limit of 100000000: scale it down or cut it"
        " into pieces",
        3,
        content("bomb.png", png(100_000, 100_000, 8, b"")),
        after=failed(1),
    ),
    predict(
        "more pixels than the limit",
        "big.png",
        "failed: big.png has 12000 x 12000 pixels, more than the limit of 100000000: scale it down"
        " or cut it into pieces",
        3,
        content("big.png", png(12_000, 12_000, 8, b"")),
        after=failed(1),
    ),
    predict(
        "16-bit grey",
        "deep.png",
        "1 image: 1 anomalous",
        0,
        deep_grey,
        after=same_as("eight.png", grey(0)[..., 0]),
    ),
    predict(
        "16-bit colour",
        "deep.png",
        "1 image: 1 normal",
        0,
        deep_colour,
        after=same_as("eight.png", grey(0)),
    ),
    predict(
        "CMYK",
        "cmyk.jpg",
        "1 image: 1 ...",
        0,
        lambda here: Image.fromarray(grey(0)).convert("CMYK").save(here / "cmyk.jpg"),
    ),
    predict(
        "palette with a transparent colour",
        "palette.png",
        "1 image: 1 ...",
        0,
        lambda here: (
            Image.fromarray(grey(0)).convert("P").save(here / "palette.png", transparency=3)
        ),
    ),
    predict(
        "photograph that its EXIF data turn",
        "turned.jpg",
        "1 image: 1 ...",
        0,
        turned,
        after=has_proportions(48, 64),
    ),
    predict(
        "1 x 1 image",
        "one.png",
        "1 image: 1 anomalous",
        0,
        lambda here: Image.new("RGB", (1, 1), "red").save(here / "one.png"),
        after=has_proportions(1, 1),
    ),
    predict(
        "12-bit camera: values to 4095 in 16 bits",
        "deep.tif",
        "1 image: 1 anomalous",
        0,
        tiff("deep.tif", grey(0)[..., 0].astype(np.uint16) * 16),
    ),
    predict(
        "16 bits of grey where white is zero",
        "negative.tif",
        "1 image: 1 anomalous",
        0,
        tiff("negative.tif", ~(grey(0)[..., 0].astype(np.uint16) * 257), photometric="miniswhite"),
        after=same_as("eight.png", grey(0)[..., 0]),
    ),
    predict(
        "16 bits of colour in planes",
        "planes.tif",
        "1 image: 1 normal",
        0,
        tiff(
            "planes.tif",
            grey(0).transpose(2, 0, 1).astype(np.uint16) * 257,
            photometric="rgb",
            planarconfig="separate",
        ),
        after=same_as("eight.png", grey(0)),
    ),
    predict(
        "signed values below zero",
        "signed.tif",
        "failed: signed.tif can't be read as an image: its int16 values go from -5 to -5, not"
        " within 0..65535; save it with 8 or 16 bits",
        3,
        tiff("signed.tif", np.full((64, 64), -5, np.int16)),
        after=failed(1),
    ),
    predict(
        "camera raw",
        "raw.tif",
        "failed: raw.tif can't be read as an image: it is a camera's raw file, whose colours aren't"
        " made yet: develop it to 16-bit TIFF, all images with the same settings, or let the camera"
        " save JPEG",
        3,
        tiff("raw.tif", np.full((64, 64), 5, np.uint16), photometric="cfa"),
        after=failed(1),
    ),
    predict(
        "DICOM",
        "a.dcm",
        "failed: a.dcm is a DICOM file: export its frames as 16-bit TIFF or PNG, all with the same"
        " window",
        3,
        content("a.dcm", bytes(128) + b"DICM" + bytes(100)),
        after=failed(1),
    ),
    predict(
        "GIF",
        "a.gif",
        "failed: a.gif is a GIF image, of 256 colours at most, which isn't read: save it as PNG or"
        " TIFF",
        3,
        lambda here: photograph(here, "a.gif"),
        after=failed(1),
    ),
    fit(
        "12-bit camera: values to 4095 in 16 bits",
        "",
        "Note: 4 images use 1/16 of the 16-bit range: 4095 (12 bits) is white in all images of this"
        " model; --bit_depth says otherwise",
        0,
        good_ones(lambda i: grey(i)[..., 0].astype(np.uint16) * 16),
    ),
    fit(
        "opacity of 0 everywhere",
        "",
        "Note: 4 images have an opacity of 0 everywhere, which was ignored: parts/good/0.png,"
        " parts/good/1.png, parts/good/2.png, ...",
        0,
        good_ones(opaque_nowhere),
    ),
    fit(
        "one black image",
        "",
        "Note: parts/good/0.png has one value everywhere",
        0,
        good_ones(lambda i: grey(i) * np.uint8(i > 0)),
    ),
    fit(
        "black images only",
        "",
        "anomalist: error: parts/good/0.png has one value everywhere, as all of the images to learn"
        " from (4): was there light, and no cap on the lens?",
        1,
        good_ones(lambda i: np.zeros((64, 64 + i), np.uint8)),
    ),
    predict("TIFF of floats from 0 to 1", "float.tif", "1 image: 1 ...", 0, floats(0.5)),
    predict(
        "NaN in a TIFF of floats",
        "float.tif",
        "failed: float.tif can't be read as an image: ...; save it with 8 or 16 bits",
        3,
        floats(float("nan")),
        after=failed(1),
    ),
    predict(
        "infinity in a TIFF of floats",
        "float.tif",
        "failed: float.tif can't be read as an image: ...; save it with 8 or 16 bits",
        3,
        floats(float("inf")),
        after=failed(1),
    ),
    fit(
        "truncated image among those to learn from",
        "",
        "anomalist: error: parts/good/9.png can't be read as an image: image file is truncated",
        1,
        both(parts, torn("parts/good/9.png")),
    ),
    fit(
        "empty file among those to learn from",
        "",
        "anomalist: error: parts/good/9.png is empty: replace or remove it (or leave them out with"
        " --exclude)",
        1,
        both(parts, content("parts/good/9.png", b"")),
    ),
    fit(
        "truncated image among those to test on",
        "",
        "anomalist: error: parts/scratch/9.png can't be read as an image: image file is truncated;"
        " the model is in new.anomalist, but wasn't measured",
        1,
        both(parts, torn("parts/scratch/9.png")),
        leaves=("new.anomalist", "new_least_normal.png"),
    ),
    evaluate(
        "truncated image",
        "anomalist: error: parts/scratch/9.png can't be read as an image: image file is truncated",
        1,
        both(parts, torn("parts/scratch/9.png")),
    ),
    benchmark(
        "truncated image",
        "",
        "anomalist: error: parts/scratch/9.png can't be read as an image: image file is truncated",
        1,
        both(parts, torn("parts/scratch/9.png")),
    ),
    Case(
        "truncated image",
        "export model.anomalist --out new.onnx --data parts",
        "anomalist: error: parts/good/9.png can't be read as an image: image file is truncated",
        1,
        both(parts, torn("parts/good/9.png")),
    ),
    Case(
        "truncated image",
        "synthesize parts --out sheet.png",
        "anomalist: error: parts/a.png can't be read as an image: image file is truncated",
        1,
        torn("parts/a.png"),
    ),
]
