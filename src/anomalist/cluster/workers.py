"""What workers may be asked to have, and what the machines of a cluster have to give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from anomalist.errors import ClusterError, ParameterError

# How many different machines are told of.
_NAMED = 3
_LEAST = {"workers": 1, "worker_cpus": 1, "worker_gpus": 0, "worker_memory_mb": 1}


def check_asked(**asked: float | None) -> None:
    """Refuse numbers that no worker can have, by the names of their flags.

    Parameters
    ----------
    **asked : float or None
        ``workers``, ``worker_cpus``, ``worker_gpus`` and ``worker_memory_mb``, or some of them;
        None for what isn't said.

    Raises
    ------
    ParameterError
        If one is too small.

    Examples
    --------
    >>> check_asked(workers=None, worker_cpus=0)
    Traceback (most recent call last):
    ...
    anomalist.errors.ParameterError: --worker_cpus must be at least 1, not 0
    """
    for flag, value in asked.items():
        if value is not None and not value >= _LEAST[flag]:
            raise ParameterError(f"--{flag} must be at least {_LEAST[flag]}, not {value}")


def resources(ray: Any) -> list[dict[str, float]]:
    """Return what each machine of a cluster that lives has, as Ray calls it.

    Parameters
    ----------
    ray : module
        Connected.
    """
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@dataclass(frozen=True)
class Needs:
    """What a worker asks of the one machine that it is to lie on.

    Parameters
    ----------
    cpus : int
        Processors.
    gpus : float
        Accelerators.
    memory_mb : float, optional
        Memory in MB; none is set aside where it isn't said.

    Examples
    --------
    >>> machines = [{"CPU": 4.0, "memory": 2.0**30}, {"CPU": 2.0, "GPU": 1.0}]
    >>> Needs(2).room(machines), Needs(2, gpus=0.5).room(machines), Needs(8).room(machines)
    (3, 1, 0)
    """

    cpus: int = 1
    gpus: float = 0.0
    memory_mb: float | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The same, as tasks and actors of Ray take it."""
        asked: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        return asked if self.memory_mb is None else asked | {"memory": self._bytes}

    def room(self, machines: Iterable[dict[str, float]]) -> int:
        """Return how many such workers machines have room for; what several have left makes none.

        Parameters
        ----------
        machines : iterable of dict
            As `resources` gives them.
        """
        asked = {"CPU": self.cpus, "GPU": self.gpus, "memory": self._bytes}
        return sum(
            min(int(machine.get(name, 0) // amount) for name, amount in asked.items() if amount)
            for machine in machines
        )

    def check_room(self, machines: Sequence[dict[str, float]]) -> None:
        """Refuse needs that no machine of a cluster can meet.

        Raises
        ------
        ClusterError
            It says what is asked for, and what there is.

        Examples
        --------
        >>> Needs(8).check_room([{"CPU": 4.0}])
        Traceback (most recent call last):
        ...
        anomalist.errors.ClusterError: no machine of the cluster has room for a worker of 8 ...
        """
        if not self.room(machines):
            there = [
                _told(m.get("CPU", 0), m.get("GPU", 0), m.get("memory", 0) / 2**20)
                for m in sorted(machines, key=lambda m: -m.get("CPU", 0))
            ]
            raise ClusterError(
                f"no machine of the cluster has room for a worker of {self}; there are machines"
                f" with {'; '.join(list(dict.fromkeys(there))[:_NAMED]) or 'nothing'}: lower"
                " --worker_cpus, --worker_gpus or --worker_memory_mb, or choose --device cpu"
            )

    @property
    def _bytes(self) -> int:
        return int((self.memory_mb or 0) * 2**20)

    def __str__(self) -> str:
        return _told(self.cpus, self.gpus, self.memory_mb or 0)


def accelerators(machines: Iterable[dict[str, float]], devices: Iterable[str | None]) -> float:
    """Return how many accelerators a worker is given where nobody says.

    Parameters
    ----------
    machines : iterable of dict
        As `resources` gives them.
    devices : iterable of str or None
        Where models are to run, such as ``cpu``; None and ``auto`` leave it open.

    Raises
    ------
    ClusterError
        If one is to run on an accelerator, and no machine has any.

    Examples
    --------
    >>> accelerators([{"CPU": 4.0, "GPU": 2.0}], ["auto"]), accelerators([{"CPU": 4.0}], ["auto"])
    (1.0, 0.0)
    """
    kinds = {(device or "auto").partition(":")[0] for device in devices}
    there = any(machine.get("GPU", 0) >= 1 for machine in machines)
    if "cuda" in kinds and not there:
        raise ClusterError(
            "--device cuda is asked for, and no machine of the cluster has an accelerator"
        )
    return float(there and not kinds.isdisjoint({"cuda", "auto"}))


def _told(cpus: float, gpus: float, memory_mb: float) -> str:
    parts = [f"{cpus:g} {'processor' if cpus == 1 else 'processors'}"]
    parts += [f"{gpus:g} {'accelerator' if gpus == 1 else 'accelerators'}"] if gpus else []
    parts += [f"{memory_mb:.0f} MB of memory"] if memory_mb else []
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
