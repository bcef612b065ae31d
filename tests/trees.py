"""Small drawings of the data sets of the field, with the names that their downloads have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64


def photograph(path: Path, seed: int, *, defect: bool = False, size: int = SIDE) -> Path:
    """Draw a grey part, with a bright square where it is defective."""
    pixels = np.random.default_rng(seed).normal(110, 6, (size, size, 3))
    if defect:
        pixels[size // 4 : size // 2, size // 4 : size // 2] += 90
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


def mask(path: Path, *, defect: bool = True, value: int = 255, size: int = SIDE) -> Path:
    """Draw its mask, with a value other than 255 as some data sets have it."""
    pixels = np.zeros((size, size), np.uint8)
    if defect:
        pixels[size // 4 : size // 2, size // 4 : size // 2] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def mvtec_ad(root: Path, category: str = "bottle") -> Path:
    for i in range(4):
        photograph(root / f"{category}/train/good/{i:03}.png", i)
    for i in range(2):
        photograph(root / f"{category}/test/good/{i:03}.png", 10 + i)
        photograph(root / f"{category}/test/broken_large/{i:03}.png", 20 + i, defect=True)
        mask(root / f"{category}/ground_truth/broken_large/{i:03}_mask.png")
    return root


def mpdd(root: Path) -> Path:
    return mvtec_ad(root, "bracket_black")


def visa(root: Path, *, lists: bool = True) -> Path:
    """As the archive holds it: masks number the kinds of defects from 1 on."""
    rows = ["object,split,label,image,mask"]
    normal, anomaly = "candle/Data/Images/Normal", "candle/Data/Images/Anomaly"
    for i in range(10):
        photograph(root / f"{normal}/{i:04}.JPG", i)
        rows.append(f"candle,{'train' if i < 8 else 'test'},normal,{normal}/{i:04}.JPG,")
    for i in range(2):
        photograph(root / f"{anomaly}/{i:03}.JPG", 20 + i, defect=True)
        marked = f"candle/Data/Masks/Anomaly/{i:03}.png"
        mask(root / marked, value=1 + i)
        rows.append(f"candle,test,anomaly,{anomaly}/{i:03}.JPG,{marked}")
    (root / "candle/image_anno.csv").write_text("image,label,mask\n")
    if lists:
        (root / "split_csv").mkdir()
        (root / "split_csv/1cls.csv").write_text("\n".join(rows) + "\n")
    return root


def visa_raw(root: Path) -> Path:
    return visa(root, lists=False)


def visa_1cls(root: Path) -> Path:
    """As its own script writes it."""
    for i in range(4):
        photograph(root / f"1cls/candle/train/good/{i:04}.JPG", i)
    for i in range(2):
        photograph(root / f"1cls/candle/test/good/{10 + i:04}.JPG", 10 + i)
        photograph(root / f"1cls/candle/test/bad/{i:03}.JPG", 20 + i, defect=True)
        mask(root / f"1cls/candle/ground_truth/bad/{i:03}.png")
    return root


def btad(root: Path) -> Path:
    """Each product in files of its own kind."""
    kinds = ("01", "bmp", "png"), ("02", "png", "png"), ("03", "bmp", "bmp")
    for category, kind, of_masks in kinds:
        for i in range(4):
            photograph(root / f"{category}/train/ok/{i:04}.{kind}", i)
        photograph(root / f"{category}/test/ok/0004.{kind}", 10)
        for i in (5, 6):
            photograph(root / f"{category}/test/ko/{i:04}.{kind}", 20 + i, defect=True)
            mask(root / f"{category}/ground_truth/ko/{i:04}.{of_masks}")
    return root


def kolektor_sdd(root: Path) -> Path:
    for item in range(1, 6):
        for part in range(3):
            stem = root / f"kos{item:02}/Part{part}"
            bad = part == item % 3
            photograph(stem.with_name(f"{stem.name}.jpg"), 10 * item + part, defect=bad)
            mask(stem.with_name(f"{stem.name}_label.bmp"), defect=bad)
    return root


def kolektor_sdd2(root: Path) -> Path:
    for split, start, count in (("train", 10000, 6), ("test", 20000, 4)):
        for i in range(count):
            bad = i >= count - 2
            photograph(root / f"{split}/{start + i}.png", start + i, defect=bad)
            mask(root / f"{split}/{start + i}_GT.png", defect=bad)
    return root


def folder(root: Path) -> Path:
    for i in range(5):
        photograph(root / f"good/{i}.png", i)
    photograph(root / "scratch/1.png", 9, defect=True)
    mask(root / "masks/scratch/1.png")
    return root


#: How each is drawn, by what it is and the format that it is found to be.
TREES: dict[tuple[str, str], Callable[[Path], Path]] = {
    ("MVTec AD", "mvtec_ad"): mvtec_ad,
    ("VisA", "visa"): visa,
    ("VisA without its lists", "visa"): visa_raw,
    ("VisA as its script writes it", "visa"): visa_1cls,
    ("BTAD", "btad"): btad,
    ("MPDD", "mpdd"): mpdd,
    ("KolektorSDD", "kolektor_sdd"): kolektor_sdd,
    ("KolektorSDD2", "kolektor_sdd2"): kolektor_sdd2,
    ("a plain folder", "folder"): folder,
}
