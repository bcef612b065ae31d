"""Pictures of one image: its photograph, its anomaly map over it, lines and text."""

from anomalist.drawing.colours import check_scale, colour_map, scale_of
from anomalist.drawing.overlay import HEATMAP_SIDE, heatmap, overlay
from anomalist.drawing.plot import plot

__all__ = ["HEATMAP_SIDE", "check_scale", "colour_map", "heatmap", "overlay", "plot", "scale_of"]
