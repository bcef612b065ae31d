"""What the images of a category are taken for, told to people and programs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalist.data.imageset import ImageSet
from anomalist.data.tree import is_below

_TOLD = 3


@dataclass(frozen=True, eq=False)
class Understanding:
    """What the images of a category are taken for.

    Parameters
    ----------
    name : str
        Of the category.
    folder : Path
        Its folder.
    is_split : bool
        Whether its folders say which images are for training and which for tests.
    train, test : ImageSet
        Good images to learn from; good and defective ones to test on.
    masks : tuple of Path
        Files of masks and outlines.
    left_out : dict of str to tuple of Path
        Images that are neither learnt from nor tested on, by the reason.
    excluded : tuple of Path
        Images that were left out on request.
    notes : tuple of str
        What was assumed, and what a person should know of the listing.
    """

    name: str
    folder: Path
    is_split: bool
    train: ImageSet
    test: ImageSet
    masks: tuple[Path, ...]
    left_out: dict[str, tuple[Path, ...]]
    excluded: tuple[Path, ...]
    notes: tuple[str, ...]

    def groups(self) -> list[tuple[str, Sequence[Path]]]:
        """Return what images are taken for, each with its files."""
        tested: dict[str, list[Path]] = defaultdict(list)
        for sample in self.test:
            tested[sample.defect].append(sample.path)
        found: list[tuple[str, Sequence[Path]]] = [("good, to learn from", self.train.paths)]
        found += [(f"{kind}, to test on", paths) for kind, paths in _good_first(tested)]
        found += [("masks", self.masks)] if self.masks else []
        found += [("left out on request", self.excluded)] if self.excluded else []
        found += [(f"left out: {why}", paths) for why, paths in self.left_out.items()]
        return found

    def describe(self) -> str:
        """Return what images are taken for, a line each: how many, with examples."""
        rows = [
            (what, str(len(paths)), ", ".join(self._shown(path) for path in spread(paths)))
            for what, paths in self.groups()
        ]
        wide, long = (max(len(row[i]) for row in rows) for i in (0, 1))
        lines = [f"{self.name}, in {self.folder}:"]
        lines += [f"  {count:>{long}}  {what:<{wide}}  {shown}" for what, count, shown in rows]
        return "\n".join(line.rstrip() for line in (*lines, *self.notes))

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "groups": [
                {"what": what, "images": len(paths), "examples": [str(p) for p in spread(paths)]}
                for what, paths in self.groups()
            ],
            "notes": list(self.notes),
        }

    def _shown(self, path: Path) -> str:
        return (
            path.relative_to(self.folder).as_posix() if is_below(path, self.folder) else str(path)
        )


def _good_first(kinds: dict[str, list[Path]]) -> list[tuple[str, list[Path]]]:
    return sorted(kinds.items(), key=lambda item: (item[0] != "good", item[0]))


def spread(paths: Sequence[Path]) -> list[Path]:
    """The first, and others from the middle and the end."""
    if len(paths) <= _TOLD:
        return list(paths)
    return [paths[0], paths[len(paths) // 2], paths[-1]]
