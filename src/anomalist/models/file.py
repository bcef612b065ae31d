"""Model files: a JSON header and safetensors in one file, of which nothing is taken on trust."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from anomalist.errors import ModelFileError, is_out_of_memory
from anomalist.files import atomic_path, scratch_array

FORMAT = 1

# The header stands in the metadata of safetensors as text, and its hash at the beginning of it.
_MARK = rb"{\"sha256\": \""
_BLANK = "0" * 64
_HEADER_BYTES = 2**25
_CHUNK = 2**20
_DEEPEST = 32
_IN_MEMORY_MB = 1024
_LARGEST = 1e18  # squares of larger numbers come near float32's end
_DTYPES = frozenset({"BOOL", "U8", "I64", "F16", "BF16", "F32", "F64"})
_FIT = "name a model file that anomalist fit wrote"
_PICKLES = ("is a pickle", f"pickles can run code when they are read, so none is; {_FIT}")


def write_model(path: str | Path, header: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a model file, whole or not at all.

    Raises
    ------
    OSError
        If it can't be written.
    """
    text = json.dumps({"sha256": _BLANK, "format": FORMAT, **header})
    # What shares memory, as the weights of members do, can't be written as it is.
    written: dict[int, str] = {}
    own = {
        name: tensor
        if written.setdefault(tensor.data_ptr(), name) == name or not tensor.numel()
        else tensor.clone()
        for name, tensor in tensors.items()
    }
    with atomic_path(path) as temporary:
        try:
            safetensors.torch.save_file(own, temporary, {"anomalist": text})
        except safetensors.SafetensorError as error:  # a full disk, for one
            raise OSError(None, str(error), str(path)) from error
        sign(temporary)


def sign(path: str | Path) -> None:
    """Put into a model file the hash of its content, in the place of the one it has."""
    with Path(path).open("r+b") as file:
        digest, place = content_digest(file)
        file.seek(place)
        file.write(digest.encode())


def read_model(
    path: str | Path, prefixes: tuple[str, ...] = ("",)
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the header of a model file, and the tensors whose names begin with a prefix.

    No byte is executed, and none but those of a file that is as it was written are looked at:
    the whole file is hashed first. All values are numbers; whether they make a detector is for the
    detector to say.

    Raises
    ------
    ModelFileError
        If it is no model file, or a damaged one, or of a newer version.
    """
    path = Path(path)
    try:
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "no file"
            raise ModelFileError(
                f"{path} is {kind}: {_FIT}" if path.exists() else f"no model file at {path}"
            )
        with path.open("rb") as file:
            foreign = _foreign(file)
            if foreign is not None:
                what, why = foreign
                raise ModelFileError(f"{path} {what}, no model file of anomalist: {why}")
        with safetensors.safe_open(path, "pt") as content:
            metadata = content.metadata() or {}
            if "anomalist" not in metadata:
                raise ModelFileError(
                    f"{path} is a safetensors file of something else, such as the weights of a"
                    f" network: {_FIT}"
                )
            header = _header(path, metadata["anomalist"])
            names = list(content.keys())
            kinds = {content.get_slice(name).get_dtype() for name in names}
            if kinds - _DTYPES:
                raise ModelFileError(f"{path} is damaged: it holds numbers of unknown kinds")
            chosen = [name for name in names if name.startswith(prefixes)]
            return header, {name: _owned(path, name, content.get_tensor(name)) for name in chosen}
    except ModelFileError:
        raise
    except OSError as error:
        if error.strerror:
            raise ModelFileError(f"{path} can't be read: {error.strerror}") from error
        raise ModelFileError(_damaged(path)) from error
    except Exception as error:  # readers meet damaged bytes with errors of many kinds
        if is_out_of_memory(error):
            raise
        raise ModelFileError(_damaged(path)) from error


def _damaged(path: Path) -> str:
    return (
        f"{path} is cut short or damaged, and what it holds can't be trusted:"
        " copy it again from where it is whole, or fit the detector again"
    )


def _foreign(file: BinaryIO) -> tuple[str, str] | None:
    """What a file is by its first bytes, and what to do, unless it may be a model file."""
    head = file.read(4096)
    if not head:
        return "is empty", "copy it again, or fit the detector again"
    if head.startswith(b"PK\x03\x04"):
        if b".pkl" in head or b"/byteorder" in head:
            return _PICKLES
        return "is a zip archive", _FIT
    if head[0] == 0x80 and head[1] in range(2, 6):
        return _PICKLES
    if head[8:9] == b"{":  # the header of safetensors, after its length
        return None
    if head[:1] == b"\x08" and (b"pytorch" in head or b"onnx" in head or b"ONNX" in head):
        return "is an ONNX graph", f"graphs are for export's runtimes; {_FIT}"
    kinds = {b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"\x89HDF": "an HDF5 file"}
    for start, kind in kinds.items():
        if head.startswith(start):
            return f"is {kind}", _FIT
    if b"\0" not in head:
        try:
            head.decode()
        except UnicodeDecodeError as error:
            if error.start < len(head) - 3:
                return "is of an unknown kind", _FIT
        return "is a text file", _FIT
    return "is of an unknown kind", _FIT


def _header(path: Path, text: str) -> dict[str, Any]:
    """The header, once it is known to be of this format and the file to be as it was written."""
    header = json.loads(text, parse_constant=_refuse)
    level = [header]
    for _ in range(_DEEPEST):
        held = (
            v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)
        )
        level = [entry for entries in held for entry in entries]
    if level:
        raise ValueError("the header is nested too deep")
    version = header["format"]
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT:
        raise ModelFileError(
            f"{path} has format {reprlib.repr(version)}, and this anomalist reads format {FORMAT}:"
            " update anomalist (pip install -U anomalist)"
        )
    with path.open("rb") as file:
        if version != FORMAT or content_digest(file)[0] != header["sha256"]:
            raise ModelFileError(_damaged(path))
    return {key: value for key, value in header.items() if key != "sha256"}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def content_digest(file: BinaryIO) -> tuple[str, int]:
    """Return the SHA-256 of a model file whose own hash counts as zeros, and where that stands.

    Raises
    ------
    ValueError
        If there is no one place for a hash.
    """
    length = file.read(8)
    size = int.from_bytes(length, "little")
    if size > _HEADER_BYTES:
        raise ValueError("the header is too long")
    head = length + file.read(size)
    if head.count(_MARK) != 1:
        raise ValueError("there is no one place for the hash")
    place = head.index(_MARK) + len(_MARK)
    digest = hashlib.sha256(head[:place])
    digest.update(_BLANK.encode())
    digest.update(head[place + len(_BLANK) :])
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest(), place


def _owned(path: Path, name: str, tensor: Tensor) -> Tensor:
    """A copy that no later change of the file reaches, checked to hold numbers alone."""
    if tensor.numel() * tensor.element_size() > _IN_MEMORY_MB * 2**20:
        values = tensor.numpy()
        array = scratch_array(values.shape, values.dtype, _IN_MEMORY_MB)
        array[...] = values
        tensor = torch.from_numpy(array)
    else:
        tensor = tensor.clone()
    if tensor.is_floating_point() and tensor.numel():
        largest = torch.stack(torch.aminmax(tensor)).abs().max()
        if not largest <= _LARGEST:
            what = "larger than any detector's" if largest.isfinite() else "that aren't numbers"
            raise ModelFileError(
                f"{path} is damaged: {repr(name)[:120]} holds values {what}; fit the detector again"
            )
    return tensor
