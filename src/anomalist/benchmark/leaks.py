"""Test images that say less than they seem to: learnt from, or copies of such or of each other."""

from __future__ import annotations

from anomalist.benchmark.store import ResultStore
from anomalist.data import Category, ImageSet, Sample, bit_depth_of
from anomalist.data.copies import CopyFinder, describe_copies, describe_repeats, pictures_of
from anomalist.origins import named
from anomalist.report import copies_sheet
from anomalist.report.copies import NEAR_COPIES


def leaks(category: Category, results: ResultStore) -> tuple[str, ...]:
    """Return what a reader must know of them, and keep a picture of near copies.

    Raises
    ------
    DataError
        If an image can't be read.
    """
    notes = []
    seen = category.test.shared_with(category.train)
    if seen:
        are = "1 test image is" if len(seen) == 1 else f"{len(seen)} test images are"
        notes.append(
            f"{are} among those learnt from, byte for byte, such as {seen[0]}: what is measured on"
            " them says nothing"
        )
    single, repeated = _repeated(category.test)
    notes += repeated
    key = f"pictures/{NEAR_COPIES.format(category=category.name)}"
    same = set(seen)
    tested = ImageSet([sample for sample in single if sample.path not in same])
    bits = bit_depth_of([*category.train, *tested])
    learnt, new = (pictures_of(images, bits) for images in (category.train, tested))
    finder = CopyFinder(learnt, new)
    copies = finder.across()
    if note := describe_copies(copies, tested, category.train):
        notes.append(note)
        sheet = copies_sheet(
            [
                (
                    learnt[copy.train],
                    new[copy.test],
                    named(str(category.train[copy.train].path)),
                    named(f"{tested[copy.test].path}, {copy.likeness:.3f}"),
                )
                for copy in copies
            ]
        )
        with results.put(key) as path:
            sheet.save(path)
    elif (stale := results.get(key)) is not None:
        stale.unlink()
    if note := describe_repeats(finder.within(), tested):
        notes.append(note)
    return tuple(notes)


def _repeated(images: ImageSet) -> tuple[list[Sample], list[str]]:
    """Return one of each image's byte-for-byte copies, and say how many others there are."""
    first: dict[str, Sample] = {}
    again: list[tuple[Sample, Sample]] = []
    torn: list[tuple[Sample, Sample]] = []
    for sample in images:
        other = first.setdefault(sample.sha256(), sample)
        if other is sample:
            continue
        (again if sample.label == other.label else torn).append((sample, other))
    notes = []
    if again:
        are = "1 test image is" if len(again) == 1 else f"{len(again)} test images are"
        notes.append(
            f"{are} the same as another, byte for byte, such as {again[0][0].path} and"
            f" {again[0][1].path}: what they show counts more than once"
        )
    if torn:
        one, other = torn[0]
        notes.append(
            f"{'1 test image has' if len(torn) == 1 else f'{len(torn)} test images have'} another"
            f" label than the same image elsewhere, byte for byte, such as {one.path}"
            f" ({one.defect}) and {other.path} ({other.defect}): one of the two is wrong"
        )
    return list(first.values()), notes
