"""Options of heatmaps: of which images, how large, in which format."""

from __future__ import annotations

from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace


def add_heatmap_options(arguments: ArgumentParser, default: str) -> None:
    """Add the options to a command; ``default`` says of which images where none is asked for."""
    arguments.add_argument(
        "--heatmaps",
        type=Literal["all", "unsure", "anomalous", "none"],
        default=None,
        help=f"of which images to write heatmaps; unsure: of those and the anomalous ones"
        f" (default: {default})",
    )
    arguments.add_argument(
        "--heatmap_size",
        type=int,
        default=1024,
        metavar="PIXELS",
        help="longer side of a heatmap at most",
    )
    arguments.add_argument(
        "--heatmap_format",
        type=Literal["png", "jpg"],
        default="png",
        help="of the heatmaps; jpg takes a quarter of the room",
    )
    arguments.add_argument(
        "--arrays", action="store_true", help="write raw maps as .npy beside the heatmaps"
    )


def heatmap_options(arguments: Namespace, default: str | None = None) -> dict[str, Any]:
    """Return what was asked for, as functions take it, or refuse it before any work is done."""
    from anomalist.data.views import check_side

    check_side("heatmap_size", arguments.heatmap_size)
    return {
        "heatmaps": arguments.heatmaps or default,
        "heatmap_size": arguments.heatmap_size,
        "heatmap_format": arguments.heatmap_format,
        "arrays": arguments.arrays,
    }
