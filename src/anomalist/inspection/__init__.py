"""Detectors at work: fit to a folder of parts, look at new ones, measure, tell of a model."""

from anomalist.inspection.card import model_card, open_model
from anomalist.inspection.conditions import Conditions
from anomalist.inspection.findings import Finding, Region, Rule, find_regions
from anomalist.inspection.fitting import FitResult, Odd, fit_parts
from anomalist.inspection.inputs import list_inputs, watch_inputs
from anomalist.inspection.measuring import Measured, evaluate_model, measure
from anomalist.inspection.parts import Parts, open_parts
from anomalist.inspection.prediction import Tally, identity_of, predict_files, predict_in_chunks

__all__ = [
    "Conditions",
    "Finding",
    "FitResult",
    "Measured",
    "Odd",
    "Parts",
    "Region",
    "Rule",
    "Tally",
    "evaluate_model",
    "find_regions",
    "fit_parts",
    "identity_of",
    "list_inputs",
    "measure",
    "model_card",
    "open_model",
    "open_parts",
    "predict_files",
    "predict_in_chunks",
    "watch_inputs",
]
