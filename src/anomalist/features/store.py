"""The feature store: each image passes a backbone once, whatever asks for its features."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from anomalist.data import ImageSet, Transform, load_batches
from anomalist.errors import ParameterError
from anomalist.features.backbone import Backbone
from anomalist.files import atomic_path

Progress = Callable[[int, int], None]


class FeatureStore:
    """Keeps feature maps, so that detectors, seeds and settings share one pass of each image.

    Maps are known by content: the bytes of the image, the transform, the bytes of the weights and
    the layer. They are kept in memory and, where a folder is given, below it as a file an image;
    the least recently used go first when a limit is reached. A file that is torn is made again.

    Parameters
    ----------
    memory_limit_mb : float
        Ceiling of the maps in memory, in MB.
    folder : str or Path, optional
        Where maps are kept between processes.
    disk_limit_mb : float
        Ceiling of the files below ``folder``, in MB.

    Raises
    ------
    ParameterError
        If a limit is negative.

    Examples
    --------
    >>> store = FeatureStore()
    >>> store.adopt(Backbone("efficientnet_lite0", ["stride4", "stride8", "stride16"]))
    >>> store.passes
    0
    """

    def __init__(
        self,
        *,
        memory_limit_mb: float = 4096,
        folder: str | Path | None = None,
        disk_limit_mb: float = 20_000,
    ) -> None:
        for name, value in (("memory_limit_mb", memory_limit_mb), ("disk_limit_mb", disk_limit_mb)):
            if value < 0:
                raise ParameterError(f"{name} must not be negative, not {value}")
        self._memory: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._memory_left = int(memory_limit_mb * 2**20)
        self._keeps = self._memory_left > 0 or folder is not None
        self._folder = None if folder is None else Path(folder)
        self._disk_limit = int(disk_limit_mb * 2**20)
        self._on_disk = sum(f.stat().st_size for f in self._files())
        self._cost: dict[str, float] = {}
        self._adopted: dict[tuple[str, str, torch.device], Backbone] = {}
        #: Images that passed a backbone so far.
        self.passes = 0
        #: Seconds that making the maps anew would have cost, where they were kept instead.
        self.saved_seconds = 0.0

    def adopt(self, backbone: Backbone) -> None:
        """Let this backbone make the maps that others with the same weights ask for.

        Its layers should be all that will be asked for: then one pass serves everyone.
        """
        self._adopted[_identity(backbone)] = backbone

    def features(
        self,
        backbone: Backbone,
        images: ImageSet,
        transform: Transform,
        batch_size: int,
        progress: Progress | None = None,
    ) -> Iterator[list[Tensor]]:
        """Yield the feature maps of images, batch by batch, as the backbone itself gives them.

        Parameters
        ----------
        backbone : Backbone
            Whose layers are asked for.
        images : ImageSet
            N images.
        transform : Transform
            Brings them to the backbone's input.
        batch_size : int
            Images a batch.
        progress : callable, optional
            Called with the number of images done and N.

        Yields
        ------
        list of tensors of shape (B, C, h, w)
            One a layer, in the order of the backbone's layers, on its device.
        """
        maker = self._adopted.get(_identity(backbone), backbone)
        if not set(backbone.layers) <= set(maker.layers):
            maker = backbone
        prefix = json.dumps([maker.name, maker.weights_sha256, transform.as_dict()], sort_keys=True)
        keys = [
            hashlib.sha256(f"{prefix}{sample.sha256()}".encode()).hexdigest() if self._keeps else ""
            for sample in images
        ]
        chunks = [
            range(start, min(start + batch_size, len(images)))
            for start in range(0, len(images), batch_size)
        ]
        # Whole batches are made again, so that a map's bits don't depend on what was kept.
        missing = [c for c in chunks if not all(self._has(keys[i], backbone.layers) for i in c)]
        wanted = np.array([i for chunk in missing for i in chunk], dtype=np.intp)
        batches = load_batches(images[wanted], transform, batch_size)
        todo = {chunk.start for chunk in missing}
        for chunk in chunks:
            maps = None if chunk.start in todo else self._kept(keys, chunk, backbone.layers)
            if maps is not None:
                self.saved_seconds += sum(self._cost.get(keys[i], 0.0) for i in chunk)
            else:
                start = time.perf_counter()
                if chunk.start in todo:
                    batch = next(batches)
                else:  # dropped since the look at what is there
                    (batch,) = load_batches(images[list(chunk)], transform, batch_size)
                made = dict(zip(maker.layers, maker(batch), strict=True))
                self.passes += len(chunk)
                seconds = (time.perf_counter() - start) / len(chunk)
                if self._keeps:
                    self._cost |= {keys[i]: seconds for i in chunk}
                    self._keep([keys[i] for i in chunk], made)
                maps = [made[layer] for layer in backbone.layers]
            # One memory layout for all, or what follows would round differently.
            yield [
                m.to(backbone.device).contiguous(memory_format=torch.channels_last) for m in maps
            ]
            if progress is not None:
                progress(chunk.stop, len(images))

    def _has(self, key: str, layers: Sequence[str]) -> bool:
        if all((key, layer) in self._memory for layer in layers):
            return True
        return self._load(key, layers) is not None

    def _kept(self, keys: list[str], chunk: range, layers: Sequence[str]) -> list[Tensor] | None:
        rows = []
        for key in (keys[i] for i in chunk):
            row = [self._memory.get((key, layer)) for layer in layers]
            if any(m is None for m in row):
                loaded = self._load(key, layers)
                if loaded is None:
                    return None
                row = list(loaded)
            else:
                for layer in layers:
                    self._memory.move_to_end((key, layer))
            rows.append(row)
        return [torch.stack([row[i] for row in rows]) for i in range(len(layers))]  # type: ignore[misc]

    def _keep(self, keys: Sequence[str], made: dict[str, Tensor]) -> None:
        for i, key in enumerate(keys):
            maps = {layer: batch[i].cpu().contiguous() for layer, batch in made.items()}
            for layer, tensor in maps.items():
                if (key, layer) not in self._memory:
                    self._memory[key, layer] = tensor
                    self._memory_left -= tensor.nbytes
            while self._memory_left < 0 and self._memory:
                self._memory_left += self._memory.popitem(last=False)[1].nbytes
            if self._folder is not None:
                with atomic_path(self._path(key)) as path:
                    safetensors.torch.save_file(maps, path)
                self._on_disk += self._path(key).stat().st_size
        if self._on_disk > self._disk_limit:
            self._trim_folder()

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / key[:2] / f"{key}.safetensors"

    def _load(self, key: str, layers: Sequence[str]) -> list[Tensor] | None:
        """Read maps from their file, memory-mapped; None if it isn't there, torn or lacks one."""
        if self._folder is None:
            return None
        path = self._path(key)
        try:
            with safetensors.safe_open(path, "pt") as file:
                maps = [file.get_tensor(layer) for layer in layers]
            path.touch()  # the least recently used go first
        except (OSError, safetensors.SafetensorError):
            return None
        return maps

    def _trim_folder(self) -> None:
        """Drop the files that were used longest ago, down to nine tenths of the limit."""
        files = [(file.stat(), file) for file in self._files()]
        self._on_disk = sum(stat.st_size for stat, _ in files)
        for stat, file in sorted(files, key=lambda item: item[0].st_mtime_ns):
            if self._on_disk <= 0.9 * self._disk_limit:
                return
            file.unlink(missing_ok=True)
            self._on_disk -= stat.st_size

    def _files(self) -> Iterator[Path]:
        return iter(()) if self._folder is None else self._folder.glob("*/*.safetensors")


def _identity(backbone: Backbone) -> tuple[str, str, torch.device]:
    return backbone.name, backbone.weights_sha256, backbone.device
