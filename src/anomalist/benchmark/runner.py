"""A benchmark: its plan is made and checked, what is missing is done, tables are written."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anomalist
from anomalist.benchmark.executor import Executor, LocalExecutor
from anomalist.benchmark.inventory import Inventory
from anomalist.benchmark.leaks import leaks
from anomalist.benchmark.names import check_free, named
from anomalist.benchmark.object_store import ObjectResultStore
from anomalist.benchmark.published import published_beside
from anomalist.benchmark.recording import now
from anomalist.benchmark.records import RunRecord, results_frame
from anomalist.benchmark.repeats import split_repeats, write_repeats
from anomalist.benchmark.store import ResultStore, RunStore
from anomalist.benchmark.stress_store import stress_frame, stress_runs
from anomalist.benchmark.tasks import Asked, Task, plan
from anomalist.benchmark.watching import Watcher
from anomalist.calibration import DEFAULT_ALPHA, check_split, fewest_images
from anomalist.data import Dataset
from anomalist.detectors import Detector
from anomalist.detectors.grouping import check_groups
from anomalist.errors import DataError, ParameterError
from anomalist.features import FeatureStore
from anomalist.files import write_text
from anomalist.metrics import EvaluatedAt, OwnMetric, extra_limits
from anomalist.predictions import Predictions
from anomalist.report import Results, write_compact, write_per_image, write_report, write_tables
from anomalist.storage import is_address


def benchmark(
    dataset: Dataset,
    detectors: Sequence[Detector] | Mapping[str, Detector],
    out: str | Path,
    *,
    categories: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    alpha: float = DEFAULT_ALPHA,
    calibrate: bool = True,
    groups: str = "auto",
    oracle: bool = False,
    evaluate_at: EvaluatedAt = "original",
    pro_limits: Iterable[float] = (),
    metrics: Iterable[str | Callable[[Predictions], Any]] = (),
    split: float | None = None,
    keep_models: bool = False,
    store: FeatureStore | None = None,
    watcher: Watcher | None = None,
    command: str | None = None,
    executor: Executor | None = None,
) -> list[RunRecord]:
    """Run every detector on every category with every seed, and write tables and pictures.

    Each run has a record of its own in ``out/runs``, written whole or not at all. A run whose
    record is there, made with the same configuration, data and version, is not done again, so a
    benchmark that was stopped at any moment goes on where it was. Of a detector that doesn't depend
    on its seed (`Detector.seeded <anomalist.detectors.Detector.seeded>`), one seed is computed: the
    records of the others are copies, and ``repeats_seed`` says of which.

    A name stands for one configuration in a results folder: the detector's settings, those of an
    ensemble's members, the content of the weights, and ``alpha``, ``calibrate``, ``groups``,
    ``oracle``, ``evaluate_at``, ``pro_limits``, ``metrics`` and ``split``, which decide what is
    measured.
    Another one under a name that is taken is refused before any work, whatever the seeds; batch
    size, device and memory limits may change. With ``keep_models``, one that is measured otherwise
    under another name, but of the same ``groups``, takes over what was fitted. Where the images of
    a category or the version of anomalist are other ones than a record's, its run is done again if
    the plan holds it. Otherwise the tables leave it out, which a line tells: they are of the
    version, and of each category's images, of the run that was finished last. A file in
    ``out/runs`` that is no record is passed over, which a line tells before any work.

    Several processes may benchmark into one folder at once, best with categories or seeds of their
    own: files are replaced whole, and the one that ends last writes the tables of all. A run that
    two of them do at once is done twice, and the later record, which says the same, stays. What
    isn't noticed is one name for two configurations that start at the same time; the tables then
    show that which was finished last, and tell the others.

    Parameters
    ----------
    dataset : Dataset
        Such as :class:`~anomalist.data.MVTecAD`.
    detectors : sequence of Detector, or mapping of str to Detector
        Unfitted, by the names that tables, files and folders call them; those of a sequence are
        called by their labels.
    out : str or Path
        The results folder, or an address such as ``s3://bucket/results``.
    categories : sequence of str, optional
        All of the data set's where not given.
    seeds : sequence of int
        Each detector is run once a seed.
    alpha : float
        The false-alarm rate that thresholds are to have.
    calibrate : bool
        Whether to get thresholds and p-values from the training images, see
        :meth:`~anomalist.detectors.Detector.calibrate`. It costs about another fit, or a few of
        those methods that don't train. Members of ensembles are always calibrated.
    groups : str
        Which training images aren't independent, such as shots of one part, so that none vouches
        for another: ``auto``, ``none``, ``by-folder`` or ``by-name PATTERN``, see
        `~anomalist.detectors.grouping.group_images`.
    oracle : bool
        Measure detectors that are trained after every epoch on the test set too, and report beside
        the result, as ``oracle_...``, what the best epoch would have given: the published numbers
        of some methods are such.
    evaluate_at : {"original", "input"}
        Measure pixels at the size of each mask, as MVTec's evaluation does, or at the resolution of
        the detector's input, as most published tables do; see `~anomalist.metrics.evaluate`.
    pro_limits : iterable of float
        False positive rates up to which PRO is measured too, besides 0.3, each a column of its own
        such as ``pixel_PRO_0.05``.
    metrics : iterable of str or callable
        Functions of one's own at the top of a module, or their names, ``module:function``: each is
        called with the `~anomalist.Predictions` of a category's test images, and its number is a
        column of that name. Where the file that one is in was changed, runs are done again.
    split : float, optional
        Share of the training images that is held out of the fit to calibrate, dealt by the seed;
        what thresholds promise holds for certain then. By default
        :meth:`~anomalist.detectors.Detector.usual_split`: 0.3 for detectors that train and
        ensembles of them, where images are enough for ``alpha``, and none for others. 0 fits all to
        all images, as published tables do.
    keep_models : bool
        Whether to keep fitted detectors in ``out/models``, with what they gave to good images that
        they hadn't seen. Ensembles take over members from there, of the same configuration, seed,
        data and version, instead of fitting them again.
    store : FeatureStore, optional
        Keeps feature maps, so that each image passes a backbone once for all detectors and seeds;
        one in memory by default. Times count what a run took from it at what it cost to make.
    watcher : Watcher, optional
        Is told of progress, and in lines of what isn't counted; without one, lines are warnings.
    command : str, optional
        The command line that asked for it, for the records.
    executor : Executor, optional
        Does the tasks; by default a `LocalExecutor` with ``store``.

    Returns
    -------
    list of RunRecord
        The records of this plan, in its order.

    Raises
    ------
    DataError
        If a category has no test image, or an image can't be read.
    ParameterError
        If the plan is empty or names a detector, a category or a seed twice, a name can't be one or
        is taken by another configuration, ``alpha`` isn't between 0 and 1, ``split`` is no share,
        or a metric isn't there or fails.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import MVTecAD, PatchCore
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=64, train=4, good=2, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> detectors = {
    ...     "patchcore": PatchCore(image_size=64),
    ...     "small": PatchCore(image_size=64, coreset_ratio=0.01),
    ... }
    >>> records = benchmark(MVTecAD(root), detectors, tempfile.mkdtemp())
    >>> [(record.detector, record.method) for record in records]
    [('patchcore', 'patchcore'), ('small', 'patchcore')]
    """
    check_groups(groups)
    fewest_images(alpha)  # refuses one that makes no sense before any work is done
    check_split(split or 0.0)
    detectors = named(detectors)
    categories = list(dataset.categories if categories is None else categories)
    _check_plan(list(detectors), categories, list(seeds))
    own = tuple(dict.fromkeys(OwnMetric.of(metric) for metric in metrics))
    limits = extra_limits(pro_limits)
    asked = Asked(alpha, calibrate, oracle, evaluate_at, limits, split, groups, own)
    results = open_results(out)
    before = results.inventory()
    check_free(detectors, asked, before.everything, str(out))
    sets = {name: dataset.category(name) for name in categories}
    for name, category in sets.items():
        if len(category.test) == 0:
            raise DataError(f"{name} has no test image to measure on: fit and predict need none")
    data = {
        n: f"{c.train.content_hash()[:32]}{c.test.content_hash()[:32]}" for n, c in sets.items()
    }
    tasks = list(
        plan(
            dataset,
            detectors,
            data,
            seeds=seeds,
            asked=asked,
            keep_models=keep_models,
            command=command,
        )
    )
    known = {(r.detector, r.category, r.seed): r for r in before.everything}
    missing = [t for t in tasks if t.key not in known or not t.is_done_by(known[t.key])]
    to_do, repeats = split_repeats(missing, known)
    _tell(watcher, before.unreadable)
    if watcher is not None:
        watcher.begin(len(tasks), len(tasks) - len(missing))
    store = FeatureStore() if store is None else store
    notes = {n: leaks(sets[n], results) for n in dict.fromkeys(t.category for t in to_do)}
    to_do = [
        dataclasses.replace(task, notes=notes[task.category], draws=_draws(task, before.everything))
        for task in to_do
    ]
    (LocalExecutor(store) if executor is None else executor).run(to_do, results, watcher)
    write_repeats(repeats, results, watcher)
    after = _confirmed(tasks, results)
    _tell(watcher, after.left_out)
    with results.folder_of_tables() as folder:
        write_results(after.records, folder, left_out=after.left_out)
    records = {(r.detector, r.category, r.seed): r for r in after.everything}
    return [records[task.key] for task in tasks]


def open_results(out: str | Path) -> RunStore | ObjectResultStore:
    """Return the store of results in a folder or at an address.

    Parameters
    ----------
    out : str or Path
        A folder, or an address such as ``s3://bucket/results``.

    Examples
    --------
    >>> type(open_results("results")).__name__, type(open_results("memory://results")).__name__
    ('RunStore', 'ObjectResultStore')
    """
    return ObjectResultStore(str(out)) if is_address(out) else RunStore(out)


def write_results(
    records: Sequence[RunRecord],
    out: str | Path,
    *,
    left_out: Sequence[str] = (),
    max_megabytes: float = 25.0,
) -> None:
    """Write all tables of a results folder, and ``report.html``, with what a stress test gave.

    Parameters
    ----------
    records : sequence of RunRecord
        What tables show, such as the ``records`` of an `Inventory`.
    out : str or Path
        The results folder.
    left_out : sequence of str
        Lines on what tables leave out, for the report to say.
    max_megabytes : float
        Size that the report stays below, by showing fewer images.
    """
    write_tables(results_frame(records), out)
    write_compact(Results(records), out)
    write_per_image(records, out)
    beside = published_beside({r.method for r in records}, {r.category for r in records})
    numbers = [
        {**vars(n), "note": f"{n.protocol}; chosen with the test set: {n.selection}"}
        for n in beside
    ]
    stressed = stress_runs(out, records)
    if stressed:
        write_text(Path(out) / "stress.csv", stress_frame(stressed).to_csv(index=False))
    write_report(
        records,
        out,
        published=numbers,
        left_out=left_out,
        stressed=stressed,
        max_megabytes=max_megabytes,
    )


def _check_plan(detectors: list[str], categories: list[str], seeds: list[int]) -> None:
    plans: dict[str, Sequence[object]] = {
        "detector": detectors,
        "category": categories,
        "seed": seeds,
    }
    for what, values in plans.items():
        if not values:
            raise ParameterError(f"a benchmark needs at least one {what}")
        for value in values:
            if values.count(value) > 1:
                raise ParameterError(f"{what} {value} is named twice")


def _tell(watcher: Watcher | None, lines: Iterable[str]) -> None:
    for line in lines:
        if watcher is None:
            warnings.warn(line, stacklevel=3)
        else:
            watcher.notice(line)


def _draws(task: Task, there: Sequence[RunRecord]) -> bool:
    """Whether a task has the lowest seed, also of runs that earlier calls did."""
    same = (task.name, task.category, task.data_hash, anomalist.__version__)
    known = [r.seed for r in there if (r.detector, r.category, r.data_hash, r.version) == same]
    return task.draws and task.seed <= min(known, default=task.seed)


def _confirmed(tasks: Sequence[Task], results: ResultStore) -> Inventory:
    """Take stock, with the runs of this plan as those that were finished last.

    Records may serve again after others were made, such as when images are put back.
    """
    inventory = results.inventory()
    keys = {task.key for task in tasks}
    again = [r for r, _ in inventory.stale if (r.detector, r.category, r.seed) in keys]
    for record in again:
        results.write(dataclasses.replace(record, finished=now()))
    return results.inventory() if again else inventory
