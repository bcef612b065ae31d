"""How detectors that learn step by step are trained."""

from anomalist.training.training import Training

__all__ = ["Training"]
