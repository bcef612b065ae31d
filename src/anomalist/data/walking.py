"""The one walk over folders: each image file in them once, and what was left out of them."""

from __future__ import annotations

import errno
import os
import stat
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from anomalist.data.images import IMAGE_SUFFIXES
from anomalist.data.names import first_of
from anomalist.data.paths import Paths
from anomalist.files import absolute

#: Lies in a folder that ``anomalist predict`` writes results to.
RESULTS_MARKER = ".anomalist-results"
#: What ``predict`` writes pictures to, in a folder of results.
HEATMAPS, SHEET, PAGE = RESULT_PICTURES = ("heatmaps", "contact_sheet.png", "page")
# Without the marker, what tells such a folder: of predict, of evaluate with its page.
_RESULTS = ({"predictions.csv", "predictions.jsonl"}, {"metrics.json", "index.html", PAGE})
#: How the picture ends that ``fit`` writes beside a model.
LEAST_NORMAL = "_least_normal.png"

# Folders and files that systems and storage put among those of people, without case.
_SYSTEM = frozenset(
    {
        *("$recycle.bin", "recycler", "recycled", "system volume information", "found.000"),
        *("@eadir", "@recycle", "@recently-snapshot", "@sharebin", "@tmp", "#recycle", "#snapshot"),
        *("__macosx", "lost+found", "network trash folder", "temporary items", "__pycache__"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    }
)
# Suffixes of what nobody takes for a photograph, of which nothing need be said.
_DOCUMENTS = frozenset(
    {
        *(".anomalist", ".bin", ".bz2", ".cfg", ".csv", ".db", ".doc", ".docx", ".gz", ".h5"),
        *(".html", ".ini", ".ipynb", ".json", ".jsonl", ".log", ".mat", ".md", ".npy", ".npz"),
        *(".onnx", ".pdf", ".pkl", ".pth", ".py", ".rtf", ".safetensors", ".sh", ".sqlite"),
        *(".tar", ".toml", ".tsv", ".txt", ".unfinished", ".xls", ".xlsx", ".xml", ".xmp"),
        *(".yaml", ".yml", ".zip"),
    }
)
_TOLD = 3


@dataclass(frozen=True)
class Few:
    """How many files there are of a kind, with the first as an example."""

    count: int = 0
    example: Path | None = None

    def more(self, path: Path) -> Few:
        """Return it with another file."""
        return Few(self.count + 1, self.example or path)


@dataclass(frozen=True, eq=False)
class Listing:
    """What is in a folder.

    Parameters
    ----------
    root : Path
        The folder.
    files : sequence of Path
        Its image files, each real file once, by their path below the folder, written with forward
        slashes and compared character by character: the same order on every system. Of several
        paths to one file it is the first.
    folders : tuple of Path
        The folders in it that were walked, in the same order.
    annotations : tuple of Path
        Files that may hold polygons: ``.json``.
    left_out : dict of str to Few
        Files with other suffixes, by suffix in lower case; ``""`` are those without one.
    special : Few
        Pipes, devices and sockets.
    hidden, system : Few
        Files and folders whose name begins with a dot; those that systems make.
    results : tuple of (Path, int)
        Folders of earlier results, and how many of their pictures were left out.
    unreadable : tuple of (Path, str)
        Folders that can't be listed, and links that can't be followed, with the reason.
    broken_links : tuple of Path
        Links that lead nowhere.
    repeated : tuple of (Path, Path)
        Paths that lead to a file or folder that is there under another one, which is the second.
    """

    root: Path
    files: Sequence[Path] = ()
    folders: tuple[Path, ...] = ()
    annotations: tuple[Path, ...] = ()
    left_out: dict[str, Few] = field(default_factory=dict)
    special: Few = Few()
    hidden: Few = Few()
    system: Few = Few()
    results: tuple[tuple[Path, int], ...] = ()
    unreadable: tuple[tuple[Path, str], ...] = ()
    broken_links: tuple[Path, ...] = ()
    repeated: tuple[tuple[Path, Path], ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Return what a person should know of the files that were left out, a line each."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        for path, reason in self.unreadable[:_TOLD]:
            yield f"{path} can't be read: {reason}"
        if len(self.unreadable) > _TOLD:
            yield f"{len(self.unreadable) - _TOLD} more folders can't be read"
        yield from self._other_files()
        if self.broken_links:
            count, lead = len(self.broken_links), "link leads"
            yield f"{_plural(count, lead, 'links lead')} nowhere, such as {self.broken_links[0]}"
        if self.repeated:
            path, first = self.repeated[0]
            yield (
                f"{_plural(len(self.repeated), 'path leads', 'paths lead')} to what is there under"
                f" another, such as {path} to {first}: each file is taken once"
            )
        if self.results:
            pictures = sum(count for _, count in self.results)
            yield (
                f"{_plural(pictures, 'picture', 'pictures')} of earlier results left out, in"
                f" {first_of([str(path) for path, _ in self.results], _TOLD)}"
            )

    def _other_files(self) -> Iterator[str]:
        told = {s: few for s, few in self.left_out.items() if s not in _DOCUMENTS}
        if told:
            count = sum(few.count for few in told.values())
            kinds = sorted(told.items(), key=lambda item: (-item[1].count, item[0]))
            shown = ", ".join(
                f"{few.count} {suffix or 'without a suffix'} such as {few.example}"
                for suffix, few in kinds[:_TOLD]
            )
            more = f", and {len(kinds) - _TOLD} more kinds" if len(kinds) > _TOLD else ""
            yield (
                f"left out {_plural(count, 'file', 'files')} that can't be taken for"
                f" {'an image' if count == 1 else 'images'} by their suffix: {shown}{more}"
            )
        if self.special.count:
            yield (
                f"left out {_plural(self.special.count, 'pipe or device', 'pipes or devices')}"
                f" such as {self.special.example}"
            )


def walk(
    root: str | Path,
    *,
    recursive: bool = True,
    results: str | Path | None = None,
    enters: Callable[[tuple[str, ...]], bool] | None = None,
) -> Listing:
    """List the image files in a folder.

    Links are followed, and what was met before, by device and inode, isn't entered again: so loops
    end, and each real file is listed once. Left out are hidden files and folders, those that
    systems make (``$RECYCLE.BIN``, ``@eaDir``, ``Thumbs.db``, ...), and pictures that anomalist
    wrote.

    Parameters
    ----------
    root : str or Path
        The folder.
    recursive : bool
        Whether to look in all folders below it, too.
    results : str or Path, optional
        A folder of results that is being written, whose pictures are left out.
    enters : callable, optional
        Says of the parts of a folder's path below the root whether to look in it.

    Returns
    -------
    Listing
        Folders that can't be listed are in it and raise nothing, ``root`` included.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name in ("b/2.png", "b/notes.gif", "1.png", "b/.3.png"):
    ...     (root / name).parent.mkdir(exist_ok=True)
    ...     (root / name).touch()
    >>> (root / "b" / "loop").symlink_to(root)
    >>> listing = walk(root)
    >>> [path.name for path in listing.files], listing.left_out[".gif"].count
    (['1.png', '2.png'], 1)
    """
    return _Walk(Path(root), recursive, results, enters).listing()


class _Walk:
    def __init__(
        self,
        root: Path,
        recursive: bool = True,
        results: str | Path | None = None,
        enters: Callable[[tuple[str, ...]], bool] | None = None,
    ) -> None:
        self.root = root
        self.enters = enters
        self.recursive = recursive
        self.own = None if results is None else absolute(results)
        self.files = Paths()
        # By what a file system numbers the device and the file of each; 0 where it doesn't.
        self.devices, self.numbers = array("Q"), array("Q")
        self.folders: list[Path] = []
        self.annotations: list[Path] = []
        self.left_out: dict[str, Few] = {}
        self.special = self.hidden = self.system = Few()
        self.results: dict[Path, int] = {}
        self.unreadable: list[tuple[Path, str]] = []
        self.broken: list[Path] = []
        self.repeated: list[tuple[Path, Path]] = []
        # Folders that were met, and files without a number, by identity.
        self.met: dict[object, Path] = {}

    def listing(self) -> Listing:
        owner = _results_above(self.root, self.own)
        if owner is None:
            self._enter()
        else:
            self.results[owner] = len(_Walk(self.root)._inside())
        files = self._each_once()
        results = tuple((path, count) for path, count in self.results.items() if count)
        return Listing(
            self.root,
            files,
            tuple(self.folders),
            tuple(self.annotations),
            self.left_out,
            self.special,
            self.hidden,
            self.system,
            results,
            tuple(self.unreadable),
            tuple(sorted(self.broken)),
            tuple(self.repeated),
        )

    def _inside(self) -> Paths:
        self._enter()
        return self._each_once()

    def _each_once(self) -> Paths:
        """The files, each real one under the first of its paths."""
        devices, numbers = np.frombuffer(self.devices, "Q"), np.frombuffer(self.numbers, "Q")
        order = np.lexsort((numbers, devices))  # a stable one
        devices, numbers = devices[order], numbers[order]
        same = (devices[1:] == devices[:-1]) & (numbers[1:] == numbers[:-1]) & (numbers[1:] != 0)
        if not same.any():
            return self.files
        again = np.concatenate([[False], same])
        first = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
        of = np.empty(len(order), np.intp)
        of[order] = order[first]
        kept = Paths()
        for place, path in enumerate(self.files):
            if of[place] == place:
                kept.append(path)
            else:
                self.repeated.append((path, self.files[int(of[place])]))
        return kept

    def _enter(self) -> None:
        with suppress(OSError):
            self.met[_identity(self.root.stat(), str(self.root))] = self.root
        # A stack of its own: a tree may be deeper than Python's.
        stack = [iter(self._entries(self.root))]
        while stack:
            for entry, is_folder in stack[-1]:
                path = Path(entry.path)
                if not is_folder:
                    self._take(entry, path)
                elif self._is_entered(path) and self._is_new(path, entry.path):
                    self.folders.append(path)
                    stack.append(iter(self._entries(path)))
                    break
            else:
                stack.pop()

    def _entries(self, folder: Path) -> Sequence[tuple[os.DirEntry[str], bool]]:
        """What is in a folder, in the order of paths; not what systems and anomalist made."""
        try:
            with os.scandir(folder) as scan:
                entries = list(scan)
        except OSError as error:
            self.unreadable.append((folder, error.strerror or str(error)))
            return ()
        names = {entry.name for entry in entries}
        whole, pictures = self._written(folder, names)
        found: list[tuple[str, os.DirEntry[str], bool]] = []
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                self.hidden = self.hidden.more(Path(entry.path))
                continue
            if name.casefold() in _SYSTEM:
                self.system = self.system.more(Path(entry.path))
                continue
            try:
                is_folder = entry.is_dir()
            except OSError as error:
                self._lost(Path(entry.path), error)
                continue
            if whole or name in pictures:
                self._count_results(folder, entry, is_folder)
                continue
            found.append((f"{name}/" if is_folder else name, entry, is_folder))
        # Folders as they stand in a path: then a walk goes in the order of whole paths.
        found.sort(key=lambda item: item[0])
        return [(entry, is_folder) for _, entry, is_folder in found]

    def _written(self, folder: Path, names: set[str]) -> tuple[bool, set[str]]:
        """Whether all of a folder is results of anomalist, and else which names in it are."""
        if "results.csv" in names and "runs" in names:  # of a benchmark
            return True, set()
        pictures = {
            name
            for name in names
            if name.endswith(LEAST_NORMAL)
            and f"{name.removesuffix(LEAST_NORMAL)}.anomalist" in names
        }
        own = self.own is not None and absolute(folder) == self.own
        if own or _is_results(names):
            pictures |= names.intersection(RESULT_PICTURES)
        return False, pictures

    def _count_results(self, folder: Path, entry: os.DirEntry[str], is_folder: bool) -> None:
        count = int(is_image_name(entry.name))
        if is_folder:
            count = len(_Walk(Path(entry.path))._inside())
        self.results[folder] = self.results.get(folder, 0) + count

    def _is_entered(self, path: Path) -> bool:
        if self.enters is None:
            return self.recursive
        return self.enters(path.parts[len(self.root.parts) :])

    def _is_new(self, path: Path, name: str) -> bool:
        try:
            identity = _identity(path.stat(), name)
        except OSError as error:
            self._lost(path, error)
            return False
        return self._first(identity, path)

    def _first(self, identity: object, path: Path) -> bool:
        first = self.met.setdefault(identity, path)
        if first is path:
            return True
        self.repeated.append((path, first))
        return False

    def _take(self, entry: os.DirEntry[str], path: Path) -> None:
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
        try:
            state = entry.stat() if suffix in IMAGE_SUFFIXES or entry.is_symlink() else None
            if state is not None and not state.st_ino:  # as on Windows, where it isn't kept
                state = path.stat()
        except OSError as error:
            if entry.is_symlink():
                self._lost(path, error)
            else:  # its reader tells why
                self._put(path)
            return
        if not (entry.is_file() if state is None else stat.S_ISREG(state.st_mode)):
            self.special = self.special.more(path)
        elif suffix in IMAGE_SUFFIXES:
            if state is not None and state.st_ino:
                self._put(path, state.st_dev, state.st_ino)
            elif state is None or self._first(_identity(state, entry.path), path):
                self._put(path)
        else:
            self.left_out[suffix] = self.left_out.get(suffix, Few()).more(path)
            if suffix == ".json":
                self.annotations.append(path)

    def _put(self, path: Path, device: int = 0, number: int = 0) -> None:
        self.files.append(path)
        self.devices.append(device)
        self.numbers.append(number)

    def _lost(self, path: Path, error: OSError) -> None:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            self.broken.append(path)
        else:
            self.unreadable.append((path, error.strerror or str(error)))


def _identity(state: os.stat_result, name: str) -> object:
    """What tells a real file or folder from others, whatever it is called."""
    # Some file systems number nothing.
    return (state.st_dev, state.st_ino) if state.st_ino else os.path.realpath(name)


def _is_results(names: Collection[str]) -> bool:
    """Whether a folder of these names is one that ``predict`` or ``evaluate`` wrote to."""
    there = set(names)
    return RESULTS_MARKER in there or any(some <= there for some in _RESULTS)


def _results_above(root: Path, own: str | None) -> Path | None:
    """The folder of results among whose pictures a folder lies."""
    place = Path(absolute(root))
    for folder in place.parents:
        if place.relative_to(folder).parts[0] in RESULT_PICTURES:
            with suppress(OSError):
                if str(folder) == own or _is_results(os.listdir(folder)):  # noqa: PTH208
                    return folder
    return None


def is_image_name(name: str) -> bool:
    """Say whether a file is taken for an image by its suffix.

    Examples
    --------
    >>> is_image_name("a.JPG"), is_image_name("a.gif")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
