"""Photographs of one scene, as their folders and names say."""

from __future__ import annotations

import os
import re
from pathlib import Path

from anomalist.data.imageset import ImageSet
from anomalist.data.names import images as counted
from anomalist.errors import ParameterError

_NUMBERS = re.compile(r"(\d+)")


def scenes_by_folder(images: ImageSet) -> list[str]:
    """Name the scene of each image after the folder that it lies in.

    Raises
    ------
    ParameterError
        If all lie in one folder.
    """
    scenes = [sample.path.parent.as_posix() for sample in images]
    if len(set(scenes)) < 2:
        raise ParameterError(
            f"by-folder gives one scene for all {counted(len(images))}, which lie in one folder,"
            f" {scenes[0]}: put each scene into a folder of its own, or use by-name"
        )
    return scenes


def scenes_by_name(images: ImageSet, pattern: str) -> tuple[list[str], list[Path]]:
    r"""Name the scene of each image by what a pattern finds in its name.

    Parameters
    ----------
    images : ImageSet
        N images.
    pattern : str
        A regular expression, sought in each image's path below the folder that holds all. What its
        groups match is the scene's name, or all that it matches where it has no group.

    Returns
    -------
    list of str, length N
        An image in whose name nothing is found is a scene of its own.
    list of Path
        Those in whose names nothing was found.

    Raises
    ------
    ParameterError
        If it is no regular expression, finds nothing in any name, or the same in all.

    Examples
    --------
    >>> from anomalist.data import Sample
    >>> names = ["part1_a.png", "part1_b.png", "part2_a.png"]
    >>> scenes_by_name(ImageSet([Sample(Path(name)) for name in names]), r"part(\d+)")[0]
    ['1', '1', '2']
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ParameterError(
            f"by-name takes a regular expression, such as 'part(\\d+)', and {pattern!r} is none:"
            f" {error}"
        ) from error
    folder = Path(os.path.commonpath([sample.path.parent for sample in images]))
    scenes, unnamed = [], []
    for sample in images:
        found = compiled.search(sample.path.relative_to(folder).as_posix())
        if found is None:
            unnamed.append(sample.path)
            scenes.append(sample.path.as_posix())
        elif compiled.groups:
            scenes.append("\0".join(part or "" for part in found.groups()))
        else:
            scenes.append(found[0])
    if len(unnamed) == len(images):
        raise ParameterError(
            f"by-name {pattern!r} finds nothing in the names of {counted(len(images))}, such as"
            f" {images[0].path.relative_to(folder)}: 'part(\\d+)' finds the number after part"
        )
    if len(images) > 1 and len(set(scenes)) < 2:
        raise ParameterError(
            f"by-name {pattern!r} gives one scene for all {counted(len(images))}, such as"
            f" {images[0].path.relative_to(folder)}: parentheses mark what names the scene, as in"
            " 'part(\\d+)'"
        )
    return scenes, unnamed


def in_order_of_names(images: ImageSet) -> list[int]:
    """Return the places of images in the order of their names, numbers in them by their value.

    Examples
    --------
    >>> from anomalist.data import Sample
    >>> in_order_of_names(ImageSet([Sample(Path(name)) for name in ("10.png", "9.png")]))
    [1, 0]
    """

    def key(place: int) -> list[tuple[int, str]]:
        parts = _NUMBERS.split(images[place].path.as_posix())
        return [(int(p), "") if i % 2 else (0, p) for i, p in enumerate(parts)]

    return sorted(range(len(images)), key=key)
