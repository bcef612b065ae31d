"""What every detector promises, checked on every detector that there is."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

import anomalist
from anomalist.detectors import DETECTORS, Detector
from anomalist.predictions import Predictions
from anomalist.testing import CHECKS, Check, Subject
from anomalist.testing.sharing import another_process_gets_the_same_bits
from anomalist.testing.subject import require_same

# A long training promises no more than a short one, but for what it is good for.
_SHORT = {"glass": {"meta_epochs": 3, "variants": 2}, "cfa": {"epochs": 2}}
_LONG = {"glass": {"meta_epochs": 150}, "cfa": {"epochs": 5}}

Subjects = Callable[[str], Subject]


@pytest.fixture(scope="module")
def subjects() -> Subjects:
    made: dict[str, Subject] = {}

    def subject(name: str) -> Subject:
        if name not in made:
            short = _SHORT.get(name, {})
            made[name] = Subject(DETECTORS[name](image_size=64, device="cpu", **short))
        return made[name]

    return subject


@pytest.mark.parametrize("name", list(DETECTORS))
@pytest.mark.parametrize(
    "check",
    [c for c in CHECKS if c is not another_process_gets_the_same_bits],
    ids=lambda check: check.__name__,
)
def test_every_detector_keeps_its_promises(name: str, check: Check, subjects: Subjects) -> None:
    if check.__name__ == "defects_stand_out" and name in _LONG:
        check(Subject(DETECTORS[name](image_size=64, device="cpu", **_LONG[name])))
    else:
        check(subjects(name))


_OTHER_PROCESS = """
import pickle, sys, torch
torch.set_num_threads(int(sys.argv[1]))
sent = pickle.load(sys.stdin.buffer)
made = {name: detector.predict(images) for name, (detector, images) in sent.items()}
sys.stdout.buffer.write(pickle.dumps(made))
"""


@pytest.mark.usefixtures("warm_processes")
def test_another_process_gets_the_same_bits_of_all_detectors(subjects: Subjects) -> None:
    sent = {name: (subjects(name).fitted, subjects(name).category.test) for name in DETECTORS}
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS, str(torch.get_num_threads())],
        input=pickle.dumps(sent),
        stdout=subprocess.PIPE,
        check=True,
    )
    made: dict[str, Predictions] = pickle.loads(done.stdout)
    for name in DETECTORS:
        require_same(made[name], subjects(name).predictions, name)


@pytest.mark.parametrize("detector_class", list(DETECTORS.values()), ids=list(DETECTORS))
def test_every_detector_is_exported(detector_class: type[Detector]) -> None:
    assert getattr(anomalist.detectors, detector_class.__name__) is detector_class


def test_every_hyperparameter_has_a_text_for_its_flag() -> None:
    from anomalist.cli.signatures import signature_of

    for detector in DETECTORS.values():
        assert all(p.text for p in signature_of(detector).parameters.values())
