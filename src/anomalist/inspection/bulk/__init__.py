"""Millions of objects: scored by parts, here or on a cluster, resumed by what is done."""

from anomalist.inspection.bulk.on_ray import Workers
from anomalist.inspection.bulk.predicting import PART_SIZE, predict_objects
from anomalist.inspection.bulk.rows import ROWS

__all__ = ["PART_SIZE", "ROWS", "Workers", "predict_objects"]
