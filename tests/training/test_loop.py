"""The loop on a learner so small that all of it can be checked: a line through points."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import Parameter

import anomalist
from anomalist.data import ImageSet, Sample
from anomalist.errors import ParameterError
from anomalist.training import Learner, Schedule, Step, Training, cosine, stream, train

NOISE = 1


class Line(Learner[Tensor]):
    """Fits slope and offset by two optimizers, to points that are noisier every time."""

    def __init__(self, publish: Callable[..., None], scores: Sequence[float] = ()) -> None:
        self.slope, self.offset = Parameter(torch.zeros(1)), Parameter(torch.zeros(1))
        optimizers = {
            "slope": torch.optim.Adam([self.slope], lr=0.1),
            "offset": torch.optim.SGD([self.offset], lr=0.05, momentum=0.9),
        }
        super().__init__(optimizers, seed=3)
        self._handed = publish
        self._scores = list(scores)
        self.looks = 0
        self.rates: list[tuple[float, float]] = []
        self.gradients: list[float] = []

    def batches(self, epoch: int, numbers: Sequence[Any]) -> Iterator[Tensor]:
        for i, batch in enumerate(numbers):
            x = torch.from_numpy(batch).float() / 10
            noise = stream(self.seed, NOISE, epoch, i).normal(size=len(batch))
            yield torch.stack([x, 2 * x + 1 + 0.1 * torch.from_numpy(noise).float()])

    def step(self, batch: Tensor) -> Step:
        assert self.slope.grad is None
        x, y = batch
        loss = (self.slope * x + self.offset - y).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        a, b = (o.param_groups[0]["lr"] for o in self.optimizers.values())
        self.rates.append((a, b))
        return Step(loss, lambda: {"loss": loss.item(), "gradient": self.slope.grad.norm().item()})

    def state(self) -> dict[str, Any]:
        return {"slope": self.slope, "offset": self.offset, "looks": self.looks}

    def load(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            self.slope.copy_(state["slope"])
            self.offset.copy_(state["offset"])
        self.looks = state["looks"]

    def publish(self, epoch: int, losses: Sequence[float]) -> None:
        self._handed(epoch, list(losses), self.slope.item(), self.offset.item())

    def held_out_score(self) -> float | None:
        self.looks += 1
        return self._scores[self.looks - 1] if self._scores else None


class Killed(Exception):  # noqa: N818 - it stands for no error
    """Stands for the end of the process."""


class Detector:
    """What the loop asks of a detector."""

    name = "line"

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.backbone_: Any = SimpleNamespace(weights_sha256="0")
        self.result: tuple[Any, ...] = ()

    def parameters(self) -> dict[str, Any]:
        return self.settings

    def take(self, *result: Any) -> None:
        self.result = result

    def predict(self, images: Any, **_options: Any) -> Any:
        return self.result


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    path = tmp_path / "images" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"content")
    return ImageSet([Sample(path)])


def schedule(**changes: Any) -> Schedule:
    settings = {"examples": np.arange(10), "batch_size": 4, "epochs": 5, "rate": cosine}
    return Schedule(**{**settings, **changes})


def trained(
    images: ImageSet,
    training: Training | None = None,
    *,
    scores: Sequence[float] = (),
    detector: Detector | None = None,
    **changes: Any,
) -> Detector:
    detector = detector or Detector()
    learner = Line(detector.take, scores)
    train(detector, learner, schedule(**changes), images=images, training=training)
    return detector


def test_it_learns_and_tells_of_every_step(images: ImageSet) -> None:
    detector, logged, seen = Detector(), list[Any](), list[Any]()
    learner = Line(detector.take)
    train(
        detector,
        learner,
        schedule(epochs=60),
        training=Training(log=lambda step, values: logged.append((step, values["loss"]))),
        progress=lambda done, total: seen.append((done, total)),
    )
    epoch, losses, slope, offset = detector.result
    assert epoch == 60
    assert slope == pytest.approx(2, abs=0.2)
    assert offset == pytest.approx(1, abs=0.1)
    assert [step for step, _ in logged] == list(range(180))
    np.testing.assert_allclose(losses, np.reshape([v for _, v in logged], (60, 3)).mean(axis=1))
    assert seen[:4] == [(4, 600), (8, 600), (10, 600), (14, 600)]
    assert seen[-1] == (600, 600)


def test_every_epoch_has_an_order_of_its_own() -> None:
    learner = Line(lambda *_: None)
    first, second = (learner.order(epoch, np.arange(10)) for epoch in (0, 1))
    assert sorted(first) == list(range(10))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, learner.order(0, np.arange(10)))


def test_learning_rates_of_all_optimizers_follow_the_schedule(images: ImageSet) -> None:
    learner = Line(lambda *_: None)
    train(Detector(), learner, schedule(epochs=None, steps=7))
    factors = np.array([cosine(step / 7) for step in range(7)])
    np.testing.assert_allclose(learner.rates, factors[:, None] * [0.1, 0.05])


def test_gradients_are_cut_to_a_norm() -> None:
    norms: list[float] = []
    training = Training(log=lambda _, values: norms.append(values["gradient"]))
    train(Detector(), Line(lambda *_: None), schedule(clip_norm=0.01), training=training)
    assert max(norms) <= 0.0101
    assert min(norms) > 0


def test_the_last_epoch_is_the_result_unless_one_is_chosen(images: ImageSet) -> None:
    looked: list[Any] = []
    training = Training(after_epoch=lambda epoch, now: looked.append((epoch, now.predict(None))))
    last = trained(images, training, look=2)
    assert [epoch for epoch, _ in looked] == [2, 4, 5]
    assert last.result == looked[-1][1]
    chosen = trained(images, look=2, scores=[0.3, 0.7, 0.7])
    epoch, losses, *line = chosen.result
    assert (epoch, len(losses)) == (4, 5)
    assert line == list(looked[1][1][2:])


def test_patience_ends_a_training_that_gets_no_better(images: ImageSet) -> None:
    epoch, losses, *_ = trained(images, scores=[1, 3, 2, 2, 9], patience=2).result
    assert (epoch, len(losses)) == (2, 4)
    assert len(trained(images, patience=2).result[1]) == 5


@pytest.mark.parametrize(
    "changes",
    [{}, {"scores": [3, 5, 1, 2, 4]}, {"scores": [5, 4, 3, 2, 1], "patience": 2}, {"clip_norm": 1}],
)
@pytest.mark.parametrize("at", range(1, 16))
def test_killed_anywhere_and_resumed_equals_uninterrupted(
    images: ImageSet, tmp_path: Path, changes: dict[str, Any], at: int
) -> None:
    whole = trained(images, **changes)
    path = tmp_path / "line.training"
    steps = 0

    def kill(_step: int, _values: Mapping[str, float]) -> None:
        nonlocal steps
        steps += 1
        if steps == at:
            raise Killed

    try:
        trained(images, Training(log=kill, checkpoint=path), **changes)
    except Killed:
        again = Training(checkpoint=path)
        resumed = trained(images, again, **changes)
        assert resumed.result == whole.result
        assert (again.resumed_seconds > 0) == (at > 3)
        assert again.notes == []
    assert trained(images, Training(checkpoint=path), **changes).result == whole.result


def test_a_training_given_to_several_adds_up_what_was_saved(
    images: ImageSet, tmp_path: Path
) -> None:
    path = tmp_path / "line.training"
    trained(images, Training(checkpoint=path))
    once, twice = Training(checkpoint=path), Training(checkpoint=path)
    trained(images, once)
    for _ in range(2):
        trained(images, twice)
    assert once.resumed_seconds > 0
    assert twice.resumed_seconds == 2 * once.resumed_seconds


def test_time_of_looks_and_of_what_is_done_again_is_not_saved(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)

    def spend(seconds: float) -> None:
        nonlocal now
        now += seconds

    path = tmp_path / "line.training"
    spend(1000)
    training = Training(
        checkpoint=path,
        log=lambda *_: spend(1),
        after_epoch=lambda *_: spend(100),
    )
    trained(images, training)
    resumed = Training(checkpoint=path)
    trained(images, resumed)
    assert resumed.resumed_seconds == 15
    assert training.resumed_seconds == 0


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write the checkpoint again with another header."""
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["training"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    changed = change(header)
    safetensors.torch.save_file(
        tensors, path, {"training": json.dumps(header if changed is None else changed)}
    )


def lacks(*keys: str) -> Callable[[Path], None]:
    def change(header: dict[str, Any]) -> None:
        for key in keys[:-1]:
            header = header[key]
        del header[keys[-1]]

    return lambda path: rewritten(path, change)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"nonsense"), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4]), "damaged"),
        (lambda path: safetensors.torch.save_file({"a": torch.ones(1)}, path), "doesn't say"),
        (lambda path: rewritten(path, lambda _: [1, 2]), "doesn't say"),
        (lambda path: rewritten(path, lambda _: "text"), "doesn't say"),
        (lacks("identity"), "doesn't say"),
        (lacks("identity", "version"), "other version"),
        (lacks("identity", "images"), "other images"),
        (lacks("values"), "damaged"),
        (lacks("values", "learner/looks"), "damaged"),
        (
            lambda path: rewritten(path, lambda h: h["values"].update({"standing/losses": None})),
            "damaged",
        ),
        (lambda path: rewritten(path, lambda h: h["values"].update({"standing/x": 1})), "damaged"),
    ],
)
def test_what_is_no_checkpoint_of_this_training_is_passed_over(
    images: ImageSet, tmp_path: Path, spoil: Callable[[Path], Any], told: str
) -> None:
    whole = trained(images)
    path = tmp_path / "line.training"
    trained(images, Training(checkpoint=path), epochs=3)
    spoil(path)
    training = Training(checkpoint=path)
    assert trained(images, training).result == whole.result
    assert training.resumed_seconds == 0
    (note,) = training.notes
    assert told in note
    assert str(path) in note
    # It was replaced.
    again = Training(checkpoint=path)
    trained(images, again)
    assert (again.resumed_seconds > 0, again.notes) == (True, [])


def test_other_settings_version_and_images_are_told_by_name(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "line.training"

    def note(images: ImageSet, **settings: Any) -> str:
        training = Training(checkpoint=path)
        trained(images, training, detector=Detector(**settings))
        return "".join(training.notes)

    assert note(images, lr=0.1, seed=0) == ""
    assert "settings.seed)" in note(images, lr=0.1, seed=1)
    assert "settings.lr, settings.seed)" in note(images, lr=0.2)
    monkeypatch.setattr(anomalist, "__version__", "0.0.0")
    assert "other version)" in note(images, lr=0.2)
    Path(images[0].path).write_bytes(b"new content")
    assert "other images)" in note(ImageSet([Sample(images[0].path)]), lr=0.2)
    assert note(ImageSet([Sample(images[0].path)]), lr=0.2) == ""


def test_a_place_that_cannot_be_written_is_told_first(images: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def forbidden(*_: Any) -> None:
        raise AssertionError("began")

    for path, told in (
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "a", "can't be written"),
        (tmp_path / ("long" * 100), "can't be written"),
    ):
        with pytest.raises(ParameterError, match=told):
            trained(images, Training(checkpoint=path, log=forbidden))
    trained(images, Training(checkpoint=tmp_path / "new" / "folder" / "a"))
    assert (tmp_path / "new" / "folder" / "a").is_file()
