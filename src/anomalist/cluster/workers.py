"""What workers may be asked to have, and what the machines of a cluster have to give."""

from __future__ import annotations

from typing import Any

from anomalist.errors import ParameterError

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
