from __future__ import annotations

from pathlib import Path

import pytest

from anomalist.data import VisA
from anomalist.errors import DataError

HEADER = "object,split,label,image,mask\n"
ROWS = [
    "pcb1,train,normal,pcb1/Data/Images/Normal/0001.JPG,",
    "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,",
    "pcb1,test,normal,pcb1/Data/Images/Normal/0002.JPG,",
    "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/000.JPG,pcb1/Data/Masks/Anomaly/000.png",
    "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/001.JPG,",
    "candle,train,normal,candle/Data/Images/Normal/0000.JPG,",
    "capsules,train,normal,capsules/Data/Images/Normal/0000.JPG,",
]


def write_split(root: Path, rows: list[str], name: str = "1cls", header: str = HEADER) -> None:
    (root / "split_csv").mkdir(exist_ok=True)
    (root / "split_csv" / f"{name}.csv").write_text(header + "\n".join(rows), encoding="utf-8-sig")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_split(tmp_path, ROWS)
    for row in ROWS[:-1]:
        for file in filter(None, row.split(",")[3:]):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
    return tmp_path


def test_official_split(root: Path) -> None:
    data = VisA(root)
    assert (data.name, data.root, data.categories) == ("visa", root, ["candle", "pcb1"])
    pcb1 = data.category("pcb1")
    assert (pcb1.name, pcb1.train.name, pcb1.test.name) == ("pcb1", "pcb1/train", "pcb1/test")
    assert [path.name for path in pcb1.train.paths] == ["0000.JPG", "0001.JPG"]
    assert pcb1.train.labels.tolist() == [False, False]
    assert [(s.path.name, s.label, s.defect, s.mask) for s in pcb1.test] == [
        ("000.JPG", True, "anomaly", root / "pcb1/Data/Masks/Anomaly/000.png"),
        ("001.JPG", True, "anomaly", None),
        ("0002.JPG", False, "good", None),
    ]


def test_unknown_category(root: Path) -> None:
    with pytest.raises(DataError, match=r"no category 'pcb2'; did you mean pcb1\?"):
        VisA(root).category("pcb2")


def test_missing_file(root: Path) -> None:
    (root / "pcb1/Data/Masks/Anomaly/000.png").unlink()
    with pytest.raises(DataError, match=r"there is no file .*000\.png, which split 1cls lists"):
        VisA(root).category("pcb1")


def test_other_splits(root: Path) -> None:
    write_split(
        root, [row.replace("test,anomaly", "train,anomaly") for row in ROWS], "2cls_fewshot"
    )
    with pytest.raises(DataError, match="split 2cls_fewshot trains on anomalous images"):
        VisA(root, "2cls_fewshot").category("pcb1")
    with pytest.raises(DataError, match=r"no split_csv/2cls\.csv; it has 1cls, 2cls_fewshot"):
        VisA(root, "2cls")
    write_split(root, ROWS[2:4], "test_only")
    with pytest.raises(DataError, match="lists no pcb1 image to learn from"):
        VisA(root, "test_only").category("pcb1")


def test_no_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no split_csv/1cls\.csv; VisA comes with that file"):
        VisA(tmp_path)


def test_no_category(tmp_path: Path) -> None:
    write_split(tmp_path, ROWS)
    with pytest.raises(DataError, match=r"none of the categories .*: candle, capsules, pcb1"):
        VisA(tmp_path)
    write_split(tmp_path, [])
    with pytest.raises(DataError, match="it is empty"):
        VisA(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "pcb1,val,normal,a.JPG,",
            r"line 2: split must be train or test .* not 'val' and 'normal'",
        ),
        ("pcb1,test,bad,a.JPG,", r"line 2: .* not 'test' and 'bad'"),
        ("pcb1,test,normal", r"line 2: object or image is empty"),
        (",test,normal,a.JPG,", r"line 2: object or image is empty"),
    ],
)
def test_damaged_rows(root: Path, row: str, message: str) -> None:
    write_split(root, [row, *ROWS])
    with pytest.raises(DataError, match=rf"1cls\.csv, {message}"):
        VisA(root)


def test_damaged_file(root: Path) -> None:
    write_split(root, ROWS, header="object,split,label,image\n")
    with pytest.raises(DataError, match=r"1cls\.csv has no column 'mask'"):
        VisA(root)
    (root / "split_csv/1cls.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"1cls\.csv can't be read"):
        VisA(root)
