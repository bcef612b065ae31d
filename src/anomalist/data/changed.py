"""Images that are changed whenever they are read: what changes them, and where they come from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from anomalist.data.editing import Samples
from anomalist.data.header import DEPTHS
from anomalist.data.source import Content

if TYPE_CHECKING:
    from anomalist.data.deep import Developed
    from anomalist.data.source import Source


class Change(Protocol):
    """What changes an image and leaves it its size, the same at every reading."""

    @property
    def key(self) -> str:
        """All that decides what it does, as text."""
        ...

    def image(self, samples: Samples, white: int, rng: np.random.Generator) -> Samples:
        """Return changed samples, at most white.

        Parameters
        ----------
        samples : uint8 or uint16 array of shape (H, W, 1) or (H, W, 3)
            Grey or RGB as stored; left as they are.
        white : int
            The value of white: 255 of 8 bits.
        rng : numpy.random.Generator
            Of this image and this change alone.
        """
        ...

    def mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the mask (H, W) as the image is moved."""
        ...


class ChangedSource:
    """The image of another source, changed when it is read.

    Its hash is made of that of the content and of the change's key. Where white is a matter of the
    camera, it stays so: the camera is the same whatever the light. A source that is changed already
    is changed further.
    """

    def __init__(self, base: Source, change: Change) -> None:
        self._base: Source = base
        self._changes: tuple[Change, ...] = (change,)
        if isinstance(base, ChangedSource):
            self._base, self._changes = base._base, (*base._changes, change)
        # Which content told what, with which bits. Replaced as a whole: threads need no lock.
        self._told: tuple[str, int, tuple[str, ...]] | None = None

    def read(self, bit_depth: int) -> Image.Image:
        """Return the image as RGB."""
        return self.decode(self.fetch(), bit_depth)

    def decode(self, content: Content, bit_depth: int) -> Image.Image:
        """Return what :meth:`fetch` gave as RGB."""
        found = self._develop(content, bit_depth)
        self._told = content.sha256, bit_depth, found.remarks
        return found.image

    def _develop(self, content: Content, bit_depth: int) -> Developed:
        hashes = [content.sha256]
        if len(self._changes) > 1:
            hashes = [*self._hashes(self._base.sha256())[:-1], content.sha256]

        def edit(samples: Samples, white: int) -> Samples:
            for change, sha256 in zip(self._changes, hashes, strict=True):
                samples = change.image(samples, white, np.random.default_rng(int(sha256, 16)))
            return samples

        return content.develop(bit_depth, edit)

    def remarks(self, bit_depth: int | None) -> tuple[str, ...]:
        """Return what reading it told."""
        told = self.known_remarks(bit_depth)
        if told is None:
            self.read(bit_depth or DEPTHS[-1])
            assert self._told is not None
            return self._told[2]
        return told

    def known_remarks(self, bit_depth: int | None) -> tuple[str, ...] | None:
        """Return what was told if the content is as it was."""
        told = self._told
        if told is None or bit_depth not in (None, told[1]) or told[0] != self.known_sha256():
            return None
        return told[2]

    def keep_remarks(self, bit_depth: int, remarks: tuple[str, ...]) -> None:
        """Take over what reading the same content told elsewhere."""
        self._told = self.sha256(), bit_depth, remarks

    def peak(self) -> int:
        """Return the highest value of the unchanged image where white is the camera's matter."""
        return self._base.peak()

    def size(self) -> tuple[int, int]:
        """Return height and width."""
        return self._base.size()

    def sha256(self) -> str:
        """Return the hash of the content and the change."""
        return self._hash(self._base.sha256())

    def known_sha256(self) -> str | None:
        """Return the hash if it takes no reading."""
        known = self._base.known_sha256()
        return None if known is None else self._hash(known)

    def fetch(self) -> Content:
        """Return the unchanged content of one read, by the hash of what becomes of it."""
        content = self._base.fetch()
        return replace(content, sha256=self._hash(content.sha256))

    def nbytes(self) -> int:
        """Return how many bytes the unchanged image has."""
        return self._base.nbytes()

    def _hash(self, sha256: str) -> str:
        return self._hashes(sha256)[-1]

    def _hashes(self, sha256: str) -> list[str]:
        """The hash after each change of a content with this one."""
        hashes = []
        for change in self._changes:
            sha256 = hashlib.sha256(json.dumps([sha256, change.key]).encode()).hexdigest()
            hashes.append(sha256)
        return hashes
