"""Detectors at work: fit to a folder of parts, look at new ones, measure, tell of a model."""

from anomalist.conditions import Conditions
from anomalist.inspection.card import model_card, open_model
from anomalist.inspection.findings import Finding, Region, Rule, find_regions
from anomalist.inspection.fit_result import FitResult, Odd
from anomalist.inspection.fitting import fit_parts
from anomalist.inspection.inputs import list_inputs
from anomalist.inspection.measuring import Measured, evaluate_model, measure
from anomalist.inspection.outside import measure_maps
from anomalist.inspection.parts import Parts, add_parts, open_parts
from anomalist.inspection.prediction import identity_of, predict_files
from anomalist.inspection.recalibrating import Recalibrated, recalibrate
from anomalist.inspection.results import Tally
from anomalist.inspection.sharded import fit_shards
from anomalist.inspection.standard_input import image_or_lines
from anomalist.inspection.watching import Watch, watch_inputs

__all__ = [
    "Conditions",
    "Finding",
    "FitResult",
    "Measured",
    "Odd",
    "Parts",
    "Recalibrated",
    "Region",
    "Rule",
    "Tally",
    "Watch",
    "add_parts",
    "evaluate_model",
    "find_regions",
    "fit_parts",
    "fit_shards",
    "identity_of",
    "image_or_lines",
    "list_inputs",
    "measure",
    "measure_maps",
    "model_card",
    "open_model",
    "open_parts",
    "predict_files",
    "recalibrate",
    "watch_inputs",
]
