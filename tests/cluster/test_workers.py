"""What workers ask for is what a machine must have, said the same way wherever it is asked."""

from __future__ import annotations

import pytest

from anomalist.cluster import Needs, accelerators, check_asked
from anomalist.errors import ClusterError, ParameterError

GB = 2.0**30
MACHINES = [{"CPU": 4.0, "memory": 8 * GB}, {"CPU": 8.0, "GPU": 2.0, "memory": 16 * GB}]


def test_room_is_that_of_each_machine_by_itself() -> None:
    assert Needs(4).room(MACHINES) == 3
    assert Needs(3).room(MACHINES) == 3  # one processor and two are left, which make none
    assert Needs(1, gpus=0.5).room(MACHINES) == 4
    assert Needs(1, memory_mb=9000).room(MACHINES) == 1
    assert Needs(9).room(MACHINES) == Needs(1).room([]) == 0


def test_no_room_says_what_is_asked_and_what_there_is() -> None:
    with pytest.raises(ClusterError) as caught:
        Needs(9, 1, 2000).check_room([*MACHINES, MACHINES[0]])
    assert str(caught.value) == (
        "no machine of the cluster has room for a worker of 9 processors, 1 accelerator and 2000 MB"
        " of memory; there are machines with 8 processors, 2 accelerators and 16384 MB of memory;"
        " 4 processors and 8192 MB of memory: lower --worker_cpus, --worker_gpus or"
        " --worker_memory_mb, or choose --device cpu"
    )
    with pytest.raises(ClusterError, match="there are machines with nothing"):
        Needs().check_room([])
    Needs(8, 2).check_room(MACHINES)


def test_an_accelerator_is_given_where_it_is_of_use() -> None:
    for devices, count in (
        (["cpu"], 0),
        (["cpu", None], 1),
        (["auto"], 1),
        (["cuda:1"], 1),
        (["mps"], 0),
    ):
        assert accelerators(MACHINES, devices) == count
    assert accelerators(MACHINES[:1], [None, "auto", "cpu"]) == 0
    with pytest.raises(ClusterError, match="no machine of the cluster has an accelerator"):
        accelerators(MACHINES[:1], ["cpu", "cuda:0"])


def test_ray_is_told_the_same() -> None:
    assert Needs(2).options == {"num_cpus": 2, "num_gpus": 0}
    assert Needs(1, 0.5, 1.5).options == {"num_cpus": 1, "num_gpus": 0.5, "memory": 3 * 2**19}


def test_what_no_worker_can_have_is_refused() -> None:
    check_asked(workers=1, worker_cpus=None, worker_gpus=0, worker_memory_mb=1)
    for flag, value in (("workers", 0), ("worker_gpus", -1), ("worker_memory_mb", float("nan"))):
        with pytest.raises(ParameterError, match=f"--{flag} must be at least"):
            check_asked(**{flag: value})
