"""The obvious way to read and write TIFF 6.0 without compression: strips, bits, samples."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 16: 8}
_CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}
Entries = dict[int, tuple[str, list[int]]]


def written(
    samples: npt.NDArray[Any],
    *,
    bits: int,
    photometric: int,
    big: bool = False,
    numbers: int = 1,
    planes: bool = False,
    extra: list[int] | None = None,
    rows: int | None = None,
    tile: int | None = None,
    pages: int = 1,
    **more: tuple[str, list[int]],
) -> bytes:
    """Return a file of samples (height, width, channels), which are written as they are."""
    order = ">" if big else "<"
    height, width, channels = samples.shape
    layers = [samples[..., [c]] for c in range(channels)] if planes else [samples]
    blocks = []
    for layer in layers:
        if tile:
            for top in range(0, height, tile):
                for left in range(0, width, tile):
                    part = layer[top : top + tile, left : left + tile]
                    below, beside = tile - part.shape[0], tile - part.shape[1]
                    blocks.append(np.pad(part, ((0, below), (0, beside), (0, 0))))
        else:
            step = rows or height
            blocks += [layer[top : top + step] for top in range(0, height, step)]
    data = [_packed(block, bits, numbers, order) for block in blocks]
    entries: Entries = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * channels),
        259: ("H", [1]), 262: ("H", [photometric]), 277: ("H", [channels]),
        284: ("H", [2 if planes else 1]), 339: ("H", [numbers] * channels),
    }  # fmt: skip
    if extra:
        entries[338] = ("H", extra)
    if tile:
        entries |= {322: ("I", [tile]), 323: ("I", [tile])}
    else:
        entries[278] = ("I", [rows or height])
    content = (b"MM\0*" if big else b"II*\0") + b"\0\0\0\0"
    link = 4
    for _ in range(pages):
        places = []
        for block in data:
            places.append(len(content))
            content += block + b"\0" * (len(block) % 2)
        of_page = dict(entries)
        of_page[324 if tile else 273] = ("I", places)
        of_page[325 if tile else 279] = ("I", [len(block) for block in data])
        outside = b""
        start = len(content)
        after = start + 2 + 12 * len(of_page) + 4
        directory = struct.pack(f"{order}H", len(of_page))
        for tag, (code, values) in sorted(of_page.items()):
            packed = struct.pack(f"{order}{len(values)}{code}", *values)
            kind = {"H": 3, "I": 4}[code]
            if len(packed) > 4:
                outside += b"\0" * (len(outside) % 2)
                packed, outside = (
                    struct.pack(f"{order}I", after + len(outside)),
                    outside + packed,
                )
            directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
        content = content[:link] + struct.pack(f"{order}I", start) + content[link + 4 :]
        link = start + len(directory)
        content += directory + b"\0\0\0\0" + outside + b"\0" * (len(outside) % 2)
    return content


def _packed(block: npt.NDArray[Any], bits: int, numbers: int, order: str) -> bytes:
    if numbers == 3:
        return block.astype(f"{order}f{bits // 8}").tobytes()
    if bits in (8, 16, 32, 64):
        kind = "i" if numbers == 2 else "u"
        return block.astype(f"{order}{kind}{bits // 8}").tobytes()
    rows = []
    for row in block.reshape(len(block), -1).tolist():
        text = "".join(f"{value:0{bits}b}" for value in row)
        text = text.ljust(-(-len(text) // 8) * 8, "0")
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return b"".join(rows)


def read(content: bytes) -> tuple[npt.NDArray[Any], dict[int, list[int]]]:
    """Return the samples (height, width, channels) of the first page, and its directory."""
    order = ">" if content[:2] == b"MM" else "<"
    (place,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, place)
    tags: dict[int, list[int]] = {}
    for i in range(count):
        at = place + 2 + 12 * i
        tag, kind, number = struct.unpack_from(f"{order}HHI", content, at)
        if _SIZES[kind] * number > 4:
            (at,) = struct.unpack_from(f"{order}I", content, at + 8)
            at -= 8
        tags[tag] = list(struct.unpack_from(f"{order}{number}{_CODES[kind]}", content, at + 8))
    (height,), (width,), bits = tags[257], tags[256], tags[258][0]
    (channels,) = tags.get(277, [1])
    planes = tags.get(284, [1]) == [2]
    numbers = tags.get(339, [1])[0]
    together = 1 if planes else channels
    tiled = 322 in tags
    block_width = tags[322][0] if tiled else width
    block_height = tags[323][0] if tiled else tags.get(278, [height])[0]
    samples = np.zeros((height, width, channels), np.float64)
    across = -(-width // block_width)
    down = -(-height // block_height)
    for i, place in enumerate(tags[324 if tiled else 273]):
        plane, inside = divmod(i, across * down)
        top, left = inside // across * block_height, inside % across * block_width
        lines = block_height if tiled else min(block_height, height - top)
        values = _unpacked(content[place:], lines, block_width * together, bits, numbers, order)
        block = values.reshape(lines, block_width, together)[: height - top, : width - left]
        first = plane if planes else 0
        samples[
            top : top + block.shape[0], left : left + block.shape[1], first : first + together
        ] = block
    return samples, tags


def _unpacked(
    data: bytes, lines: int, length: int, bits: int, numbers: int, order: str
) -> npt.NDArray[Any]:
    if bits in (8, 16, 32, 64):
        kind = {1: "u", 2: "i", 3: "f"}[numbers]
        values = np.frombuffer(data, f"{order}{kind}{bits // 8}", lines * length)
        return values.reshape(lines, length)
    line_bytes = -(-length * bits // 8)
    rows = []
    for line in range(lines):
        text = "".join(f"{byte:08b}" for byte in data[line * line_bytes : (line + 1) * line_bytes])
        rows.append([int(text[k * bits : (k + 1) * bits], 2) for k in range(length)])
    return np.array(rows)
