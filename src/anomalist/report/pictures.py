"""Pictures are written to files: heatmaps, and small previews of photographs."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data import IMAGE_SUFFIXES, Sample, Transform
from anomalist.data.views import check_side, view_of
from anomalist.drawing import HEATMAP_SIDE, check_scale, heatmap
from anomalist.errors import ParameterError
from anomalist.files import absolute, atomic_path
from anomalist.predictions import Predictions
from anomalist.report.contact_sheet import SHEET_SIDE

HeatmapFormat = Literal["png", "jpg"]
"""How heatmaps are written: without loss, or smaller and sooner."""

PREVIEW_SIDE = 320
"""Pixels of the longer side of a preview, at most."""
# In bytes, without the suffix of a picture.
_LONGEST_STEM = 251
# Run lengths alone: less time than any level of zlib, and fewer bytes than its fastest.
_RUN_LENGTHS = 3
_JPEG, _PREVIEW_JPEG = {"quality": 90, "subsampling": 0}, {"quality": 80}


def save_heatmap(picture: Image.Image, target: Path | IO[bytes], format: HeatmapFormat) -> None:
    """Write a heatmap: without loss, or as JPEG of a tenth of the bytes and the time."""
    if format == "png":
        picture.save(target, "PNG", compress_type=_RUN_LENGTHS)
    else:
        picture.save(target, "JPEG", **_JPEG)


class PictureWriter:
    """Writes the heatmaps of images, each decoded once, and previews of them beside.

    A heatmap has the name of its image, in a folder of the name of the image's folder:
    ``crack/003.png`` for ``bottle/test/crack/003.jpg``, and ``image-0.png`` for an image in memory
    of that name. Where that is taken already, a number follows, as in ``003_2.png``. Each file is
    written whole or not at all. Images whose `~anomalist.data.Sample.keep_view` was asked for
    before they were scored aren't read again; others are.

    Parameters
    ----------
    out : str or Path
        The folder of the heatmaps, made where missing.
    transform : Transform
        The one that the images passed through.
    threshold : float, optional
        Map value above which a pixel is outlined.
    side : int
        Most pixels of the longer side of a heatmap, see `~anomalist.data.views.view_size`.
    format : {"png", "jpg"}
        Of the heatmaps.
    arrays : bool
        Whether to write the raw map beside each heatmap, as a float32 array ``.npy`` of the
        detector's resolution.
    taken : set of str, optional
        Names of heatmaps, casefolded and without suffix, that are taken in this folder; those that
        are written are added.
    previews : str or Path, optional
        The folder for a preview of every image that is written, see `preview_name`.

    Raises
    ------
    ParameterError
        If the side makes no sense or there is no such format.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        transform: Transform,
        threshold: float | None = None,
        side: int = HEATMAP_SIDE,
        format: HeatmapFormat = "png",
        arrays: bool = False,
        taken: set[str] | None = None,
        previews: str | Path | None = None,
    ) -> None:
        check_side("heatmap_size", side)
        if format not in get_args(HeatmapFormat):
            raise ParameterError(f"heatmap_format must be png or jpg, not {format!r}")
        self._out, self._transform, self._threshold = Path(out), transform, threshold
        self._side, self._format, self._arrays = side, format, arrays
        self._taken = set() if taken is None else taken
        self._previews = None if previews is None else Path(previews)

    def keep_view(self, sample: Sample) -> None:
        """Have a view of an image kept when it is read to be scored."""
        sample.keep_view(self._side, self._transform.bit_depth)

    def write(
        self,
        sample: Sample,
        values: npt.NDArray[np.floating[Any]],
        *,
        low: float,
        high: float,
        truth: npt.NDArray[np.bool_] | None = None,
    ) -> Path:
        """Write the heatmap of an image, and what goes with it.

        Parameters
        ----------
        sample : Sample
            The image.
        values : array of shape (H, W)
            Its anomaly map.
        low, high, truth
            As `~anomalist.drawing.heatmap` takes them.

        Returns
        -------
        Path
            The heatmap.

        Raises
        ------
        DataError
            If the image can't be read.
        OSError
            If a file can't be written.
        """
        picture = heatmap(
            sample,
            values,
            transform=self._transform,
            low=low,
            high=high,
            threshold=self._threshold,
            truth=truth,
            side=self._side,
        )
        target = self._out / f"{free_name(sample, self._taken)}.{self._format}"
        with atomic_path(target) as temporary:
            save_heatmap(picture, temporary, self._format)
        if self._arrays:
            with atomic_path(target.with_suffix(".npy")) as temporary:
                np.save(temporary, values.astype(np.float32))
        return target

    def small_view(self, sample: Sample) -> Image.Image:
        """Return an image as a contact sheet shows it, of the view that heatmaps are made of."""
        return view_of(sample.view(self._side, self._transform.bit_depth), SHEET_SIDE)

    def preview(self, sample: Sample) -> None:
        """Write the preview of an image, if previews are asked for and it isn't there.

        Raises
        ------
        DataError
            If the image can't be read.
        OSError
            If the file can't be written.
        """
        if self._previews is None:
            return
        target = self._previews / preview_name(sample.sha256())
        if target.exists():
            return
        photograph = view_of(sample.view(self._side, self._transform.bit_depth), PREVIEW_SIDE)
        with atomic_path(target) as temporary:
            photograph.save(temporary, "JPEG", **_PREVIEW_JPEG)


def preview_name(sha256: str) -> str:
    """Return what the preview of a photograph is called, by the hash of its content.

    So it stays true when files are renamed, and two that are alike share it.

    Examples
    --------
    >>> preview_name("d0" * 32)
    'd0d0d0d0d0d0d0d0d0d0d0d0.jpg'
    """
    return f"{sha256[:24]}.jpg"


def write_heatmaps(
    predictions: Predictions,
    out: str | Path,
    *,
    transform: Transform,
    low: float,
    high: float,
    threshold: float | None = None,
    side: int = HEATMAP_SIDE,
    format: HeatmapFormat = "png",
    arrays: bool = False,
) -> list[Path]:
    """Write the heatmap of each image, on one scale; see `PictureWriter`.

    Images are read and written one at a time, so memory doesn't grow with their number.

    Parameters
    ----------
    predictions : Predictions
        Of the images; what is known to be defective is outlined.
    out, transform, threshold, side, format, arrays
        As `PictureWriter` takes them.
    low, high : float
        As `~anomalist.drawing.overlay` takes them.

    Returns
    -------
    list of Path
        The heatmaps, in the order of the images.

    Raises
    ------
    DataError
        If an image can't be read.
    ParameterError
        If ``high`` is below ``low``, or side or format make no sense.
    OSError
        If a file can't be written.
    """
    check_scale(low, high)
    writer = PictureWriter(
        out, transform=transform, threshold=threshold, side=side, format=format, arrays=arrays
    )
    return [
        writer.write(
            sample,
            predictions.visible_map(i),
            low=low,
            high=high,
            truth=None if predictions.masks is None else predictions.masks[i],
        )
        for i, sample in enumerate(predictions.images)
    ]


def free_name(sample: Sample, taken: set[str]) -> str:
    """A name for an image's files that no other has, whatever the case of letters means."""
    in_memory = sample.image is not None
    # Not resolved: what a link is called is what its owner calls it. A mere name has no folder.
    path = Path(os.sep) / sample.path if in_memory else sample.path
    image = Path(absolute(path))
    plain = image.stem
    if in_memory and image.suffix.lower() not in IMAGE_SUFFIXES:
        plain = image.name
    stem, number = plain, 1
    while (name := f"{image.parent.name}/{stem}".lstrip("/")).casefold() in taken:
        number += 1
        stem = _numbered(plain, number)
    taken.add(name.casefold())
    return name


def _numbered(stem: str, number: int) -> str:
    """A stem with a number, cut to what names of files may be long."""
    whole, end = os.fsencode(stem), f"_{number}"
    if len(whole) + len(end) > _LONGEST_STEM:
        stem = whole[: _LONGEST_STEM - len(end)].decode("utf-8", "ignore")
    return stem + end
