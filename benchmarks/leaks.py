"""Near copies between train and test: which kinds are found, and how often others are.

    python benchmarks/leaks.py data/mvtec_ad --textures DTD

Of each category, some training images are changed in each way and looked for among all training
images; its test images, and of textures one half against the other, tell what is found falsely.
The sample set is drawn in half of its size.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from anomalist.data import ImageSet, MVTecAD, Sample, list_images, make_sample_set
from anomalist.data.copies import LEVEL, find_copies, pictures_of

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def saved(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def scaled(image: Image.Image, factor: float) -> Image.Image:
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling.LANCZOS)


def lit(image: Image.Image, factor: float, gamma: float = 1.0) -> Image.Image:
    values = 255 * (np.asarray(image) / 255.0) ** gamma * factor
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def noisy(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    values = np.asarray(image) + rng.normal(0, deviation, (*np.asarray(image).shape,))
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def moved(image: Image.Image, share: float, degrees: float = 0.0) -> Image.Image:
    """The part shifted and turned, its ground filled up from the corner."""
    step = round(image.width * share), -round(image.height * share / 2)
    ground = image.getpixel((2, 2))
    return image.rotate(degrees, Image.Resampling.BICUBIC, translate=step, fillcolor=ground)


def another_shot(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    shot = moved(image, rng.uniform(-0.01, 0.01), rng.uniform(-0.3, 0.3))
    return saved(noisy(lit(shot, rng.uniform(0.95, 1.05)), 4, rng), 92)


def cropped(image: Image.Image, share: float) -> Image.Image:
    border = round(image.width * share), round(image.height * share)
    return image.crop((*border, image.width - border[0], image.height - border[1]))


CHANGES: dict[str, Change] = {
    "JPEG, quality 75": lambda image, _: saved(image, 75),
    "JPEG, quality 30": lambda image, _: saved(image, 30),
    "half the size": lambda image, _: scaled(image, 0.5),
    "a third of the size": lambda image, _: scaled(image, 1 / 3),
    "10 % brighter": lambda image, _: lit(image, 1.1),
    "30 % brighter": lambda image, _: lit(image, 1.3),
    "30 % darker": lambda image, _: lit(image, 0.7),
    "gamma 0.7": lambda image, _: lit(image, 1.0, 0.7),
    "blurred": lambda image, _: image.filter(ImageFilter.GaussianBlur(image.width / 300)),
    "noise of 6 levels": lambda image, rng: noisy(image, 6, rng),
    "shifted by 1 %": lambda image, _: moved(image, 0.01),
    "shifted by 3 %": lambda image, _: moved(image, 0.03),
    "mirrored": lambda image, _: ImageOps.mirror(image),
    "turned by 180 degrees": lambda image, _: image.rotate(180),
    "another shot": another_shot,
    "turned by 2 degrees": lambda image, _: moved(image, 0.0, 2.0),
    "a border of 2 % cut": lambda image, _: cropped(image, 0.02),
}


def measured(name: str, train: ImageSet, test: ImageSet, count: int) -> None:
    """Print a line for what is found falsely, and one for each change."""
    start = time.perf_counter()
    learnt, new = pictures_of(train), pictures_of(test)
    read = time.perf_counter() - start
    start = time.perf_counter()
    false = find_copies(learnt, new)
    took = time.perf_counter() - start
    print(
        f"{name}: {len(train)} to learn from, {len(test)} to test on: {len(false)} found,"
        f" {read:.1f} s to read, {took:.1f} s to compare",
        flush=True,
    )
    for copy in false:
        print(
            f"    {test[copy.test].path} {train[copy.train].path} {copy.likeness:.3f}"
            f"{' mirrored' * copy.mirrored}"
        )
    if not count:
        return
    chosen = np.unique(np.linspace(0, len(train) - 1, count).round().astype(int))
    for what, change in CHANGES.items():
        rng = np.random.default_rng(0)
        changed = ImageSet(
            Sample(f"{i}", image=change(train[i].read(), rng)) for i in chosen.tolist()
        )
        found = {c.test: c.train for c in find_copies(learnt, pictures_of(changed))}
        right = sum(found.get(k) == i for k, i in enumerate(chosen.tolist()))
        print(f"    {what:<24} {right:>3} of {len(chosen)}", flush=True)


def halved(name: str, images: ImageSet, splits: int) -> None:
    """Print which pairs are found between random halves of the training images of a category."""
    pictures = pictures_of(images)
    pairs: Counter[tuple[str, str]] = Counter()
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(images))
        one, two = order[: len(order) // 2], order[len(order) // 2 :]
        for copy in find_copies(pictures[one], pictures[two]):
            found = images[one[copy.train]].path.name, images[two[copy.test]].path.name
            pairs[min(found), max(found)] += 1
    print(f"{name}: between halves of the training images, of {splits}: {dict(pairs)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder in the layout of MVTec AD")
    parser.add_argument("--textures", type=Path, help="a folder with a folder for each texture")
    parser.add_argument("--count", type=int, default=20, help="images changed in each way")
    parser.add_argument("--splits", type=int, default=12, help="random halves of each category")
    arguments = parser.parse_args()
    print(f"found falsely in a set of independent photographs, as stated: {LEVEL:.0%} of sets")
    with tempfile.TemporaryDirectory() as folder:
        sets = [MVTecAD(arguments.data), MVTecAD(make_sample_set(folder, image_size=128))]
        for data in sets:
            for name in data.categories:
                category = data.category(name)
                measured(name, category.train, category.test, arguments.count)
                if data is sets[0]:
                    halved(name, category.train, arguments.splits)
    for texture in sorted(arguments.textures.iterdir()) if arguments.textures else []:
        images = ImageSet(map(Sample, list_images(texture)))
        measured(texture.name, images[::2], images[1::2], 0)


if __name__ == "__main__":
    main()
