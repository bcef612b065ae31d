"""Any number of objects scored by parts, on this machine or on a cluster, and resumed by parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from anomalist.cluster import connected
from anomalist.data.names import plural
from anomalist.data.views import check_side
from anomalist.detectors import Detector
from anomalist.errors import ParameterError, ResultsError, StorageError
from anomalist.files import sha256_of
from anomalist.inspection.bulk.hold import held_place
from anomalist.inspection.bulk.keys import LISTINGS, MANIFEST, PARTS, SHEET, is_ours, part_key
from anomalist.inspection.bulk.listing import (
    Found,
    compare,
    digest_of,
    find_inputs,
    numbered,
    parts_of,
)
from anomalist.inspection.bulk.manifest import Manifest, Part
from anomalist.inspection.bulk.on_ray import Workers, score_on_ray
from anomalist.inspection.bulk.scorer import Job, Scorer, ToScore
from anomalist.inspection.bulk.summary import summarise, write_sheet
from anomalist.inspection.findings import Rule
from anomalist.inspection.inputs import STANDARD_INPUT, place_of
from anomalist.inspection.prediction import MODEL_DIGITS, Heatmaps, check_heatmaps
from anomalist.inspection.results import Tally, difference
from anomalist.report import HEATMAP_SIDE, HeatmapFormat
from anomalist.storage import Storage, is_address, open_storage

#: How many objects a part has by default.
PART_SIZE = 1000


def predict_objects(
    detector: Detector,
    inputs: Sequence[str],
    out: str,
    rule: Rule,
    *,
    model: str | Path,
    heatmaps: Heatmaps | None = None,
    heatmap_size: int = HEATMAP_SIDE,
    heatmap_format: HeatmapFormat = "png",
    arrays: bool = False,
    part_size: int = PART_SIZE,
    overwrite: bool = False,
    ray: str | None = None,
    workers: Workers | None = None,
    device: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    news: Callable[[str], None] | None = None,
) -> Tally:
    """Score objects by parts, and write each part of the rows when it is done.

    What is done is told by the parts that are there. The same call, made again, goes on with the
    others; it adds objects that have come since as further parts, and scores again those that hold
    something else or couldn't be scored. Every object has one row.

    Parameters
    ----------
    detector : Detector
        Fitted.
    inputs : sequence of str
        Addresses of folders or objects; folders, images or patterns of this machine.
    out : str
        Where results are written: an address or a folder. ``manifest.json`` says of which call they
        are and which parts are done, ``parts/`` has the rows as files of Parquet, ``listing/``
        which objects are in which part; ``heatmaps/`` and ``contact_sheet.png`` are pictures.
    rule : Rule
        Which are anomalous.
    model : str or Path
        The file of the detector on this machine.
    heatmaps : {"anomalous", "unsure", "all", "none"}, optional
        Of which objects heatmaps are written; by default the first of these where there is a
        threshold of images and of pixels, else none. ``"unsure"`` means the unsure and the
        anomalous ones.
    heatmap_size : int
        Most pixels of the longer side of a heatmap, see `~anomalist.data.views.view_size`.
    heatmap_format : {"png", "jpg"}
        Of the heatmaps.
    arrays : bool
        Whether to write the raw map beside each picture, as ``.npy``.
    part_size : int
        How many objects a new part has.
    overwrite : bool
        Whether results that are there are removed first, and nothing else.
    ray : str, optional
        The Ray cluster whose machines do it, as :func:`anomalist.cluster.connected` takes it; by
        default this process does.
    workers : Workers, optional
        What each worker of the cluster is.
    device : str, optional
        Where workers run the model, instead of the device that it was fitted with.
    progress : callable, optional
        Called with what is done, of how many objects, and how many there are to do.
    news : callable, optional
        Called with what a person should know at once.

    Returns
    -------
    Tally

    Raises
    ------
    DataError
        If an input means no image.
    ResultsError
        If another process writes there, or there are results of another call.
    StorageError
        If a storage doesn't answer or refuses.
    ClusterError
        If the cluster can't be reached, or can't do all of it.
    ParameterError
        If an option makes no sense.
    """
    news = (lambda _: None) if news is None else news
    if STANDARD_INPUT in inputs:
        raise ParameterError("- can't be scored by parts: name folders, images or addresses")
    if part_size < 1:
        raise ParameterError(f"--part_size must be at least 1, not {part_size}")
    heatmaps = _usual(heatmaps, rule)
    check_side("heatmap_size", heatmap_size)
    place = open_storage(out)
    call: dict[str, Any] = {
        "model": sha256_of(model),
        "inputs": [
            open_storage(entry).address if is_address(entry) else place_of(entry)
            for entry in inputs
        ],
        "rule": vars(rule),
        "heatmaps": heatmaps,
        "heatmap_size": heatmap_size,
        "heatmap_format": heatmap_format,
        "arrays": arrays,
    }
    call = json.loads(json.dumps(call))  # as the manifest gives it back
    with (
        nullcontext() if ray is None else connected(ray) as cluster,
        held_place(place, news) as check,
    ):
        found = find_inputs(inputs, place)
        for note in found.notes:
            news(note)
        if overwrite:
            _remove(place)
        manifest, parts = _planned(place, call, found, part_size, news)
        unreadable = found.unreadable
        del found  # a million objects take their memory only as long as they are compared
        before = sum(part.rows for part in manifest.done.values())
        job = Job(
            place,
            tuple(manifest.roots),
            call,
            rule,
            heatmaps,
            heatmap_size,
            heatmap_format,
            arrays,
            call["model"][:MODEL_DIGITS],
        )
        done, to_do = 0, sum(part.objects for part in parts)
        if parts and before:
            news(f"{manifest.objects - to_do} of {plural(manifest.objects, 'object')} are done")
        results: Iterator[tuple[int, Part]]
        if cluster is None or not parts:
            scorer = Scorer(detector, job)
            results = ((part.number, scorer.score(part)) for part in parts)
        else:
            results = score_on_ray(cluster, Path(model), device, job, parts, workers or Workers())
        sizes = {part.number: part.objects for part in parts}
        if progress is not None:
            progress("predict", done, to_do)
        try:
            for number, part in results:
                check()
                manifest.finish(number, part)
                done += sizes[number]
                if progress is not None:
                    progress("predict", done, to_do)
        except BaseException:
            with suppress(StorageError):  # what went wrong before is told
                check()
                manifest.write()
            raise
        check()
        if parts:
            manifest.write()
        tally, worst = summarise(place, manifest.parts, manifest.objects, detector, rule, before)
        tally.failing += unreadable
        if parts or not place.exists(SHEET):
            write_sheet(place, job.roots, worst, detector, rule)
    return tally


def _usual(heatmaps: Heatmaps | None, rule: Rule) -> Heatmaps:
    on_a_scale = rule.low is not None and rule.high is not None
    if heatmaps is None:
        return "anomalous" if on_a_scale and rule.threshold is not None else "none"
    check_heatmaps(heatmaps, rule)
    if heatmaps != "none" and not on_a_scale:
        raise ParameterError(
            f"--heatmaps {heatmaps} needs a calibrated model, whose scale all pictures have: parts"
            " don't know of each other; fit it again with a calibration, or take --heatmaps none"
        )
    return heatmaps


def _planned(
    place: Storage,
    call: dict[str, Any],
    found: Found,
    part_size: int,
    news: Callable[[str], None],
) -> tuple[Manifest, list[ToScore]]:
    """The manifest, and the parts that are to be scored."""
    manifest = Manifest.read(place)
    if manifest is None:
        _refuse_others(place)
        manifest = Manifest(place, call, found.roots)
        manifest.mark()
        manifest.list_more(numbered(found.table, part_size, 0))
        manifest.write()
        written = set[str]()
        listed = manifest.listed()
    else:
        _check_same(manifest, call, found)
        written = set(place.keys(f"{PARTS}/"))
        manifest.adopt(written)
        change = compare(manifest.listed(), found.table)
        listed = change.listed
        if change.changed:
            are = "has" if change.changed == 1 else "have"
            news(f"{plural(change.changed, 'object')} {are} changed since: scored again")
            manifest.list_again(listed)
        if change.gone:
            are = "is" if change.gone == 1 else "are"
            news(
                f"{plural(change.gone, 'object')} that {are} listed {are}n't there any more: a row"
                " that is written stays"
            )
        if change.new.num_rows:
            are = "has" if change.new.num_rows == 1 else "have"
            news(f"{plural(change.new.num_rows, 'object')} {are} come since: added")
            manifest.list_more(numbered(change.new, part_size, manifest.parts))
            listed = manifest.listed()
        manifest.write()
    parts = []
    for number, objects in parts_of(listed):
        known = manifest.done.get(number)
        if known is None or known.failed or known.digest != digest_of(objects):
            file, is_written = manifest.file_of(number), part_key(number) in written
            parts.append(ToScore(number, file, objects.num_rows, is_written))
    return manifest, parts


def _check_same(manifest: Manifest, call: dict[str, Any], found: Found) -> None:
    if manifest.call != call or manifest.roots != found.roots:
        raise ResultsError(
            f"{manifest.storage.address} holds results of {difference(manifest.call, call)}:"
            " replace them with --overwrite, or choose another place"
        )


def _refuse_others(place: Storage) -> None:
    for key in ("predictions.jsonl", "predictions.csv"):
        if place.exists(key):
            raise ResultsError(
                f"{place.address_of(key)} is there, of a call whose results aren't in parts: choose"
                " another place"
            )


def _remove(place: Storage) -> None:
    """Remove what was written here; last what says what there is to remove."""
    for prefix in (f"{PARTS}/", f"{LISTINGS}/", "heatmaps/", SHEET):
        for key in place.keys(prefix):
            if is_ours(key):
                place.delete(key)
    place.delete(MANIFEST)
