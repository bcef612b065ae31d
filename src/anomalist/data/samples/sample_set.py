"""The sample set on disk: categories drawn from a seed, in the folder layout of MVTec AD."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anomalist.data.samples.bottle_mouth import BOTTLE_MOUTH
from anomalist.data.samples.brass_key import BRASS_KEY
from anomalist.data.samples.drawing import Category
from anomalist.data.samples.photograph import photograph
from anomalist.data.samples.woven_fabric import WOVEN_FABRIC
from anomalist.errors import DataError, ParameterError

SAMPLE_CATEGORIES = {c.name: c for c in (BOTTLE_MOUTH, BRASS_KEY, WOVEN_FABRIC)}

# Raise it whenever any image would come out differently.
_VERSION = 2
_MANIFEST = "sample_set.json"
_SMALLEST = 32


def make_sample_set(
    root: str | Path,
    *,
    seed: int = 0,
    image_size: int = 256,
    train: int = 40,
    good: int = 12,
    per_defect: int = 6,
    categories: Sequence[str] | None = None,
) -> Path:
    """Draw a data set of good and defective objects in the folder layout of MVTec AD.

    Every image is painted by code: no network, no photograph of anything. Each has random streams
    of its own, so that a larger set contains the smaller one. Next to the images of a category
    stands ``sample_set.json`` with what made it and, under ``severity``, how glaring the
    defect of each test image is, from 0 (barely visible) to 1.

    Parameters
    ----------
    root : str or Path
        The folder of the set, made where missing. Categories that are there already, from the same
        arguments, are left as they are.
    seed : int
        What all images are drawn from.
    image_size : int
        Height and width in pixels, at least 32.
    train, good, per_defect : int
        Images of each category: good ones to fit, good ones to test, ones with each defect.
    categories : sequence of str, optional
        Which to draw: all of ``bottle_mouth``, ``brass_key`` and ``woven_fabric`` where not given.

    Returns
    -------
    Path
        ``root``.

    Raises
    ------
    DataError
        If something else stands where a category should go.
    ParameterError
        If an argument makes no sense.

    Examples
    --------
    >>> import tempfile
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), train=2, good=1, per_defect=1, categories=["brass_key"]
    ... )
    >>> sorted(path.name for path in (root / "brass_key" / "test").iterdir())
    ['bent_tip', 'blocked_hole', 'burr', 'good', 'missing_tooth', 'scratch']
    """
    root = Path(root)
    names = list(SAMPLE_CATEGORIES) if categories is None else list(categories)
    _check(seed, image_size, train, good, per_defect, names)
    settings = {
        "version": _VERSION,
        "seed": seed,
        "image_size": image_size,
        "train": train,
        "good": good,
        "per_defect": per_defect,
    }
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; name a folder for the sample set")
    missing = [name for name in names if not _is_there(root / name, settings)]
    root.mkdir(parents=True, exist_ok=True)
    for name in missing:
        _write(root, SAMPLE_CATEGORIES[name], settings)
    return root


def _check(
    seed: int, image_size: int, train: int, good: int, per_defect: int, names: Sequence[str]
) -> None:
    unknown = sorted(set(names) - set(SAMPLE_CATEGORIES))
    if unknown:
        known = ", ".join(SAMPLE_CATEGORIES)
        raise ParameterError(f"no sample category {unknown[0]!r}; there are {known}")
    if seed < 0:
        raise ParameterError(f"seed is {seed}; it must be 0 or more")
    if image_size < _SMALLEST:
        raise ParameterError(f"image_size is {image_size}; it must be at least {_SMALLEST}")
    for name, count in (("train", train), ("good", good), ("per_defect", per_defect)):
        if count < 1:
            raise ParameterError(f"{name} is {count}; it must be at least 1")


def _is_there(folder: Path, settings: dict[str, int]) -> bool:
    """Tell whether this very category is on disk; refuse what is there instead."""
    if not folder.exists():
        return False
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        same = all(manifest[key] == value for key, value in settings.items())
        images = manifest["severity"]
    except (OSError, ValueError, LookupError, TypeError):
        raise DataError(
            f"{folder} holds something other than a sample set; name another folder"
        ) from None
    if not same:
        made = ", ".join(f"{key} {manifest[key]}" for key in settings)
        raise DataError(
            f"{folder} holds another sample set ({made}); name another folder or delete this one"
        )
    gone = [name for name in images if not (folder / name).is_file()]
    gone += [
        f"train/good/{i:03d}.png"
        for i in range(settings["train"])
        if not (folder / "train" / "good" / f"{i:03d}.png").is_file()
    ]
    if gone:
        raise DataError(
            f"{folder} has lost {len(gone)} of its images, {gone[0]} for one; "
            "delete the folder to have it drawn again"
        )
    return True


def _write(root: Path, category: Category, settings: dict[str, int]) -> None:
    """Draw a category in a hidden folder, which takes its name only when whole."""
    jobs = [("train", "good", i) for i in range(settings["train"])]
    jobs += [("test", "good", i) for i in range(settings["good"])]
    jobs += [("test", d, i) for d in category.defects for i in range(settings["per_defect"])]
    with tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as temporary:
        folder = Path(temporary) / category.name
        for split, defect, _ in jobs:
            (folder / split / defect).mkdir(parents=True, exist_ok=True)
        for defect in category.defects:
            (folder / "ground_truth" / defect).mkdir(parents=True)

        def draw(job: tuple[str, str, int]) -> float:
            split, defect, index = job
            size, seed = settings["image_size"], settings["seed"]
            shot = photograph(category, split, defect, index, seed=seed, image_size=size)
            _save(shot.image, folder / split / defect / f"{index:03d}.png")
            if defect != "good":
                truth = folder / "ground_truth" / defect / f"{index:03d}_mask.png"
                _save(shot.mask.astype(np.uint8) * 255, truth)
            return round(shot.severity, 4)

        # NumPy and Pillow let go of the interpreter while they compute.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            severities = list(pool.map(draw, jobs))
        manifest: dict[str, Any] = dict(settings)
        manifest["severity"] = {
            f"{split}/{defect}/{index:03d}.png": severity
            for (split, defect, index), severity in zip(jobs, severities, strict=True)
            if split == "test"
        }
        text = json.dumps(manifest, indent=1) + "\n"
        (folder / _MANIFEST).write_text(text, encoding="utf-8", newline="\n")
        folder.rename(root / category.name)


def _save(pixels: np.ndarray[Any, np.dtype[np.uint8]], path: Path) -> None:
    # Sensor noise hardly compresses: more effort would cost seconds and save little.
    Image.fromarray(pixels).save(path, compress_level=1)
