"""The same parts as 8-bit files and as 12 bits in 16: a model of either finds as much.

`python benchmarks/bit_depth.py CATEGORY_FOLDER` takes a category of MVTec AD, such as
``data/mvtec_ad/bottle``, scales its images to 256 pixels, and writes each twice: as an 8-bit PNG,
and as a 16-bit TIFF of the same values in 12 bits, with the noise below a level that a sensor has.
For each seed a PatchCore is fitted to either, and both are measured on the same test images. The
third row is what a model finds that takes 65535 for white, as before.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from anomalist import MVTecAD, PatchCore, evaluate
from anomalist.data import ImageSet, Sample, read_image
from anomalist.features import FeatureStore

_SIDE = 256


def copies(images: ImageSet, folder: Path, rng: np.random.Generator) -> tuple[ImageSet, ImageSet]:
    """Write every image as 8 and as 12 bits, and return both sets."""
    of_8, of_12 = [], []
    for i, sample in enumerate(images):
        image = read_image(sample.path).resize((_SIDE, _SIDE), Image.Resampling.BOX)
        paths = [folder / f"{images.name.replace('/', '-')}-{i:04}{s}" for s in (".png", ".tif")]
        image.save(paths[0])
        values = np.asarray(image).astype(np.uint16) * 16
        values += rng.integers(0, 16, values.shape, np.uint16)
        tifffile.imwrite(paths[1], values, photometric="rgb")
        of_8.append(Sample(paths[0], sample.label, sample.defect))
        of_12.append(Sample(paths[1], sample.label, sample.defect))
    return ImageSet(of_8, images.name), ImageSet(of_12, images.name)


def main() -> None:
    """Print a row of image AUROC for each kind of file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("category", type=Path)
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--train", type=int, default=60, help="training images")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    category = MVTecAD(arguments.category.parent).category(arguments.category.name)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        train = copies(category.train[: arguments.train], Path(folder), rng)
        test = copies(category.test, Path(folder), rng)
        store = FeatureStore()
        for name, which, depth in (
            ("8 bits", 0, None),
            ("12 bits in 16", 1, None),
            ("12 bits in 16, white at 65535", 1, 16),
        ):
            found = []
            for seed in range(arguments.seeds):
                detector = PatchCore(
                    image_size=arguments.image_size, seed=seed, bit_depth=depth, coreset_ratio=0.1
                )
                detector.fit(train[which], store=store)
                predictions = detector.predict(test[which], store=store)
                found.append(evaluate(predictions).image_AUROC)
            values = np.array(found, np.float64)
            print(
                f"{name:<30} bit depth {detector.bit_depth_:>2}  image AUROC"
                f" {values.mean():.4f} +- {values.std(ddof=1):.4f}  "
                + " ".join(f"{value:.4f}" for value in values),
                flush=True,
            )


if __name__ == "__main__":
    main()
