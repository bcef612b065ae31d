"""Checks of the contract: hyperparameters, shapes, what is refused and in which words."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import docstring_parser
import numpy as np

from anomalist.data import ImageSet, Sample
from anomalist.detectors import Detector
from anomalist.errors import AnomalistError, DataError, ParameterError
from anomalist.testing.subject import Subject, refused, require, require_same


def constructing_changes_no_hyperparameter(subject: Subject) -> None:
    """What a constructor is given it keeps as it is, and `parameters` makes the same again."""
    detector = type(subject.template)()
    for field in dataclasses.fields(detector):
        require(
            getattr(detector, field.name) is field.default,
            f"the constructor changes {field.name}",
        )
    again = type(detector)(**detector.parameters())
    require(again.parameters() == detector.parameters(), "its parameters don't make it again")


def hyperparameters_are_documented(subject: Subject) -> None:
    """Every hyperparameter stands in a docstring, from which the command line takes its help."""
    told = {
        name.strip()
        for kind in type(subject.template).__mro__
        if issubclass(kind, Detector)
        for parameter in docstring_parser.parse(kind.__doc__ or "").params
        if parameter.description
        for name in parameter.arg_name.split(",")
    }
    untold = [f.name for f in dataclasses.fields(subject.template) if f.name not in told]
    require(not untold, f"no docstring tells what {', '.join(untold)} mean")


def fit_returns_itself(subject: Subject) -> None:
    """`fit` returns the detector, and gives a score and a map to every image."""
    detector = subject.make()
    require(detector.fit(subject.category.train[:3]) is detector, "fit doesn't return self")
    test = subject.category.test
    made = detector.predict(test)
    require(made.scores.shape == (len(test),), f"scores have shape {made.scores.shape}")
    require(list(made.paths) == test.paths, "predictions don't have the images' paths")


def maps_have_the_size_of_the_input(subject: Subject) -> None:
    """Maps have the resolution that images are brought to."""
    train, test = subject.category.train[:2], subject.category.test[:2]
    for changes, size in (
        ({"image_size": (64, 96), "crop_size": None}, (64, 96)),
        ({"image_size": 80, "crop_size": 64}, (64, 64)),
    ):
        shape = subject.make(**changes).fit(train).predict(test).maps.shape
        require(shape == (2, *size), f"with {changes} maps have shape {shape}")


def defects_stand_out(subject: Subject) -> None:
    """Images with a bright square score above all without, and the square above the rest."""
    made, labels = subject.predictions, subject.predictions.labels
    assert labels is not None
    assert made.masks is not None
    good, bad = made.scores[~labels].max(), made.scores[labels].min()
    require(bad > good, f"a good image scores {good:g}, one with a defect {bad:g}")
    inside = made.maps[made.masks].mean()
    outside = made.maps[labels][~made.masks[labels]].mean()
    require(inside > outside, f"maps are {inside:g} on defects and {outside:g} beside them")


def ignored_pixels_change_nothing(subject: Subject) -> None:
    """Images that differ only where they are ignored have the same scores and maps, to the bit."""
    images = subject.category.test[:2]
    height, width = images[0].size()
    box = width // 2, height // 4, width // 4, height // 4
    left, top = box[:2]
    detector = subject.make(ignore_box=(box,)).fit(subject.category.train[:3])
    plain = [np.array(sample.read()) for sample in images]
    changed = [pixels.copy() for pixels in plain]
    for pixels in changed:
        part = pixels[top : top + box[3], left : left + box[2]]
        part[...] = 255 - part
    made, other = detector.predict(plain), detector.predict(changed)
    same = np.array_equal(made.scores, other.scores) and np.array_equal(made.maps, other.maps)
    require(same, "what is ignored changes scores or maps: read pixels through `preparation`")
    ignored = made.ignored
    require(ignored is not None and bool(ignored.any()), "predictions don't tell what is ignored")


def few_images_are_enough(subject: Subject) -> None:
    """One image can be learnt from; two and three can calibrate as well."""
    train, test = subject.category.train, subject.category.test
    for count in (1, 2, 3):
        detector = subject.make().fit(train[:count])
        scores = detector.predict(test).scores
        require(scores.std() > 0, f"fitted to {count} images, all scores are alike")
        if count > 1:
            held_out = detector.calibrate(train[:count])
            require(len(held_out) == count, f"calibrate gives {len(held_out)} of {count} images")
        else:
            with refused(DataError, "calibrating on the one image of the fit", "2 good images"):
                subject.make().fit(train[:1]).calibrate(train[:1])


def tiny_images_work_or_are_refused(subject: Subject) -> None:
    """Where an image is a single patch, it is fitted and scored, or an error says what to do."""
    train, test = subject.category.train[:1], subject.category.test[:1]
    for side in (8, 16, 32):
        try:
            subject.make(image_size=side, crop_size=None, batch_size=1).fit(train).predict(test)
        except AnomalistError:
            continue
        except Exception as error:
            raise AssertionError(
                f"image_size={side} with one image ends in {type(error).__name__}: {error}"
            ) from error


def bad_values_are_refused(subject: Subject) -> None:
    """Hyperparameters of no sense are refused when they are given, by their name."""
    changes: dict[str, Any]
    for changes in (
        {"batch_size": 0},
        {"image_size": 0},
        {"image_size": 32, "crop_size": 64},
        {"interpolation": "magic"},
        {"seed": -1},
        {"seed": "1"},
    ):
        with refused(ParameterError, f"{changes}", list(changes)[-1]):
            type(subject.template)(**changes)
    with refused(ParameterError, "device='abacus'", "device"):
        subject.make(device="abacus").fit(subject.category.train)


def bad_images_are_refused(subject: Subject) -> None:
    """Defective images, none at all and broken files are refused in words that name them."""
    train, test = subject.category.train, subject.category.test
    with refused(DataError, "fitting to defective images", test[3].path.name, "anomalous"):
        subject.make().fit(test)
    with refused(DataError, "fitting to no image", "no image"):
        subject.make().fit(train[:0])
    with refused(DataError, "predicting no image", "no image"):
        subject.fitted.predict(test[:0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        with refused(DataError, "predicting a broken file", "broken.png"):
            subject.fitted.predict(path)
        with refused(DataError, "fitting to a broken file", "broken.png"):
            subject.make().fit([*train[:2], Sample(path)])


def a_fit_is_needed(subject: Subject) -> None:
    """What takes a fitted detector says so where it isn't."""
    detector = subject.make()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.anomalist"
        for what, call in (
            ("predict", lambda: detector.predict(subject.category.test)),
            ("calibrate", lambda: detector.calibrate(subject.category.train)),
            ("save", lambda: detector.save(path)),
        ):
            with refused(ParameterError, f"{what} before fit", "isn't fitted"):
                call()
        require(not path.exists(), "save leaves a file before fit")


def a_failed_fit_leaves_nothing(subject: Subject) -> None:
    """After a fit that failed it isn't fitted, whatever was before; the next fit is as new."""
    train, test = subject.category.train, subject.category.test[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broken.png"
        path.write_bytes(b"no image")
        detector = subject.make()
        for when in ("the first fit", "a refit"):
            with refused(DataError, when, "broken.png"):
                detector.fit([*train[:3], Sample(path)])
            with refused(ParameterError, f"predict after {when} failed", "isn't fitted"):
                detector.predict(test)
            detector.fit(train[:3])
            detector.calibrate(train[:3])
    expected = subject.make().fit(train).predict(test)
    require_same(detector.fit(train).predict(test), expected, "after a refit")
    calibrated = 0 if detector.calibration_ is None else len(detector.calibration_.scores)
    require(calibrated != 3, "a refit keeps the calibration of the fit before")


def labels_change_no_score(subject: Subject) -> None:
    """Labels and masks of what is predicted have no part in scores."""
    test = subject.category.test
    blind = ImageSet(Sample(sample.path, image=sample.image) for sample in test)
    made = subject.fitted.predict(blind)
    require(made.labels is None and made.masks is None, "it knows labels that nobody told")
    require_same(made, subject.predictions, "without labels and masks")


def scores_are_finite_numbers(subject: Subject) -> None:
    """An image of one grey, and one of extremes, get finite scores."""
    extremes = [np.zeros((64, 64), np.uint8), np.full((64, 64, 3), 255, np.uint8)]
    made = subject.fitted.predict(extremes)
    require(np.isfinite(made.scores).all(), f"scores of black and white are {made.scores}")
