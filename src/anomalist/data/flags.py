"""What a person says of folders, whatever their names say."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from anomalist.data.names import cleaned, composed, difference, existing, first_of
from anomalist.data.roles import Meaning, meaning_of
from anomalist.data.tree import Node
from anomalist.data.words import Role
from anomalist.errors import DataError
from anomalist.files import absolute

_LISTED = 12


class Flags:
    """Folders that a person has said something of.

    Parameters
    ----------
    tree : Node
        All folders.
    good, bad, masks : sequence of str or Path
        Names of folders at any depth, or their paths; of masks, files of outlines, too.

    Raises
    ------
    DataError
        If one names no folder, or a folder is named for two things.
    """

    def __init__(
        self,
        tree: Node,
        good: Iterable[str | Path],
        bad: Iterable[str | Path],
        masks: Iterable[str | Path],
    ) -> None:
        self.said: dict[tuple[str, ...], Role] = {}
        self.files: list[Path] = []
        self.mask_folders: list[Path] = []
        for role, flag, entries in (
            (Role.GOOD, "good", good),
            (Role.DEFECTIVE, "bad", bad),
            (Role.MASK, "masks", masks),
        ):
            for entry in _apart_at_commas(tree, entries):
                found = list(_named(tree, entry))
                if not found and role is Role.MASK:
                    file = existing(tree.path / entry)
                    if file.is_file():
                        self.files.append(file)
                        continue
                if not found:
                    raise DataError(_no_folder(tree, flag, entry))
                self.mask_folders += [node.path for node in found if role is Role.MASK]
                for node in found:
                    if self.said.setdefault(node.parts, role) is not role:
                        raise DataError(
                            f"{node.path} can't be both {self.said[node.parts].value} and"
                            f" {role.value}: name it in one of --good, --bad and --masks"
                        )
        roles = set(self.said.values())
        self.good, self.bad = Role.GOOD in roles, Role.DEFECTIVE in roles

    def meaning(self, node: Node) -> Meaning:
        """Return what was said of a folder, or what its name says."""
        meaning = meaning_of(node.name)
        role = self.said.get(node.parts)
        return meaning if role is None else Meaning(role, meaning.split, whole=True)

    def is_said(self, node: Node) -> bool:
        """Say whether a person has said something of a folder."""
        return node.parts in self.said


def _apart_at_commas(tree: Node, entries: Iterable[str | Path]) -> Iterator[str]:
    """Entries, and those that are lists, unless a folder is called so."""
    for entry in map(str, [entries] if isinstance(entries, str | Path) else entries):
        if "," in entry and next(_named(tree, entry), None) is None:
            yield from filter(None, (part.strip() for part in entry.split(",")))
        else:
            yield entry


def _named(tree: Node, entry: str) -> Iterator[Node]:
    wanted = composed(cleaned(entry)).replace(os.sep, "/").rstrip("/")
    wanted = wanted.removeprefix("./").casefold()
    place = absolute(entry)
    for node in tree.walk():
        if not node.parts:
            continue
        below = composed("/".join(node.parts)).casefold()
        own = absolute(node.path)
        if wanted in (composed(node.name).casefold(), below) or own == place:
            yield node


def _no_folder(tree: Node, flag: str, entry: str) -> str:
    names = list(dict.fromkeys(node.name for node in tree.walk() if node.parts))
    told = difference(entry, names)
    there = f"it has {first_of(names, _LISTED)}"
    return (
        f"{tree.path} has no folder {entry!r}, which --{flag} names:"
        f" {told or (there if names else 'it has no folder')}"
    )
