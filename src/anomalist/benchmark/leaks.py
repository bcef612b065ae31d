"""Test images of a category that were learnt from, or that are near copies of such."""

from __future__ import annotations

from anomalist.benchmark.store import ResultStore
from anomalist.data import Category, ImageSet, bit_depth_of
from anomalist.data.copies import describe_copies, find_copies, pictures_of
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
    key = f"pictures/{NEAR_COPIES.format(category=category.name)}"
    same = set(seen)
    tested = ImageSet([sample for sample in category.test if sample.path not in same])
    bits = bit_depth_of([*category.train, *tested])
    learnt, new = (pictures_of(images, bits) for images in (category.train, tested))
    copies = find_copies(learnt, new)
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
    return tuple(notes)
