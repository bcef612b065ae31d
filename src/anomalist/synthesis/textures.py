"""Textures to blend into good images: photographs from a folder, or patterns drawn by code."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from anomalist.data import list_images, read_image
from anomalist.data.layout import existing_folder
from anomalist.errors import DataError
from anomalist.synthesis.patterns import draw_pattern


class Textures:
    """A source of random textures: call it with a generator to get one.

    Parameters
    ----------
    folder : str or Path, optional
        Images at any depth below it, such as those of the Describable Textures Dataset (Cimpoi et
        al., CVPR 2014), which the paper uses. Without one, patterns are drawn, which takes no data.

    Raises
    ------
    DataError
        If there is no such folder or no image in it.

    Examples
    --------
    >>> textures = Textures()
    >>> texture = textures(np.random.default_rng(0))
    >>> texture.mode, texture.size
    ('RGB', (288, 288))
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else existing_folder(folder)
        self._paths = [] if self.folder is None else list_images(self.folder, recursive=True)
        if self.folder is not None and not self._paths:
            raise DataError(
                f"{self.folder} holds no image to take textures from: name a folder of images, "
                "or none to have patterns drawn"
            )

    def __repr__(self) -> str:
        return "Textures()" if self.folder is None else f"Textures({str(self.folder)!r})"

    def digest(self) -> str:
        """Return a SHA-256 of the files' names and sizes, which says whether they are the same.

        Raises
        ------
        DataError
            If a file is gone.
        """
        digest = hashlib.sha256()
        for path in self._paths:
            try:
                size = path.stat().st_size
            except OSError as error:
                raise DataError(f"{path} can't be read: {error.strerror or error}") from error
            digest.update(f"{path.relative_to(self.folder or '').as_posix()} {size}\n".encode())
        return digest.hexdigest()

    def __call__(self, rng: np.random.Generator) -> Image.Image:
        """Return a texture, of mode RGB and any size.

        Raises
        ------
        DataError
            If the file drawn can't be read; it names the file.
        """
        if self.folder is None:
            return Image.fromarray(draw_pattern(rng))
        return read_image(self._paths[rng.integers(len(self._paths))])
