"""A plan of detectors x categories x seeds, run one after the other, resumable at any moment."""

from __future__ import annotations

import dataclasses
import glob
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anomalist
from anomalist.benchmark.measurement import (
    calibrated_metrics,
    calibration_summary,
    curves,
    image_rows,
)
from anomalist.benchmark.models import Fitted, ModelStore
from anomalist.benchmark.pictures import write_maps, write_photographs
from anomalist.benchmark.published import published_beside
from anomalist.benchmark.records import RunRecord, RunStore, config_hash, results_frame
from anomalist.benchmark.resources import environment, peak_memory_mb, reset_peak_memory
from anomalist.calibration import DEFAULT_ALPHA, fewest_images
from anomalist.data import Category, Dataset
from anomalist.detectors import Detector, Ensemble
from anomalist.errors import DataError, ParameterError
from anomalist.features import Backbone, FeatureStore, Progress, pick_device
from anomalist.files import atomic_path, write_text
from anomalist.metrics import evaluate
from anomalist.predictions import Predictions
from anomalist.report import heatmap_sheet, write_report, write_tables
from anomalist.training import Predictor, Training


class Watcher(Protocol):
    """Is told how a benchmark goes on."""

    def begin(self, runs: int, reused: int) -> None:
        """Before the first run: how many there are, and how many records serve again."""

    def stage(self, run: Run, name: str, done: int, total: int) -> None:
        """Within a run: ``fit``, ``calibrate`` or ``predict``, and the images done."""

    def trained(self, run: Run, step: int, values: Mapping[str, float]) -> None:
        """After a step of a training: what was measured there, by name."""

    def end(self, record: RunRecord) -> None:
        """After a run."""


@dataclass(frozen=True, eq=False)
class Run:
    """One detector, with its seed set, on one category."""

    detector: Detector
    category: str


def plan(
    detectors: Sequence[Detector], categories: Sequence[str], seeds: Sequence[int]
) -> Iterator[Run]:
    """Yield the runs of a benchmark: category by category, seed by seed, detector by detector.

    Ensembles come after the others, so that they take over members that are fitted already.

    Examples
    --------
    >>> from anomalist import Ensemble, PatchCore
    >>> runs = plan([Ensemble(), PatchCore()], ["bottle"], [0, 1])
    >>> [(r.category, r.detector.name, r.detector.seed) for r in runs]
    [('bottle', 'patchcore', 0), ('bottle', 'ensemble', 0),
     ('bottle', 'patchcore', 1), ('bottle', 'ensemble', 1)]
    """
    ordered = sorted(detectors, key=lambda d: isinstance(d, Ensemble))
    for category in categories:
        for seed in seeds:
            for detector in ordered:
                yield Run(dataclasses.replace(detector, seed=seed), category)


def benchmark(
    dataset: Dataset,
    detectors: Sequence[Detector],
    out: str | Path,
    *,
    categories: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    alpha: float = DEFAULT_ALPHA,
    calibrate: bool = True,
    oracle: bool = False,
    keep_models: bool = False,
    store: FeatureStore | None = None,
    watcher: Watcher | None = None,
    command: str | None = None,
) -> list[RunRecord]:
    """Run every detector on every category with every seed, and write tables and pictures.

    Each run has a record of its own in ``out/runs``, written whole or not at all. A run whose
    record is there, made with the same settings, data and version, is not done again, so a
    benchmark that was stopped at any moment goes on where it was.

    Parameters
    ----------
    dataset : Dataset
        Such as :class:`~anomalist.data.MVTecAD`.
    detectors : sequence of Detector
        Unfitted, each of another label.
    out : str or Path
        The results folder.
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
    oracle : bool
        Measure detectors that are trained after every epoch on the test set too, and report beside
        the result, as ``oracle_...``, what the best epoch would have given: the published numbers
        of some methods are such.
    keep_models : bool
        Whether to keep fitted detectors in ``out/models``, with what they gave to good images that
        they hadn't seen. Ensembles that a later call adds take them over instead of fitting again.
    store : FeatureStore, optional
        Keeps feature maps, so that each image passes a backbone once for all detectors and seeds;
        one in memory by default. Times count what a run took from it at what it cost to make.
    watcher : Watcher, optional
        Is told of progress.
    command : str, optional
        The command line that asked for it, for the records.

    Returns
    -------
    list of RunRecord
        The records of this plan, in its order.

    Raises
    ------
    DataError
        If a category has no test image, or an image can't be read.
    ParameterError
        If the plan is empty or names a detector, a category or a seed twice, or ``alpha`` isn't
        between 0 and 1.
    """
    fewest_images(alpha)  # refuses one that makes no sense before any work is done
    categories = list(dataset.categories if categories is None else categories)
    _check_plan([d.label for d in detectors], categories, list(seeds))
    run_store = RunStore(out)
    sets = {name: dataset.category(name) for name in categories}
    for name, category in sets.items():
        if len(category.test) == 0:
            raise DataError(f"{name} has no test image to measure on: fit and predict need none")
    data = {
        n: f"{c.train.content_hash()[:32]}{c.test.content_hash()[:32]}" for n, c in sets.items()
    }
    asked = {"alpha": alpha, "calibrate": calibrate}
    configs = {d.label: config_hash(d, oracle=oracle, **asked) for d in detectors}
    version = anomalist.__version__
    runs = list(plan(detectors, categories, seeds))
    known = {
        id(run): run_store.find(
            run.detector.label,
            run.category,
            run.detector.seed,
            configs[run.detector.label],
            data[run.category],
            version,
        )
        for run in runs
    }
    if watcher is not None:
        watcher.begin(len(runs), sum(record is not None for record in known.values()))
    store = FeatureStore() if store is None else store
    to_do = [run for run in runs if known[id(run)] is None]
    for backbone in shared_backbones([part for run in to_do for part in run.detector.components()]):
        store.adopt(backbone)
    models = ModelStore(out, data) if keep_models else None
    copies = {name: _copies(sets[name]) for name in {run.category for run in to_do}}
    workshop = _Workshop(to_do, store, models, oracle, calibrate, watcher)
    records = []
    for run in runs:
        record = known[id(run)]
        if record is None:
            label, seed, category = run.detector.label, run.detector.seed, sets[run.category]
            base = run_store.path(label, run.category, seed).with_suffix("")
            done = workshop.run(run, category, base)
            record = dataclasses.replace(
                _record(done, run, category, alpha, command, copies[run.category]),
                config_hash=configs[label],
                data_hash=data[run.category],
            )
            if seed == min(seeds):
                _draw(done, run, category, alpha, Path(out))
            run_store.write(record)
            for leftover in base.parent.glob(f"{glob.escape(base.name)}.*"):
                if leftover.suffix != ".json":
                    leftover.unlink()
            if watcher is not None:
                watcher.end(record)
        records.append(record)
    write_results(run_store.records(), out)
    return records


def write_results(
    records: Sequence[RunRecord], out: str | Path, *, max_megabytes: float = 25.0
) -> None:
    """Write all tables of a results folder, and ``report.html``.

    Parameters
    ----------
    records : sequence of RunRecord
        All that the folder holds.
    out : str or Path
        The results folder.
    max_megabytes : float
        Size that the report stays below, by showing fewer images.
    """
    write_tables(results_frame(records), out)
    beside = published_beside({r.detector for r in records}, {r.category for r in records})
    numbers = [
        {**vars(n), "note": f"{n.protocol}; chosen with the test set: {n.selection}"}
        for n in beside
    ]
    write_report(records, out, published=numbers, max_megabytes=max_megabytes)


def shared_backbones(detectors: Sequence[Detector]) -> list[Backbone]:
    """Make, for detectors with the same weights and device, a backbone with the layers of all.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> two = [PatchCore(layers=("stride8",)), PatchCore(layers=("stride4", "stride16"))]
    >>> [backbone.layers for backbone in shared_backbones(two)]
    [('blocks.2', 'blocks.1', 'blocks.4')]
    """
    groups: dict[tuple[str, str | None, str], dict[str, None]] = {}
    for detector in detectors:
        key = (detector.backbone, detector.weights, detector.device)
        groups.setdefault(key, {}).update(dict.fromkeys(detector.make_backbone().layers))
    return [
        Backbone(name, list(layers), weights=weights, device=pick_device(device))
        for (name, weights, device), layers in groups.items()
    ]


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


@dataclass
class _Done:
    """A run that is done."""

    fitted: Fitted
    predictions: Predictions
    predict_seconds: float
    peak_memory_mb: float


class _Workshop:
    """Fits detectors, and keeps those that ensembles of the same category and seed take over."""

    def __init__(
        self,
        runs: Sequence[Run],
        store: FeatureStore,
        models: ModelStore | None,
        oracle: bool,
        calibrate: bool,
        watcher: Watcher | None,
    ) -> None:
        self._models = models
        self._store, self._oracle, self._calibrate = store, oracle, calibrate
        self._watcher = watcher
        self._uses = Counter(
            _identity(part, run.category) for run in runs for part in run.detector.components()
        )
        self._kept: dict[tuple[str, str, int], Fitted] = {}

    def run(self, run: Run, category: Category, base: Path) -> _Done:
        """Fit or take over, calibrate, and predict the test images."""
        if isinstance(run.detector, Ensemble):
            fitted = self._assembled(run.detector, run, category, base)
        else:
            fitted = self._fitted(run.detector, run, category, base, self._calibrate)
        reset_peak_memory()
        clock = _Clock(self._store)
        predictions = fitted.detector.predict(
            category.test, store=self._store, progress=self._stage(run, "predict")
        )
        seconds = clock.seconds()
        return _Done(fitted, predictions, seconds, max(peak_memory_mb(), fitted.peak_memory_mb))

    def _assembled(self, detector: Ensemble, run: Run, category: Category, base: Path) -> Fitted:
        members = [
            self._fitted(part, run, category, Path(f"{base}.member{i}"), calibrate=True)
            for i, part in enumerate(detector.components())
        ]
        reset_peak_memory()
        clock = _Clock(self._store)
        held_out = [
            m.held_out or m.detector.predict(category.train, store=self._store) for m in members
        ]
        detector.assemble([m.detector for m in members], held_out)
        fit_seconds = sum(m.fit_seconds + m.calibrate_seconds for m in members)
        peak = max(peak_memory_mb(), *(m.peak_memory_mb for m in members))
        return Fitted(detector, None, fit_seconds, clock.seconds(), peak, [])

    def _fitted(
        self, detector: Detector, run: Run, category: Category, base: Path, calibrate: bool
    ) -> Fitted:
        """Fit and calibrate, or take over what was; keep it where it will be asked for again."""
        key = _identity(detector, run.category)
        self._uses[key] -= 1
        fitted = self._kept.pop(key, None)
        if fitted is None and self._models is not None:
            fitted = self._models.find(detector, run.category, category.train)
        if fitted is None:
            fitted = self._fit(detector, run, category, base)
        if calibrate and fitted.held_out is None and len(category.train) > 1:
            reset_peak_memory()
            clock = _Clock(self._store)
            fitted.held_out = fitted.detector.calibrate(
                category.train,
                store=self._store,
                progress=self._stage(run, "calibrate"),
                training=Training(checkpoint=f"{base}.training"),
            )
            fitted.calibrate_seconds = clock.seconds()
            fitted.peak_memory_mb = max(fitted.peak_memory_mb, peak_memory_mb())
            if self._models is not None:
                self._models.keep(fitted, run.category)
        if self._uses[key]:
            self._kept[key] = fitted
        return fitted

    def _fit(self, detector: Detector, run: Run, category: Category, base: Path) -> Fitted:
        reset_peak_memory()
        training = Training(checkpoint=f"{base}.training")
        curve = _TestCurve(category, self._store, training, Path(f"{base}.epochs"))
        if (watcher := self._watcher) is not None:
            training.log = lambda step, values: watcher.trained(run, step, values)
        if self._oracle and detector.trained:
            training.after_epoch = curve
        clock = _Clock(self._store)
        detector.fit(
            category.train,
            store=self._store,
            progress=self._stage(run, "fit"),
            training=training,
        )
        seconds = clock.seconds() - curve.seconds + training.resumed_seconds
        return Fitted(detector, None, seconds, 0.0, peak_memory_mb(), curve.epochs)

    def _stage(self, run: Run, name: str) -> Progress | None:
        if (watcher := self._watcher) is None:
            return None
        return lambda done, total: watcher.stage(run, name, done, total)


class _Clock:
    """Time since it was made, with what the store saved counted at what it cost to make."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._start = time.perf_counter() + store.saved_seconds

    def seconds(self) -> float:
        return time.perf_counter() + self._store.saved_seconds - self._start


def _identity(part: Detector, category: str) -> tuple[str, str, int]:
    """What makes a fitted detector the same as another one."""
    return category, config_hash(part), part.seed


def _record(
    done: _Done,
    run: Run,
    category: Category,
    alpha: float,
    command: str | None,
    notes: tuple[str, ...],
) -> RunRecord:
    detector, predictions = done.fitted.detector, done.predictions
    metrics = evaluate(predictions, intervals=True)
    decisions = calibrated_metrics(predictions, detector.calibration_, alpha)
    parts = getattr(detector, "members_", [detector])
    return RunRecord(
        detector=detector.label,
        category=run.category,
        seed=detector.seed,
        backbone="+".join(dict.fromkeys(part.backbone for part in parts)),
        weights_sha256="+".join(dict.fromkeys(part.backbone_.weights_sha256 for part in parts)),
        parameters=detector.parameters(),
        transform=detector.transform.as_dict(),
        metrics={**metrics.as_dict(), **decisions.values},
        intervals={**metrics.intervals, **decisions.intervals},
        notes=metrics.notes + decisions.notes + notes,
        train_images=len(category.train),
        test_images=len(category.test),
        fit_seconds=done.fitted.fit_seconds,
        calibrate_seconds=done.fitted.calibrate_seconds,
        predict_seconds=done.predict_seconds,
        images_per_second=len(category.test) / done.predict_seconds,
        peak_memory_mb=done.peak_memory_mb,
        config_hash="",
        data_hash="",
        version=anomalist.__version__,
        environment=environment(),
        calibration=calibration_summary(detector.calibration_, alpha),
        curves=curves(predictions),
        images=image_rows(predictions, category, detector.calibration_, alpha),
        epochs=done.fitted.epochs,
        command=command,
    )


def _copies(category: Category) -> tuple[str, ...]:
    """Warn of test images that were learnt from."""
    seen = category.test.shared_with(category.train)
    if not seen:
        return ()
    are = "1 test image is" if len(seen) == 1 else f"{len(seen)} test images are"
    return (
        f"{are} among those learnt from, byte for byte, such as {seen[0]}: what is measured on"
        " them says nothing",
    )


def _draw(done: _Done, run: Run, category: Category, alpha: float, out: Path) -> None:
    """Write the pictures of a run: a sheet of heatmaps, and what the report shows."""
    detector, predictions = done.fitted.detector, done.predictions
    low = high = threshold = None
    pictures = out / "pictures"
    write_photographs(category.test, pictures, run.category)
    if (calibration := detector.calibration_) is not None:
        low, high = calibration.pixel_range(alpha)
        threshold = calibration.pixel_threshold(alpha)
        write_maps(
            predictions, detector.transform, low, high, pictures / detector.label, run.category
        )
    sheet = heatmap_sheet(predictions, detector.transform, low=low, high=high, threshold=threshold)
    with atomic_path(out / detector.label / f"{run.category}_heatmaps.png") as temporary:
        sheet.save(temporary)


class _TestCurve:
    """Measures the test set after epochs; a file keeps what was measured until the run is done."""

    def __init__(
        self,
        category: Category,
        store: FeatureStore,
        training: Training,
        path: Path,
    ) -> None:
        self._category, self._store = category, store
        self._training, self._path = training, path
        self._epochs: list[dict[str, float | None]] = []
        self.seconds = 0.0

    @property
    def epochs(self) -> list[dict[str, float | None]]:
        """What was measured, before the run was stopped and since."""
        if self._training.resumed_seconds and not self._epochs and self._path.is_file():
            self._epochs = json.loads(self._path.read_text(encoding="utf-8"))
        return self._epochs

    def __call__(self, epoch: int, detector: Predictor) -> None:
        saved, start = self._store.saved_seconds, time.perf_counter()
        self._epochs = [e for e in self.epochs if (e["epoch"] or 0) < epoch]
        predictions = detector.predict(self._category.test, store=self._store)
        self._epochs.append({"epoch": epoch, **evaluate(predictions).as_dict()})
        write_text(self._path, json.dumps(self._epochs))
        self.seconds += time.perf_counter() - start + self._store.saved_seconds - saved
