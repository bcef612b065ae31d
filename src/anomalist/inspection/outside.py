"""Maps and scores of anyone's program, measured as those of a detector are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anomalist.data import ImageSet, Transform, gather_mask_remarks, gather_remarks, open_dataset
from anomalist.data.belonging import Belonging, belong
from anomalist.data.maps import (
    AnomalyMap,
    MapStack,
    checked_map,
    list_maps,
    read_map,
    read_map_array,
)
from anomalist.data.names import first_of, plural
from anomalist.data.scores import read_scores
from anomalist.errors import DataError, ParameterError
from anomalist.features import Progress
from anomalist.inspection.measuring import Measured
from anomalist.inspection.parts import understand
from anomalist.inspection.spoilt import MapChecks, score_notes, upside_down
from anomalist.metrics import EvaluatedAt, Evaluation, extra_limits
from anomalist.metrics.pixels import Pixels
from anomalist.predictions import Predictions

_TOLD = 3


def measure_maps(
    maps: str | Path | None,
    data: str | Path,
    *,
    scores: str | Path | None = None,
    names: str | Path | None = None,
    category: str | None = None,
    format: str | None = None,
    good: Iterable[str | Path] = (),
    bad: Iterable[str | Path] = (),
    masks: Iterable[str | Path] = (),
    exclude: Iterable[str | Path] = (),
    evaluate_at: EvaluatedAt = "original",
    pro_limits: Iterable[float] = (),
    transform: Transform | None = None,
    incomplete: bool = False,
    progress: Progress | None = None,
) -> Measured:
    """Measure anomaly maps and image scores that any program made of the test images of a data set.

    Which map or score is of which image, their names say, see `~anomalist.data.belonging.belong`.
    Values are taken as they are, higher meaning more anomalous, and what spoils them (clamped,
    coarse or stretched values, another size) is told in the notes. Maps are read one after the
    other, and beyond half a gigabyte kept in a temporary file, so that memory stays bounded.

    Parameters
    ----------
    maps : str, Path or None
        A folder with a file for each test image (float TIFF, NPY, NPZ, PNG of 8 or 16 bits), or an
        NPY or NPZ of shape (N, H, W). None measures scores alone.
    data : str or Path
        A folder in a layout that `~anomalist.data.open_dataset` knows, masks included.
    scores : str or Path, optional
        A CSV table of image scores. Without it, those in the NPZ, else each map's highest value.
    names : str or Path, optional
        A list of image names, one a line, in the order of the maps of an array.
    category : str, optional
        Which, where there are several.
    format, good, bad, masks, exclude
        What `~anomalist.data.open_dataset` takes.
    evaluate_at : {"original", "input"}
        Where pixels are compared: at the size of each mask, to which maps are enlarged, or at the
        size of the maps.
    pro_limits : iterable of float
        False positive rates up to which PRO is measured too, besides 0.3.
    transform : Transform, optional
        Of maps of a crop: what the images went through.
    incomplete : bool
        Whether test images without a map or a score are left out, which a note tells, instead of
        an error.
    progress : callable, optional
        Called with the number of maps read and the total.

    Returns
    -------
    Measured
        Without thresholds and what depends on them.

    Raises
    ------
    DataError
        If a map or score is missing, fits several images, can't be read, or isn't finite.
    ParameterError
        If neither maps nor scores are given.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=32, train=1, good=2, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> maps = Path(tempfile.mkdtemp())
    >>> for i, sample in enumerate(open_dataset(root).category("brass_key").test):
    ...     file = maps / sample.defect / f"{sample.path.stem}_map.npy"
    ...     file.parent.mkdir(exist_ok=True)
    ...     mask = sample.read_mask() if sample.label else np.zeros((32, 32))
    ...     np.save(file, mask + np.random.default_rng(i).random((32, 32)))
    >>> measured = measure_maps(maps, root)
    >>> measured.metrics.image_AUROC, measured.metrics.pixel_AUROC
    (1.0, 1.0)
    """
    if maps is None and scores is None:
        raise ParameterError("there is nothing to measure: give maps, scores or both")
    pro_limits = extra_limits(pro_limits)
    dataset = open_dataset(data, format=format, good=good, bad=bad, masks=masks, exclude=exclude)
    understood = understand(dataset, category)
    test = understood.test
    if len(test) == 0:
        raise DataError(f"{data} has no test image to measure on")
    notes = list(understood.notes)
    others = [name for name in dataset.categories if name != understood.name]
    given = None if maps is None else _open_maps(Path(maps), names, test, others)
    table = None if scores is None else read_scores(scores)
    of_scores = None
    if table is not None:
        of_scores = belong(table.names, test.paths, "score", elsewhere=others)
    if given is not None:
        _check_found(given.belonging, test, "map", maps, incomplete, notes)
    if of_scores is not None:
        _check_found(of_scores, test, "score", scores, incomplete, notes)
    chosen = [
        i
        for i in range(len(test))
        if (given is None or i in given.belonging.of) and (of_scores is None or i in of_scores.of)
    ]
    images = test[np.array(chosen, np.intp)]
    stack, checks, tops = _read(given, images, chosen, progress)
    values = tops
    if of_scores is not None and table is not None:
        values = np.array([table.scores[of_scores.of[i]] for i in chosen])
    elif given is not None and given.scores is not None:
        values = given.scores[[given.belonging.of[i] for i in chosen]]
        notes.append(f"image scores are those in {maps}")
    else:
        notes.append("image scores are the highest value of each map: no other ones were given")
    if not np.isfinite(values).all():
        raise DataError(f"the scores in {maps} aren't all finite numbers")
    predictions = Predictions(
        images.paths,
        values,
        np.empty((len(images), 0, 0), np.float32),
        images.labels,
        defects=images.defects,
        images=images,
    )
    if transform is not None:
        _check_crop(stack, transform)
    pixels = None if stack is None else Pixels.of_images(stack, images, evaluate_at, transform)
    evaluation = Evaluation(predictions, evaluate_at, pro_limits, pixels=pixels)
    metrics = evaluation.metrics(intervals=True)
    notes += [*checks.notes(evaluate_at), *score_notes(values)]
    for kind, auroc in (("image", metrics.image_AUROC), ("pixel", metrics.pixel_AUROC)):
        if auroc is not None:
            notes += upside_down(kind, auroc, metrics.intervals.get(f"{kind}_AUROC"))
    notes += [*gather_mask_remarks(images), *gather_remarks(images)]
    return Measured(metrics, {}, metrics.intervals, {}, None, (*metrics.notes, *notes))


@dataclass(frozen=True, eq=False)
class _Given:
    """Maps before they are read: of files, or rows of an array."""

    belonging: Belonging
    files: list[Path] | None = None
    array: npt.NDArray[np.generic] | None = None
    names: list[str] | None = None
    scores: npt.NDArray[np.float64] | None = None

    def read(self, image: int) -> tuple[str, AnomalyMap]:
        """Return what the map of an image is called, and the map."""
        place = self.belonging.of[image]
        if self.files is not None:
            return str(self.files[place]), read_map(self.files[place])
        assert self.array is not None
        assert self.names is not None
        return self.names[place], checked_map(self.array[place], self.names[place])


def _open_maps(maps: Path, names: str | Path | None, test: ImageSet, others: list[str]) -> _Given:
    if maps.is_file():
        found = read_map_array(maps, names)
        belonging = belong(found.names, test.paths, elsewhere=others)
        return _Given(belonging, array=found.maps, names=found.names, scores=found.scores)
    if names is not None:
        raise ParameterError("names are those of the maps in one NPY file; files have their own")
    files = list_maps(maps)
    named = [file.relative_to(maps).as_posix() for file in files]
    return _Given(belong(named, test.paths, elsewhere=others), files)


def _check_found(
    belonging: Belonging,
    test: ImageSet,
    what: str,
    source: str | Path | None,
    incomplete: bool,
    notes: list[str],
) -> None:
    """Tell what is left over, and refuse to measure without what is missing."""
    missing = [str(sample.path) for i, sample in enumerate(test) if i not in belonging.of]
    if len(missing) == len(test):
        other = f", such as {belonging.strays[0]}," if belonging.strays else ""
        raise DataError(
            f"no {what} in {source} has the name of a test image: its names{other} should be like"
            f" {Path(missing[0]).parent.name}/{Path(missing[0]).name}"
        )
    if missing and not incomplete:
        raise DataError(
            f"{plural(len(missing), 'test image')} of {len(test)} {_have(missing)} no {what} in"
            f" {source}: {first_of(missing, _TOLD)}; make them, or measure without these images"
            " with --incomplete"
        )
    if missing:
        notes.append(
            f"measured without {plural(len(missing), 'test image')} of {len(test)} that"
            f" {_have(missing)} no {what}: {first_of(missing, _TOLD)}"
        )
    if belonging.strays:
        strays = list(belonging.strays)
        are = "is" if len(strays) == 1 else "are"
        notes.append(
            f"{plural(len(strays), what)} in {source} {are} of no test image, and left out:"
            f" {first_of(strays, _TOLD)}"
        )
    if belonging.doubles:
        worse, better = belonging.doubles[0]
        notes.append(
            f"of {plural(len(belonging.doubles), 'image')} there is more than one {what}, of which"
            f" the one with the more exact values was taken, such as {better} and not {worse}"
        )


def _have(missing: list[str]) -> str:
    return "has" if len(missing) == 1 else "have"


def _read(
    given: _Given | None, images: ImageSet, chosen: list[int], progress: Progress | None
) -> tuple[MapStack | None, MapChecks, npt.NDArray[np.float64]]:
    checks = MapChecks()
    if given is None:
        return None, checks, np.empty(0)
    stack, tops = MapStack(), []
    for done, (name, found) in enumerate(map(given.read, chosen)):
        stack.append(found.values)
        checks.add(name, found, images[done].size())
        tops.append(float(found.values.max()))
        if progress is not None:
            progress(done + 1, len(chosen))
    return stack, checks, np.array(tops)


def _check_crop(stack: MapStack | None, transform: Transform) -> None:
    """Refuse maps of another size than what the transform gives."""
    shapes: Iterator[tuple[int, ...]] = iter({one.shape for one in stack or ()})
    for shape in shapes:
        if shape != transform.output_size:
            height, width = transform.output_size
            raise DataError(
                f"a map is {shape[1]} x {shape[0]} pixels, but the images went to {width} x"
                f" {height}: give the sizes that the maps were made with"
            )
