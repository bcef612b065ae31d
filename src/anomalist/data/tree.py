"""A listing as a tree of folders, each with the images in it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from anomalist.data.paths import Paths
from anomalist.data.walking import Listing


@dataclass(eq=False)
class Node:
    """A folder, with what was listed in it.

    Parameters
    ----------
    path : Path
        The folder.
    name : str
        Its name.
    parts : tuple of str
        Of its path below the root.
    files : Paths
        The images right in it.
    folders : dict of str to Node
        The folders right in it.
    """

    path: Path
    name: str
    parts: tuple[str, ...]
    files: Paths = field(default_factory=Paths)
    folders: dict[str, Node] = field(default_factory=dict)

    def walk(self) -> Iterator[Node]:
        """Yield it and all folders below it."""
        yield self
        for folder in self.folders.values():
            yield from folder.walk()

    @functools.cached_property
    def count(self) -> int:
        """How many images lie in it, at any depth."""
        return len(self.files) + sum(folder.count for folder in self.folders.values())


def tree_of(listing: Listing) -> Node:
    """Return the folders of a listing with the images in each."""
    start = len(listing.root.parts)
    tree = Node(listing.root, listing.root.name, ())
    nodes: dict[tuple[str, ...], Node] = {(): tree}
    for path in listing.folders:
        parts = path.parts[start:]
        nodes[parts] = node = Node(path, parts[-1], parts)
        nodes[parts[:-1]].folders[node.name] = node
    # A folder by its text: quicker than by its parts for each of its files.
    by_folder: dict[str, Node] = {}
    for path in listing.files:
        folder = str(path)[: -len(path.name)]
        node_ = by_folder.get(folder)
        if node_ is None:
            node_ = by_folder[folder] = nodes[path.parts[start:-1]]
        node_.files.append(path)
    return tree


def is_below(path: Path, folder: Path) -> bool:
    """Say whether a path is a folder or lies in it."""
    # Quicker than Path's own, for tens of thousands.
    name, start = str(path), str(folder).rstrip(os.sep)
    return name == start or name.startswith(start + os.sep) or (start == "." and name[0] != os.sep)
