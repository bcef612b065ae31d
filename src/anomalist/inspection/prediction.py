"""Decisions, regions and heatmaps of any number of photographs, written as they are made."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from PIL import Image

from anomalist.calibration import State
from anomalist.conditions import Conditions
from anomalist.data import ImageSet, Remarks, Sample
from anomalist.data.images import read_bytes
from anomalist.data.walking import HEATMAPS, SHEET
from anomalist.detectors import Detector
from anomalist.drawing import scale_of
from anomalist.errors import DataError, ParameterError
from anomalist.files import atomic_path, sha256_of
from anomalist.inspection.findings import Finding, Rule
from anomalist.inspection.inputs import place_of
from anomalist.inspection.pages import ResultsPage
from anomalist.inspection.results import Results, Tally, Used
from anomalist.inspection.scoring import in_chunks, predict
from anomalist.inspection.watching import Watch
from anomalist.predictions import Predictions
from anomalist.report import (
    HEATMAP_SIDE,
    SHEET_SIDE,
    HeatmapFormat,
    PictureWriter,
    contact_sheet,
)
from anomalist.report.browser import PREVIEWS, check_page, remove_page
from anomalist.report.preview import layers_name, write_layers

Heatmaps = Literal["all", "unsure", "anomalous", "none"]

#: How many of the highest scores are drawn.
ON_SHEET = 48
_READERS = 4
#: How much of the hash of its file a row says of its model.
MODEL_DIGITS = 16


def predict_files(
    detector: Detector,
    looks: Iterable[Iterable[Path | Sample]] | Watch,
    out: str | Path,
    rule: Rule,
    *,
    heatmaps: Heatmaps = "all",
    heatmap_size: int = HEATMAP_SIDE,
    heatmap_format: HeatmapFormat = "png",
    arrays: bool = False,
    page: bool = True,
    identity: dict[str, Any] | None = None,
    used: Used = "continue",
    conditions: Conditions | None = None,
    news: Callable[[str], None] | None = None,
    finding: Callable[[Finding], None] | None = None,
    kept: Callable[[Path, str], None] | None = None,
    tally: Tally | None = None,
) -> Tally:
    """Score photographs and write what is found, in memory that doesn't grow with their size.

    A row belongs to the content of a photograph and to a model. A photograph that has its row is
    not scored again, by whichever call it was written; one that failed, or whose file holds another
    content than before, is. Rows of contents that are no longer there stay.

    Parameters
    ----------
    detector : Detector
        Fitted.
    looks : iterable of iterables of Path or Sample, or Watch
        Photographs, in the order of the results, taken as they come; all in one, and each has its
        row. Or what is new look by look, as :func:`watch_inputs` gives it: then a file that was
        renamed has the row that it had, one that is gone or changes as it is read is passed over
        until it comes again, and one that can't be read is tried again at each look.
    out : str or Path
        The folder of results: ``predictions.csv``, ``predictions.jsonl``, ``heatmaps/``,
        ``contact_sheet.png`` of the highest scores, and the page. Both tables have a row a
        photograph. One that can't be scored has ``error`` in ``predictions.jsonl`` and nothing but
        its path in ``predictions.csv``, and that row goes once it can be scored.
    rule : Rule
        Which are anomalous.
    heatmaps : {"all", "unsure", "anomalous", "none"}
        Of which photographs heatmaps are written, by a second thread while others are scored:
        ``"unsure"`` means the unsure and the anomalous ones.
    heatmap_size : int
        Most pixels of the longer side of a heatmap, see `~anomalist.data.views.view_size`.
    heatmap_format : {"png", "jpg"}
        Of the heatmaps.
    arrays : bool
        Whether to write the raw map beside each heatmap, as ``.npy``.
    page : bool
        Whether to write ``index.html``, with its files in ``page/``, to look through the results
        with: see `~anomalist.report.write_page`. It is written anew now and then, and at the end.
    identity : dict, optional
        What the results depend on beside the rule and the options, as JSON values; see
        :func:`identity_of`. With the same, a call goes on where an earlier one was stopped.
    used : {"continue", "append", "overwrite"}
        What is done with results that are there: those of the same call are gone on with, and all
        else is refused; any are added to; they are removed first, and nothing else is.
    conditions : Conditions, optional
        Watches over the conditions of the threshold's promise; the tally tells which fail.
    news : callable, optional
        Called with each of them at once.
    finding : callable, optional
        Called with each finding.
    kept : callable, optional
        Called with each photograph that has its row already, and with what its row calls it.
    tally : Tally, optional
        Counts the rows as they come, for one who stops the call; a new one by default.

    Returns
    -------
    Tally

    Raises
    ------
    ResultsError
        If another process has the folder, or it holds results of another call.
    OSError
        If a result can't be written; what was written before is kept.
    """
    out, identity = Path(out), identity or {}
    if page:
        check_page(out)
    model = str(identity["model"])[:MODEL_DIGITS] if "model" in identity else None
    call = {
        **identity,
        "rule": vars(rule),
        "heatmaps": heatmaps,
        "heatmap_size": heatmap_size,
        "heatmap_format": heatmap_format,
        "arrays": arrays,
    }
    results = Results(out, call, model=model, threshold=rule.threshold, used=used, tally=tally)
    with (
        results,
        ThreadPoolExecutor(_READERS, thread_name_prefix="anomalist-reader") as pool,
        ExitStack() as stack,
    ):
        pictures = PictureWriter(
            out / HEATMAPS,
            transform=detector.transform,
            threshold=rule.pixel_threshold,
            side=heatmap_size,
            format=heatmap_format,
            arrays=arrays,
            taken=results.taken,
            previews=out / PREVIEWS if page else None,
        )
        writer = stack.enter_context(
            _Writer(detector, rule, results, pictures, heatmaps, page, finding)
        )
        shown = ResultsPage(results, rule, identity) if page else None
        if shown is None:
            remove_page(out)  # it wouldn't be true any more
        if conditions is not None:
            for numbers, path in results.looks():
                conditions.replay(numbers, path)
            _tell_news(conditions, news)
        watch = looks if isinstance(looks, Watch) else None
        reading = _Reading(results, pool, watch, kept)
        stopped: KeyboardInterrupt | None = None
        try:
            for photographs in looks:
                to_do = map(writer.keep_view, reading.to_do(photographs))
                for chunk, predictions, failed in in_chunks(detector, to_do):
                    seen = [] if conditions is None else conditions.add(predictions, failed)
                    writer.write(chunk, predictions, failed, seen)
                    if conditions is not None:
                        _tell_news(conditions, news)
                    if shown is not None:
                        shown.refresh()
                writer.finish()
                if shown is not None:
                    shown.refresh()
        except KeyboardInterrupt as error:
            stopped = error
            writer.stop()
        results.tally.notes += writer.remarks.lines()
        if conditions is not None:
            results.tally.notes += conditions.notes()
            results.tally.conditions = conditions.as_dict()
        writer.write_sheet()
        results.settle()
        if shown is not None:
            shown.write()
        if stopped is not None:
            raise stopped
        results.finish()
    return results.tally


def _tell_news(conditions: Conditions, news: Callable[[str], None] | None) -> None:
    if news is not None:
        for text in conditions.news():
            news(text)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What a photograph's row will say, and what the sheet may need of it."""

    found: Finding
    prediction: Predictions
    view: Image.Image | None


class _Writer:
    """Draws what is found in a thread, writes it in order, and remembers the highest scores."""

    def __init__(
        self,
        detector: Detector,
        rule: Rule,
        results: Results,
        pictures: PictureWriter,
        heatmaps: Heatmaps,
        page: bool,
        finding: Callable[[Finding], None] | None,
    ) -> None:
        self._detector, self._rule, self._results = detector, rule, results
        self._pictures, self._heatmaps, self._finding = pictures, heatmaps, finding
        self._page = page
        self._keeps_views = page or heatmaps != "none"
        self._scale = None if rule.low is None or rule.high is None else (rule.low, rule.high)
        # One thread: so names and rows have the order of the photographs.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="anomalist-pictures")
        self._waiting = deque[Future[_Drawn] | Finding]()
        # Score, minus the place in the order, path, hash, and the map where it was made here.
        top: list[tuple[float, int, str, str, Predictions | None]] = [
            (score, -i, path, sha256, None)
            for i, (score, path, sha256) in enumerate(results.scores)
        ]
        self._top = heapq.nlargest(ON_SHEET, top)
        heapq.heapify(self._top)
        self._order = len(top)
        self._is_new = False
        self.remarks = Remarks()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def keep_view(self, one: Sample | Finding) -> Sample | Finding:
        """Have what pictures need of a photograph kept when it is read to be scored."""
        if self._keeps_views and isinstance(one, Sample):
            self._pictures.keep_view(one)
        return one

    def write(
        self,
        chunk: list[Sample | Finding],
        predictions: Predictions | None,
        failed: Mapping[Path, str],
        looks: Sequence[dict[str, float] | None] = (),
    ) -> None:
        """Have what is found on some photographs written, and how those that were scored look.

        It is, when as many more have come or with `finish`, so that others are scored meanwhile.
        """
        if self._scale is None and predictions is not None:
            self._scale = scale_of(predictions.counted)
        before = len(self._waiting)
        scored = iter(range(len(chunk)))
        for one in chunk:
            if isinstance(one, Finding):
                self._waiting.append(one)
                continue
            known: dict[str, Any] = {"sha256": one.sha256(), "model": self._results.model}
            if predictions is None or self._scale is None or one.path in failed:
                found = Finding(path=str(one.path), error=failed[one.path], **known)
                self._waiting.append(found)
                continue
            place = next(scored)
            if place < len(looks):
                known["looks"] = looks[place]
            known["notes"] = one.remarks(self._detector.transform.bit_depth)
            task = self._thread.submit(self._draw, predictions[place], self._scale, known)
            self._waiting.append(task)
        for _ in range(before):
            self._write_next()

    def finish(self) -> None:
        """Write all that is left."""
        while self._waiting:
            self._write_next()

    def stop(self) -> None:
        """Write what is drawn already, up to what isn't, and draw no more."""
        for one in reversed(self._waiting):
            if isinstance(one, Future):
                one.cancel()
        while self._waiting:
            one = self._waiting[0]
            if isinstance(one, Future) and (one.cancelled() or one.exception() is not None):
                break
            self._write_next()
        self._waiting.clear()

    def _write_next(self) -> None:
        one = self._waiting.popleft()
        if isinstance(one, Finding):
            self._results.fail(one)
            self._tell(one)
            return
        drawn = one.result()
        self.remarks.add(drawn.prediction.images[0].path, drawn.found.notes)
        self._results.add(drawn.found)
        self._tell(drawn.found)
        self._remember(drawn)

    def write_sheet(self) -> None:
        """Draw the highest scores; those of an earlier call are scored again for their maps."""
        if not self._is_new and (self._results.folder / SHEET).exists():
            return
        there = []
        for _, _, path, sha256, one in sorted(self._top, reverse=True, key=lambda entry: entry[:2]):
            sample = Sample(Path(path)) if one is None else one.images[0]
            try:
                if sample.sha256() != sha256:  # another one by now
                    continue
                there.append(one or predict(self._detector, ImageSet([sample])))
            except DataError:  # gone since
                continue
        if self._scale is None or not there:
            return
        predictions = Predictions.join(there)
        sheet = contact_sheet(
            predictions,
            self._detector.transform,
            low=self._scale[0],
            high=self._scale[1],
            threshold=self._rule.pixel_threshold,
            image_threshold=self._rule.threshold,
            states=self._rule.states(self._detector, predictions),
        )
        with atomic_path(self._results.folder / SHEET) as temporary:
            sheet.save(temporary)

    def _draw(
        self, prediction: Predictions, scale: tuple[float, float], known: dict[str, Any]
    ) -> _Drawn:
        """Say what is found on one photograph, its pictures written."""
        sample, (low, high) = prediction.images[0], scale
        (found,) = self._rule.judge(self._detector, prediction)
        assert found.score is not None
        if is_drawn(self._heatmaps, self._rule.state(found.score, found.p_value)):
            file = self._pictures.write(sample, prediction.visible_map(0), low=low, high=high)
            picture = file.relative_to(self._results.folder).as_posix()
            found = dataclasses.replace(found, heatmap=picture)
        if self._page:
            self._pictures.preview(sample)
            write_layers(
                self._results.folder / PREVIEWS,
                layers_name(known["sha256"], known["model"], found.threshold),
                sample.size(),
                prediction.visible_map(0),
                transform=self._detector.transform,
                low=low,
                high=high,
                threshold=self._rule.pixel_threshold,
            )
        view = self._pictures.small_view(sample) if self._keeps_views else None
        sample.drop_view()
        return _Drawn(dataclasses.replace(found, **known), prediction, view)

    def _tell(self, found: Finding) -> None:
        if self._finding is not None:
            self._finding(found)

    def _remember(self, drawn: _Drawn) -> None:
        self._order += 1
        one, sha256 = drawn.prediction, drawn.found.sha256 or ""
        place = float(one.scores[0]), -self._order
        if len(self._top) == ON_SHEET and place < self._top[0][:2]:
            return
        self._is_new = True
        # A copy, as a view would keep the maps of its whole chunk; of the file, not its bytes.
        one = one[[0]]
        path = one.images[0].path
        if path.exists():
            one = dataclasses.replace(one, images=ImageSet([Sample(path)]))
        if drawn.view is not None:
            depth = self._detector.transform.bit_depth
            one.images[0].keep_view(SHEET_SIDE, depth)
            one.images[0].viewed(drawn.view, depth)
        entry = *place, str(path), sha256, one
        (heapq.heappush if len(self._top) < ON_SHEET else heapq.heappushpop)(self._top, entry)


def is_drawn(heatmaps: Heatmaps, what: State) -> bool:
    """Tell whether the heatmap of an image is asked for.

    Examples
    --------
    >>> is_drawn("unsure", "anomalous"), is_drawn("anomalous", "unsure")
    (True, False)
    """
    asked = {"all": None, "unsure": ("anomalous", "unsure"), "anomalous": ("anomalous",)}
    if heatmaps == "none":
        return False
    states = asked[heatmaps]
    return states is None or what in states


def check_heatmaps(heatmaps: Heatmaps, rule: Rule) -> None:
    """Refuse heatmaps of what only a threshold tells, where there is none.

    Raises
    ------
    ParameterError
        If so.
    """
    if heatmaps in ("anomalous", "unsure") and rule.threshold is None:
        raise ParameterError(
            f"--heatmaps {heatmaps} needs a threshold: give one with --threshold or --alpha"
        )


class _Reading:
    """Reads photographs ahead, and says which of them are to be scored."""

    def __init__(
        self,
        results: Results,
        pool: ThreadPoolExecutor,
        watch: Watch | None,
        kept: Callable[[Path, str], None] | None,
    ) -> None:
        self._results, self._pool, self._watch, self._kept = results, pool, watch, kept
        self._unread: dict[str, str] = {}

    def to_do(self, photographs: Iterable[Path | Sample]) -> Iterator[Sample | Finding]:
        """Yield those that have no row, in memory: what is hashed is what is scored."""
        rest = iter(photographs)
        while some := list(itertools.islice(rest, 2 * _READERS)):
            for one, read in zip(some, self._pool.map(_read, some), strict=True):
                if isinstance(read, Finding):
                    if self._is_to_tell(Path(read.path), read.error or ""):
                        yield dataclasses.replace(read, model=self._results.model)
                elif self._is_to_do(one if isinstance(one, Path) else None, read):
                    yield read

    def _is_to_do(self, file: Path | None, sample: Sample) -> bool:
        watch, name, sha256 = self._watch, str(sample.path), sample.sha256()
        self._unread.pop(name, None)
        if watch is not None and file is not None and not watch.is_as_yielded(file):
            watch.again(file)
            return False
        row = self._results.find(name, sha256, moved=watch is not None)
        if row is None:
            self._results.claim(name, sha256)
            return True
        if row.error is not None:
            return True
        self._results.keep(name)
        if self._kept is not None:
            self._kept(sample.path, row.path)
        return False

    def _is_to_tell(self, path: Path, error: str) -> bool:
        """Whether it is news that a file can't be read."""
        if self._watch is not None:
            self._watch.again(path)
            if not path.exists() or self._unread.get(str(path)) == error:
                return False
            self._unread[str(path)] = error
        return True


def _read(photograph: Path | Sample) -> Sample | Finding:
    """Return a photograph with its bytes in memory, or that it can't be read."""
    if isinstance(photograph, Sample):
        return photograph
    try:
        return Sample(photograph, image=read_bytes(photograph))
    except DataError as error:
        return Finding(path=str(photograph), error=str(error))


def identity_of(model: str | Path, inputs: Iterable[str] = ()) -> dict[str, Any]:
    """Return what identifies results of a model file: its hash, and where inputs are.

    Parameters
    ----------
    model : str or Path
        The file.
    inputs : iterable of str
        Folders, files, patterns, or ``-`` for standard input.
    """
    return {"model": sha256_of(model), "inputs": [place_of(entry) for entry in inputs]}
