"""Checks that a result is the same where it should be: seeds, batches, sources, orders."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from anomalist.data import ImageSet, Sample
from anomalist.errors import DataError
from anomalist.features import FeatureStore
from anomalist.testing.subject import Subject, refused, require, require_close, require_same


def a_seed_gives_the_same_bits(subject: Subject) -> None:
    """Two fits with one seed give the same, and any two of what says that it isn't seeded."""
    again = subject.make().fit(subject.category.train).predict(subject.category.test)
    require_same(again, subject.predictions, "a second fit with the same seed")
    if not subject.fitted.seeded:
        other = subject.make(seed=subject.fitted.seed + 1).fit(subject.category.train)
        same = "another seed of one that isn't seeded"
        require_same(other.predict(subject.category.test), subject.predictions, same)


def batches_change_rounding_at_most(subject: Subject) -> None:
    """How many images pass at once, and which others, changes no more than rounding."""
    test = subject.category.test
    for size in (1, 4):
        detector = subject.make().fit(subject.category.train)
        detector.batch_size = size
        require_close(detector.predict(test), subject.predictions, f"with batch_size={size}")
    require_close(subject.fitted.predict(test[1:2]), subject.predictions[1], "an image alone")


def predicting_changes_nothing(subject: Subject) -> None:
    """Whatever was seen before, an image gets the same bits."""
    subject.fitted.predict(subject.category.test[2:])
    require_same(
        subject.fitted.predict(subject.category.test), subject.predictions, "predicting again"
    )


def a_store_gives_the_same_bits(subject: Subject) -> None:
    """Features from memory or from disk give the same as the backbone's."""
    train, test = subject.category.train, subject.category.test
    with tempfile.TemporaryDirectory() as folder:
        for passes in ("fresh", "kept"):
            store = FeatureStore(folder=folder)
            made = subject.make().fit(train, store=store).predict(test, store=store)
            require_same(made, subject.predictions, f"with a {passes} store")
        require(store.passes == 0, f"{store.passes} images passed a backbone though they were kept")


def images_in_memory_give_the_same_bits(subject: Subject) -> None:
    """Files, bytes, arrays and images of Pillow of the same pixels give the same."""
    train, test = subject.category.train, subject.category.test
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = []
        for i, sample in enumerate([*train, *test]):
            files.append(folder / f"{i}.png")
            sample.read().save(files[-1])
        fit, new = files[: len(train)], files[len(train) :]
        detector = subject.make().fit(fit)
        require_same(detector.predict(new), subject.predictions, "fitted to files")
        given: dict[str, Any] = {
            "paths as text": [str(path) for path in new],
            "bytes": [path.read_bytes() for path in new],
            "arrays": [np.asarray(sample.image) for sample in test],
            "one array": np.stack([np.asarray(sample.image) for sample in test]),
            "images of Pillow": [Image.open(path).copy() for path in new],
        }
        for what, images in given.items():
            require_same(subject.fitted.predict(images), subject.predictions, f"given {what}")
    alone = subject.fitted.predict(np.asarray(test[0].image))
    require_close(alone, subject.predictions[0], "given a single array")


def held_out_scores_know_images_by_content(subject: Subject) -> None:
    """`calibrate` gives the same in any order, and refuses others than those of the fit."""
    train, test = subject.category.train, subject.category.test[:2]
    detector = subject.make(batch_size=1).fit(train)
    expected = detector.calibrate(train)
    calibration = detector.calibration_
    require(calibration is not None, "calibrate sets no calibration_")
    assert calibration is not None
    same = np.array_equal(calibration.scores, expected.scores)
    require(same, "calibration_ isn't made of what calibrate returns")
    turned = np.arange(len(train))[::-1].copy()
    renamed = ImageSet(
        Sample(Path(f"other-{i}"), False, "good", image=s.image) for i, s in enumerate(train)
    )
    for what, images, order in (
        ("in another order", train[turned], turned),
        ("under other names", renamed, np.arange(len(train))),
    ):
        got = detector.calibrate(images)
        require(list(got.paths) == images.paths, f"{what}, paths aren't those given")
        require_close(got, expected[order], f"calibrated {what}")
    for what, images in (("fewer", train[1:]), ("others", test)):
        with refused(DataError, f"calibrating on {what} as if seen", "fitted to"):
            detector.calibrate(images)
    with refused(DataError, "calibrating on seen images as if not", "fitted to"):
        detector.calibrate(train[:1], seen=False)
    unseen = detector.calibrate(test, seen=False)
    require_same(unseen, detector.predict(test), "calibrated on others")


class _NoFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails on any float64 tensor, as Metal would."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                require(tensor.dtype != torch.float64, f"{func} gives a float64 tensor")
        return result


def no_tensor_is_float64(subject: Subject) -> None:
    """No tensor on the way is float64, which Metal lacks; told on the CPU, by looking at all."""
    with _NoFloat64():  # type: ignore[no-untyped-call]
        subject.make().fit(subject.category.train).predict(subject.category.test)
