"""Synthetic anomalies on good images: Perlin masks, textures, where the part is."""

from anomalist.synthesis.distribution import Distribution, judge_distribution
from anomalist.synthesis.foreground import foreground_mask
from anomalist.synthesis.local import LocalSynthesis
from anomalist.synthesis.perlin import perlin_mask, perlin_noise, pool_mask
from anomalist.synthesis.textures import Textures

__all__ = [
    "Distribution",
    "LocalSynthesis",
    "Textures",
    "foreground_mask",
    "judge_distribution",
    "perlin_mask",
    "perlin_noise",
    "pool_mask",
]
