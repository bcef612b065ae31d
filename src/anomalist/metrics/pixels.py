"""The pixels of images as they are measured: map values beside the truth, a few rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from anomalist.data import ImageSet, Transform
from anomalist.errors import DataError
from anomalist.metrics.grids import Grid, Mask, interpolate
from anomalist.metrics.ranking import CHUNK, Array, check_binary, sortable
from anomalist.metrics.regions import bounding_box, regions_of
from anomalist.metrics.threads import threaded_map
from anomalist.predictions import Predictions

EvaluatedAt = Literal["original", "input"]
"""At each mask's own size, or at the resolution of the detector's input."""

Box = tuple[slice, slice]
Piece = tuple[int, int, int]
"""An image, its first row and the row after its last."""

# Of an image whose pixels have no part in what is measured.
_NO_SIZE = (0, 0)


class Marked:
    """Which pixels of one image are defective, an eighth of a byte for each in a bounding box.

    Parameters
    ----------
    mask : bool array of shape (H, W), or None
        None where nothing is marked.
    """

    def __init__(self, mask: Mask | None) -> None:
        self.box = None if mask is None else bounding_box(mask)
        self.n_regions = self.n_pixels = 0
        if mask is not None and self.box is not None:
            inside = mask[self.box]
            self._shape = inside.shape
            self._bits = np.packbits(inside)
            self.n_pixels = int(np.count_nonzero(inside))
            self.n_regions = regions_of(inside)[0]

    def mask(self) -> Mask:
        """Return the part of the mask in the box."""
        count = self._shape[0] * self._shape[1]
        return np.unpackbits(self._bits, count=count).view(np.bool_).reshape(self._shape)

    def shares(self, values: Array) -> npt.NDArray[np.float64]:
        """Return what each defective pixel adds to the overlap, summed over regions.

        Parameters
        ----------
        values : array
            Of all pixels in the box.
        """
        return regions_of(self.mask())[1]


class Pixels:
    """Map values and truth of N images' pixels, at one size or each image at its own.

    An image of which the truth isn't known has none. What is enlarged is made when it is asked for,
    and never all at once.

    Parameters
    ----------
    maps : array of shape (N, h, w), or sequence of N arrays of shape (h, w)
        Anomaly maps, finite; those of a sequence may differ in size and lie in files.
    marked : sequence of Marked, length N
        The truth.
    grids : sequence of Grid, length N, optional
        Where the pixels of images lie in the maps; by default, these are pixels of the maps.
    ignored : sequence of bool arrays of shape (H, W), length N, optional
        Which of the images' pixels count for nothing. None of them is marked.
    """

    def __init__(
        self,
        maps: Array | Sequence[Array],
        marked: Sequence[Marked],
        grids: Sequence[Grid] | None = None,
        ignored: Sequence[Mask] | Mask | None = None,
    ) -> None:
        self.maps, self.marked, self.grids, self.ignored = maps, marked, grids, ignored
        kinds = [maps.dtype] if isinstance(maps, np.ndarray) else [one.dtype for one in maps]
        self.dtype = sortable(np.result_type(*kinds)) if kinds else np.dtype(np.float32)
        self.shapes: list[tuple[int, int]] = [one.shape for one in maps]
        self.unseen: Any = 0
        if grids is not None:
            self.dtype = np.promote_types(self.dtype, np.float32)
            self.shapes = [(len(grid.rows_at), len(grid.columns_at)) for grid in grids]
            lowest = self.dtype.type(min((one.min() for one in maps if one.size), default=0))
            self.unseen = np.nextafter(lowest, self.dtype.type(-np.inf))
        self.n_pixels = np.array([h * w for h, w in self.shapes], np.int64)
        if ignored is not None:
            self.n_pixels -= [np.count_nonzero(mask) for mask in ignored]
        self.n_positive = np.array([m.n_pixels for m in marked], np.int64)
        self.n_regions = sum(m.n_regions for m in marked)

    @classmethod
    def of_arrays(
        cls, maps: npt.ArrayLike, masks: npt.ArrayLike, ignored: npt.NDArray[np.bool_] | None = None
    ) -> Pixels:
        """Take maps and masks, and what is ignored, of one shape (N, H, W) as they are.

        Raises
        ------
        DataError
            If shapes differ or aren't (N, H, W), or a value is of no use.
        """
        maps, masks = np.asarray(maps), check_binary(np.asarray(masks), "masks")
        if masks.ndim != 3:
            raise DataError(f"maps and masks must have shape (N, H, W); masks have {masks.shape}")
        if maps.shape != masks.shape:
            raise DataError(f"scores have shape {maps.shape}, labels {masks.shape}")
        if maps.dtype.kind not in "biuf" or maps.dtype.itemsize > 8:
            raise DataError(f"scores must be real numbers of up to 64 bits, not {maps.dtype}")
        if ignored is not None:
            masks = masks.astype(np.bool_) & ~ignored
        return cls(maps, list(threaded_map(Marked, masks)), ignored=ignored)

    @classmethod
    def of_predictions(cls, predictions: Predictions) -> Pixels:
        """Take maps and masks of predictions as they are, but for images that have no mask.

        Raises
        ------
        DataError
            As in `of_arrays`.
        """
        assert predictions.masks is not None
        ignored, unmasked = predictions.ignored, predictions.unmasked
        pixels = cls.of_arrays(predictions.maps, predictions.masks, ignored)
        if not unmasked.any():
            return pixels
        stops = [0 if none else None for none in unmasked]
        shown = [one[:stop] for one, stop in zip(pixels.maps, stops, strict=True)]
        if ignored is None:
            return cls(shown, pixels.marked)
        hidden = [one[:stop] for one, stop in zip(ignored, stops, strict=True)]
        return cls(shown, pixels.marked, ignored=hidden)

    @classmethod
    def at_original(cls, predictions: Predictions) -> Pixels | None:
        """Enlarge maps to the size of their images, beside the images' own masks.

        Maps are enlarged bilinearly. What a crop kept from the detector counts as lower than all
        that it saw: a defect there is missed. A pixel in which an ignored value has any part counts
        for nothing.

        Returns
        -------
        Pixels or None
            None where the images don't tell what the masks of the predictions tell: these were
            made or changed by hand.

        Raises
        ------
        DataError
            If an image or a mask can't be read.
        """
        transform, masks = predictions.transform, predictions.masks
        if transform is None or masks is None:
            return None
        images, unmasked = predictions.images, predictions.unmasked
        shape = predictions.maps.shape[1:]
        hidden = None if predictions.ignored is None else _Hidden(predictions.ignored, transform)
        if any(s.label is None for s in images) or _none_known(images):
            return None

        def read(i: int) -> tuple[Marked, tuple[int, int], bool]:
            sample = images[i]
            if sample.label and sample.mask is None:
                # One that was marked by hand isn't known by its image.
                return Marked(None), _NO_SIZE, bool(unmasked[i])
            mask = sample.read_mask() if sample.label else None
            if mask is None:
                return Marked(None), sample.size(), not masks[i].any()
            same = np.array_equal(transform.mask(mask), masks[i])
            counted = mask if hidden is None else mask & ~hidden(i, mask.shape)
            return Marked(counted), mask.shape, same

        marked, sizes, same = [], [], True
        for one, size, agrees in threaded_map(read, range(len(images))):
            marked.append(one)
            sizes.append(size)
            same = same and agrees
        if not same:
            return None
        grids = {size: Grid.of(transform, size, shape) for size in {*sizes} - {_NO_SIZE}}
        grids[_NO_SIZE] = Grid.of_nothing()
        ignored = None if hidden is None else [hidden(i, size) for i, size in enumerate(sizes)]
        return cls(predictions.maps, marked, [grids[size] for size in sizes], ignored)

    @classmethod
    def of_images(
        cls,
        maps: Sequence[Array],
        images: ImageSet,
        at: EvaluatedAt,
        transform: Transform | None = None,
    ) -> Pixels | None:
        """Lay maps on images, or the images' masks on the maps.

        Parameters
        ----------
        maps : sequence of N arrays of shape (h, w)
            Finite. Each covers all of what its image shows, or what a transform left of it.
        images : ImageSet
            N labelled images, in the order of the maps.
        at : {"original", "input"}
            At the size of the images, to which maps are enlarged bilinearly, or of the maps, to
            which masks are brought by the nearest pixel.
        transform : Transform, optional
            What the images went through before they were seen. Only its crop matters; at the
            input, it gives the size of the maps.

        Returns
        -------
        Pixels or None
            None where no defective image has a mask, or it isn't known which are defective.

        Raises
        ------
        DataError
            If an image or a mask can't be read.
        """
        if any(s.label is None for s in images) or _none_known(images):
            return None

        def read(i: int) -> tuple[Marked, tuple[int, int]]:
            sample, shape = images[i], maps[i].shape
            if sample.label and sample.mask is None:
                return Marked(None), _NO_SIZE
            mask = sample.read_mask() if sample.label else None
            if at == "original":
                return Marked(mask), sample.size() if mask is None else mask.shape
            if mask is not None:
                mask = (Transform(shape) if transform is None else transform).mask(mask)
            return Marked(mask), shape

        marked, sizes = zip(*threaded_map(read, range(len(images))), strict=True)
        if at == "input":
            known = [
                one[:0] if size == _NO_SIZE else one for one, size in zip(maps, sizes, strict=True)
            ]
            return cls(maps if _NO_SIZE not in sizes else known, marked)

        @cache
        def grid(size: tuple[int, int], shape: tuple[int, int]) -> Grid:
            if size == _NO_SIZE:
                return Grid.of_nothing()
            return Grid.of(Transform(shape) if transform is None else transform, size, shape)

        return cls(maps, marked, [grid(s, one.shape) for s, one in zip(sizes, maps, strict=True)])

    def __len__(self) -> int:
        return len(self.maps)

    @property
    def n(self) -> int:
        """Number of pixels."""
        return int(self.n_pixels.sum())

    @cached_property
    def chunks(self) -> list[list[Piece]]:
        """Rows of images, as many together as `CHUNK` has room for, which is one row at least."""
        chunks: list[list[Piece]] = []
        room = 0
        for image, (height, width) in enumerate(self.shapes):
            row = 0
            while row < height:
                if room < width:
                    chunks.append([])
                    room = max(CHUNK, width)
                stop = min(height, row + room // width)
                chunks[-1].append((image, row, stop))
                room -= (stop - row) * width
                row = stop
        return chunks

    def pieces(self, image: int) -> list[Piece]:
        """Rows of one image, as many together as `CHUNK` has room for, at least one."""
        height, width = self.shapes[image]
        rows = max(1, CHUNK // max(width, 1))
        return [(image, first, min(first + rows, height)) for first in range(0, height, rows)]

    @property
    def longest(self) -> int:
        """Number of pixels that a chunk can have, ignored ones included."""
        there = sum(height * width for height, width in self.shapes)
        return max(min(CHUNK, there), *(width for _, width in self.shapes), 0)

    def fill(self, chunk: list[Piece], buffer: Array) -> Array:
        """Write the values of a chunk to a buffer of `longest`, and return the part written.

        What is ignored is left out.
        """
        done = 0
        for image, first, stop in chunk:
            width = self.shapes[image][1]
            target = buffer[done : done + (stop - first) * width].reshape(stop - first, width)
            self._write(image, (slice(first, stop), slice(0, width)), target)
            if self.ignored is None:
                done += target.size
                continue
            counted = target[~self.ignored[image][first:stop]]
            buffer[done : done + len(counted)] = counted
            done += len(counted)
        return buffer[:done]

    def whole(self, image: int) -> Array:
        """Return the values of an image, of shape (H, W)."""
        target = np.empty(self.shapes[image], self.dtype)
        height, width = target.shape
        self._write(image, (slice(0, height), slice(0, width)), target)
        return target

    def positives(
        self, image: int, low: Any = None, high: Any = None
    ) -> tuple[Array, npt.NDArray[np.float64]]:
        """Return values of an image's defective pixels, and what each adds to the overlap.

        Parameters
        ----------
        image : int
            Which.
        low, high : number, optional
            Only values from ``low`` on and below ``high``.
        """
        box = self.marked[image].box
        if box is None:
            return np.empty(0, self.dtype), np.empty(0)
        mask = self.marked[image].mask()
        inside = np.empty(mask.shape, self.dtype)
        self._write(image, box, inside)
        values, shares = inside[mask], self.marked[image].shares(inside)
        chosen = np.ones(len(values), bool)
        if low is not None:
            chosen &= values >= low
        if high is not None:
            chosen &= values < high
        return (values, shares) if chosen.all() else (values[chosen], shares[chosen])

    def _write(self, image: int, box: Box, target: Array) -> None:
        if self.grids is None:
            target[:] = self.maps[image][box]
            return
        grid, (rows, columns) = self.grids[image], box
        interpolate(
            # Of types that can't be compiled for, such as float16, which AD 2's maps have.
            np.asarray(self.maps[image]).astype(self.dtype, copy=False),
            grid.rows_at[rows],
            grid.rows_part[rows],
            grid.columns_at[columns],
            grid.columns_part[columns],
            self.unseen,
            target,
        )


class _Hidden:
    """What is ignored of predictions' images at their own size, the same one once.

    Parameters
    ----------
    ignored : bool array of shape (N, h, w)
        At the resolution of the maps.
    transform : Transform
        The one that the images went through.
    """

    def __init__(self, ignored: npt.NDArray[np.bool_], transform: Transform) -> None:
        self._ignored, self._transform = ignored, transform
        self._made: dict[tuple[bytes, tuple[int, int]], Mask] = {}

    def __call__(self, image: int, size: tuple[int, int]) -> Mask:
        """Return it for an image of a height and width."""
        mask = self._ignored[image]
        key = np.packbits(mask).tobytes(), size
        if key not in self._made:
            none = size == _NO_SIZE
            grid = Grid.of_nothing() if none else Grid.of(self._transform, size, mask.shape)
            self._made[key] = grid.touches(mask)
        return self._made[key]


def _none_known(images: ImageSet) -> bool:
    """Whether there are defective images and none of them has a mask."""
    masks = [sample.mask is not None for sample in images if sample.label]
    return bool(masks) and not any(masks)
