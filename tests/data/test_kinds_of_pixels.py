"""Whatever a header says, its pixels come out right, or it is told by name that they don't."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalist.data import Sample, read_image
from anomalist.data.header import white_of
from anomalist.errors import DataError
from tests.reference import tiff as reference

_NUMBERS = {1: "unsigned", 2: "signed", 3: "float"}


def kinds() -> st.SearchStrategy[dict[str, Any]]:
    """Headers by grammar: numbers, bits, colours, extra samples, layout, order, pages."""
    numbers = st.sampled_from(
        [(1, bits) for bits in (1, 2, 4, 8, 10, 12, 14, 16, 24, 32)]
        + [(2, bits) for bits in (8, 16, 32)]
        + [(3, bits) for bits in (16, 32, 64)]
    )
    layout = st.sampled_from([{}, {"rows": 3}, {"rows": 1}, {"tile": 16}])
    return st.builds(
        lambda kind, photometric, extra, planes, big, layout, pages, seed: {
            "numbers": kind[0], "bits": kind[1], "photometric": photometric, "extra": extra,
            "planes": planes, "big": big, "pages": pages, "seed": seed, **layout,
        },
        numbers,
        st.sampled_from([0, 1, 2]),
        st.sampled_from([[], [0], [1], [2], [2, 0], [0, 0]]),
        st.booleans(),
        st.booleans(),
        layout,
        st.integers(1, 3),
        st.integers(0, 99),
    )  # fmt: skip


def drawn(kind: dict[str, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Samples of a kind, as stored, and the colours that they mean, from 0 to 1."""
    rng = np.random.default_rng(kind["seed"])
    channels = 3 if kind["photometric"] == 2 else 1
    height, width = int(rng.integers(3, 20)), int(rng.integers(8, 40))
    top = white_of(kind["bits"], _NUMBERS[kind["numbers"]]) or 2**16 - 1
    top = min(top, 2**15 - 1) if (kind["numbers"], kind["bits"]) == (2, 16) else top
    light = np.linspace(0, 1, height * width * channels).reshape(height, width, channels)
    light = light[:, rng.permutation(width)]
    extra = np.ones((height, width, len(kind["extra"])))
    whole = np.concatenate([1 - light if kind["photometric"] == 0 else light, extra], axis=2)
    if kind["numbers"] == 3:
        return whole, light
    stored = np.round(whole * top).astype(np.int64)
    full = 2**16 - 1 if white_of(kind["bits"], _NUMBERS[kind["numbers"]]) is None else top
    full = top if kind["photometric"] == 0 else full
    colours = stored[..., :channels] / full
    return stored, 1 - colours if kind["photometric"] == 0 else colours


@settings(max_examples=120, derandomize=True, deadline=None)
@given(kinds())
def test_a_ramp_comes_out_within_a_grey_level_or_its_kind_is_named(kind: dict[str, Any]) -> None:
    """The rule of the whole reader, over headers that nobody has thought of."""
    options = {name: value for name, value in kind.items() if name != "seed"}
    stored, expected = drawn(kind)
    content = reference.written(stored, **options)
    values, _ = reference.read(content)
    assert np.allclose(values, stored, atol=1e-3)  # the writer and the slow reader agree
    sample = Sample("camera", image=content)
    if kind["bits"] == 24:
        with pytest.raises(DataError, match="it has samples of 24 bits: save it with 16 bits"):
            sample.read()
        return
    image = np.asarray(sample.read()).astype(float)
    assert np.abs(image - np.broadcast_to(expected * 255, image.shape)).max() <= 1.0
    told = " ".join(sample.remarks())
    assert ("pages" in told) == (kind["pages"] > 1)
    assert sample.size() == image.shape[:2]


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.sampled_from(["uint8", "uint16", "float16", "float32", "float64"]),
    st.sampled_from([None, "lzw", "deflate", "zstd", "packbits", "lzma"]),
    st.booleans(),
    st.sampled_from([None, (16, 16)]),
    st.sampled_from(["grey", "rgb", "planes"]),
    st.booleans(),
    st.sampled_from("<>"),
)
def test_compressed_files_give_what_was_written(
    dtype: str,
    compression: str | None,
    predictor: bool,
    tile: tuple[int, int] | None,
    colours: str,
    bigtiff: bool,
    order: str,
) -> None:
    top = 1 if dtype.startswith("f") else np.iinfo(dtype).max
    channels = 1 if colours == "grey" else 3
    light = np.linspace(0, 1, 24 * 20 * channels).reshape(24, 20, channels)
    values = np.round(light * top) if top > 1 else light
    values = values.astype(dtype).astype(np.dtype(dtype).newbyteorder(order))
    stored = {
        "grey": values[..., 0] if channels == 1 else values,
        "rgb": values,
        "planes": values.transpose(2, 0, 1) if channels == 3 else values,
    }[colours]
    stream = io.BytesIO()
    try:
        tifffile.imwrite(
            stream,
            stored,
            compression=compression,
            predictor=predictor and compression not in (None, "packbits"),
            tile=tile,
            photometric="minisblack" if channels == 1 else "rgb",
            planarconfig="separate" if colours == "planes" else None,
            bigtiff=bigtiff,
            byteorder=order,
        )
    except (ValueError, NotImplementedError, KeyError):
        return  # what it can't write, nobody reads
    image = np.asarray(read_image(stream.getvalue())).astype(float)
    assert np.abs(image - np.broadcast_to(light * 255, image.shape)).max() <= 1.0


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_white_is_what_the_model_says_in_every_16_bit_file(depth: int) -> None:
    values = np.round(np.linspace(0, 2**depth - 1, 24 * 20)).astype(np.uint16).reshape(24, 20)
    stream = io.BytesIO()
    tifffile.imwrite(stream, values)
    for image in (stream.getvalue(), values):
        sample = Sample("deep", image=image)
        assert sample.peak() == 2**depth - 1
        shown = np.asarray(sample.read(depth))[..., 0]
        assert np.abs(shown - np.linspace(0, 255, 480).reshape(24, 20)).max() <= 1
        assert sample.remarks() == ()
        at_16 = sample.remarks(16)
        assert at_16[:1] == ((f"uses 1/{2 ** (16 - depth)} of its 16-bit range",) * (depth < 16))
