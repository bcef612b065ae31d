from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from anomalist.data import image_size, read_image, read_mask
from anomalist.errors import DataError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 5, 3), np.uint8)
ORIENTATION = 0x0112


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def pixels(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp"])
def test_lossless_colour_is_kept(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(COLOUR), **options)
    assert np.array_equal(pixels(path), COLOUR)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(COLOUR), format="PNG")
    assert np.array_equal(pixels(path), COLOUR)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_grey_is_copied_to_three_channels(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(COLOUR[..., 0]))
    assert np.array_equal(pixels(path), np.repeat(COLOUR[..., :1], 3, axis=2))


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(COLOUR[..., 0] > 128))
    assert np.array_equal(pixels(path)[..., 1], np.where(COLOUR[..., 0] > 128, 255, 0))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bit_grey_is_scaled_by_its_full_range(tmp_path: Path, suffix: str) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(values))
    expected = np.rint(values / 65535 * 255)
    assert np.array_equal(pixels(path)[..., 2], expected)


def test_dark_sixteen_bit_grey_stays_dark(tmp_path: Path) -> None:
    # 12 bits in 16: scaled by the range that the file can hold, not the one that it happens to use.
    path = saved(tmp_path / "a.png", Image.fromarray(np.full((4, 4), 4095, np.uint16)))
    assert (pixels(path) == 16).all()


def test_big_endian_sixteen_bit_grey(tmp_path: Path) -> None:
    values = np.array([[0, 257, 65535]], ">u2")
    image = Image.frombytes("I;16B", (3, 1), values.tobytes())
    path = saved(tmp_path / "a.tif", image)
    assert pixels(path)[0, :, 0].tolist() == [0, 1, 255]


def test_integers_are_sixteen_bit_grey(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[0, 257, 65535]], np.int32)))
    assert pixels(path)[0, :, 0].tolist() == [0, 1, 255]


def test_floats_go_from_zero_to_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(np.array([[0, 0.5, 1]], np.float32)))
    assert pixels(path)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 70000]], np.int32),
        np.array([[-1, 5]], np.int32),
        np.array([[0, 200]], np.float32),
        np.array([[0, -0.1]], np.float32),
        np.array([[0, np.nan]], np.float32),
        np.array([[0, np.inf]], np.float32),
    ],
)
def test_values_beyond_the_range_are_not_guessed_at(tmp_path: Path, values: np.ndarray) -> None:
    path = saved(tmp_path / "odd.tif", Image.fromarray(values))
    with pytest.raises(DataError, match=r"odd\.tif.*not within 0\.\.(1|65535); save it"):
        read_image(path)


def over_black(rgba: np.ndarray) -> np.ndarray:
    return np.rint(rgba[..., :3] * (rgba[..., 3:] / 255))


def test_transparent_colour_is_composited_on_black(tmp_path: Path) -> None:
    rgba = RNG.integers(0, 256, (16, 16, 4), np.uint8)
    path = saved(tmp_path / "a.png", Image.fromarray(rgba))
    assert np.abs(pixels(path) - over_black(rgba)).max() <= 1
    opaque = saved(tmp_path / "b.png", Image.fromarray(rgba | np.uint8([0, 0, 0, 255])))
    assert np.array_equal(pixels(opaque), rgba[..., :3])


def test_transparent_grey_is_composited_on_black(tmp_path: Path) -> None:
    la = RNG.integers(0, 256, (16, 16, 2), np.uint8)
    path = saved(
        tmp_path / "a.png", Image.merge("LA", [Image.fromarray(la[..., i]) for i in (0, 1)])
    )
    expected = over_black(la[..., [0, 0, 0, 1]])
    assert np.abs(pixels(path) - expected).max() <= 1


@pytest.mark.parametrize(
    ("image", "key"),
    [
        (Image.new("L", (2, 2), 200), 200),
        (Image.new("RGB", (2, 2), (200, 10, 20)), (200, 10, 20)),
        (Image.fromarray(np.full((2, 2), 51200, np.uint16)), 51200),
    ],
    ids=["grey", "colour", "16-bit"],
)
def test_a_transparent_colour_becomes_black(
    tmp_path: Path, image: Image.Image, key: int | tuple[int, ...]
) -> None:
    image.putpixel((1, 1), 1 if isinstance(key, int) else (0, 255, 0))
    assert pixels(saved(tmp_path / "opaque.png", image))[0].any()
    path = saved(tmp_path / "a.png", image, transparency=key)
    assert not pixels(path)[0].any()


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    plain = pixels(saved(tmp_path / "plain.png", image))
    assert plain.tolist() == [[[10, 20, 30], [40, 50, 60]], [[40, 50, 60], [70, 80, 90]]]
    # Bytes of transparency, one a colour: Pillow warns of them.
    path = saved(tmp_path / "clear.png", image, transparency=b"\xff\x00\xff")
    assert pixels(path).tolist() == [[[10, 20, 30], [0, 0, 0]], [[0, 0, 0], [70, 80, 90]]]


def test_sixteen_bit_colour_keeps_the_upper_byte(tmp_path: Path) -> None:
    values = np.array([[[0x00FF, 0x80FE, 0xFFFF]]], ">u2")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" + values.tobytes()))
        + chunk(b"IEND", b"")
    )
    assert pixels(path)[0, 0].tolist() == [0x00, 0x80, 0xFF]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = pixels(saved(tmp_path / f"a.{suffix}", image))
    assert (red[..., 0] > 250).all()
    assert (red[..., 1:] < 5).all()


def test_photo_with_a_preview_in_it(tmp_path: Path) -> None:
    photo, preview = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (4, 4))
    path = saved(tmp_path / "a.jpg", photo, format="MPO", save_all=True, append_images=[preview])
    assert pixels(path).shape == (8, 8, 3)
    with pytest.raises(DataError, match="saved as JPEG"):
        read_mask(path)


def test_first_of_several_pages(tmp_path: Path) -> None:
    pages = [Image.new("L", (4, 4), grey) for grey in (7, 200)]
    path = saved(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    assert (pixels(path) == 7).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    stored = Image.fromarray(np.kron(COLOUR, np.ones((16, 16, 1), np.uint8)))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if suffix == "tif":
        tags = ImageFileDirectory_v2()
        tags[ORIENTATION] = orientation
        path = saved(tmp_path / "a.tif", stored, tiffinfo=tags)
    else:
        lossless = {"lossless": True} if suffix == "webp" else {}
        path = saved(tmp_path / f"a.{suffix}", stored, exif=exif, **lossless)
    with Image.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert expected.shape == ((80, 96, 3) if orientation >= 5 else (96, 80, 3))
    assert np.array_equal(pixels(path), expected)
    assert image_size(path) == expected.shape[:2]
    if suffix != "jpg":
        assert np.array_equal(read_mask(path), expected.any(axis=2))


def test_compressed_tiff_is_turned_once(tmp_path: Path) -> None:
    tags = ImageFileDirectory_v2()
    tags[ORIENTATION] = 6
    path = saved(tmp_path / "a.tif", Image.fromarray(COLOUR), tiffinfo=tags, compression="tiff_lzw")
    assert np.array_equal(pixels(path), np.rot90(COLOUR, -1))
    assert image_size(path) == (5, 6)


def test_damaged_exif_takes_nothing_from_the_pixels(tmp_path: Path) -> None:
    image = Image.fromarray(COLOUR)
    path = saved(tmp_path / "a.jpg", image, exif=b"Exif\0\0II*\0" + b"\xff" * 20)
    plain = saved(tmp_path / "b.jpg", image)
    assert np.array_equal(pixels(path), pixels(plain))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*a\.png"):
        read_image(tmp_path / "a.png")


def test_folder_instead_of_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't be read as an image: "):
        read_image(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(DataError, match=r"a\.png is empty"):
        read_image(path)


@pytest.mark.parametrize(
    "content", [b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"a\.png isn't an image that can be read \(avif, bmp, heic"
    ):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file(tmp_path: Path, suffix: str, share: float) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8))
    path = saved(tmp_path / f"cut.{suffix}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"cut\.{suffix}"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "ppm", "webp"])
def test_size_comes_from_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    decoded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda i: decoded.append(i) or load(i))
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(COLOUR))
    assert image_size(path) == (6, 5)
    assert not decoded
    read_image(path)
    assert decoded


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(
        stream, kind, **({"exif": b"Exif\0\0II*\0"} if kind == "PNG" else {})
    )
    return stream.getvalue()


FILES = {kind: encoded(kind) for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")}


@settings(max_examples=300)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damaged_bytes_give_an_image_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    content = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        image = read_image(path, max_pixels=1000)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert image.mode == "RGB"


def test_pixel_limit(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", (20, 10)))
    assert read_image(path, max_pixels=200).size == (20, 10)
    for read in (read_image, read_mask):
        with pytest.raises(
            DataError, match=r"a\.png has 20 x 10 pixels, more than the limit of 199"
        ):
            read(path, max_pixels=199)


def huge_png(path: Path, side: int) -> Path:
    saved(path, Image.new("1", (1, 1)))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    return path


# Pillow itself says nothing, warns and refuses.
@pytest.mark.parametrize("side", [10_001, 12_000, 60_000])
def test_decompression_bomb(tmp_path: Path, side: int) -> None:
    with pytest.raises(DataError, match=r"bomb\.png .* pixels.* the limit of 100000000"):
        read_image(huge_png(tmp_path / "bomb.png", side))


def test_pillow_warnings_stay_inside_and_filters_do_not_pile_up(tmp_path: Path) -> None:
    path = huge_png(tmp_path / "large.png", 9_900)
    with pytest.warns(Image.DecompressionBombWarning), Image.open(path):
        pass
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert image_size(path) == (9_900, 9_900)
        filters = len(warnings.filters)
        assert image_size(path) == (9_900, 9_900)
        assert len(warnings.filters) == filters
        warnings.warn("of others", stacklevel=1)
    assert [str(w.message) for w in caught] == ["of others"]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 255]], np.uint8),
        np.array([[0, 1]], np.uint8),
        np.array([[False, True]]),
        np.array([[0, 1]], np.uint16),
        np.array([[0, 65535]], np.uint16),
        np.array([[0, 1]], np.int32),
        np.array([[0, 0.001]], np.float32),
        np.array([[[0, 0, 0], [0, 0, 1]]], np.uint8),
        np.array([[[255, 255, 255, 0], [255, 255, 255, 255]]], np.uint8),
        np.array([[[0, 0, 0, 255], [9, 9, 9, 255]]], np.uint8),
    ],
    ids=["0-255", "0-1", "bool", "16-bit 0-1", "16-bit", "int", "float", "blue", "clear", "opaque"],
)
def test_a_mask_is_what_is_not_black(tmp_path: Path, values: np.ndarray) -> None:
    suffix = "png" if values.dtype in (np.uint8, np.uint16, bool) else "tif"
    mask = read_mask(saved(tmp_path / f"mask.{suffix}", Image.fromarray(values)))
    assert mask.dtype == np.bool_
    assert mask.tolist() == [[False, True]]


def test_mask_with_a_palette_is_what_it_looks_like(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([9, 9, 9, 0, 0, 0, 200, 0, 0])
    assert read_mask(saved(tmp_path / "mask.png", image)).tolist() == [[True, False, True]]


def test_jpeg_masks_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "mask.png", Image.new("L", (8, 8)), format="JPEG")
    with pytest.raises(DataError, match=r"mask\.png is a mask saved as JPEG.*save it as PNG"):
        read_mask(path)


def test_errors_name_broken_masks(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"no")
    with pytest.raises(DataError, match=r"mask\.png isn't an image"):
        read_mask(path)
    with pytest.raises(DataError, match=r"mask\.png isn't an image"):
        image_size(path)


def test_real_images(mvtec_ad: Path) -> None:
    bottle = mvtec_ad / "bottle"
    assert read_image(bottle / "train/good/000.png").size == (900, 900)
    assert image_size(mvtec_ad / "screw/train/good/000.png") == (512, 512)
    mask = read_mask(bottle / "ground_truth/broken_large/000_mask.png")
    assert mask.shape == (900, 900)
    assert 0 < mask.mean() < 0.5
