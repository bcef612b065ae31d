"""Metrics as pure functions: AUROC, AP, F1, PRO, their curves and their intervals."""

from anomalist.metrics.binary import class_f1, seg_f1
from anomalist.metrics.bootstrap import bootstrap_interval, f1_interval
from anomalist.metrics.classification import (
    auroc,
    average_precision,
    best_f1,
    f1_at,
    false_alarm_rate,
    pr_curve,
    roc_curve,
)
from anomalist.metrics.comparison import (
    Comparison,
    delong_test,
    mean_difference,
    paired_bootstrap,
)
from anomalist.metrics.evaluation import (
    CALIBRATED_NAMES,
    METRIC_NAMES,
    Evaluation,
    Metrics,
    evaluate,
    other_metrics,
)
from anomalist.metrics.own import OwnMetric, is_own
from anomalist.metrics.paired import PairedRates, paired_rates
from anomalist.metrics.pimo import aupimo
from anomalist.metrics.pixels import EvaluatedAt
from anomalist.metrics.pro import extra_limits, pro, pro_curve
from anomalist.metrics.proportions import exact_interval
from anomalist.metrics.spro import SPRO_LIMITS, spro

__all__ = [
    "CALIBRATED_NAMES",
    "METRIC_NAMES",
    "SPRO_LIMITS",
    "Comparison",
    "EvaluatedAt",
    "Evaluation",
    "Metrics",
    "OwnMetric",
    "PairedRates",
    "aupimo",
    "auroc",
    "average_precision",
    "best_f1",
    "bootstrap_interval",
    "class_f1",
    "delong_test",
    "evaluate",
    "exact_interval",
    "extra_limits",
    "f1_at",
    "f1_interval",
    "false_alarm_rate",
    "is_own",
    "mean_difference",
    "other_metrics",
    "paired_bootstrap",
    "paired_rates",
    "pr_curve",
    "pro",
    "pro_curve",
    "roc_curve",
    "seg_f1",
    "spro",
]
