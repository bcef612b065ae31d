"""Small drawings of the data sets of the field, with the names that their downloads have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.drawn_ad2 import draw_ad2

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


def mvtec_ad_2(root: Path) -> Path:
    return draw_ad2(root, ["can"], size=(SIDE, SIDE))


def mpdd(root: Path) -> Path:
    return mvtec_ad(root, "bracket_black")


def mvtec_loco(root: Path) -> Path:
    """A folder of masks for each image, whose values name the kind of defect."""
    for folder, count in (("train", 4), ("validation", 2), ("test", 2)):
        for i in range(count):
            photograph(root / f"pushpins/{folder}/good/{i:03}.png", 7 * count + i)
    for number, kind in enumerate(("logical_anomalies", "structural_anomalies")):
        photograph(root / f"pushpins/test/{kind}/000.png", 20 + number, defect=True)
        mask(root / f"pushpins/ground_truth/{kind}/000/000.png", value=255 - number)
    entries = [
        {
            "defect_name": name,
            "pixel_value": 255 - number,
            "saturation_threshold": 1.0,
            "relative_saturation": True,
        }
        for number, name in enumerate(("missing_pushpin", "broken"))
    ]
    (root / "pushpins/defects_config.json").write_text(json.dumps(entries))
    return root


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


def real_iad(root: Path, size: int = 256) -> Path:
    """With all its kinds of lists, and defects among those to train on in one of them."""
    part, images = "audiojack", root / f"realiad_{size}"
    lists: dict[str, dict[str, list[dict[str, object]]]] = {
        name: {"train": [], "test": []} for name in ("", "_sv", "_fuiad_0.1")
    }

    def entry(kind: str, number: int, view: int) -> dict[str, object]:
        folder = f"OK/S{number:04}" if kind == "OK" else f"NG/{kind}/S{number:04}"
        middle = "OK" if kind == "OK" else f"NG_{kind}"
        stem = f"{folder}/{part}_{number:04}_{middle}_C{view}_20231023092610"
        marked = None
        photograph(images / part / f"{stem}.jpg", 10 * number + view, defect=kind != "OK")
        if kind != "OK":
            mask(images / part / f"{stem}.png")
            marked = f"{stem}.png"
        return {
            "category": part,
            "anomaly_class": kind,
            "image_path": f"{stem}.jpg",
            "mask_path": marked,
        }

    for number in range(1, 5):
        views = [entry("OK", number, view) for view in (1, 2)]
        lists[""]["train" if number < 4 else "test"] += views
        lists["_sv"]["train" if number < 4 else "test"] += views[:1]
        lists["_fuiad_0.1"]["train" if number < 4 else "test"] += views
    for number, kind in ((64, "HS"), (65, "AK")):
        views = [entry(kind, number, view) for view in (1, 2)]
        lists[""]["test"] += views
        lists["_sv"]["test"] += views[:1]
        lists["_fuiad_0.1"]["train" if kind == "AK" else "test"] += views
    for name, splits in lists.items():
        path = root / f"realiad_jsons/realiad_jsons{name}/{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = {"pre_transform": None, "normal_class": "OK", "prefix": f"{part}/"}
        path.write_text(json.dumps({"meta": meta, **splits}))
    return root


def manifest(root: Path) -> Path:
    """A CSV as a plant may write it, for two products."""
    lines = ["Image Path,Label,Mask,Split,Part,Object"]
    for product, start in (("lid", 0), ("cup", 100)):
        for i in range(6):
            name = f"img/{product} {i}.png"
            photograph(root / name, start + i, defect=i > 4)
            marked = f"img/{product} {i}_seg.png" if i > 4 else ""
            if marked:
                mask(root / marked)
            label, split = ("dent", "test") if i > 4 else ("OK", "test" if i > 3 else "train")
            lines.append(f"{name},{label},{marked},{split},{product}{i // 2},{product}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def lookout(root: Path) -> Path:
    """Amazon Lookout for Vision's two manifests, with masks on white ground."""
    for split, count in (("train", 5), ("test", 4)):
        lines = []
        for i in range(count):
            bad = split == "test" and i > 1
            name = f"{split}-images/{split}-{i}.jpg"
            photograph(root / name, 10 * count + i, defect=bad)
            line: dict[str, object] = {
                "source-ref": f"s3://lookoutvision-bucket/parts/{name}",
                "anomaly-label": int(bad),
                "anomaly-label-metadata": {
                    "class-name": "anomaly" if bad else "normal",
                    "type": "groundtruth/image-classification",
                    "human-annotated": "yes",
                    "creation-date": "2021-10-12T14:16:45.668",
                    "job-name": "labeling-job/anomaly-label",
                    "confidence": 1,
                },
            }
            if bad:
                drawn = np.full((SIDE, SIDE, 3), 255, np.uint8)
                drawn[SIDE // 4 : SIDE // 2, SIDE // 4 : SIDE // 2] = 0x2C, 0xA0, 0x2C
                path = root / f"masks/{split}-{i}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(drawn).save(path)
                line["anomaly-mask-ref"] = f"s3://lookoutvision-bucket/parts/masks/{path.name}"
                line["anomaly-mask-ref-metadata"] = {
                    "internal-color-map": {
                        "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff"},
                        "1": {"class-name": "scratch", "hex-color": "#2ca02c"},
                    },
                    "type": "groundtruth/semantic-segmentation",
                }
            lines.append(json.dumps(line))
        (root / f"{split}.manifest").write_text("\n".join(lines) + "\n")
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
    ("MVTec AD 2", "mvtec_ad_2"): mvtec_ad_2,
    ("MVTec LOCO", "mvtec_loco"): mvtec_loco,
    ("VisA", "visa"): visa,
    ("VisA without its lists", "visa"): visa_raw,
    ("VisA as its script writes it", "visa"): visa_1cls,
    ("BTAD", "btad"): btad,
    ("MPDD", "mpdd"): mpdd,
    ("Real-IAD", "real_iad"): real_iad,
    ("KolektorSDD", "kolektor_sdd"): kolektor_sdd,
    ("KolektorSDD2", "kolektor_sdd2"): kolektor_sdd2,
    ("a manifest", "manifest"): manifest,
    ("Lookout for Vision's manifests", "manifest"): lookout,
    ("a plain folder", "folder"): folder,
}
