"""Fitted detectors that a benchmark keeps, for ensembles that come later or run elsewhere."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from anomalist.benchmark.store import ResultStore
from anomalist.benchmark.tasks import Identity
from anomalist.data import ImageSet
from anomalist.detectors import Detector
from anomalist.errors import ModelFileError
from anomalist.predictions import Predictions


@dataclass
class Fitted:
    """A fitted detector, how it scores its images as if it hadn't seen them, and what that cost.

    ``held_out`` is None where it wasn't calibrated so; ``split`` is the share of the images that
    was held out of the fit and has calibrated it.
    """

    detector: Detector
    held_out: Predictions | None
    fit_seconds: float
    calibrate_seconds: float
    peak_memory_mb: float
    epochs: list[dict[str, float | None]]
    split: float = 0.0


class KeptModels:
    """Fitted and calibrated detectors below ``models``, with their held-out predictions.

    Where one lies says which run fitted it, and is for people; what it is, is told by what lies
    beside it.

    Parameters
    ----------
    results : ResultStore
        Where they are kept.
    """

    def __init__(self, results: ResultStore) -> None:
        self._results = results

    def keep(self, fitted: Fitted, identity: Identity, owner: str, suffix: str = "") -> None:
        """Write a detector and its held-out predictions below its owner's name.

        Nothing is written where they lie there, and of the ``suffix`` of an ensemble's member
        neither where another run keeps the same.
        """
        key = f"models/{owner}/{identity.category}_seed{identity.seed}{suffix}"
        held_out = fitted.held_out
        for known in self._places(identity) if suffix else [key]:
            what = self._what(known, identity)
            if what is not None and (held_out is None or what["held_out"]):
                return
        with self._results.put(f"{key}.anomalist") as path:
            fitted.detector.save(path)
        what = {
            **dataclasses.asdict(identity),
            "fit_seconds": fitted.fit_seconds,
            "calibrate_seconds": fitted.calibrate_seconds,
            "peak_memory_mb": fitted.peak_memory_mb,
            "epochs": fitted.epochs,
            "held_out": held_out is not None,
        }
        arrays: dict[str, Any] = {"what": json.dumps(what)}
        if held_out is not None:
            arrays |= {"scores": held_out.scores, "maps": held_out.maps}
        # Last, so that whatever has this file is whole.
        with self._results.put(f"{key}.npz") as path, path.open("wb") as file:
            np.savez(file, **arrays)

    def find(self, detector: Detector, identity: Identity, good: ImageSet) -> Fitted | None:
        """Return what was kept of this very detector by whichever run, if anything was.

        One with its held-out predictions, of the images that it was fitted to, comes first.
        """
        known = {key: self._what(key, identity) for key in self._places(identity)}
        for key in sorted(known, key=lambda k: not (known[k] or {}).get("held_out")):
            what = known[key]
            model = self._results.get(f"{key}.anomalist")
            arrays = self._results.get(f"{key}.npz")
            if what is None or model is None or arrays is None:
                continue
            try:
                fitted = type(detector).load(model, device=detector.device)
                held_out = None
                if what.pop("held_out"):
                    with np.load(arrays) as kept:
                        scores, maps = kept["scores"], kept["maps"]
                    held_out = Predictions(
                        good.paths,
                        scores,
                        maps,
                        good.labels,
                        None,
                        good.defects,
                        images=good,
                        ignored=fitted.ignored_in(good),
                    )
                return Fitted(fitted, held_out, **what)
            except (OSError, ValueError, KeyError, TypeError, ModelFileError):
                continue
        return None

    def _places(self, identity: Identity) -> list[str]:
        """Where detectors of that category and seed are kept."""
        start = f"{identity.category}_seed{identity.seed}."
        keys = (k for k in self._results.keys("models/") if k.endswith(".npz"))
        return [k.removesuffix(".npz") for k in keys if k.rpartition("/")[2].startswith(start)]

    def _what(self, key: str, identity: Identity) -> dict[str, Any] | None:
        """What is known of a kept detector beside its identity; None if it isn't that one."""
        path = self._results.get(f"{key}.npz")
        if path is None:
            return None
        try:
            with np.load(path) as kept:
                what = json.loads(str(kept["what"]))
            same = {name: what.pop(name) for name in dataclasses.asdict(identity)}
        except (OSError, ValueError, KeyError):
            return None
        return what if same == dataclasses.asdict(identity) else None
