from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from anomalist.data import Manifest, open_dataset
from anomalist.errors import DataError, ParameterError
from tests import trees


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six files of images and one of a mask, of which tests write a manifest."""
    root = tmp_path / "parts"
    for name in (*(f"a/{i}.png" for i in range(6)), "b/0.png", "m/5.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(root: Path, text: str, name: str = "manifest.csv", encoding: str = "utf-8") -> Manifest:
    (root / name).write_text(text, encoding=encoding)
    data = open_dataset(root)
    assert isinstance(data, Manifest)
    return data


PLAIN = (
    "image,label,mask,split,group\n"
    "a/0.png,0,,train,p\na/1.png,0,,train,q\na/2.png,0,,test,r\na/5.png,1,m/5.png,test,s\n"
)


def taken(data: Manifest) -> tuple[list[str], list[tuple[str, str]]]:
    found = data.category(data.categories[0])
    return [p.name for p in found.train.paths], [(s.path.name, s.defect) for s in found.test]


WANTED = ["0.png", "1.png"], [("2.png", "good"), ("5.png", "anomaly")]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (PLAIN, "utf-8"),
        (PLAIN, "utf-8-sig"),
        (PLAIN, "utf-16"),
        (PLAIN.replace(",", ";"), "utf-8"),
        (PLAIN.replace(",", "\t"), "utf-8"),
        (PLAIN.replace("\n", "\r\n\r\n"), "utf-8"),
        (PLAIN.replace("a/0.png", '"a/0.png"').replace("image,", '"Image Path",'), "utf-8"),
        (PLAIN.replace("a/", "a\\").replace("m/", ".\\m\\"), "utf-8"),
        (PLAIN.replace("a/", "D:\\line 1\\a\\"), "utf-8"),
        (PLAIN.replace("a/", "/mnt/nas/parts/a/"), "utf-8"),
        (PLAIN.replace("a/", "s3://bucket/x%20y/a/"), "utf-8"),
        (PLAIN.replace("a/", "./a//"), "utf-8"),
        (PLAIN.replace(",0,", ",False,").replace(",1,", ",TRUE,"), "utf-8"),
        (PLAIN.replace("label", "is_good").replace(",1,", ",x,").replace(",0,", ",1,")
         .replace(",x,", ",0,"), "utf-8"),
        (PLAIN.replace("image,label", "filename,is_anomaly"), "utf-8"),
        (PLAIN.replace("test", "Test").replace("train", "training"), "utf-8"),
    ],
)  # fmt: skip
def test_csv_as_people_write_it(root: Path, text: str, encoding: str) -> None:
    data = write(root, text, encoding=encoding)
    assert taken(data) == WANTED
    found = data.category("parts")
    assert [sample.group for sample in found.train] == ["p", "q"]
    assert found.test[1].mask == root / "m/5.png"


def test_json(root: Path) -> None:
    rows = [
        {"filename": "a/0.png", "label": 0, "label_name": "good", "split": "train"},
        {"filename": "a/1.png", "label": 0, "label_name": "good", "split": "train"},
        {"filename": "a/2.png", "label": 0, "label_name": "good", "split": "test"},
        {"filename": "a/5.png", "label": 1, "label_name": "dent", "split": "test"},
    ]
    wanted = WANTED[0], [("2.png", "good"), ("5.png", "dent")]
    assert taken(write(root, "\n".join(map(json.dumps, rows)), "manifest.jsonl")) == wanted
    (root / "manifest.jsonl").unlink()
    assert taken(write(root, json.dumps(rows, indent=2), "manifest.json")) == wanted
    by_split = {
        split: {"lid": [{k: v for k, v in r.items() if k != "split"} for r in rows
                        if r["split"] == split]}
        for split in ("train", "test")
    }  # fmt: skip
    data = write(root, json.dumps(by_split), "manifest.json")
    assert (data.categories, taken(data)) == (["lid"], wanted)


def test_a_file_is_a_data_set(root: Path) -> None:
    write(root, PLAIN)
    (root / "manifest.csv").rename(root / "list.csv")
    assert taken(open_dataset(root / "list.csv")) == WANTED  # type: ignore[arg-type]
    assert open_dataset(root, format="manifest").name == "manifest"
    (root / "other.csv").write_text(PLAIN)
    with pytest.raises(DataError, match=r"several manifests, list\.csv, other\.csv: choose"):
        open_dataset(root, format="manifest")
    assert taken(open_dataset(root, format="manifest:other.csv")) == WANTED  # type: ignore[arg-type]


def test_without_a_split_whole_groups_are_held_out(root: Path) -> None:
    lines = [f"a/{i}.png,ok,{i // 2}" for i in range(5)] + ["b/0.png,ok,0", "a/5.png,dent,7"]
    found = write(root, "image,label,part\n" + "\n".join(lines)).understand("parts")
    held = {sample.group for sample in found.test if not sample.label}
    assert len(held) == 1
    assert not held & {sample.group for sample in found.train}
    assert "in whole groups, are held out" in found.notes[0]


def test_labels_are_words(root: Path) -> None:
    text = "image,label,split\na/0.png,Gut,train\na/1.png,Kratzer,test\na/2.png,unklar,test\n"
    found = write(root, text).understand("parts")
    assert found.test.defects == ["Kratzer"]
    assert found.left_out["no label says whether they are good"] == (root / "a/2.png",)
    text = "image,label,split\na/0.png,A,train\na/1.png,B,test\n"
    with pytest.raises(DataError, match="line 2: the label 'A' isn't known, nor that any other"):
        write(root, text).category("parts")
    said = open_dataset(root, good=["A"], format="manifest")
    assert said.category("parts").test.defects == ["B"]
    with pytest.raises(ParameterError, match="--masks can't be given for a manifest"):
        open_dataset(root, format="manifest", masks=["m"])


def test_defects_to_train_on_are_left_out(root: Path) -> None:
    text = "image,label,split\na/0.png,0,train\na/1.png,1,train\na/2.png,1,test\n"
    found = write(root, text).understand("parts")
    assert [path.name for path in found.train.paths] == ["0.png"]
    why = "they lie among those to train on, but aren't good"
    assert found.left_out[why] == (root / "a/1.png",)


def test_rows_that_repeat_an_image(root: Path) -> None:
    two = PLAIN + "a/5.png,1,m/5.png,test,s\na/5.png,1,b/0.png,test,s\n"
    found = write(root, two).understand("parts")
    assert found.test[1].mask == (root / "m/5.png", root / "b/0.png")
    assert "2 lines more of images that others name" in found.notes[0]
    found = write(root, PLAIN + "a/0.png,0,,test,p\n").understand("parts")
    assert [path.name for path in found.train.paths] == ["1.png"]
    assert "0.png, not learnt from: they are for tests, too" in found.notes[0]
    with pytest.raises(DataError, match=r"line 6: a/0\.png is good in one line and not in another"):
        write(root, PLAIN + "a/0.png,1,,train,p\n").category("parts")


def test_files_that_are_not_there(root: Path) -> None:
    text = PLAIN.replace("a/0.png", "a/x.png").replace("m/5.png", "m/y.png")
    with pytest.raises(
        DataError,
        match=r"line 2 names a/x\.png, which isn't there \(nor 1 more of its 4 lines\)",
    ):
        write(root, text).category("parts")


def test_a_name_that_two_files_have(root: Path) -> None:
    with pytest.raises(DataError, match=r"line 2 names s3://bucket/0\.png, which isn't there"):
        write(root, PLAIN.replace("a/0.png", "s3://bucket/0.png")).category("parts")
    note = write(root, PLAIN.replace("a/0.png", "s3://bin/b/0.png")).understand("parts").notes[0]
    assert note.startswith("1 path such as s3://bin/b/0.png found by how the paths of files here")


def test_several_categories(tmp_path: Path) -> None:
    data = open_dataset(trees.manifest(tmp_path / "data"))
    assert data.categories == ["cup", "lid"]
    assert [s.group for s in data.category("cup").train] == ["cup0", "cup0", "cup1", "cup1"]


def test_two_manifests_of_lookout(tmp_path: Path) -> None:
    root = trees.lookout(tmp_path / "data")
    found = open_dataset(root).category("data")
    assert (len(found.train), found.test.defects) == (5, ["good"] * 2 + ["scratch"] * 2)
    first = open_dataset(root / "test.manifest").understand("data")
    assert first.train.paths == []


def test_a_manifest_in_a_folder_is_never_passed_over_in_silence(root: Path) -> None:
    (root / "manifest.csv").write_text("image,split\na/0.png,train\n")
    with pytest.raises(DataError, match="has no column that says which images are good"):
        open_dataset(root).category("parts")


def test_labels_of_a_manifest_found_in_a_folder_can_be_told(root: Path) -> None:
    (root / "manifest.csv").write_text("image,label,split\na/0.png,A,train\nb/0.png,B,test\n")
    found = open_dataset(root, good="A").category("parts")
    assert (len(found.train), found.test.defects) == (1, ["B"])


def test_a_manifest_of_something_else_is_none(root: Path) -> None:
    (root / "manifest.json").write_text('{"name": "app", "icons": [{"src": "a.png"}]}')
    assert open_dataset(root, good=["a", "b"], masks=["m"]).name == "folder"
    with pytest.raises(DataError, match="has no column of images"):
        open_dataset(root, format="manifest")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,label\na,0\n", "has no column of images, such as 'image' or 'path': it has 'name'"),
        ("image,x\na,0\n", "has no column that says which images are good, such as 'label'"),
        ("image,label\n,0\n", "line 2: it names no image"),
        ("image,label\n", "is a manifest without an image"),
        ("image,label,split\na/0.png,0,fold1\n", "line 2: the split 'fold1' isn't known"),
        ("image,label\na/0.png,7\n", "line 2: the label '7' isn't known"),
        ('{"image": "a/0.png", "label": 0}\n{"image"\n', "line 2: "),
        ("[1]", "line 1: it isn't a JSON object"),
        ("a\0b", "it isn't a text file"),
    ],
)
def test_damaged_manifests(root: Path, text: str, told: str) -> None:
    (root / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match=told):
        open_dataset(root, format="manifest").category("parts")


def test_many_rows(tmp_path: Path) -> None:
    root = tmp_path / "many"
    (root / "a").mkdir(parents=True)
    lines = ["image,label,split"]
    for i in range(20_000):
        (root / f"a/{i}.png").touch()
        lines.append(f"s3://bucket/a/{i}.png,0,train")
    (root / "manifest.csv").write_text("\n".join(lines))
    start = time.process_time()
    assert len(open_dataset(root).category("many").train) == 20_000
    assert time.process_time() - start < 5
