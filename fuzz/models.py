"""Model files that were damaged, or made to harm: each is loaded, or refused by name."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import sys
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import safetensors.torch
import timm
import torch
from PIL import Image
from torch import Tensor

import anomalist
from anomalist.data import ImageSet, Sample
from anomalist.detectors import Detector
from anomalist.errors import AnomalistError, ModelFileError
from anomalist.features import Backbone
from anomalist.inspection import model_card
from anomalist.models import content_digest
from fuzz.bytewise import mutated
from fuzz.harness import main

_from_state = Backbone.from_state
_SIZE = 32
_BACKBONE = "test_resnet"
_SETTINGS: dict[str, dict[str, Any]] = {
    "patchcore": {"coreset_ratio": 0.2},
    "padim": {"layers": ("stride4", "stride8"), "dimensions": 8},
    "spade": {"layers": ("stride4", "stride8")},
    "dfm": {"layers": ("stride8",)},
    "cfa": {"layers": ("stride4", "stride8"), "epochs": 1},
    "glass": {"layers": ("stride4", "stride8"), "meta_epochs": 1, "dsc_hidden": 8, "variants": 0},
    "ensemble": {"layers": ("stride4", "stride8"), "members": ("patchcore", "padim")},
}
# Where a person would look for trouble.
_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 64, 255, 1000, 10**9, 2**31, 2**63 - 1, 2**63, -(2**63),
    10**30, 10**400, 0.0, -0.5, 0.5, 1e-300, 1e308, 1e400, -1e400, float("nan"), "", "x", "0",
    "x" * 10_000,
    "\x1b[2J\n", "\ud800", "../../../etc/passwd", "/dev/zero", [], {}, [[]], [0, 0], [1, 2, 3],
    [32, 64], [10**9, 1], ["stride4"], ["stride8", "stride4"], ["stem"], ["layer1", "layer1"],
    ["fc"], ["layer1.0.conv1"], [""], "auto", "cpu", "cuda", "cuda:0", "cuda:99", "cuda:x", "mps",
    "meta", "xla", "hf-hub:timm/resnet18", "hf_hub:timm/resnet18", "local-dir:/tmp",
    "timm/resnet18",
    "file:///etc/passwd", "resnet18", "resnet18.bogus", "resnet18.tv_in1k", "test_vit", "test_vit2",
    "test_efficientnet", "vit_giant_patch14_dinov2", "swinv2_cr_giant_384", "vit_base_r50_s16_224",
    "efficientnet_lite0", "patchcore", "padim", "ensemble", "glass", "nonsense", "nearest", "knn",
    "lanczos", "nll", "max", "cauchy", [0.0] * 2, [1.0, 1e300], {"detector": "ensemble"},
    ["patchcore"] * 200, ["ensemble"], [{"detector": "padim", "sigma": "x"}], "a" * 64, "DEEP",
    "WIDE",
]  # fmt: skip
_DTYPES = {
    "F32": 4, "F64": 8, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "BOOL": 1, "U64": 8, "F8_E4M3": 1, "C64": 8, "F4": 1,
}  # fmt: skip
_FLOATS = np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0, -1, 1, 65504, 1e20, -1e20])
_INTEGERS = np.int64([-1, 0, 1, 7, 2**31, 2**62, -(2**63), 2**63 - 1, 1000])


class _Parts:
    """A model file taken to pieces."""

    def __init__(self, content: bytes) -> None:
        size = int.from_bytes(content[:8], "little")
        entries = json.loads(content[8 : 8 + size])
        self.header: Any = json.loads(entries.pop("__metadata__")["anomalist"])
        data = content[8 + size :]
        self.tensors: dict[str, list[Any]] = {
            name: [e["dtype"], list(e["shape"]), data[slice(*e["data_offsets"])]]
            for name, e in entries.items()
        }

    def content(self, rng: np.random.Generator, *, bend: bool) -> bytes:
        """Put it together, perhaps with entries that say something else than what is there."""
        text = json.dumps(self.header)
        depth, width = int(rng.integers(100, 200_000)), int(rng.integers(1000, 100_000))
        text = text.replace('"DEEP"', "[" * depth + "]" * depth)
        text = text.replace('"WIDE"', "[" + "[]," * width + "[]]")
        if rng.random() < 0.03 and '", "' in text:
            key = text.split('"')[1 + 4 * int(rng.integers(2))]
            text = text[:-1] + f', "{key}": 1' + "}"
        entries: dict[str, Any] = {"__metadata__": {"anomalist": text}}
        offset, data = 0, []
        for name, (dtype, shape, content) in self.tensors.items():
            entries[name] = {
                "dtype": dtype,
                "shape": shape,
                "data_offsets": [offset, offset + len(content)],
            }
            offset += len(content)
            data.append(content)
        if bend:
            entry = entries[list(entries)[int(rng.integers(len(entries)))]]
            keys = list(entry)
            if keys:
                key = keys[int(rng.integers(len(keys)))]
                value = entry[key]
                if key == "data_offsets" and rng.random() < 0.8:
                    at = int(rng.integers(2))
                    value = list(value)
                    value[at] += int(rng.choice([-4, 4, 1, -(2**31), 2**40, len(b"".join(data))]))
                    entry[key] = value
                elif rng.random() < 0.2:
                    del entry[key]
                else:
                    entry[key] = _drawn(rng)
        packed = json.dumps(entries, separators=(",", ":")).encode()
        packed += b" " * (-len(packed) % 8)
        return len(packed).to_bytes(8, "little") + packed + b"".join(data)


class Models:
    """The loader and the card of model files."""

    def __init__(self, content: dict[str, bytes] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.seeds = content or seeds(Path(self._folder.name))
        self._backbones: dict[bytes, Backbone] = {}
        self._grey = Path(self._folder.name) / "grey.png"
        Image.new("RGB", (_SIZE, _SIZE), (128, 128, 128)).save(self._grey)

    def _backbone(
        self,
        name: str,
        layers: Sequence[str],
        state: Mapping[str, Tensor],
        weights_sha256: str,
        device: Any = "cpu",
    ) -> Backbone:
        """The backbone that was made of the same before, as most cases leave it as it is."""
        digest = hashlib.sha256(repr((name, layers, weights_sha256, device)).encode())
        for tensor_name, tensor in state.items():
            digest.update(repr((tensor_name, tensor.dtype, tensor.shape)).encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
        key = digest.digest()
        if key not in self._backbones:
            made = _from_state(name, layers, state, weights_sha256, device)
            if len(self._backbones) > 50:
                self._backbones.clear()
            self._backbones[key] = made
        return self._backbones[key]

    def close(self) -> None:
        """Remove the files that it made."""
        self._folder.cleanup()

    def memory(self, size: int) -> int:
        """A hundred bytes a byte, beside what a network's activations take."""
        return 192 * 2**20 + 100 * size

    def case(self, rng: np.random.Generator) -> bytes:
        """Damage a seed: its bytes, or what they mean, with a right hash or a wrong one."""
        names = list(self.seeds)
        content = self.seeds[names[int(rng.integers(len(names)))]]
        how = rng.random()
        if how < 0.25:
            other = self.seeds[names[int(rng.integers(len(names)))]]
            # Where it is short, the header is the likelier place.
            content = mutated(content, rng, other, head=rng.random() < 0.6)
            return self.signed(content) if rng.random() < 0.5 else content
        parts = _Parts(content)
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            if rng.random() < 0.6:
                parts.header = _bent(parts.header, rng)
            else:
                _bend_tensor(parts.tensors, rng)
        content = parts.content(rng, bend=rng.random() < 0.1)
        return self.signed(content) if rng.random() < 0.97 else content

    def bent(self, seed: str, place: list[Any], value: Any) -> bytes:
        """A seed with another value at a place of its header, and the hash that goes with it."""
        parts = _Parts(self.seeds[seed])
        holder = parts.header
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = value
        return self.signed(parts.content(np.random.default_rng(0), bend=False))

    def signed(self, content: bytes) -> bytes:
        """With the hash that its content asks for, if it has a place for one."""
        try:
            digest, place = content_digest(io.BytesIO(content))
        except ValueError:
            return content
        return content[:place] + digest.encode() + content[place + len(digest) :]

    def check(self, path: Path) -> str:
        """Load it; try what could be loaded."""
        try:
            card = model_card(path)
            json.dumps(card).encode()
            repr(card).encode()
        except ModelFileError as error:
            _check_message(error, path)
        try:
            with patch.object(Backbone, "from_state", self._backbone):
                detector = anomalist.load(path)
        except ModelFileError as error:
            _check_message(error, path)
            forced = _unforeseen(error)
            return f"refused{forced}: {error}"
        if max(detector.transform.output_size) > 2 * _SIZE:
            return "loaded, too large to try"
        if zlib.crc32(path.read_bytes()) % 4:  # a quarter is enough of what takes longest
            return "loaded"
        try:
            with np.errstate(all="ignore"):  # absurd weights may well make absurd scores
                detector.predict(ImageSet([Sample(self._grey)]))
        except AnomalistError as error:
            return f"loaded, scores no image: {error}"
        return "loaded and tried"


def _check_message(error: Exception, path: Path) -> None:
    text = str(error)
    if str(path) not in text or len(text) > 1000 or "\n" in text.strip():
        raise AssertionError(f"not one line that names the file: {text[:300]!r}")
    text.encode()


def _unforeseen(error: BaseException) -> str:
    """Whether only an operation that failed has told that parts don't fit."""
    cause = error.__cause__
    return f" by {type(cause).__name__}" if "parts don't fit" in str(error) else ""


def _bent(tree: Any, rng: np.random.Generator) -> Any:
    """A header with one value removed, replaced, copied from elsewhere, or wrapped."""
    places = list(_places(tree))
    holder, key = places[int(rng.integers(len(places)))]
    how = rng.random()
    if how < 0.12:
        del holder[key]
    elif how < 0.65:
        holder[key] = _drawn(rng)
    elif how < 0.75:
        other, other_key = places[int(rng.integers(len(places)))]
        holder[key] = json.loads(json.dumps(other[other_key]))
    elif how < 0.85 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        factor = [-1, 0.5, 1.5, 2, 10, 1000, 1e9][int(rng.integers(7))]
        # The largest are beyond what can be scaled and still be a number.
        scaled = min(max(holder[key], -(10**200)), 10**200) * factor
        holder[key] = int(scaled) if rng.random() < 0.6 and scaled == scaled else scaled
    elif how < 0.9:
        holder[key] = [holder[key]]
    elif how < 0.95:
        holder[key] = str(holder[key])
    elif isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
    else:
        holder.append(holder[key])
    return tree


def _drawn(rng: np.random.Generator) -> Any:
    # A copy: a later change of this header must not reach the next case.
    return copy.deepcopy(_VALUES[int(rng.integers(len(_VALUES)))])


def _places(tree: Any) -> Any:
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(entries):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _bend_tensor(tensors: dict[str, list[Any]], rng: np.random.Generator) -> None:
    """Change one tensor; those of the detector are likelier than the many of the backbone."""
    names = list(tensors)
    own = [name for name in names if "backbone." not in name]
    chosen = own if own and rng.random() < 0.7 else names
    if not chosen:
        return
    name = chosen[int(rng.integers(len(chosen)))]
    dtype, shape, content = tensors[name]
    how = rng.random()
    if how < 0.08:
        del tensors[name]
    elif how < 0.14:
        tensors[f"{name}x" if rng.random() < 0.5 else f"x{name}"] = tensors.pop(name)
    elif how < 0.2:
        tensors[["state.x", "thumbnail.0", "thumbnail.7", "x", "calibration.x"][
            int(rng.integers(5))
        ]] = [dtype, shape, content]  # fmt: skip
    elif how < 0.3:
        other = names[int(rng.integers(len(names)))]
        tensors[name], tensors[other] = tensors[other], tensors[name]
    elif how < 0.4:  # the same bytes, as numbers of another kind
        kinds = list(_DTYPES)
        kind = kinds[int(rng.integers(len(kinds)))]
        size = max(len(content) // _DTYPES[kind], 0)
        tensors[name] = [kind, [size], content[: size * _DTYPES[kind]]]
    elif how < 0.55:  # another shape of as many values
        count = int(np.prod(shape)) if shape else 1
        shapes = [[count], [1, count], [count, 1], [*shape, 1], shape[::-1], [0], [1]]
        new = shapes[int(rng.integers(len(shapes)))]
        size = int(np.prod(new)) * _DTYPES[dtype]
        tensors[name] = [dtype, new, content[:size]]
    elif how < 0.7 and shape and shape[0]:  # fewer or more rows
        row = len(content) // shape[0]
        rows = [0, 1, shape[0] - 1, shape[0] + 1, 2 * shape[0]][int(rng.integers(5))]
        new_content = (content * 2)[: rows * row] if rows else b""
        tensors[name] = [dtype, [len(new_content) // row if row else rows, *shape[1:]], new_content]
    else:
        array = np.frombuffer(content, np.int64 if dtype == "I64" else np.uint8).copy()
        if dtype == "F32":
            array = np.frombuffer(content, np.float32).copy()
        if array.size:
            pool = {"f": _FLOATS, "i": _INTEGERS}.get(array.dtype.kind, np.arange(256))
            places = (
                slice(None)
                if rng.random() < 0.3
                else rng.integers(array.size, size=int(rng.integers(1, 4)))
            )
            array[places] = pool[int(rng.integers(len(pool)))]
        tensors[name] = [dtype, shape, array.tobytes()]


def seeds(folder: Path) -> dict[str, bytes]:
    """A small model file of every detector, by its name."""
    torch.manual_seed(0)
    weights = folder / "weights.safetensors"
    safetensors.torch.save_file(timm.create_model(_BACKBONE).state_dict(), weights)
    rng = np.random.default_rng(0)
    images = []
    for i in range(4):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(90, 130, (_SIZE, _SIZE, 3), np.uint8)).save(path)
        images.append(Sample(path))
    made = {}
    for name, settings in _SETTINGS.items():
        shared = {"backbone": _BACKBONE, "weights": str(weights), "image_size": _SIZE}
        if name != "glass":
            shared["layers"] = ("stride4", "stride8")
        kind: type[Detector] = anomalist.detectors.DETECTORS[name]
        detector = kind(**{**shared, "batch_size": 4, **settings}).fit(ImageSet(images))
        detector.calibrate(ImageSet(images))
        detector.summary_ = {
            "alpha": 0.05,
            "name": "dots",
            "images": 4,
            "left_out": 0,
            "sizes": [[_SIZE, _SIZE, 4]],
            "data_hash": "0f",
            "known_images": ["0a", "0b"],
            "version": "1",
            "scenes": 3,
            "looks": {"brightness": [90.0, 130.0], "sharpness": [1.0, 2.0]},
        }
        detector.thumbnails_ = [b"\xff\xd8\xff\xd9"] * 2
        for part in (detector, *getattr(detector, "members_", ())):
            part.weights = None  # a place that is another each time
        path = folder / f"{name}.anomalist"
        detector.save(path)
        made[name] = path.read_bytes()
    return made


def _made() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return seeds(Path(folder))


if __name__ == "__main__":
    sys.exit(main(lambda: partial(Models, _made()), "models"))
