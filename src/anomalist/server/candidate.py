"""The process in which a candidate is built: ``python -m anomalist.server.candidate FOLDER``.

The folder holds the order, ``job.json``, and takes what is made of it: ``candidate.anomalist``,
``pictures`` and ``result.json``. What is learnt stays in the folder: begun again, it is compared
without fitting anew. Progress goes to standard output, a JSON object a line. When
standard input ends, whoever started it is gone, and it ends too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

import anomalist
from anomalist.data import ImageSet, Sample
from anomalist.detectors import Detector, load
from anomalist.errors import AnomalistError, ModelFileError, is_out_of_memory
from anomalist.features import FeatureStore
from anomalist.files import atomic_path, sha256_of, write_text
from anomalist.inspection import Rule
from anomalist.inspection.fitting import CalibrateOn
from anomalist.predictions import Predictions
from anomalist.server.comparing import Case, Kind, Scored, compare, scored_apart
from anomalist.server.relearning import relearn, training_images

JOB, MODEL, PICTURES, RESULT = "job.json", "candidate.anomalist", "pictures", "result.json"
LEARNT = "learnt.npz"
_NICE = 10


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An inspection that people judged.

    Parameters
    ----------
    id : str
        Of the inspection.
    kind : {"good", "defective"}
        The verdict that holds.
    name : str
        What people call the photograph.
    file : str
        Its photograph, below the job's folder.
    """

    id: str
    kind: Kind
    name: str
    file: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a candidate is to be built from.

    Parameters
    ----------
    origin : str
        File of the version that was fitted to training images alone.
    parent : str
        File of the version that answers.
    device : str or None
        Where detectors run, instead of where they were fitted.
    folders : list of str
        Where the training images are; without any, where the file says.
    calibrate_on : {"others", "added", "all"}
        Which images give the threshold, see `~anomalist.server.relearning.relearn`.
    alpha, threshold : float or None
        The model's settings; the threshold is the parent's alone.
    judged : list of Judged
        All inspections with a verdict; the good ones are learnt.
    """

    origin: str
    parent: str
    device: str | None = None
    folders: list[str] = field(default_factory=list)
    calibrate_on: CalibrateOn = "others"
    alpha: float | None = None
    threshold: float | None = None
    judged: list[Judged] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write it into its folder."""
        write_text(folder / JOB, json.dumps(asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it from its folder."""
        values = json.loads((folder / JOB).read_text("utf-8"))
        judged = [Judged(**one) for one in values.pop("judged")]
        return cls(**values, judged=judged)


def build(folder: Path) -> dict[str, Any]:
    """Build a candidate and compare it; return what is to be told, as JSON values.

    Raises
    ------
    AnomalistError
        If it can't be built.
    OSError
        If a file can't be read or written.
    """
    job = Job.read(folder)
    origin = load(job.origin, device=job.device)
    training = training_images(origin, job.folders, progress=_tell)
    cases = [Case("training", sample, sample.path.name) for sample in training]
    cases += [Case(j.kind, Sample(folder / j.file), j.name, j.id) for j in job.judged]
    own = {sample.sha256() for sample in training}
    good = [c.sample for c in cases if c.kind == "good" and c.sample.sha256() not in own]
    candidate, held_out, learning_notes = _learnt(folder, job, origin, training, ImageSet(good))
    after = Scored(candidate, Rule.of(candidate, alpha=job.alpha), held_out)
    before = _before(job, cases)
    comparison = compare(
        before, after, cases, folder / PICTURES, store=FeatureStore(), progress=_tell
    )
    comparison["learnt"] = {"training": len(training), "confirmed": len(good)}
    comparison["notes"] = [*learning_notes, *comparison["notes"]]
    return comparison


def _learnt(
    folder: Path, job: Job, origin: Detector, training: ImageSet, confirmed: ImageSet
) -> tuple[Detector, Predictions | None, list[str]]:
    """Return the candidate, what it gives to images it learnt as if it hadn't, and notes.

    They are as an earlier process left them, if it had come that far with the same images.
    """
    asked = json.dumps(
        [
            anomalist.__version__,
            *(Path(job.origin).name, job.device, job.calibrate_on),
            *(training.content_hash(), confirmed.content_hash()),
        ]
    )
    images = {sample.sha256(): sample for sample in [*training, *confirmed]}
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile, ModelFileError):
        with np.load(folder / LEARNT) as kept:
            said = json.loads(str(kept["said"]))
            scores, maps = kept["scores"], kept["maps"]
        if said["asked"] == asked and said["model"] == sha256_of(folder / MODEL):
            detector = load(folder / MODEL, device=job.device)
            of = ImageSet(images[digest] for digest in said["digests"])
            paths = [sample.path for sample in of]
            held_out = Predictions(
                paths,
                scores,
                maps,
                images=of,
                transform=detector.view,
                ignored=detector.ignored_in(of),
            )
            return detector, held_out if len(of) else None, said["notes"]
    result = relearn(
        origin,
        training,
        confirmed,
        folder / MODEL,
        calibrate_on=job.calibrate_on,
        progress=_tell,
    )
    given, notes = result.held_out, list(result.notes)
    said = {
        "asked": asked,
        "model": sha256_of(folder / MODEL),
        "digests": [] if given is None else [sample.sha256() for sample in given.images],
        "notes": notes,
    }
    none = np.empty((0, 1, 1), np.float32)
    with atomic_path(folder / LEARNT) as path:
        np.savez(
            path,
            said=json.dumps(said),
            scores=none[:, 0, 0] if given is None else given.scores,
            maps=none if given is None else given.maps,
        )
    # As it will be loaded, by its file.
    return load(folder / MODEL, device=job.device), given, notes


def _before(job: Job, cases: list[Case]) -> Scored:
    parent: Detector = load(job.parent, device=job.device)
    _tell("score", 0, 0)
    held_out = scored_apart(parent, [case.sample for case in cases], FeatureStore())
    return Scored(parent, Rule.of(parent, alpha=job.alpha, threshold=job.threshold), held_out)


def _tell(stage: str, done: int, total: int) -> None:
    print(json.dumps({"stage": stage, "done": done, "total": total}), flush=True)


def _end_with_parent() -> None:
    """End when whoever started this process is gone: the pipe to it breaks."""
    # Of the file itself: a thread that waits in a buffer of Python's would hinder an orderly end.
    while os.read(0, 1):
        pass
    os._exit(1)


def main(folder: Path) -> int:
    """Do the job of a folder; what went wrong is told in a line."""
    threading.Thread(target=_end_with_parent, name="anomalist-parent", daemon=True).start()
    with suppress(AttributeError, OSError):
        os.nice(_NICE)  # whoever waits for an answer comes first
    try:
        result = build(folder)
    except (AnomalistError, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        print(json.dumps({"error": "memory ran out while the candidate was built"}), flush=True)
        return 1
    write_text(folder / RESULT, json.dumps(result))
    return 0


if __name__ == "__main__":
    # A service manager stops all processes at once: the server says what becomes of this one.
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, signal.SIG_IGN)
    sys.exit(main(Path(sys.argv[1])))
