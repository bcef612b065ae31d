"""Model files that are damaged, or none."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import anomalist
from tests.bad_input.case import Case, content, folder, photograph, weights


def spoilt(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        data = (here / "model.anomalist").read_bytes()
        (here / "bad.anomalist").write_bytes(change(data))

    return make


def not_finite(here: Path) -> None:
    """A model that was saved by a faulty training."""
    detector = anomalist.load(here / "model.anomalist")
    assert isinstance(detector, anomalist.PatchCore)
    detector.bank_ = detector.bank_ * float("nan")
    detector.save(here / "bad.anomalist")


def bad_models(what: str, answer: str, make: Callable[[Path], object]) -> Iterator[Case]:
    for command in (
        "info bad.anomalist",
        "predict bad.anomalist photos --out out",
        "export bad.anomalist --out new.onnx",
    ):
        yield Case(what, command, f"anomalist: error: {answer}", 1, make)


CASES = [
    *bad_models("a model that isn't there", "no model file at bad.anomalist", folder("else")),
    *bad_models(
        "a folder in place of a model",
        "bad.anomalist is a folder: name a model file that anomalist fit wrote",
        folder("bad.anomalist"),
    ),
    *bad_models("an empty model", "bad.anomalist is ...", content("bad.anomalist", b"")),
    *bad_models("a model that is cut short", "bad.anomalist is ...", spoilt(lambda b: b[:-1000])),
    *bad_models(
        "a model of which a byte is wrong",
        "bad.anomalist is ...",
        spoilt(lambda b: b[:-1000] + bytes([b[-1000] ^ 1]) + b[-999:]),
    ),
    *bad_models(
        "a picture in place of a model",
        "bad.anomalist is ...",
        lambda here: photograph(here).rename(here / "bad.anomalist"),
    ),
    *bad_models(
        "weights of a network in place of a model",
        "bad.anomalist is a safetensors file of something else, such as the weights of a network:"
        " name a model file that anomalist fit wrote",
        lambda here: (weights(here), (here / "other.safetensors").rename(here / "bad.anomalist")),
    ),
    *bad_models(
        "a pickle in place of a model",
        "bad.anomalist is a pickle, no model file of anomalist: ...",
        content("bad.anomalist", pickle.dumps({"detector": "patchcore"})),
    ),
    Case(
        "a model whose arrays hold NaN",
        "predict bad.anomalist photos --out out",
        "anomalist: error: bad.anomalist is damaged...",
        1,
        not_finite,
    ),
]
