"""The feature store: each image passes a backbone once, whatever asks for its features."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from anomalist.data import ImageSet, Sample, Transform
from anomalist.data.loader import load_chunks
from anomalist.data.looks import Look
from anomalist.data.motion import Motion
from anomalist.errors import ParameterError
from anomalist.features.backbone import Backbone
from anomalist.features.preparation import Preparation
from anomalist.features.progress import Progress
from anomalist.files import atomic_path

_REMEMBERED = 2**18
_REMEMBERED_LOOKS = 2**13


class FeatureStore:
    """Keeps feature maps, so that detectors, seeds and settings share one pass of each image.

    Maps are known by content: the bytes of the image, the transform, what is ignored, the bytes of
    the weights and the layer. They are kept in memory and, where a folder is given, below it as a
    file a map. A file that is torn is made again. Any number of threads may use a store.

    When memory is full, an image's maps take the place of those used longest ago, but only if these
    have waited longer than the image itself since it was last asked for. So images that come round
    again and again, more than there is room for, don't push each other out.

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
        self._lock = threading.RLock()
        # Maps by layer of an image, the least recently used first; and when images, also those
        # without maps, were last asked for, counted in images.
        self._memory: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._last: OrderedDict[str, int] = OrderedDict()
        # What reading the images told, which a hit tells again.
        self._told: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        # How they look, likewise.
        self._looks: OrderedDict[str, Look] = OrderedDict()
        # By which motions they were registered, likewise.
        self._motions: OrderedDict[str, Motion | None] = OrderedDict()
        self._asked = 0
        self._limit = int(memory_limit_mb * 2**20)
        self._in_memory = 0
        self._folder = None if folder is None else Path(folder)
        self._disk_limit = int(disk_limit_mb * 2**20)
        self._on_disk = sum(f.stat().st_size for f in self._files())
        self._cost: dict[str, float] = {}
        self._adopted: list[Backbone] = []
        #: Images that passed a backbone so far.
        self.passes = 0
        #: Seconds that making the maps anew would have cost, where they were kept instead.
        self.saved_seconds = 0.0

    @property
    def memory_limit_mb(self) -> float:
        """Ceiling of the maps in memory, in MB."""
        return self._limit / 2**20

    def adopt(self, backbone: Backbone) -> None:
        """Let this backbone make the maps that others with the same weights ask for.

        Its layers should be all that will be asked for: then one pass serves everyone.
        """
        with self._lock:
            if not any(a.serves(backbone) for a in self._adopted):
                self._adopted = [a for a in self._adopted if not backbone.serves(a)] + [backbone]

    def features(
        self,
        backbone: Backbone,
        images: ImageSet,
        transform: Transform,
        batch_size: int,
        progress: Progress | None = None,
        *,
        preparation: Preparation | None = None,
        hashed: bool = False,
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
        preparation : Preparation, optional
            What happens to the transformed images before the backbone sees them; nothing by
            default.
        hashed : bool
            Whether the images' hashes will be asked for, so that a file is read once for both.

        Yields
        ------
        list of tensors of shape (B, C, h, w)
            One a layer, in the order of the backbone's layers, on its device.
        """
        maker = next((a for a in self._adopted if a.serves(backbone)), backbone)
        keeps = self._limit > 0 or self._folder is not None
        prepare = Preparation() if preparation is None else preparation
        identity = [maker.name, maker.weights_sha256, transform.as_dict()]
        prefix = json.dumps([*identity, *([prepare.key] if prepare.key else [])], sort_keys=True)

        def key_of(sha256: str) -> str:
            return hashlib.sha256(f"{prefix}{sha256}".encode()).hexdigest()

        def is_kept(sha256: str) -> bool:
            return keeps and self._has(key_of(sha256), backbone.layers)

        sight = prepare.sight(transform)
        chunks = load_chunks(
            images,
            transform,
            batch_size,
            hashed=hashed or keeps,
            skip=is_kept,
            ignored=prepare.ignored,
            registration=prepare.registration,
        )
        done = 0
        while True:
            begin = time.perf_counter()
            chunk = next(chunks, None)
            if chunk is None:
                return
            keys = [key_of(sha256) for sha256 in chunk.sha256s] if keeps else []
            samples = list(images[done : done + len(chunk)])
            # Whole batches are made again, so that a map's bits don't depend on what was kept.
            maps = self._kept(keys, backbone.layers) if keeps else None
            if maps is None:
                made = dict(zip(maker.layers, prepare.maps(maker, chunk.pixels()), strict=True))
                seconds = (time.perf_counter() - begin) / len(chunk)
                with self._lock:
                    self.passes += len(chunk)
                if keeps:
                    keys = [key_of(sha256) for sha256 in chunk.sha256s]
                    for key, sample in zip(keys, samples, strict=True):
                        self._note(key, sample.known_remarks(transform.bit_depth))
                        self._note_look(key, sample.known_look(sight))
                        self._note_motion(key, sample, prepare)
                    self._keep(keys, made, seconds)
                maps = [made[layer] for layer in backbone.layers]
            else:
                for key, sample in zip(keys, samples, strict=True):
                    if (remarks := self._told.get(key)) is not None:
                        sample.keep_remarks(transform.bit_depth, remarks)
                    if (look := self._looks.get(key)) is not None:
                        sample.keep_look(sight, look)
                    if prepare.registration is not None and key in self._motions:
                        sample.keep_motion(prepare.registration.key, self._motions[key])
            done += len(chunk)
            # One memory layout for all, or what follows would round differently.
            yield [
                m.to(backbone.device).contiguous(memory_format=torch.channels_last) for m in maps
            ]
            if progress is not None:
                progress(done, len(images))

    def _has(self, key: str, layers: Sequence[str]) -> bool:
        with self._lock:
            kept = self._memory.get(key, {})
            if all(layer in kept for layer in layers):
                return True
        return self._folder is not None and all(self._path(key, n).is_file() for n in layers)

    def _kept(self, keys: Sequence[str], layers: Sequence[str]) -> list[Tensor] | None:
        """The maps of a batch, if all are there."""
        rows = [self._row(key, layers) for key in keys]
        if any(row is None for row in rows):
            return None
        with self._lock:
            for key in keys:
                self._asked_for(key)
            self.saved_seconds += sum(self._cost.get(key, 0.0) for key in keys)
        return [torch.stack(maps) for maps in zip(*rows, strict=True)]

    def _row(self, key: str, layers: Sequence[str]) -> list[Tensor] | None:
        with self._lock:
            kept = self._memory.get(key, {})
            if all(layer in kept for layer in layers):
                return [kept[layer] for layer in layers]
        return self._load(key, layers)

    def _note(self, key: str, remarks: tuple[str, ...] | None) -> None:
        """Keep what reading an image told, where that is known."""
        if remarks is None:
            return
        with self._lock:
            self._told[key] = remarks
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)

    def _note_look(self, key: str, look: Look | None) -> None:
        if look is None:
            return
        with self._lock:
            self._looks[key] = look
            if len(self._looks) > _REMEMBERED_LOOKS:
                self._looks.popitem(last=False)

    def _note_motion(self, key: str, sample: Sample, prepare: Preparation) -> None:
        """Keep by which motion an image was registered, where it was."""
        if prepare.registration is None:
            return
        (motion,) = prepare.motions([sample], Transform())
        with self._lock:
            self._motions[key] = motion
            if len(self._motions) > _REMEMBERED:
                self._motions.popitem(last=False)

    def _asked_for(self, key: str) -> int:
        """Note that an image is asked for; return how many others were since it was last."""
        self._asked += 1
        away = self._asked - self._last.pop(key, self._asked)
        self._last[key] = self._asked
        if key in self._memory:
            self._memory.move_to_end(key)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        return away

    def _keep(self, keys: Sequence[str], made: dict[str, Tensor], seconds: float) -> None:
        for i, key in enumerate(keys):
            maps = {layer: batch[i].cpu().contiguous() for layer, batch in made.items()}
            with self._lock:
                self._cost[key] = seconds
                self._keep_in_memory(key, maps, self._asked_for(key))
            if self._folder is not None:
                self._keep_on_disk(key, maps)
        if self._on_disk > self._disk_limit:
            self._trim_folder()

    def _keep_in_memory(self, key: str, maps: dict[str, Tensor], away: int) -> None:
        kept = self._memory.get(key, {})
        new = {layer: tensor for layer, tensor in maps.items() if layer not in kept}
        needed = sum(tensor.nbytes for tensor in new.values())
        while self._in_memory + needed > self._limit:
            oldest = next(iter(self._memory), key)
            idle = self._asked - self._last.get(oldest, 0)
            if oldest == key or idle <= away:
                return
            self._in_memory -= sum(t.nbytes for t in self._memory.pop(oldest).values())
        self._memory[key] = kept | new
        self._in_memory += needed

    def _keep_on_disk(self, key: str, maps: dict[str, Tensor]) -> None:
        told = self._told.get(key)
        metadata = None if told is None else {"remarks": json.dumps(told)}
        for layer, tensor in maps.items():
            target = self._path(key, layer)
            with atomic_path(target) as path:
                safetensors.torch.save_file({layer: tensor}, path, metadata)
            with self._lock:
                self._on_disk += target.stat().st_size

    def _path(self, key: str, layer: str) -> Path:
        assert self._folder is not None
        return self._folder / key[:2] / f"{key}-{layer}.safetensors"

    def _load(self, key: str, layers: Sequence[str]) -> list[Tensor] | None:
        """Read maps from their files, memory-mapped; None if one isn't there, or torn."""
        if self._folder is None:
            return None
        maps, told = [], None
        try:
            for layer in layers:
                path = self._path(key, layer)
                with safetensors.safe_open(path, "pt") as file:
                    maps.append(file.get_tensor(layer))
                    told = json.loads((file.metadata() or {}).get("remarks", "null"))
                path.touch()  # the least recently used go first
        except (OSError, ValueError, safetensors.SafetensorError):
            return None
        self._note(key, None if told is None else tuple(map(str, told)))
        return maps

    def _trim_folder(self) -> None:
        """Drop the files that were used longest ago, down to nine tenths of the limit."""
        files = []
        for file in self._files():
            with suppress(FileNotFoundError):  # another process trims as well
                files.append((file.stat(), file))
        left = sum(stat.st_size for stat, _ in files)
        for stat, file in sorted(files, key=lambda item: item[0].st_mtime_ns):
            if left <= 0.9 * self._disk_limit:
                break
            file.unlink(missing_ok=True)
            left -= stat.st_size
        with self._lock:
            self._on_disk = left

    def _files(self) -> Iterator[Path]:
        return iter(()) if self._folder is None else self._folder.glob("*/*.safetensors")
