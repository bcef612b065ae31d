"""An unfinished training in a file, which is only taken up by the very same training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from anomalist.files import atomic_path

_KEY = "training"


class UnfitCheckpointError(Exception):
    """Why a checkpoint is passed over, to be read after its name."""


class Checkpoint:
    """A file of a training's state.

    Parameters
    ----------
    path : str or Path
        The file.
    identity : dict
        JSON values by which a training knows its own checkpoint again.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._identity = json.loads(json.dumps(identity))

    def save(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Write groups of tensors and JSON values, whole or not at all.

        Raises
        ------
        OSError
            If the file can't be written.
        """
        tensors: dict[str, Tensor] = {}
        values: dict[str, Any] = {}
        for group, entries in state.items():
            for name, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"{group}/{name}"] = value.detach().cpu().contiguous()
                else:
                    values[f"{group}/{name}"] = value
        header = json.dumps({"identity": self._identity, "values": values})
        with atomic_path(self.path) as temporary:
            safetensors.torch.save_file(tensors, temporary, {_KEY: header})

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Return the groups that were saved, or None where there is no file.

        Raises
        ------
        UnfitCheckpointError
            If the file is damaged, or of another training.
        """
        if not self.path.is_file():
            return None
        try:
            with safetensors.safe_open(self.path, "pt") as file:
                header = json.loads((file.metadata() or {}).get(_KEY, "null"))
                entries = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except OSError as error:
            raise UnfitCheckpointError(f"can't be read, {error.strerror or error}") from error
        except (safetensors.SafetensorError, ValueError, RecursionError) as error:
            raise UnfitCheckpointError("is damaged or no checkpoint") from error
        if not isinstance(header, dict) or not isinstance(header.get("identity"), dict):
            raise UnfitCheckpointError("doesn't say which training it is of")
        if header["identity"] != self._identity:
            told = _differences(header["identity"], self._identity)
            raise UnfitCheckpointError(f"is of another training (other {told})")
        if not isinstance(header.get("values"), dict):
            raise UnfitCheckpointError("is damaged or no checkpoint")
        groups: dict[str, dict[str, Any]] = {}
        for key, value in {**header["values"], **entries}.items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = value
        return groups


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Name what differs between two identities.

    Examples
    --------
    >>> _differences({"version": "1", "settings": {"seed": 0}}, {"settings": {"seed": 1}})
    'settings.seed, version'
    """
    names = []
    for key in sorted(there.keys() | here.keys()):
        one, other = there.get(key), here.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            inside = sorted(one.keys() | other.keys())
            names += [f"{key}.{name}" for name in inside if one.get(name) != other.get(name)]
        elif one != other:
            names.append(key)
    return ", ".join(names)
