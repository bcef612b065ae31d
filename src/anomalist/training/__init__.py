"""The one loop of all detectors that learn step by step, and how it is watched and kept."""

from anomalist.training.learner import Learner, Step, stream
from anomalist.training.loop import train
from anomalist.training.schedule import Schedule, constant, cosine
from anomalist.training.training import Predictor, Training

__all__ = [
    "Learner",
    "Predictor",
    "Schedule",
    "Step",
    "Training",
    "constant",
    "cosine",
    "stream",
    "train",
]
