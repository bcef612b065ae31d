"""Data sets that names of folders describe whole: which folders each must have, and its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from anomalist.data.mvtec_ad import MVTecAD
from anomalist.data.reading import Reading
from anomalist.data.visa import CATEGORIES as VISA_CATEGORIES
from anomalist.errors import DataError


@dataclass(frozen=True)
class Layout:
    """A data set whose folders say what is in them.

    Parameters
    ----------
    name, title : str
        What ``--format`` and people call it.
    needs : tuple of str
        What each category must have: patterns below its folder.
    categories : tuple of str
        Those of the data set; empty where it is one, which any folder may hold.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    categories: tuple[str, ...] = ()

    def lacks(self, folder: Path) -> str | None:
        """Return the first that a category's folder lacks, None if it has all."""
        return next((need for need in self.needs if next(folder.glob(need), None) is None), None)


#: By name. What they need beside ``train`` is what tells them apart, or a wrong tree from theirs.
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "mvtec_ad_2",
            "MVTec AD 2",
            (
                *("train/good", "validation/good", "test_public/good", "test_public/bad"),
                "test_public/ground_truth/bad",
            ),
            (
                *("can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs"),
                "walnuts",
            ),
        ),
        Layout(
            "btad",
            "BTAD",
            ("train/ok", "test/ok", "test/ko", "ground_truth/ko"),
            ("01", "02", "03"),
        ),
        Layout(
            "mpdd",
            "MPDD",
            ("train/good", "test/good", "ground_truth"),
            (
                *("bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate"),
                "tubes",
            ),
        ),
        Layout(
            "mvtec_loco",
            "MVTec LOCO",
            (
                *("train/good", "validation/good", "test/good", "test/logical_anomalies"),
                *("test/structural_anomalies", "ground_truth", "defects_config.json"),
            ),
            (
                *("breakfast_box", "juice_bottle", "pushpins", "screw_bag"),
                "splicing_connectors",
            ),
        ),
        Layout(
            "kolektor_sdd2",
            "KolektorSDD2",
            ("train/*_GT.png", "test/*_GT.png"),
        ),
        # As its scripts, and the programs that took them over, write it.
        Layout(
            "visa",
            "VisA in the layout of its scripts",
            ("train/good", "test/good", "test/bad", "ground_truth/bad"),
            VISA_CATEGORIES,
        ),
    )
}


class KnownLayout(MVTecAD):
    """A data set of the `LAYOUTS`, read by names of folders.

    Parameters
    ----------
    reading : Reading
        Of its folder.
    layout : Layout
        Which it is.

    Raises
    ------
    DataError
        If a category lacks what the data set has.
    """

    def __init__(self, reading: Reading, layout: Layout) -> None:
        self.layout = layout
        self.name = layout.name
        for category, folder in reading.folders.items():
            if lacking := layout.lacks(folder):
                shown = folder / lacking if "*" not in lacking else f"{folder} with {lacking}"
                raise DataError(
                    f"{reading.root} isn't {layout.title}: there is no {shown}"
                    + (f" (of category {category})" if len(reading.folders) > 1 else "")
                )
        self._read(reading)

    def __repr__(self) -> str:
        return f"KnownLayout({str(self.root)!r}, {self.name!r})"


def layout_of(reading: Reading) -> Layout | None:
    """Return the layout that a folder has, by the names of categories and by what is in them."""
    folders = reading.folders
    for layout in LAYOUTS.values():
        called = all(name in layout.categories for name in folders)
        if (called or not layout.categories) and not any(map(layout.lacks, folders.values())):
            return layout
    return None
