"""A plan of detectors x categories x seeds, run one after the other, resumable at any moment."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anomalist
from anomalist.benchmark.records import RunRecord, RunStore, config_hash, results_frame
from anomalist.benchmark.resources import environment, peak_memory_mb, reset_peak_memory
from anomalist.data import Category, Dataset
from anomalist.detectors import Detector
from anomalist.detectors.base import Training, pick_device
from anomalist.errors import DataError, ParameterError
from anomalist.features import Backbone, FeatureStore, Progress
from anomalist.files import atomic_path, write_text
from anomalist.metrics import evaluate
from anomalist.predictions import Predictions
from anomalist.report import heatmap_sheet, write_tables


class Watcher(Protocol):
    """Is told how a benchmark goes on."""

    def begin(self, runs: int, reused: int) -> None:
        """Before the first run: how many there are, and how many records serve again."""

    def stage(self, run: Run, name: str, done: int, total: int) -> None:
        """Within a run: ``fit`` or ``predict``, and the images done."""

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
    """Yield the runs of a benchmark: category by category, detector by detector, seed by seed.

    Examples
    --------
    >>> from anomalist import PatchCore
    >>> [(r.category, r.detector.seed) for r in plan([PatchCore()], ["bottle"], [0, 1])]
    [('bottle', 0), ('bottle', 1)]
    """
    for category in categories:
        for detector in detectors:
            for seed in seeds:
                yield Run(dataclasses.replace(detector, seed=seed), category)


def benchmark(
    dataset: Dataset,
    detectors: Sequence[Detector],
    out: str | Path,
    *,
    categories: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    oracle: bool = False,
    store: FeatureStore | None = None,
    watcher: Watcher | None = None,
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
        Unfitted, each of another class.
    out : str or Path
        The results folder.
    categories : sequence of str, optional
        All of the data set's where not given.
    seeds : sequence of int
        Each detector is run once a seed.
    oracle : bool
        Measure detectors that are trained after every epoch on the test set too, and report beside
        the result, as ``oracle_...``, what the best epoch would have given: the published numbers
        of some methods are such.
    store : FeatureStore, optional
        Keeps feature maps, so that each image passes a backbone once for all detectors and seeds;
        one in memory by default. Times count what a run took from it at what it cost to make.
    watcher : Watcher, optional
        Is told of progress.

    Returns
    -------
    list of RunRecord
        The records of this plan, in its order.

    Raises
    ------
    DataError
        If a category has no test image, or an image can't be read.
    ParameterError
        If the plan is empty or names a detector, a category or a seed twice.
    """
    categories = list(dataset.categories if categories is None else categories)
    _check_plan([d.name for d in detectors], categories, list(seeds))
    run_store = RunStore(out)
    sets = {name: dataset.category(name) for name in categories}
    for name, category in sets.items():
        if len(category.test) == 0:
            raise DataError(f"{name} has no test image to measure on: fit and predict need none")
    data = {
        n: f"{c.train.content_hash()[:32]}{c.test.content_hash()[:32]}" for n, c in sets.items()
    }
    configs = {d.name: config_hash(d, oracle=oracle) for d in detectors}
    version = anomalist.__version__
    runs = list(plan(detectors, categories, seeds))
    known = {
        id(run): run_store.find(
            run.detector.name,
            run.category,
            run.detector.seed,
            configs[run.detector.name],
            data[run.category],
            version,
        )
        for run in runs
    }
    if watcher is not None:
        watcher.begin(len(runs), sum(record is not None for record in known.values()))
    store = FeatureStore() if store is None else store
    to_do = [run.detector for run in runs if known[id(run)] is None]
    for backbone in shared_backbones(to_do):
        store.adopt(backbone)
    records = []
    for run in runs:
        record = known[id(run)]
        if record is None:
            kept = run_store.path(run.detector.name, run.category, run.detector.seed)
            record, predictions = _execute(
                run,
                sets[run.category],
                configs[run.detector.name],
                data[run.category],
                kept,
                oracle,
                store,
                watcher,
            )
            if run.detector.seed == seeds[0]:
                sheet = heatmap_sheet(predictions, run.detector.transform)
                picture = Path(out) / run.detector.name / f"{run.category}_heatmaps.png"
                with atomic_path(picture) as temporary:
                    sheet.save(temporary)
            run_store.write(record)
            for suffix in (".training", ".epochs"):
                kept.with_suffix(suffix).unlink(missing_ok=True)
            if watcher is not None:
                watcher.end(record)
        records.append(record)
    write_tables(results_frame(run_store.records()), out)
    return records


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


def _execute(
    run: Run,
    category: Category,
    config: str,
    data: str,
    kept: Path,
    oracle: bool,
    store: FeatureStore,
    watcher: Watcher | None,
) -> tuple[RunRecord, Predictions]:
    def stage(name: str) -> Progress | None:
        if watcher is None:
            return None
        return lambda done, total: watcher.stage(run, name, done, total)

    reset_peak_memory()
    detector = run.detector
    training = Training(checkpoint=kept.with_suffix(".training"))
    curve = _TestCurve(detector, category, store, training, kept.with_suffix(".epochs"))
    if watcher is not None:
        training.log = lambda step, values: watcher.trained(run, step, values)
    if oracle and detector.trained:
        training.after_epoch = curve

    def clock() -> float:
        return time.perf_counter() + store.saved_seconds - curve.seconds

    start = clock()
    detector.fit(category.train, store=store, progress=stage("fit"), training=training)
    fit_seconds = clock() - start + training.resumed_seconds
    began = clock()
    predictions = detector.predict(category.test, store=store, progress=stage("predict"))
    predict_seconds = clock() - began
    metrics = evaluate(predictions, intervals=True)
    record = RunRecord(
        detector=detector.name,
        category=run.category,
        seed=detector.seed,
        backbone=detector.backbone,
        weights_sha256=detector.backbone_.weights_sha256,
        parameters=detector.parameters(),
        transform=detector.transform.as_dict(),
        metrics=metrics.as_dict(),
        intervals=metrics.intervals,
        notes=metrics.notes,
        train_images=len(category.train),
        test_images=len(category.test),
        fit_seconds=fit_seconds,
        predict_seconds=predict_seconds,
        images_per_second=len(category.test) / predict_seconds,
        peak_memory_mb=peak_memory_mb(),
        config_hash=config,
        data_hash=data,
        version=anomalist.__version__,
        environment=environment(),
        images=_image_rows(predictions, category),
        epochs=curve.epochs,
    )
    return record, predictions


class _TestCurve:
    """Measures the test set after epochs; a file keeps what was measured until the run is done."""

    def __init__(
        self,
        detector: Detector,
        category: Category,
        store: FeatureStore,
        training: Training,
        path: Path,
    ) -> None:
        self._detector, self._category, self._store = detector, category, store
        self._training, self._path = training, path
        self._epochs: list[dict[str, float | None]] = []
        self.seconds = 0.0

    @property
    def epochs(self) -> list[dict[str, float | None]]:
        """What was measured, before the run was stopped and since."""
        if self._training.resumed_seconds and not self._epochs and self._path.is_file():
            self._epochs = json.loads(self._path.read_text(encoding="utf-8"))
        return self._epochs

    def __call__(self, epoch: int) -> None:
        saved, start = self._store.saved_seconds, time.perf_counter()
        self._epochs = [e for e in self.epochs if (e["epoch"] or 0) < epoch]
        predictions = self._detector.predict(self._category.test, store=self._store)
        self._epochs.append({"epoch": epoch, **evaluate(predictions).as_dict()})
        write_text(self._path, json.dumps(self._epochs))
        self.seconds += time.perf_counter() - start + self._store.saved_seconds - saved


def _image_rows(predictions: Predictions, category: Category) -> list[dict[str, object]]:
    """What the report needs of every test image, with paths that mean the same anywhere."""
    paths = [Path(path) for path in predictions.paths]
    return [
        {
            "path": f"{path.parent.name}/{path.name}",
            "defect": sample.defect,
            "label": sample.label,
            "score": float(score),
        }
        for path, sample, score in zip(paths, category.test, predictions.scores, strict=True)
    ]
