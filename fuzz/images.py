"""Image files that were damaged, or made to harm: each is read, or refused by name."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageDraw

from anomalist.data import Sample, image_size, read_image, read_mask
from anomalist.errors import DataError
from fuzz.bytewise import mutated
from fuzz.harness import main

_MAX_PIXELS = 2**18
_SIDES = (0, 1, 2, 7, 255, 513, 4096, 65535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
_CHUNKS = (
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"iCCP", b"eXIf", b"zTXt", b"iTXt"),
    *(b"tEXt", b"acTL", b"fcTL", b"fdAT", b"sRGB", b"pHYs", b"cHRM", b"XXXX", b"\0\0\0\0"),
)
_DEPTHS = (0, 1, 2, 3, 4, 6, 8, 16, 255)
_TAGS = (
    *(256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 324, 325, 330, 338),
    *(339, 347, 700, 34665),
)
_MARKERS = (
    0xC0,
    0xC1,
    0xC2,
    0xC4,
    0xD0,
    0xD8,
    0xD9,
    0xDA,
    0xDB,
    0xDD,
    0xE0,
    0xE1,
    0xE2,
    0xED,
    0xEE,
)


class Images:
    """The readers of images and masks."""

    def __init__(self, content: dict[str, bytes] | None = None) -> None:
        self.seeds = content or seeds()

    def memory(self, size: int) -> int:
        """What the largest image that is allowed takes, in all its conversions."""
        return 64 * 2**20 + 40 * _MAX_PIXELS + 100 * size

    def case(self, rng: np.random.Generator) -> bytes:
        """Damage a seed: its bytes, or the parts that its format has."""
        names = list(self.seeds)
        name = names[int(rng.integers(len(names)))]
        content = self.seeds[name]
        bend = {"png": _bend_png, "jpg": _bend_jpeg, "tif": _bend_tiff}.get(name.split(".")[-1])
        if bend is not None and rng.random() < 0.6:
            for _ in range(int(rng.choice([1, 1, 2, 4]))):
                content = bend(content, rng)
            if rng.random() < 0.8:
                return content
        other = self.seeds[names[int(rng.integers(len(names)))]]
        return mutated(content, rng, other, head=rng.random() < 0.5)

    def check(self, path: Path) -> str:
        """Read it in every way; what these say must agree."""
        size = _tried(image_size, path)
        image = _tried(partial(read_image, max_pixels=_MAX_PIXELS), path)
        mask = _tried(partial(read_mask, max_pixels=_MAX_PIXELS), path)
        if isinstance(image, DataError):
            return f"refused: {image}"
        peak = _tried(lambda path: Sample(path).peak(), path)
        if isinstance(peak, DataError) or not 0 <= peak < 2**16:
            raise AssertionError(f"read, but its highest value is {peak}")
        if image.mode != "RGB" or image.size != size[::-1]:
            raise AssertionError(f"{image.mode} of {image.size}, announced as {size}")
        if not isinstance(mask, DataError) and mask.shape != size:
            raise AssertionError(f"a mask of {mask.shape}, announced as {size}")
        return "read as image" if isinstance(mask, DataError) else "read as image and mask"


def _tried(read: Any, path: Path) -> Any:
    try:
        return read(path)
    except DataError as error:
        text = str(error)
        if str(path) not in text or len(text) > 1000:
            raise AssertionError(f"doesn't name the file, or at length: {text[:300]!r}") from error
        text.encode()
        return error


def _bend_png(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a chunk, and give it the checksum that it then needs."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + length]])
        at += 12 + length
    if not chunks:
        return content
    i = int(rng.integers(len(chunks)))
    kind, data = chunks[i]
    how = int(rng.integers(9))
    if how <= 1 and len(chunks[0][1]) == 13:
        header = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        k = int(rng.integers(7))
        header[k] = int(rng.choice(_SIDES)) % 2**32 if k < 2 else int(rng.choice(_DEPTHS))
        chunks[0][1] = struct.pack(">IIBBBBB", *header)
    elif how == 2:
        del chunks[i]
    elif how == 3:
        chunks.insert(int(rng.integers(len(chunks) + 1)), [kind, data])
    elif how == 4:
        chunks.insert(
            i, [_CHUNKS[int(rng.integers(len(_CHUNKS)))], rng.bytes(int(rng.integers(64)))]
        )
    elif how == 5:  # a bomb of text
        bomb = b"a\0\0" + zlib.compress(bytes(int(rng.choice([2**10, 2**20, 2**26]))))
        chunks.insert(i, [b"zTXt" if rng.random() < 0.5 else b"iCCP", bomb])
    elif how == 6:
        pixels = b"".join(d for k, d in chunks if k == b"IDAT")
        try:
            raw = mutated(zlib.decompress(pixels), rng)
        except zlib.error:
            raw = b""
        chunks = [c for c in chunks if c[0] != b"IDAT"]
        chunks.insert(max(len(chunks) - 1, 0), [b"IDAT", zlib.compress(raw)])
    elif how == 7:
        chunks[i][0] = _CHUNKS[int(rng.integers(len(_CHUNKS)))]
    else:
        chunks[i][1] = mutated(data, rng)
    out = [content[:8]]
    for kind, data in chunks:
        out += [
            len(data).to_bytes(4, "big"),
            kind,
            data,
            zlib.crc32(kind + data).to_bytes(4, "big"),
        ]
    return b"".join(out)


def _bend_jpeg(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, drop, double or make up a segment."""
    places, at = [], 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        places.append((at, length))
        if content[at + 1] == 0xDA:
            break
        at += 2 + length
    if not places:
        return content
    at, length = places[int(rng.integers(len(places)))]
    end = at + 2 + length
    how = int(rng.integers(7))
    if how == 0:
        return content[:at] + content[end:]
    if how == 1:
        return content[:end] + content[at:]
    if how == 2:
        return content[: at + 1] + bytes([int(rng.choice(_MARKERS))]) + content[at + 2 :]
    if how == 3:
        wrong = int(rng.choice([0, 1, 2, 3, length - 1, length + 1, 65535])) % 65536
        return content[: at + 2] + wrong.to_bytes(2, "big") + content[at + 4 :]
    if how == 4:
        made = rng.bytes(int(rng.integers(64)))
        marker = bytes([0xFF, int(rng.choice(_MARKERS))])
        return content[:at] + marker + (len(made) + 2).to_bytes(2, "big") + made + content[at:]
    return content[: at + 4] + mutated(content[at + 4 : end], rng) + content[end:]


def _bend_tiff(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a field of an entry of the directory."""
    order = "<" if content[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
    except struct.error:
        return content
    changed = bytearray(content)
    at = start + 2 + 12 * int(rng.integers(max(count, 1)))
    if at + 12 > len(content):
        return content
    how = int(rng.integers(5))
    if how == 0:
        tag = int(rng.choice(_TAGS))
        struct.pack_into(f"{order}H", changed, at, tag)
    elif how == 1:
        struct.pack_into(f"{order}H", changed, at + 2, int(rng.integers(0, 20)))
    elif how == 2:
        struct.pack_into(f"{order}I", changed, at + 4, int(rng.choice(_SIDES)))
    elif how == 3:
        struct.pack_into(f"{order}I", changed, at + 8, int(rng.choice(_SIDES)))
    else:
        value = int(rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 32773, 32946, 34712, 50000]))
        struct.pack_into(f"{order}H", changed, at + 8, value)
    return bytes(changed)


def seeds() -> dict[str, bytes]:
    """Small images of all formats and kinds of pixels, by name and suffix."""
    rng = np.random.default_rng(0)
    base = Image.fromarray(rng.integers(0, 256, (24, 17, 3), np.uint8))
    ImageDraw.Draw(base).ellipse((3, 4, 14, 18), fill=(200, 60, 20))
    grey = base.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    floating = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    clear = base.convert("RGBA")
    clear.putalpha(grey)
    palette = base.quantize(16)
    turned = Image.Exif()
    turned[0x0112] = 6
    made: dict[str, bytes] = {}

    def save(name: str, image: Image.Image, **options: Any) -> None:
        stream = io.BytesIO()
        image.save(
            stream, {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name.split(".")[1]), **options
        )
        made[name] = stream.getvalue()

    one = grey.convert("1")
    for kind, image in {
        "rgb": base, "grey": grey, "one": one, "rgba": clear, "palette": palette, "deep": deep,
        "la": clear.convert("LA"),
    }.items():  # fmt: skip
        save(f"{kind}.png", image)
    save("transparent.png", palette, transparency=3)
    save("colour-key.png", base, transparency=(200, 60, 20))
    save("grey-key.png", grey, transparency=7)
    save("turned.png", base, exif=turned)
    save("text.png", grey, pnginfo=None, dpi=(72, 72))
    save("moving.png", base, save_all=True, append_images=[base.rotate(90)])
    save("rgb.jpg", base)
    save("grey.jpg", grey, quality=30)
    save("cmyk.jpg", base.convert("CMYK"))
    save("progressive.jpg", base, progressive=True)
    save("turned.jpg", base, exif=turned)
    for kind, image in {
        "rgb": base,
        "grey": grey,
        "one": one,
        "palette": palette,
        "rgba": clear,
    }.items():
        save(f"{kind}.bmp", image)
    for kind, image in {
        "rgb": base, "grey": grey, "one": one, "rgba": clear, "palette": palette, "deep": deep,
        "float": floating, "cmyk": base.convert("CMYK"), "lab": base.convert("LAB"),
        "ycc": base.convert("YCbCr"), "int": deep.convert("I"),
    }.items():  # fmt: skip
        save(f"{kind}.tif", image)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        save(f"{compression}.tif", base, compression=compression)
    save("group4.tif", one, compression="group4")
    save("pages.tif", base, save_all=True, append_images=[grey, one])
    save("turned.tif", base, exif=turned)
    for kind, image in {"rgb": base, "grey": grey, "one": one, "deep": deep}.items():
        save(f"{kind}.ppm", image)
    made["plain.ppm"] = b"P3\n2 2\n255\n" + b"1 2 3 " * 4
    made["float.ppm"] = b"Pf\n2 2\n-1.0\n" + np.float32([0, 0.5, 1, 0.25]).tobytes()
    save("rgb.webp", base, quality=40)
    save("rgba.webp", clear, lossless=True)
    save("moving.webp", base, save_all=True, append_images=[base.rotate(90)])
    save("turned.webp", base, exif=turned)
    save("rgb.avif", base)
    return made | _deep_seeds(np.asarray(base).astype(np.uint16) * 257)


def _deep_seeds(colour: npt.NDArray[np.uint16]) -> dict[str, bytes]:
    """Images of more than 8 bits, and of numbers and layouts that cameras and microscopes write."""
    made: dict[str, bytes] = {}
    grey = np.ascontiguousarray(colour[..., 0])

    def save(name: str, values: npt.NDArray[Any], **options: Any) -> None:
        stream = io.BytesIO()
        tifffile.imwrite(stream, values, **options)
        made[f"{name}.tif"] = stream.getvalue()

    save("bits12", grey >> 4, bitspersample=12)
    save("bits10", grey >> 6, bitspersample=10)
    save("inverted16", grey, photometric="miniswhite", byteorder=">")
    save("planes16", colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    save("tiles16", colour, photometric="rgb", tile=(16, 16), compression="zstd", predictor=True)
    save("strips16", grey, rowsperstrip=5, compression="deflate", predictor=True)
    save("packbits16", grey, rowsperstrip=5, compression="packbits")
    save("lzma16", grey, compression="lzma")
    save("half", (grey / 65535).astype(np.float16))
    save("double", grey / 65535, compression="zstd", predictor=3, tile=(16, 16))
    save("signed", (grey >> 1).astype(np.int16))
    save("whole32", grey.astype(np.uint32), bigtiff=True)
    alpha = np.dstack([colour, np.full_like(grey, 65535)])
    save("alpha16", alpha, photometric="rgb", extrasamples=["unassalpha"])
    save("ink16", alpha, photometric="separated")
    save("stack16", np.stack([grey] * 3))
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(grey[::4, ::4], subifds=1, subfiletype=1)
        writer.write(grey)
    made["sub.tif"] = stream.getvalue()
    for name, values in {"rgb16": colour, "la16": alpha[..., [0, 3]], "rgba16": alpha}.items():
        made[f"{name}.png"] = imagecodecs.png_encode(np.ascontiguousarray(values))
    made["bits12.jpg"] = imagecodecs.jpeg_encode(grey >> 4, level=90, bitspersample=12)
    size = b"%d %d" % grey.shape[::-1]
    made["deep10.ppm"] = b"P5 " + size + b" 1023\n" + (grey >> 6).astype(">u2").tobytes()
    made["deep16.ppm"] = b"P6 " + size + b" 65535\n" + colour.astype(">u2").tobytes()
    return made


if __name__ == "__main__":
    sys.exit(main(lambda: partial(Images, seeds()), "images"))
