"""Names of files and folders as people write them, and lists of such names."""

from __future__ import annotations

import codecs
import fnmatch
import functools
import glob
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from anomalist.errors import DataError
from anomalist.storage import is_address

_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u201e": "\u201c", "\u00ab": "\u00bb"}
_MARK = "\ufeff"
# What looks like nothing or like a plain space: no category but these tells.
_BLANK = re.compile(r"[\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2800\u3164\uffa0]+")


def composed(name: str) -> str:
    r"""Return a name in the form that names are compared in: Unicode's NFC.

    One system writes an umlaut as one character, another as two; both mean the same file.

    Examples
    --------
    >>> composed("u\u0308") == composed("\u00fc")
    True
    """
    return unicodedata.normalize("NFC", name)


def common_end(one: Sequence[str], two: Sequence[str]) -> int:
    """Return how many names at their ends two paths have in common.

    Examples
    --------
    >>> common_end(("day 1", "bad", "1.png"), ("bad", "1.png"))
    2
    """
    pairs = zip(reversed(one), reversed(two), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(two)))


def first_of(names: Sequence[str], most: int) -> str:
    """Return some names as a person lists them, and whether there are more.

    Examples
    --------
    >>> first_of(["a", "b", "c"], 2), first_of(["a", "b"], 2)
    ('a, b, ...', 'a, b')
    """
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)


def plural(count: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> plural(1, "image"), plural(2, "image")
    ('1 image', '2 images')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def images(count: int) -> str:
    """Return a number of images."""
    return plural(count, "image")


def cleaned(line: str) -> str:
    r"""Return a name without what programs write around it: byte-order mark, spaces, quotes.

    Examples
    --------
    >>> cleaned('\ufeff "good/a b.png"\r\n')
    'good/a b.png'
    """
    line = line.lstrip(_MARK).strip()
    if len(line) > 1 and _QUOTES.get(line[0]) == line[-1]:
        return line[1:-1]
    return line


def read_names(path: str | Path) -> list[str]:
    r"""Read a list of names, one a line; empty lines and those that begin with ``#`` don't count.

    The file is in UTF-8 or, where it begins with a mark that says so, in UTF-16 or UTF-32. Bytes
    that aren't text stay what they are, as names of files may be.

    Raises
    ------
    DataError
        If it can't be read, or isn't a list.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "list.txt"
    >>> _ = path.write_text('# not good\n"good/1.png"\ngood/2.png\n', encoding="utf-16")
    >>> read_names(path)
    ['good/1.png', 'good/2.png']
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"the list {path} can't be read: {reason}") from error
    try:
        text = data.decode(encoding_of(data), "surrogateescape")
    except UnicodeDecodeError as error:
        raise DataError(f"the list {path} can't be read: it is no whole text: {error}") from error
    if "\0" in text:
        raise DataError(
            f"the list {path} can't be read: it isn't a text file in UTF-8, or in UTF-16 with its"
            " byte-order mark"
        )
    lines = (cleaned(line) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def names_of(stream: Iterable[bytes]) -> Iterator[str]:
    r"""Yield the names that a stream of lines holds, as they come, in the encoding of its mark.

    Examples
    --------
    >>> list(names_of([b"\xef\xbb\xbfa.png\r\n", b"\n", b"b.png"]))
    ['a.png', 'b.png']
    """
    rest = ""
    decoder: codecs.IncrementalDecoder | None = None
    for line in stream:
        if decoder is None:
            kind = encoding_of(line)
            if kind == "utf-8-sig":
                kind = "utf-8"
            decoder = codecs.getincrementaldecoder(kind)("surrogateescape")
        # A line of UTF-16 may be cut within its last character.
        rest += decoder.decode(line)
        *whole, rest = rest.split("\n")
        yield from filter(None, map(_line, whole))
    if decoder is not None:
        yield from filter(None, [_line(rest + decoder.decode(b"", final=True))])


def _line(text: str) -> str:
    # A space at an end or a quote may be the name's own: whoever looks for the file finds out.
    return text.lstrip(_MARK).rstrip("\r\n")


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text by the mark that it begins with; UTF-8 where there is none."""
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return name
    return "utf-8-sig"


def existing(entry: str | Path) -> Path:
    r"""Return the path that an entry means: the one of that name if there is one, else as it is.

    An address means its place in the cache, with the names of all that lies below it.

    What isn't there as it is written is looked for without byte-order mark and quotes, and among
    names that differ in nothing but their Unicode form; where there are two such, neither is it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "u\u0308.png").touch()
    >>> existing(folder / "\u00fc.png").name == "u\u0308.png"
    True
    >>> existing("'nowhere.png'")
    PosixPath("'nowhere.png'")
    """
    text = os.fspath(entry)
    if is_address(text):
        from anomalist.storage import mirrored

        return mirrored(text)
    for name in dict.fromkeys((text, cleaned(text))):
        if not name:
            continue
        found = _found(Path(name))
        if found is not None:
            return found
    return Path(entry)


def _found(path: Path) -> Path | None:
    if _is_there(path):
        return path
    if path.name in ("", ".", "..") or path.parent == path:
        return None
    folder = _found(path.parent)
    if folder is None:
        return None
    if _is_there(folder / path.name):
        return folder / path.name
    wanted = composed(path.name)
    if wanted.isascii():
        return None
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names alone
    except OSError:
        return None
    alike = [name for name in names if composed(name) == wanted]
    return folder / alike[0] if len(alike) == 1 else None


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def looks_like(name: str) -> str:
    r"""Return what a person sees of a name: without invisible characters, case and forms.

    Examples
    --------
    >>> looks_like("Bo\u200bttle\u00a0") == looks_like("bottle")
    True
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Mn"))
    return _BLANK.sub(" ", text).strip()


def difference(name: str, others: Iterable[str]) -> str:
    r"""Return a clause that shows how a name differs from one that looks the same; "" if none does.

    Examples
    --------
    >>> difference("bottle\u200b", ["bottle"])
    "'bottle' is there, but 'bottle\\u200b' isn't: they look alike and differ in characters"
    """
    seen = looks_like(name)
    for other in others:
        if other != name and looks_like(other) == seen:
            return (
                f"{other!a} is there, but {name!a} isn't: they look alike and differ in characters"
            )
    return ""


def is_pattern(entry: str) -> bool:
    """Say whether a text may be a pattern, such as ``parts/**/*.png``.

    Examples
    --------
    >>> is_pattern("good/00?.png"), is_pattern("good/001.png")
    (True, False)
    """
    return glob.has_magic(entry)


def split_pattern(pattern: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder below which a pattern can match, and what is left of it.

    Parts that are there as they are written are taken literally.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "50% [a] b").mkdir()
    >>> base, rest = split_pattern(f"{root}/50% [a] b/*.png")
    >>> base.name, rest
    ('50% [a] b', ('*.png',))
    """
    path = Path(pattern)
    parts = path.parts
    base = Path(parts[0]) if path.is_absolute() else Path()
    rest = list(parts[1:] if path.is_absolute() else parts)
    while rest:
        step = _found(base / rest[0]) if rest[0] != ".." else base / ".."
        if step is None or (len(rest) > 1 and not step.is_dir()):
            break
        base = step
        rest.pop(0)
    return base, tuple(rest)


class Pattern:
    """The part of a pattern that is to be matched, name by name.

    ``**`` stands for any number of folders; ``*``, ``?`` and ``[...]`` for what is within a name.
    What lies below a folder that matches does so, too.

    Parameters
    ----------
    parts : tuple of str
        Of the pattern.

    Examples
    --------
    >>> pattern = Pattern(("**", "*.png"))
    >>> [pattern.matches(names) for names in (("a.png",), ("x", "y", "a.png"), ("x", "a.jpg"))]
    [True, True, False]
    >>> Pattern(("cam*",)).matches(("cam1", "x", "a.jpg"))
    True
    >>> Pattern(("cam*", "a.jpg")).enters(("line1",))
    False
    """

    def __init__(self, parts: tuple[str, ...]) -> None:
        self._tests = [None if part == "**" else _part(composed(part)) for part in parts]

    def matches(self, names: tuple[str, ...]) -> bool:
        """Say whether the names of a path below its start, or of a folder above it, match."""
        return len(self._tests) in self._after(names)

    def enters(self, names: tuple[str, ...]) -> bool:
        """Say whether what lies below a folder may match."""
        return bool(self._after(names))

    def _after(self, names: tuple[str, ...]) -> set[int]:
        """The places in the pattern to which names may have led."""
        end = len(self._tests)
        at = self._closed({0})
        for name in map(composed, names):
            # Below a folder that matches whole, all does.
            after = {end} if end in at and names else set()
            for i in at:
                test = self._tests[i] if i < end else None
                if i < end and (test is None or test(name)):
                    after.add(i if test is None else i + 1)
            at = self._closed(after)
        return at

    def _closed(self, at: set[int]) -> set[int]:
        """Places that are reached with ``**`` standing for nothing, too."""
        reached = set(at)
        for i in at:
            while i < len(self._tests) and self._tests[i] is None:
                i += 1
                reached.add(i)
        return reached


@functools.lru_cache(maxsize=1024)
def _part(part: str) -> Callable[[str], bool]:
    match = re.compile(fnmatch.translate(part)).match
    return lambda name: name == part or match(name) is not None
