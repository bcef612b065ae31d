"""The test images of a report: which are shown, and their pictures as small as they can be."""

from __future__ import annotations

import base64
import io
import json
import math
import statistics
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.calibration import state
from anomalist.errors import DataError
from anomalist.report.layers import SCALE_END, heat_layer, outline
from anomalist.report.runs import Results, Run

_THRESHOLD_VALUE = 127.5
_MOST_DISPUTED = 5


@dataclass
class _Shot:
    """A test image, with what every detector says of it."""

    category: str
    index: int
    of_category: int
    data: dict[str, Any]
    kind: str
    disagreement: float
    tier: int = 3
    rank: int = 0
    pictures: dict[str, Any] = field(default_factory=dict)


def gallery(
    results: Results, out: Path, budget: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the images to show and a count of what is and isn't shown.

    First come images that any detector gets wrong, then those that detectors disagree most on,
    then a typical one of each kind of defect, then the rest, categories taking turns.

    Parameters
    ----------
    results : Results
        All runs; images are shown as the run with the lowest seed judged them.
    out : Path
        The results folder, with the folder ``pictures``.
    budget : float
        Bytes that the images' text may take.

    Returns
    -------
    images : list of dict
        By category and place in the test set.
    counts : dict
        ``all``, ``with_pictures``, ``shown``, ``wrong`` and ``wrong_shown``.
    """
    shots = [shot for category in results.categories for shot in _shots(results, category)]
    there = {c: _photographs(out, c) for c in results.categories}
    possible = [s for s in shots if there[s.category] == s.of_category]
    possible.sort(key=lambda s: (s.tier, s.rank, s.category, s.index))
    chosen = _encode(results, out, possible, budget)
    chosen.sort(key=lambda s: (s.category, s.index))
    counts = {
        "all": len(shots),
        "with_pictures": len(possible),
        "shown": len(chosen),
        "wrong": sum(s.tier == 0 for s in shots),
        "wrong_shown": sum(s.tier == 0 for s in chosen),
    }
    return [{**s.data, **s.pictures} for s in chosen], counts


def outcome(label: bool | None, score: float, threshold: float | None) -> str | None:
    """Say what the decision at a threshold was: hit, miss, false alarm or pass.

    Examples
    --------
    >>> outcome(True, 0.7, 0.5), outcome(False, 0.5, 0.5), outcome(None, 0.7, 0.5)
    ('hit', 'pass', None)
    """
    if label is None or threshold is None:
        return None
    if label:
        return "hit" if score > threshold else "miss"
    return "false alarm" if score > threshold else "pass"


def _shots(results: Results, category: str) -> list[_Shot]:
    runs = [r for d in results.detectors if (r := results.first(d, category)) is not None]
    rows = [{image["path"]: image for image in run.images} for run in runs]
    shots = []
    for index, image in enumerate(runs[0].images):
        seen = [
            (run, of_run[image["path"]])
            for run, of_run in zip(runs, rows, strict=True)
            if image["path"] in of_run
        ]
        judged = {run.detector: _judgement(run, row) for run, row in seen}
        relative = [j["relative"] for j in judged.values() if j["relative"] is not None]
        cut = [min(max(value, 0.0), SCALE_END) for value in relative]
        disagreement = statistics.pstdev(cut) if len(cut) > 1 else 0.0
        data = {
            "category": category,
            "path": image["path"],
            "kind": image["defect"] or "unknown",
            "label": image.get("label"),
            "area": image.get("defect_area"),
            "disagreement": round(disagreement, 4),
            "detectors": judged,
        }
        shot = _Shot(category, index, len(runs[0].images), data, image["defect"], disagreement)
        if any(j["outcome"] in ("miss", "false alarm") for j in judged.values()):
            shot.tier = 0
        shots.append(shot)
    _rank(shots)
    return shots


def _judgement(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    threshold = run.calibration.get("image_threshold")
    alpha = run.calibration.get("alpha", 0.05)
    score, p_value = row["score"], row.get("p_value")
    good = run.calibration.get("scores") or []
    relative = None
    if threshold is not None and good and threshold > (middle := statistics.median(good)):
        relative = (score - middle) / (threshold - middle)
    return {
        "score": score,
        "threshold": threshold,
        "p": p_value,
        "relative": None if relative is None else round(relative, 4),
        "decision": state(score, threshold, p_value, alpha),
        "outcome": outcome(row.get("label"), score, threshold),
        "recall": row.get("recall"),
        "disagreement": row.get("disagreement"),
    }


def _rank(shots: list[_Shot]) -> None:
    """Sort the images of one category into tiers, and number them within each."""
    disputed = sorted(shots, key=lambda s: (-s.disagreement, s.index))
    for shot in [s for s in disputed if s.tier][:_MOST_DISPUTED]:
        shot.tier = 1
    for kind in dict.fromkeys(shot.kind for shot in shots):
        of_kind = sorted((s for s in shots if s.kind == kind), key=_typicality)
        typical = of_kind[len(of_kind) // 2]
        typical.tier = min(typical.tier, 2)
    for rank, shot in enumerate(disputed):
        shot.rank = rank


def _typicality(shot: _Shot) -> float:
    relative = [j["relative"] for j in shot.data["detectors"].values() if j["relative"] is not None]
    return statistics.fmean(relative) if relative else 0.0


def _photographs(out: Path, category: str) -> int:
    """How many photographs of a category there are."""
    path = out / "pictures" / f"{category}.npz"
    if not path.is_file():
        return 0
    return len(_arrays(path, ["masks"])["masks"])


def _arrays(
    path: Path, needed: Sequence[str], more: Sequence[str] = ()
) -> dict[str, npt.NDArray[np.uint8]]:
    """Arrays of a file of pictures by name, and more where it has them."""
    try:
        with path.open("rb") as file, np.load(file) as pictures:
            return {name: pictures[name] for name in [*needed, *(n for n in more if n in pictures)]}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} is damaged: delete it, and the report is written without what it shows"
        ) from error


def _encode(results: Results, out: Path, shots: Sequence[_Shot], budget: float) -> list[_Shot]:
    """Give shots their pictures, in order, as far as the budget goes."""
    if not shots:
        return []
    # A picture of each category tells how many there is room for.
    samples = list({shot.category: shot for shot in shots}.values())
    _draw(results, out, samples)
    room = math.ceil(budget / statistics.fmean(_size(shot) for shot in samples))
    candidates = shots[: max(room, 0)]
    _draw(results, out, candidates)
    chosen, size = [], 0
    for shot in candidates:
        size += _size(shot)
        if size > budget:
            break
        chosen.append(shot)
    return chosen


def _size(shot: _Shot) -> int:
    return len(json.dumps({**shot.data, **shot.pictures}))


def _draw(results: Results, out: Path, shots: Sequence[_Shot]) -> None:
    folder = out / "pictures"
    for category in dict.fromkeys(shot.category for shot in shots):
        of_category = [shot for shot in shots if shot.category == category]
        arrays = _arrays(folder / f"{category}.npz", ["photographs", "masks"])
        photographs, masks = arrays["photographs"], arrays["masks"]
        for shot in of_category:
            mask = masks[shot.index]
            shot.pictures = {
                "photograph": _photograph(photographs[shot.index]),
                "size": [mask.shape[1], mask.shape[0]],
                "truth": outline(mask),
                "maps": {},
            }
        for detector in results.detectors:
            path = folder / detector / f"{category}.npz"
            run = results.first(detector, category)
            if run is None or not path.is_file():
                continue
            layers = _arrays(path, ["maps"], ["disagreement", "ignored"])
            if len(layers["maps"]) != len(photographs):
                continue
            marked = run.calibration.get("pixel_threshold") is not None
            for shot in of_category:
                shot.pictures["maps"][detector] = _layers(layers, shot.index, marked)


def _layers(
    layers: Mapping[str, npt.NDArray[np.uint8]], index: int, marked: bool
) -> dict[str, Any]:
    values = layers["maps"][index]
    drawn: dict[str, Any] = {
        "heat": _heatmap(values),
        "size": [values.shape[1], values.shape[0]],
        "contour": outline(values > _THRESHOLD_VALUE) if marked else "",
    }
    if "ignored" in layers:
        drawn["ignored"] = outline(layers["ignored"][index] > 0)
    if "disagreement" in layers:
        drawn["spread"] = _heatmap(layers["disagreement"][index])
    return drawn


def _photograph(pixels: npt.NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=78, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _heatmap(values: npt.NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(heat_layer(values)).decode()
