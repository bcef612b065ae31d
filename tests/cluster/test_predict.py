"""Predictions by parts on a cluster: the same rows, whatever happens to those who make them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from anomalist import PatchCore
from anomalist.data import MVTecAD
from anomalist.errors import ClusterError
from anomalist.inspection import Rule, Tally, open_model
from anomalist.inspection.bulk import Workers, on_ray, predict_objects
from anomalist.inspection.bulk.scorer import Scorer
from tests.inspection.bulk.objects import manifest, rows

pytestmark = pytest.mark.usefixtures("ray")


@pytest.fixture(scope="module")
def model(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "dot.anomalist"
    detector = PatchCore(image_size=64, layers=("stride8",), device="cpu", batch_size=4)
    detector.fit(MVTecAD(dots).category("dot").train)
    detector.save(path)
    return path


@pytest.fixture(scope="module")
def photos(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    pictures = sorted((dots / "dot" / "test").rglob("*.png"))
    for i in range(12):
        (folder / f"{i:02}.png").write_bytes(pictures[i % len(pictures)].read_bytes())
    (folder / "05.png").write_bytes(b"torn")
    return folder


def predict(photos: Path, out: Path, model: Path, ray: str | None, **more: Any) -> Tally:
    detector = open_model(model)
    rule = Rule.of(detector, threshold=10.0)
    call = {"model": model, "heatmaps": "none", "part_size": 3, "ray": ray, **more}
    return predict_objects(detector, [str(photos)], str(out), rule, **call)


class Fragile(on_ray._Worker):
    """A worker that doesn't survive the second part."""

    def _loaded(self) -> Scorer:
        scorer = super()._loaded()
        score = scorer.score

        def fatal(part: Any) -> Any:
            if part.number == 1:
                os._exit(1)
            return score(part)

        scorer.score = fatal  # type: ignore[method-assign]
        return scorer


def test_rows_are_those_of_one_machine_though_a_part_ends_its_workers(
    photos: Path, model: Path, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    import torch

    call = photos, tmp_path / "out", model, cluster.address
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with monkeypatch.context() as patch:
        patch.setattr(on_ray, "_Worker", Fragile)
        patch.setattr(on_ray, "_RETRIES", 0)
        with pytest.raises(ClusterError, match="1 of 4 parts aren't done, such as 1"):
            predict(*call)
    assert sorted(manifest(str(tmp_path / "out"))["done"]) == ["0", "2", "3"]
    shown: list[tuple[int, int]] = []
    tally = predict(*call, progress=lambda _, done, total: shown.append((done, total)))
    assert (tally.total, tally.before, tally.failed, shown) == (12, 9, 1, [(0, 3), (3, 3)])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        predict(photos, tmp_path / "here", model, None)
    finally:
        torch.set_num_threads(threads)
    assert rows(str(tmp_path / "out")) == rows(str(tmp_path / "here"))


def test_a_node_that_is_lost_in_the_middle(
    photos: Path, model: Path, tmp_path: Path, cluster: Any
) -> None:
    node = cluster.add()
    lost: list[Any] = []

    def lose(_: str, done: int, __: int) -> None:
        if done and not lost:
            lost.append(node)
            cluster.remove(node)

    tally = predict(photos, tmp_path / "out", model, cluster.address, part_size=1, progress=lose)
    assert lost
    assert (tally.total, tally.failed) == (12, 1)
    assert len({row["path"] for row in rows(str(tmp_path / "out"))}) == 12


def test_a_client_gives_the_same_rows(
    photos: Path, model: Path, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(photos, tmp_path / "here", model, cluster.address)
    # As by ray://, from where Ray Data can't be run.
    monkeypatch.setattr(on_ray, "through_client", lambda: True)
    tally = predict(photos, tmp_path / "out", model, cluster.address)
    assert (tally.total, tally.failed) == (12, 1)
    assert rows(str(tmp_path / "out")) == rows(str(tmp_path / "here"))
    with pytest.raises(ClusterError, match="no machine of the cluster has room for a worker"):
        predict(photos, tmp_path / "none", model, cluster.address, workers=Workers(cpus=2))


@pytest.mark.parametrize(
    "workers", [Workers(cpus=2), Workers(gpus=0.5), Workers(memory_mb=10_000_000)]
)
def test_no_machine_has_room_for_a_worker(
    photos: Path, model: Path, tmp_path: Path, cluster: Any, workers: Workers
) -> None:
    with pytest.raises(ClusterError, match="no machine of the cluster has room for a worker"):
        predict(photos, tmp_path / "out", model, cluster.address, workers=workers)
