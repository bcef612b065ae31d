"""A threshold for photographs that have changed: from a few new good ones, nothing learnt anew."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anomalist.calibration import fewest_images
from anomalist.conditions import Conditions, learnt_looks
from anomalist.data import ImageSet, gather_remarks
from anomalist.data.names import plural
from anomalist.detectors import Detector
from anomalist.detectors.grouping import group_images
from anomalist.errors import DataError
from anomalist.features import FeatureStore, Progress
from anomalist.files import check_writable
from anomalist.inspection.findings import Rule
from anomalist.inspection.fit_result import Odd
from anomalist.inspection.parts import Parts, check_outside, open_parts, short_hashes, unseen


@dataclass(frozen=True, eq=False)
class Recalibrated:
    """A model with a threshold from new good photographs, and how they were met before.

    Parameters
    ----------
    detector : Detector
        As it was fitted, calibrated anew.
    path : Path
        The model file.
    before, rule : Rule
        The threshold and what it promises: until now, and from now on.
    images : int
        How many photographs calibrated it.
    alarms : int or None
        How many of them lie above the threshold until now; None without one.
    odd : Odd or None
        Photographs whose scores lie far above all others', where there are any.
    notes : tuple of str
        What a person should know, such as how the photographs had shifted.
    """

    detector: Detector
    path: Path
    before: Rule
    rule: Rule
    images: int
    alarms: int | None
    odd: Odd | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return all that is printed as JSON values."""
        return {
            "model": str(self.path),
            "images": self.images,
            "alarms_before": self.alarms,
            "before": self.before.as_dict(),
            "rule": self.rule.as_dict(),
            "odd": None if self.odd is None else self.odd.as_dict(),
            "notes": list(self.notes),
        }


def recalibrate(
    detector: Detector,
    data: str | Path,
    out: str | Path,
    *,
    category: str | None = None,
    alpha: float | None = None,
    format: str | None = None,
    good: Iterable[str | Path] = (),
    bad: Iterable[str | Path] = (),
    masks: Iterable[str | Path] = (),
    exclude: Iterable[str | Path] = (),
    progress: Progress | None = None,
) -> Recalibrated:
    """Take threshold, p-values and what counts as usual from new good photographs, and save it.

    What was learnt stays as it is. Photographs that the detector was fitted to are left out, with a
    note: it scores them lower than it does others. What was promised of those learnt from is no
    longer promised; the promise is for photographs like the new ones.

    Parameters
    ----------
    detector : Detector
        Fitted; it isn't changed.
    data : str or Path
        A folder of new good photographs, in any layout that `open_parts` knows. Of a data set with
        a split the training images are taken, of others all good ones.
    out : str or Path
        The model file.
    category : str, optional
        Which, where the folder holds several.
    alpha : float, optional
        False-alarm rate of the threshold; by default that for which the detector was fitted.
    format : str, optional
        The folder's layout, if it isn't to be found out.
    good, bad, masks, exclude : iterable of str or Path
        What `open_parts` takes.
    progress : callable, optional
        Called with the number of images done and the total.

    Raises
    ------
    DataError
        If photographs are too few for a threshold, or one can't be read.
    ParameterError
        If ``alpha`` isn't between 0 and 1, or ``out`` lies among the photographs.
    OSError
        If the file can't be written.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import PatchCore
    >>> from anomalist.data import list_images, make_sample_set
    >>> folder = Path(tempfile.mkdtemp())
    >>> root = make_sample_set(
    ...     folder / "data", image_size=64, train=9, good=9, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> detector = PatchCore(image_size=64).fit(list_images(root / "brass_key/train/good"))
    >>> new = recalibrate(
    ...     detector, root / "brass_key/test/good", folder / "key.anomalist", alpha=0.1
    ... )
    >>> new.images, new.rule.promise is not None
    (9, True)
    """
    out = Path(out)
    alpha = detector.alpha_ if alpha is None else alpha
    needed = fewest_images(alpha)
    parts = open_parts(data, category, exclude, format=format, good=good, bad=bad, masks=masks)
    check_outside(out, parts.root)
    check_writable(out)
    new, left = _new(detector, parts)
    known = f"{plural(left, 'other')} that it was fitted to" if left else ""
    if len(new) < needed:
        also = f" (and {known})" if left else ""
        raise DataError(
            f"{data} has {plural(len(new), 'new good image')}{also}, and a threshold for a"
            f" false-alarm rate of {alpha:g} takes {needed}: photograph {needed - len(new)} more,"
            " or ask for a higher --alpha"
        )
    before = Rule.of(detector, alpha=alpha)
    met = Conditions.of(detector, before)
    store = FeatureStore()
    made = copy.copy(detector)
    # Looked at when they pass the backbone, which they do once.
    predictions = made.predict(new, store=store, progress=progress)
    met.add(predictions)
    grouping = group_images(new, "auto")
    made.calibrate(new, seen=False, groups=grouping.groups, store=store)
    made.summary_ = _summary(detector, new, alpha)
    made.save(out)
    rule = Rule.of(made, alpha=alpha)
    alarms = None
    if before.threshold is not None:
        alarms = int((predictions.scores > before.threshold).sum())
    shift = None if met.shift is None else met.shift.describe("good image")
    notes = [f"not used: {known}"] if left else []
    notes += [] if shift is None else [f"until now, {shift}"]
    notes += grouping.notes
    notes += gather_remarks(new, bit_depth=made.transform.bit_depth)
    odd = Odd.of(predictions, rule, grouping.groups)
    return Recalibrated(made, out, before, rule, len(new), alarms, odd, tuple(notes))


def _new(detector: Detector, parts: Parts) -> tuple[ImageSet, int]:
    """The good photographs that it wasn't fitted to, and how many others there are."""
    images = parts.train
    if not parts.understanding.is_split:
        images = ImageSet([*images, *(s for s in parts.test if not s.label)], images.name)
    fitted = {digest.tobytes() for digest in detector.images_}
    others = np.array([digest.tobytes() not in fitted for digest in images.digests()], np.bool_)
    new = unseen(images[others], detector.summary_.get("known_images", ()))
    return new, len(images) - len(new)


def _summary(detector: Detector, new: ImageSet, alpha: float) -> dict[str, Any]:
    """What is known of the fit, with what is usual from now on."""
    summary = dict(detector.summary_)
    summary.pop("drawn_of", None)  # the new ones weren't
    sizes = Counter(sample.size() for sample in new)
    known = {*summary.get("known_images", ()), *short_hashes(new)}
    return {
        **summary,
        "alpha": alpha,
        "sizes": [[width, height, n] for (height, width), n in sizes.most_common()],
        "known_images": sorted(known),
        "looks": learnt_looks(new, detector.sight),
    }
