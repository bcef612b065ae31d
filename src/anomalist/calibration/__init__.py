"""Thresholds, p-values and uncertainty from normal images only."""

from anomalist.calibration.calibration import Calibration
from anomalist.calibration.conformal import (
    DEFAULT_ALPHA,
    alarm_ranks,
    attainable_rate,
    cross_p_values,
    false_alarm_interval,
    fewest_images,
    p_values,
    pixel_threshold,
    promised_range,
    threshold,
)
from anomalist.calibration.crossfit import (
    assign_folds,
    cross_conformal_p_values,
    held_out_scores,
)
from anomalist.calibration.drift import Drift, Shift
from anomalist.calibration.grouping import all_differ, join_groups, number_groups
from anomalist.calibration.outliers import find_outliers
from anomalist.calibration.reference import Reference, look_of
from anomalist.calibration.selective import (
    DEFAULT_REVIEW,
    State,
    error_coverage,
    error_coverage_area,
    state,
    unsure,
)
from anomalist.calibration.splitting import (
    DEFAULT_SPLIT,
    affordable_split,
    check_split,
    count_held_out,
    hold_out,
)

__all__ = [
    "DEFAULT_ALPHA",
    "DEFAULT_REVIEW",
    "DEFAULT_SPLIT",
    "Calibration",
    "Drift",
    "Reference",
    "Shift",
    "State",
    "affordable_split",
    "alarm_ranks",
    "all_differ",
    "assign_folds",
    "attainable_rate",
    "check_split",
    "count_held_out",
    "cross_conformal_p_values",
    "cross_p_values",
    "error_coverage",
    "error_coverage_area",
    "false_alarm_interval",
    "fewest_images",
    "find_outliers",
    "held_out_scores",
    "hold_out",
    "join_groups",
    "look_of",
    "number_groups",
    "p_values",
    "pixel_threshold",
    "promised_range",
    "state",
    "threshold",
    "unsure",
]
