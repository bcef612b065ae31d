"""What a mask's values mean, whoever wrote them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from anomalist.data import read_mask
from anomalist.data.masks import read_mask_file
from anomalist.errors import DataError

SOFT = "has soft edges; half of its highest value is taken for the edge"
EIGHT = np.ones((3, 3), bool)


def bytes_of(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def once(image: Image.Image, kind: str = "JPEG", **options: object) -> Image.Image:
    """The image after it went through a lossy format."""
    return Image.open(io.BytesIO(bytes_of(image, kind, **options)))


def saved(folder: Path, values: np.ndarray | Image.Image, name: str = "mask.png") -> Path:
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(folder / name)
    return folder / name


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 255]], np.uint8),
        np.array([[0, 1]], np.uint8),
        np.array([[False, True]]),
        np.array([[0, 1]], np.uint16),
        np.array([[0, 60000]], np.uint16),
        np.array([[0, 7]], np.int32),
        np.array([[0, 0.1]], np.float32),
        np.array([[[0, 0, 0], [0, 0, 9]]], np.uint8),
        np.array([[[255, 255, 255, 0], [255, 255, 255, 255]]], np.uint8),
        np.array([[[0, 0, 0, 255], [255, 255, 255, 255]]], np.uint8),
    ],
    ids=["0-255", "0-1", "bool", "16-bit 0-1", "16-bit", "int", "float", "blue", "clear", "opaque"],
)
def test_a_mask_is_what_is_not_black(tmp_path: Path, values: np.ndarray) -> None:
    suffix = "png" if values.dtype in (np.uint8, np.uint16, bool) else "tif"
    path = saved(tmp_path, values, f"mask.{suffix}")
    mask = read_mask(path)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [[False, True]]
    assert read_mask_file(path).remarks == ()


def test_a_palette_is_what_it_looks_like(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([9, 9, 9, 0, 0, 0, 200, 0, 0])
    assert read_mask(saved(tmp_path, image)).tolist() == [[True, False, True]]


def test_a_palette_of_one_colour_leaves_the_numbers(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([0] * 768)
    mask = read_mask_file(saved(tmp_path, image))
    assert mask.pixels.tolist() == [[False, True, True]]
    assert mask.remarks == (
        "has a palette of one colour; the numbers in it are taken for defects, 0 for good",
    )


def test_a_ground_that_is_not_black_is_told(tmp_path: Path) -> None:
    labels = np.zeros((9, 9), np.uint8)
    labels[2:5, 3:8] = 1
    labels[6, 6] = 2
    palette = Image.fromarray(labels)
    palette.putpalette([68, 1, 84, 33, 145, 140, 253, 231, 37])
    for image, told in (
        (palette, "has no black; its most frequent colour, 68 1 84, is taken for the ground"),
        (Image.fromarray(labels + 1), "has no black; its lowest value, 1, is taken for the ground"),
    ):
        mask = read_mask_file(saved(tmp_path, image))
        assert np.array_equal(mask.pixels, labels > 0)
        assert mask.remarks == (told,)


def test_white_is_not_taken_for_good_because_there_is_more_of_it(tmp_path: Path) -> None:
    values = np.full((8, 8), 255, np.uint8)
    values[2, 2] = 0
    mask = read_mask(saved(tmp_path, values))
    assert mask.sum() == 63
    values[2, 2] = 255
    assert read_mask(saved(tmp_path, values)).all()


def test_paint_on_a_transparent_ground(tmp_path: Path) -> None:
    values = np.zeros((8, 8, 4), np.uint8)
    values[..., :3] = 255
    values[1:3, 1:5] = 0, 0, 0, 255
    values[5:7, 5:7] = 200, 0, 0, 255
    expected = values[..., 3] > 0
    mask = read_mask_file(saved(tmp_path, values))
    assert np.array_equal(mask.pixels, expected)
    assert mask.remarks == (
        "has black on a transparent ground; what isn't transparent is taken for defective",
    )
    assert not read_mask(saved(tmp_path, np.zeros_like(values))).any()
    values[..., 3] = 0
    values[~expected, :3] = 0
    mask = read_mask_file(saved(tmp_path, values))
    assert mask.pixels.sum() == 4
    assert mask.remarks == ("has an opacity of 0 everywhere, which was ignored",)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_values_that_mean_nothing(tmp_path: Path, value: float) -> None:
    path = saved(tmp_path, np.array([[0, value]], np.float32), "mask.tif")
    with pytest.raises(DataError, match=r"mask\.tif can't be read as an image: .* save it with"):
        read_mask(path)


def test_numbered_defects_beside_white_are_all_defects(tmp_path: Path) -> None:
    for wide in (1, 2, 5):
        labels = np.zeros((40, 40), np.uint8)
        for i, value in enumerate((1, 2, 3, 255)):
            labels[4 + 9 * i : 4 + 9 * i + wide, 4:30] = value
        mask = read_mask_file(saved(tmp_path, labels))
        assert np.array_equal(mask.pixels, labels > 0)
        assert mask.remarks == ()


def test_many_numbered_specks_are_all_defects(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 64), np.uint16)
    labels[rng.integers(0, 64, 200), rng.integers(0, 64, 200)] = rng.permutation(200) + 1
    mask = read_mask_file(saved(tmp_path, labels))
    assert np.array_equal(mask.pixels, labels > 0)


def scratch(side: int = 512) -> np.ndarray:
    """Two pixels wide."""
    y, x = np.mgrid[:side, :side]
    along = 0.1625 * (x - 0.1 * side) + 0.2 * side
    return (abs(y - along) < 1.01) & (x > 0.1 * side) & (x < 0.88 * side)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("quality", [60, 75, 90, 95, 100])
@pytest.mark.parametrize("is_still", [True, False], ids=["is", "was"])
def test_a_mask_that_was_compressed(
    tmp_path: Path, kind: str, quality: int, is_still: bool
) -> None:
    truth = scratch()
    drawn = Image.fromarray((truth * 255).astype(np.uint8))
    if is_still:
        path = tmp_path / "mask"
        path.write_bytes(bytes_of(drawn, kind, quality=quality))
    else:
        path = saved(tmp_path, once(drawn, kind, quality=quality).convert("L"))
    mask = read_mask_file(path)
    assert mask.remarks == (SOFT,)
    assert ndimage.label(mask.pixels, EIGHT)[1] == 1
    assert (mask.pixels ^ truth).sum() < 0.02 * truth.sum()


def test_a_jpeg_of_low_values_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mask.jpg").write_bytes(bytes_of(Image.fromarray(scratch() * np.uint8(3)), "JPEG"))
    with pytest.raises(DataError, match=r"mask\.jpg is a mask saved as JPEG whose .* as PNG"):
        read_mask(tmp_path / "mask.jpg")


def blurred(values: np.ndarray) -> np.ndarray:
    return np.rint(ndimage.gaussian_filter(values, 1)).astype(np.uint8)


def test_soft_defects_of_several_heights(tmp_path: Path) -> None:
    """Each is cut at half of its own height."""
    values = np.zeros((64, 64))
    values[8:20, 8:20], values[40:52, 8:20], values[20:32, 40:52] = 30, 100, 255
    mask = read_mask_file(saved(tmp_path, blurred(values)))
    assert mask.remarks == (SOFT,)
    assert (mask.pixels ^ (values > 0)).sum() <= 12
    values[20:32, 28:40] = 90  # less than half of what it touches
    mask = read_mask_file(saved(tmp_path, blurred(values)))
    assert (mask.pixels ^ (values > 0)).sum() <= 24


def test_a_photograph_in_place_of_a_mask_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(110, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    noise[0, 0] = 0
    (told,) = read_mask_file(saved(tmp_path, noise)).remarks
    assert told.startswith("looks like a photograph")


# The grammar: some shapes that don't touch, and a way to write them down.

SIDES = st.sampled_from([40, 56, 72])
SHAPE = st.tuples(
    st.sampled_from(["scratch", "blob", "box", "dot", "triangle"]),
    *(st.floats(0.12, 0.88) for _ in range(2)),
    st.floats(0.05, 0.2),
    st.floats(0, 6.3),
)


def coverage(shape: tuple[str, float, float, float, float], side: int) -> np.ndarray:
    """How much of each pixel a shape covers, (side, side), by 4 x 4 points a pixel."""
    kind, x, y, size, angle = shape
    y, x, size = y * side, x * side, max(size * side, 2.0)
    v, u = (np.mgrid[: 4 * side, : 4 * side] + 0.5) / 4 - np.array([y, x])[:, None, None]
    u, v = np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u
    inside = {
        "scratch": (abs(v) <= 1) & (abs(u) <= 2 * size),
        "blob": np.hypot(u, 1.4 * v) <= size,
        "box": (abs(u) <= size) & (abs(v) <= 0.6 * size),
        "dot": np.hypot(u, v) <= 1.5,
        "triangle": (v <= size / 2) & (v >= 2 * abs(u) - size),
    }[kind]
    return inside.reshape(side, 4, side, 4).mean(axis=(1, 3))


@st.composite
def scenes(draw: Callable[..., object]) -> list[np.ndarray]:
    """The coverage of shapes, no two of them within six pixels."""
    side = draw(SIDES)
    found: list[np.ndarray] = []
    taken = np.zeros((side, side), bool)
    for shape in draw(st.lists(SHAPE, min_size=1, max_size=5)):
        covered = coverage(shape, side)
        mask = covered >= 0.5
        whole = ndimage.label(mask, EIGHT)[1] == 1
        if whole and not (taken & ndimage.binary_dilation(covered > 0, EIGHT, 3)).any():
            found.append(covered)
            taken |= ndimage.binary_dilation(covered > 0, EIGHT, 3)
    assume(found)
    return found


def numbered(scene: list[np.ndarray], numbers: list[int]) -> np.ndarray:
    labels = np.zeros(scene[0].shape, np.uint16)
    for covered, number in zip(scene, numbers, strict=False):
        labels[covered >= 0.5] = number
    return labels


def with_palette(labels: np.ndarray, ground: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(labels.astype(np.uint8)).convert("P")
    image.putdata(labels.ravel().tolist())
    colours = np.random.default_rng(0).integers(1, 256, (256, 3))
    colours[0] = ground
    image.putpalette(colours.astype(np.uint8).tobytes())
    return image


def in_colour(labels: np.ndarray, ground: int) -> Image.Image:
    colours = np.random.default_rng(1).choice([64, 128, 192], (256, 3))
    colours[0] = ground
    return Image.fromarray(colours.astype(np.uint8)[labels])


def painted(labels: np.ndarray, colour: int, opacity: int) -> Image.Image:
    rgba = np.full((*labels.shape, 4), colour, np.uint8)
    rgba[..., 3] = (labels > 0) * opacity
    return Image.fromarray(rgba)


EXACT: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "0 and 1": lambda labels: Image.fromarray((labels > 0).astype(np.uint8)),
    "0 and 255": lambda labels: Image.fromarray(((labels > 0) * 255).astype(np.uint8)),
    "1 bit": lambda labels: Image.fromarray(labels > 0),
    "numbered": lambda labels: Image.fromarray(labels.astype(np.uint8)),
    "16-bit": lambda labels: Image.fromarray(labels * 200),
    "from 1 on": lambda labels: Image.fromarray((labels + 1).clip(0, 255).astype(np.uint8)),
    "palette": lambda labels: with_palette(labels, (0, 0, 0)),
    "palette without black": lambda labels: with_palette(labels, (68, 1, 84)),
    "colours": lambda labels: in_colour(labels, 0),
    "colours on white": lambda labels: in_colour(labels, 255),
    "white paint": lambda labels: painted(labels, 255, 255),
    "black paint": lambda labels: painted(labels, 0, 255),
    "thin paint": lambda labels: painted(labels, 255, 100),
}
TOLD = {"from 1 on", "palette without black", "colours on white", "black paint"}


@settings(max_examples=120, derandomize=True, deadline=None)
@given(
    scene=scenes(),
    encoding=st.sampled_from(sorted(EXACT)),
    numbers=st.lists(
        st.sampled_from([1, 2, 3, 4, 5, 7, 128, 200, 254]), min_size=5, max_size=5, unique=True
    ),
)
def test_what_is_written_without_loss_is_read_exactly(
    scene: list[np.ndarray], encoding: str, numbers: list[int]
) -> None:
    truth = np.max(scene, axis=0) >= 0.5
    assume(truth.mean() < 0.45)
    image = EXACT[encoding](numbered(scene, numbers))
    mask = read_mask_file(bytes_of(image, "PNG"), name="mask")
    assert np.array_equal(mask.pixels, truth)
    assert bool(mask.remarks) == (encoding in TOLD)


def grey(covered: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(covered * 255).astype(np.uint8))


def compressed(kind: str, colour: bool) -> Callable[[list[np.ndarray], int], bytes]:
    def write(scene: list[np.ndarray], quality: int) -> bytes:
        image = grey(np.max(scene, axis=0) >= 0.5)
        if colour:
            black = Image.new("L", image.size)
            image = Image.merge("RGB", (image, black, black))
        return bytes_of(once(image, kind, quality=quality).convert("RGB"), "PNG")

    return write


def several(scene: list[np.ndarray], quality: int) -> bytes:
    heights = np.linspace(255, 90, len(scene))
    image = grey(sum((c >= 0.5) * h / 255 for c, h in zip(scene, heights, strict=True)))
    return bytes_of(once(image, quality=quality), "PNG")


SMEARED: dict[str, Callable[[list[np.ndarray], int], bytes]] = {
    "antialiased": lambda scene, _: bytes_of(grey(np.max(scene, axis=0)), "PNG"),
    "antialiased, numbered": lambda scene, _: bytes_of(
        grey(sum(c * h for c, h in zip(scene, np.linspace(1, 0.3, len(scene)), strict=True))), "PNG"
    ),
    "of few levels": lambda scene, _: bytes_of(grey(np.rint(np.max(scene, axis=0) * 4) / 4), "PNG"),
    "floats": lambda scene, _: bytes_of(
        Image.fromarray(np.max(scene, axis=0).astype(np.float32)), "TIFF"
    ),
    "is a JPEG": lambda scene, quality: bytes_of(
        grey(np.max(scene, axis=0) >= 0.5), "JPEG", quality=quality
    ),
    "is a WebP": lambda scene, quality: bytes_of(
        grey(np.max(scene, axis=0) >= 0.5), "WEBP", quality=quality
    ),
    "was a JPEG": compressed("JPEG", colour=False),
    "was a JPEG in colour": compressed("JPEG", colour=True),
    "was a JPEG, numbered": several,
}


@settings(max_examples=150, derandomize=True, deadline=None)
@given(scene=scenes(), encoding=st.sampled_from(sorted(SMEARED)), quality=st.integers(75, 98))
def test_what_is_smeared_keeps_its_regions(
    scene: list[np.ndarray], encoding: str, quality: int
) -> None:
    truth = np.max(scene, axis=0) >= 0.5
    mask = read_mask_file(SMEARED[encoding](scene, quality), name="mask")
    event(f"{encoding}: {'told' if mask.remarks else 'not told'}")
    border = ndimage.binary_dilation(truth, EIGHT) & ~ndimage.binary_erosion(truth, EIGHT)
    assert not ((mask.pixels ^ truth) & ~border).any()
    assert ndimage.label(mask.pixels, EIGHT)[1] == len(scene)
