"""The test set after every epoch of a training: measured, reported under its own name, not used."""

from __future__ import annotations

import json
import time
from pathlib import Path

from anomalist.data import Category
from anomalist.features import FeatureStore
from anomalist.files import write_text
from anomalist.metrics import EvaluatedAt, evaluate
from anomalist.training import Predictor, Training


class TestCurve:
    """Measures the test set after epochs; a file keeps what was measured until the run is done."""

    __test__ = False  # no test of ours

    def __init__(
        self,
        category: Category,
        features: FeatureStore,
        training: Training,
        path: Path,
        evaluate_at: EvaluatedAt,
    ) -> None:
        self._category, self._features = category, features
        self._training, self._path = training, path
        self._evaluate_at: EvaluatedAt = evaluate_at
        self._epochs: list[dict[str, float | None]] = []
        self.seconds = 0.0

    @property
    def epochs(self) -> list[dict[str, float | None]]:
        """What was measured, before the run was stopped and since."""
        if self._training.resumed_seconds and not self._epochs and self._path.is_file():
            self._epochs = json.loads(self._path.read_text(encoding="utf-8"))
        return self._epochs

    def __call__(self, epoch: int, detector: Predictor) -> None:
        """Measure what the detector of a training gives to the test set now."""
        saved, start = self._features.saved_seconds, time.perf_counter()
        self._epochs = [e for e in self.epochs if (e["epoch"] or 0) < epoch]
        predictions = detector.predict(self._category.test, store=self._features)
        metrics = evaluate(predictions, at=self._evaluate_at)
        self._epochs.append({"epoch": epoch, **metrics.as_dict()})
        write_text(self._path, json.dumps(self._epochs))
        self.seconds += time.perf_counter() - start + self._features.saved_seconds - saved
