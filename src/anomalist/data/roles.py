"""What names of folders say of the images in them, in the languages of those who sort parts."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from anomalist.data.words import (
    DEFECT_KINDS,
    NEUTRAL,
    NOT_BEFORE,
    NOT_BEHIND,
    NOT_CJK,
    NOT_GLUED,
    PLACES,
    WEAK,
    WORDS,
    Role,
)

_SPECIAL_LETTERS = str.maketrans(
    {"\u0142": "l", "\u00f8": "o", "\u0111": "d", "\u0131": "i", "\u00e6": "ae", "\u0153": "oe"}
)
_CJK = re.compile("[\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]+")
_RUNS = re.compile(rf"{_CJK.pattern}|(?:(?!{_CJK.pattern})[^\W\d_])+|\d+")
_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\d_A-Z])")
_LONGEST_PHRASE = 3
_SHORT = frozenset({"ok", "ng", "io", "ko", "gt"})


@dataclass(frozen=True)
class Meaning:
    """What a name says.

    Parameters
    ----------
    what : Role or None
        GOOD, DEFECTIVE, MASK or UNSURE.
    split : Role or None
        TRAIN, TEST or VALIDATION.
    whole : bool
        Whether no word of the name is left over that isn't known.
    """

    what: Role | None = None
    split: Role | None = None
    whole: bool = False


@functools.lru_cache(maxsize=65536)
def meaning_of(name: str) -> Meaning:
    """Return what the name of a folder says of the images below it.

    Case, accents, separators and numbers don't matter; words may be grown together or told apart
    by capitals. A negation turns good into defective, and defective into good. Where a name says
    several things, a mask is one whatever is masked; otherwise what is safe counts: good beside
    defective is unsure, and train beside test is test.

    Parameters
    ----------
    name : str
        Of one folder.

    Examples
    --------
    >>> meaning_of("OK_Teile 2024").what, meaning_of("n.i.O.").what, meaning_of("NoDefects").what
    (<Role.GOOD: 'good'>, <Role.DEFECTIVE: 'defective'>, <Role.GOOD: 'good'>)
    >>> meaning_of("test_public").split, meaning_of("GroundTruth").what
    (<Role.TEST: 'test'>, <Role.MASK: 'masks'>)
    >>> meaning_of("label_torn")
    Meaning(what=None, split=None, whole=False)
    """
    tokens = list(_tokens(name))
    found: list[tuple[Role, bool]] = []
    whole, negated, i = True, False, 0
    while i < len(tokens):
        role, length = _phrase(tokens, i)
        word = tokens[i]
        if role is not None:
            behind = i + length < len(tokens) and tokens[i + length] in NOT_BEHIND
            if negated or behind:
                role = _opposite(role)
                length += behind
            if role is None:
                whole = False
            else:
                found.append((role, " ".join(tokens[i : i + length]) in WEAK))
            negated = False
        elif word in NOT_BEFORE:
            negated = True
        elif not (word in NEUTRAL or word in PLACES or word.isdigit()):
            whole = negated = False
        i += length
    roles = {role for role, weak in found if whole or not weak}
    return Meaning(_what(roles), split_of(roles), whole and bool(tokens))


@functools.lru_cache(maxsize=65536)
def is_kind(name: str) -> bool:
    """Say whether a name is that of a common kind of defect, such as ``scratch`` or ``Kratzer``.

    Examples
    --------
    >>> is_kind("Scratches_2"), is_kind("Kratzer"), is_kind("cutter")
    (True, True, False)
    """
    words = [token for token in _tokens(name) if not (token.isdigit() or token in NEUTRAL)]
    return bool(words) and all(word in _KINDS for word in words)


@functools.lru_cache(maxsize=65536)
def is_place(name: str) -> bool:
    """Say whether a name tells times, cameras, lines or samples apart: ``2024-01-05``, ``cam 1``.

    Examples
    --------
    >>> is_place("2024-01-05"), is_place("cam1"), is_place("S0001"), is_place("Montag")
    (True, True, True, True)
    >>> is_place("scratch"), is_place("A")
    (False, False)
    """
    tokens = list(_tokens(name))
    numbers = any(token.isdigit() for token in tokens)
    return bool(tokens) and all(
        token.isdigit()
        or (token in PLACES and (numbers or len(token) > 1))
        or (numbers and len(token) == 1)
        for token in tokens
    )


@functools.lru_cache(maxsize=65536)
def is_neutral(name: str) -> bool:
    """Say whether a name says nothing, such as ``images``.

    Examples
    --------
    >>> is_neutral("Images"), is_neutral("images_2"), is_neutral("good images")
    (True, True, False)
    """
    tokens = list(_tokens(name))
    return bool(tokens) and all(token in NEUTRAL or token.isdigit() for token in tokens)


def folded(text: str) -> str:
    """Return a text without case, accents and the width of its letters.

    Examples
    --------
    >>> folded("D\u00c9FAUTS"), folded("\uff2f\uff2b"), folded("Ausschu\u00df")
    ('defauts', 'ok', 'ausschuss')
    """
    text = unicodedata.normalize("NFKC", text).casefold().translate(_SPECIAL_LETTERS)
    if text.isascii():
        return text
    return "".join(map(_plain, text))


def _plain(letter: str) -> str:
    if _CJK.match(letter):  # whose marks make other letters
        return letter
    parts = unicodedata.normalize("NFD", letter)
    return "".join(part for part in parts if unicodedata.category(part) != "Mn")


def _tokens(name: str) -> Iterator[str]:
    for run in _RUNS.findall(unicodedata.normalize("NFKC", name).replace("\u0307", "")):
        if _CJK.match(run):
            yield from _cjk(run)
        elif run.isdigit():
            yield run
        else:
            yield from _words(run)


def _words(run: str) -> list[str]:
    word = folded(run)
    if word in _SINGLE or word in _IN_PHRASES:
        return [word]
    grown = _grown(word)
    if grown is not None:
        return grown
    pieces = _CAMEL.split(run)
    if len(pieces) == 1:
        return [word]
    return [token for piece in pieces for token in _words(piece)]


def _grown(word: str, most: int = _LONGEST_PHRASE) -> list[str] | None:
    """The known words that a word is grown together of."""
    if word in _SINGLE:
        return [word] if len(word) > 2 or word in _SHORT else None
    if most == 1:
        return None
    for end in range(len(word) - 2, 1, -1):
        first = word[:end]
        if first in NOT_GLUED or (first in _SINGLE and (end > 2 or first in _SHORT)):
            rest = _grown(word[end:], most - 1)
            if rest is not None:
                return ["not" if first == "un" else first, *rest]
    return None


def _cjk(run: str) -> Iterator[str]:
    """The words in a run of letters that nothing separates."""
    at = 0
    while at < len(run):
        for end in range(min(len(run), at + _LONGEST_CJK), at, -1):
            word = run[at:end]
            # A single letter within others is part of many words.
            if word in _SINGLE and (len(word) > 1 or word == run or not _is_good(word)):
                yield word
                break
        else:
            yield "not" if run[at] in NOT_CJK else run[at]
            end = at + 1
        at = end


def _is_good(word: str) -> bool:
    return _TABLE.get((word,)) is Role.GOOD


def _phrase(tokens: list[str], start: int) -> tuple[Role | None, int]:
    for length in range(min(_LONGEST_PHRASE, len(tokens) - start), 0, -1):
        role = _TABLE.get(tuple(tokens[start : start + length]))
        if role is not None:
            return role, length
    return None, 1


def _opposite(role: Role) -> Role | None:
    return {Role.GOOD: Role.DEFECTIVE, Role.DEFECTIVE: Role.GOOD}.get(role)


def _what(roles: set[Role]) -> Role | None:
    if Role.MASK in roles:
        return Role.MASK
    if Role.DEFECTIVE in roles:
        return Role.UNSURE if Role.GOOD in roles else Role.DEFECTIVE
    return next((role for role in (Role.UNSURE, Role.GOOD) if role in roles), None)


def split_of(roles: Collection[Role | None]) -> Role | None:
    """Return the split that counts where names say several: tests are never learnt from."""
    order = (Role.TEST, Role.VALIDATION, Role.TRAIN)
    return next((role for role in order if role in roles), None)


def _table() -> dict[tuple[str, ...], Role]:
    # What is safe wins where two languages mean different things.
    order = (Role.GOOD, Role.TRAIN, Role.VALIDATION, Role.TEST, Role.UNSURE, Role.MASK)
    table: dict[tuple[str, ...], Role] = {}
    for role in (*order, Role.DEFECTIVE):
        for words in WORDS[role].values():
            for phrase in words.split(","):
                table[tuple(folded(word) for word in phrase.split())] = role
    return table


_TABLE = _table()
_KINDS = frozenset(map(folded, DEFECT_KINDS))
_SINGLE = (
    {phrase[0] for phrase in _TABLE if len(phrase) == 1}
    | NEUTRAL
    | NOT_BEFORE
    | NOT_BEHIND
    | {word for word in PLACES if len(word) > 2}
)
_IN_PHRASES = {word for phrase in _TABLE for word in phrase if len(phrase) > 1}
_LONGEST_CJK = max(len(word) for word in _SINGLE if _CJK.match(word))
