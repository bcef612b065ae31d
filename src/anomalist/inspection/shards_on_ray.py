"""Shards summed up by the machines of a Ray cluster."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalist import errors
from anomalist.cluster import Needs, accelerators, check_asked, resources
from anomalist.errors import AnomalistError, ClusterError
from anomalist.inspection.shard_work import OnShard, ShardWork, Summarised
from anomalist.origins import origin_of

# How often a shard is given to another worker when the one that had it dies.
_RETRIES = 3
# Seconds between looks at what is done, and between what a worker says of it.
_LOOK_SECONDS, _SAY_SECONDS = 0.5, 1.0


@dataclass(frozen=True)
class RayShards:
    """Does shards on a cluster, each on one worker, as many at once as there is room for.

    Parameters
    ----------
    ray : module
        Connected, see `anomalist.cluster.connected`.
    roots : tuple of Path
        Folders that workers must see, too, unless they stand for addresses.
    cpus : int, optional
        Processors of a worker, which is also how many threads compute; by default all of a node, of
        the one that has the fewest.
    gpus : float, optional
        Accelerators of a worker; by default 1 where the cluster has any and the detector may run on
        one, else 0.
    memory_mb : int, optional
        Memory that is set aside for a worker.

    Raises
    ------
    ParameterError
        If one of them can't be.
    """

    ray: Any
    roots: tuple[Path, ...] = ()
    cpus: int | None = None
    gpus: float | None = None
    memory_mb: int | None = None

    def __post_init__(self) -> None:
        check_asked(worker_cpus=self.cpus, worker_gpus=self.gpus, worker_memory_mb=self.memory_mb)

    @property
    def nodes(self) -> list[dict[str, float]]:
        """What each of the nodes has that work can go to."""
        return [node for node in resources(self.ray) if node.get("CPU", 0) >= 1]

    def __call__(
        self, works: Sequence[ShardWork], progress: OnShard | None
    ) -> Iterator[Summarised]:
        """Give what comes home of the shards in their order.

        Workers read their images themselves; a summary waits where it was made until it is its
        turn.

        Raises
        ------
        AnomalistError
            That a worker told.
        ClusterError
            If the cluster has no room for a worker, or a shard isn't done after all retries.
        """
        options = self._options(works[0].detector.device)
        counter = self.ray.remote(num_cpus=0, max_restarts=-1)(_Counter).remote()
        task = self.ray.remote(**options)(_summarised)
        roots = tuple(root for root in self.roots if origin_of(root) is None)
        started = [task.remote(work, options["num_cpus"], roots, counter) for work in works]
        told = [answer for answer, _ in started]
        try:
            for place, (answer, summary) in enumerate(started):
                self._wait(answer, told, works, counter, progress)
                yield self._fetched(summary, place, works)
                started[place] = (answer, None)  # Ray may forget it
        finally:
            for answer in told:
                with suppress(Exception):  # whatever became of the cluster
                    self.ray.cancel(answer, force=True)

    def _options(self, device: str) -> dict[str, Any]:
        """What Ray must know of a worker."""
        nodes = self.nodes
        cpus = self.cpus or int(min((node["CPU"] for node in nodes), default=1))
        gpus = accelerators(nodes, [device]) if self.gpus is None else self.gpus
        needs = Needs(cpus, gpus, self.memory_mb)
        needs.check_room(nodes)
        return {**needs.options, "num_returns": 2, "max_retries": _RETRIES}

    def _wait(
        self,
        answer: Any,
        told: list[Any],
        works: Sequence[ShardWork],
        counter: Any,
        progress: OnShard | None,
    ) -> None:
        """Wait until a shard is done; raise what went wrong with any."""
        known = dict[int, int]()
        checked = set[int]()
        while True:
            done, _ = self.ray.wait(told, num_returns=len(told), timeout=0, fetch_local=False)
            for place in [told.index(one) for one in done]:
                if place not in checked:
                    self._check(told[place], place, works)
                    checked.add(place)
            if answer in done:
                break
            if progress is not None:
                with suppress(self.ray.exceptions.RayError):  # its node is lost: it starts again
                    for shard, images in self.ray.get(counter.read.remote(), timeout=5).items():
                        if known.get(shard) != images:
                            progress(shard, images)
                            known[shard] = images
            self.ray.wait([answer], timeout=_LOOK_SECONDS, fetch_local=False)
        if progress is not None:
            work = works[told.index(answer)]
            progress(work.shard.index, len(work.images))

    def _check(self, answer: Any, place: int, works: Sequence[ShardWork]) -> None:
        """Raise what a worker told, or what became of it."""
        wrong = self._got(answer, place, works)
        if wrong is not None:
            kind, text = wrong
            raise getattr(errors, kind, ClusterError)(text)

    def _fetched(self, summary: Any, place: int, works: Sequence[ShardWork]) -> Summarised:
        found: Summarised = self._got(summary, place, works)
        return found

    def _got(self, reference: Any, place: int, works: Sequence[ShardWork]) -> Any:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            text = str(error.cause) or type(error.cause).__name__
            raise ClusterError(
                f"shard {place + 1} of {len(works)} failed: {' '.join(text.split())}"
            ) from error
        except self.ray.exceptions.RayError as error:
            raise ClusterError(
                f"shard {place + 1} of {len(works)} isn't done: the workers that had it ended"
                f" {_RETRIES + 1} times ({type(error).__name__}); where memory ran out, more"
                " --shards, or a lower --memory_limit_mb, take less"
            ) from error


class _Counter:
    """An actor that knows how many images of each shard were read."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}

    def say(self, shard: int, images: int) -> None:
        """Take how many were."""
        self._done[shard] = images

    def read(self) -> dict[int, int]:
        """Give it of all."""
        return self._done


def _summarised(
    work: ShardWork, threads: int, roots: tuple[Path, ...], counter: Any
) -> tuple[tuple[str, str] | None, Summarised | None]:
    """Do a shard in a worker: what went wrong, in words, and what comes home."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)  # what decides bits: the same number on every machine
    said = 0.0

    def say(shard: int, images: int) -> None:
        nonlocal said
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            counter.say.remote(shard, images)

    try:
        for root in roots:
            if not root.is_dir():
                raise ClusterError(
                    f"{socket.gethostname()} doesn't see the folder {root}: give an address, or a"
                    " folder that all machines share"
                )
        return None, work(say)
    except (AnomalistError, OSError) as error:
        return (type(error).__name__, str(error)), None
    finally:
        torch.set_num_threads(before)
