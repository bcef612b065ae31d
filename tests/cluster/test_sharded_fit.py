"""Fits by shards on a cluster: the same bits as here, and what happens when workers die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anomalist.cli.main import main
from anomalist.detectors import Detector, PaDiM, PatchCore
from anomalist.errors import ClusterError, DataError, ParameterError
from anomalist.inspection import FitResult, fit_shards, open_parts
from anomalist.inspection.shard_work import one_by_one
from anomalist.inspection.sharded import draw
from anomalist.inspection.shards_on_ray import RayShards
from tests.s3 import upload

SMALL: dict[str, Any] = {"image_size": 64, "device": "cpu", "batch_size": 2}
FOUND: dict[str, Any] = {"calibrate_images": 4, "shards": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plates")
    rng = np.random.default_rng(0)
    for i in range(34):
        pixels = rng.normal(120, 8, (48, 48, 3))
        path = root / "good" / f"plate {i} #%?é.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return root


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many threads as a node of the cluster has processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fitted(detector: Detector, folder: Path, out: Path, **settings: Any) -> FitResult:
    parts = open_parts(folder, read=False)
    return fit_shards(detector, parts, out / "plate.anomalist", **{**FOUND, **settings})


def workers() -> list[int]:
    """Processes below this one that are at a shard."""
    told = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    )
    parents, busy = {}, []
    for line in told.stdout.splitlines()[1:]:
        pid, parent, args = line.split(None, 2)
        parents[int(pid)] = int(parent)
        if "ray::_summarised" in args:
            busy.append(int(pid))

    def is_own(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_own(parents[pid]))

    return [pid for pid in busy if is_own(pid)]


@pytest.fixture(scope="module")
def here(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model that this process makes, with as many threads as a node has processors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    made = fitted(PatchCore(**SMALL), folder, tmp_path_factory.mktemp("here")).path.read_bytes()
    torch.set_num_threads(before)
    return made


@pytest.mark.usefixtures("one_thread")
def test_a_cluster_gives_the_same_bits(ray: Any, here: bytes, folder: Path, tmp_path: Path) -> None:
    there = fitted(PatchCore(**SMALL), folder, tmp_path, run=RayShards(ray, (folder,)))
    assert there.path.read_bytes() == here


@pytest.mark.usefixtures("one_thread")
def test_a_worker_that_is_killed_changes_nothing(
    ray: Any, here: bytes, folder: Path, tmp_path: Path
) -> None:
    killed = list[int]()
    done = threading.Event()

    def kill() -> None:
        while not killed and not done.is_set():
            for pid in workers()[:1]:
                with suppress(ProcessLookupError):  # it was done by then
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while not killed:  # until one is seen at work
            run = RayShards(ray, (folder,))
            result = fitted(PatchCore(**SMALL), folder, tmp_path, run=run)
            assert result.path.read_bytes() == here
    finally:
        done.set()
        killer.join()


def test_what_a_worker_finds_is_told_as_it_is_here(ray: Any, folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    train = open_parts(damaged, read=False).train
    learnt = train[~draw(np.arange(len(train)), 1, seed=0)]
    learnt.paths[7].write_bytes(b"no image")
    with pytest.raises(DataError, match="isn't an image") as here:
        fitted(PaDiM(**SMALL), damaged, tmp_path, calibrate_images=1)
    run = RayShards(ray, (damaged,))
    with pytest.raises(DataError, match="isn't an image") as there:
        fitted(PaDiM(**SMALL), damaged, tmp_path, calibrate_images=1, run=run)
    assert str(there.value) == str(here.value)
    assert not list(tmp_path.glob("plate*"))


def test_a_folder_that_a_worker_lacks_is_told(ray: Any, folder: Path, tmp_path: Path) -> None:
    run = RayShards(ray, (tmp_path / "elsewhere",))
    with pytest.raises(ClusterError, match=r"doesn't see the folder .*elsewhere: give an address"):
        fitted(PaDiM(**SMALL), folder, tmp_path, run=run)


def test_workers_that_fit_no_node_are_refused(ray: Any, folder: Path, tmp_path: Path) -> None:
    for settings in ({"cpus": 64}, {"gpus": 2.0}, {"memory_mb": 10**9}):
        with pytest.raises(ClusterError, match="no machine of the cluster has room"):
            fitted(PaDiM(**SMALL), folder, tmp_path, run=RayShards(ray, **settings))
    with pytest.raises(ParameterError, match="--worker_cpus must be at least 1"):
        RayShards(ray, cpus=0)


@pytest.mark.usefixtures("one_thread", "cache")
def test_workers_read_photographs_at_an_address(
    ray: Any, folder: Path, tmp_path: Path, s3: str
) -> None:
    address = upload(folder, f"{s3}/some plates")
    models = []
    for data in (folder, address):
        parts = open_parts(data, read=False)
        run = one_by_one if data == folder else RayShards(ray, (parts.root,))
        result = fit_shards(PaDiM(**SMALL), parts, tmp_path / "a.anomalist", run=run, **FOUND)
        models.append(result.detector)
    here, there = models
    assert isinstance(here, PaDiM)
    assert isinstance(there, PaDiM)
    np.testing.assert_array_equal(here.means_, there.means_)
    assert here.calibration_ is not None
    assert there.calibration_ is not None
    assert here.calibration_.threshold(0.3) == there.calibration_.threshold(0.3)


def test_the_command_fits_on_a_cluster(
    ray: Any, cluster: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plate.anomalist"
    command = f"fit patchcore --data {folder} --out {out} --ray {cluster.address} --image_size 64"
    assert main([*command.split(), "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rule"]["drawn_of"] == 34
    assert any("in 3 shards" in note for note in told["notes"])
    assert out.is_file()
