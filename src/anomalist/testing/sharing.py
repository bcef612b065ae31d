"""Checks of what is shared: files, threads, copies, other processes."""

from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import safetensors
import safetensors.torch

from anomalist.detectors import DETECTORS, load
from anomalist.errors import ModelFileError
from anomalist.models import sign
from anomalist.testing.subject import Subject, refused, require, require_same

_THREADS = 8

_OTHER_PROCESS = """
import pickle, sys
detector, images, threads = pickle.load(sys.stdin.buffer)
import torch
torch.set_num_threads(threads)
sys.stdout.buffer.write(pickle.dumps(detector.predict(images)))
"""


def saved_and_loaded_is_the_same(subject: Subject) -> None:
    """A model file gives the same bits, thresholds included."""
    kind, train, test = type(subject.template), subject.category.train, subject.category.test
    detector = subject.make(seed=1).fit(train)
    detector.calibrate(train)
    expected = detector.predict(test)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.anomalist"
        detector.save(path)
        loaded = [kind.load(path)]
        if kind.name in DETECTORS:
            loaded.append(load(path, device="cpu"))
    for again in loaded:
        require(type(again) is kind, f"what is loaded is a {type(again).__name__}")
        require(again.parameters() == detector.parameters(), "loading changes hyperparameters")
        require_same(again.predict(test), expected, "loaded from a file")
        assert detector.calibration_ is not None
        alpha = 0.5
        same = again.calibration_ is not None and (
            again.calibration_.threshold(alpha) == detector.calibration_.threshold(alpha)
        )
        require(same, "a file keeps another threshold")


def damaged_files_are_refused(subject: Subject) -> None:
    """A model file that is cut short, changed or made for another detector is refused by name."""
    kind = type(subject.template)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.anomalist"
        subject.fitted.save(path)
        whole = path.read_bytes()
        for content in (b"", b"hello", whole[:100], whole[: len(whole) // 2]):
            path.write_bytes(content)
            with refused(ModelFileError, f"a file of {len(content)} bytes", "part.anomalist"):
                kind.load(path)
        with refused(ModelFileError, "a file that isn't there", "no model file"):
            kind.load(Path(folder) / "none.anomalist")
        path.write_bytes(whole)
        tensors = safetensors.torch.load_file(path)
        with safetensors.safe_open(path, "pt") as file:
            header = json.loads(file.metadata()["anomalist"])
        for change, word in (
            ({"format": 99}, "format 99"),
            ({"detector": "crystal_ball"}, "crystal_ball"),
            ({"parameters": {"nonsense": 1}}, "damaged"),
            ({"state": {}, "backbone": {}, "members": {}}, "damaged"),
        ):
            metadata = {"anomalist": json.dumps({**header, **change})}
            safetensors.torch.save_file(tensors, path, metadata)
            sign(path)
            with refused(ModelFileError, f"a header with {change}", word):
                kind.load(path)


def threads_get_the_same_bits(subject: Subject) -> None:
    """Eight threads that ask one detector at once get what one alone gets."""
    test = subject.category.test
    alone = [subject.fitted.predict(test[i : i + 1]) for i in range(len(test))]
    asked = [i for _ in range(_THREADS) for i in range(len(test))]
    with ThreadPoolExecutor(_THREADS) as pool:
        made = pool.map(lambda i: subject.fitted.predict(test[i : i + 1]), asked)
        for i, got in zip(asked, made, strict=True):
            require_same(got, alone[i], f"{_THREADS} threads at once, image {i}")


def copies_are_the_same(subject: Subject) -> None:
    """Pickled, and copied deeply or not, it gives the same bits, fitted or not."""
    test = subject.category.test
    buffer = io.BytesIO()
    pickle.dump((subject.make(), subject.fitted), buffer)
    unfitted, pickled = pickle.loads(buffer.getvalue())
    require(
        unfitted.parameters() == subject.make().parameters(), "pickling changes hyperparameters"
    )
    for what, other in (
        ("pickled", pickled),
        ("copied", copy.copy(subject.fitted)),
        ("copied deeply", copy.deepcopy(subject.fitted)),
    ):
        require_same(other.predict(test), subject.predictions, what)


def another_process_gets_the_same_bits(subject: Subject) -> None:
    """Sent to a fresh process, it gives the same bits there."""
    import torch

    if type(subject.template).__module__ == "__main__":
        return  # a fresh process has another
    sent = pickle.dumps((subject.fitted, subject.category.test, torch.get_num_threads()))
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS], input=sent, capture_output=True, check=False
    )
    require(done.returncode == 0, f"another process fails: {done.stderr.decode()[-500:]}")
    require_same(pickle.loads(done.stdout), subject.predictions, "in another process")
