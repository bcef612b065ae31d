"""Synthetic anomalies on good images: Perlin masks, textures, made defects, where the part is."""

from anomalist.synthesis.defects import CHECKING, DECIDING, draw_defect, make_defects
from anomalist.synthesis.distribution import Distribution, judge_distribution
from anomalist.synthesis.foreground import foreground_mask
from anomalist.synthesis.local import LocalSynthesis
from anomalist.synthesis.perlin import perlin_mask, perlin_noise, pool_mask
from anomalist.synthesis.textures import Textures

__all__ = [
    "CHECKING",
    "DECIDING",
    "Distribution",
    "LocalSynthesis",
    "Textures",
    "draw_defect",
    "foreground_mask",
    "judge_distribution",
    "make_defects",
    "perlin_mask",
    "perlin_noise",
    "pool_mask",
]
