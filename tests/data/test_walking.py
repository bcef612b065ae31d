from __future__ import annotations

import itertools
import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalist.data import walk
from anomalist.inspection import list_inputs
from tests.reference.folders import list_all


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def below(root: Path, paths: object) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]  # type: ignore[attr-defined]


NAMES = ("a", "b", "a-b", "good", ".hidden", "@eaDir", "Lost+Found", "x y")
FILES = ("1.png", "2.JPG", "a.jfif", "a.gif", "._1.png", "notes.txt", "DSC1")
FOLDERS = st.lists(st.sampled_from(NAMES), max_size=3).map("/".join)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sets(st.tuples(FOLDERS, st.sampled_from(FILES)), max_size=12),
    st.lists(st.tuples(FOLDERS, st.sampled_from("lmz"), FOLDERS), max_size=4),
)
def test_each_real_file_once_as_the_slow_way_has_it(
    files: set[tuple[str, str]], links: list[tuple[str, str, str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        for place, name in sorted(files):
            (root / place).mkdir(parents=True, exist_ok=True)
            path = root / place / name
            if not path.exists():
                path.touch()
        for place, name, target in links:
            (root / place).mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(root / place / name):
                (root / place / name).symlink_to(root / target)
        listing = walk(root)
        assert below(root, listing.files) == list_all(root)
        if listing.files:
            assert list(list_inputs([str(root)])) == list(listing.files)
            assert list(list_inputs([f"{root}/**"])) == list(listing.files)
            kinds = [
                list(list_inputs([f"{root}/**/*.{k}"]))
                for k in ("png", "JPG", "jfif")
                if any(path.name.endswith(k) for path in listing.files)
            ]
            assert sorted(itertools.chain(*kinds)) == sorted(listing.files)


def test_a_file_of_two_names_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "b/1.png")
    os.link(tmp_path / "b/1.png", tmp_path / "a.png")
    (tmp_path / "c.png").symlink_to("b/1.png")
    listing = walk(tmp_path)
    assert below(tmp_path, listing.files) == ["a.png"]
    assert [below(tmp_path, pair) for pair in listing.repeated] == [
        ["b/1.png", "a.png"],
        ["c.png", "a.png"],
    ]
    assert "2 paths lead to what is there under another" in listing.notes()[0]


def test_other_files_are_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.jfif", "3.JPE", "a.gif", "b.GIF", "c.cr2", "DSC0001", "notes.txt")
    listing = walk(tmp_path)
    assert below(tmp_path, listing.files) == ["1.png", "2.jfif", "3.JPE"]
    assert {suffix: few.count for suffix, few in listing.left_out.items()} == {
        ".gif": 2,
        ".cr2": 1,
        "": 1,
        ".txt": 1,
    }
    (note,) = listing.notes()
    assert "4 files" in note
    assert "2 .gif such as" in note
    assert "1 without a suffix such as" in note
    assert "txt" not in note


def test_what_leads_nowhere_or_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "1.png")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "self.png").symlink_to("self.png")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as made:
        monkeypatch.chdir(tmp_path)
        made.bind("socket.png")
    listing = walk(tmp_path)
    assert below(tmp_path, listing.files) == ["1.png"]
    assert below(tmp_path, listing.broken_links) == ["gone", "self.png"]
    assert listing.special.count == 2
    assert any("2 links lead nowhere" in note for note in listing.notes())


@pytest.mark.parametrize(
    "name",
    [
        "$RECYCLE.BIN",
        "System Volume Information",
        "@eaDir",
        "__MACOSX",
        "lost+found",
        ".Trash-1000",
    ],
)
def test_what_systems_put_there_is_left_out(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"good/{name}/1.png", "good/1.png", "good/Thumbs.db")
    assert below(tmp_path, walk(tmp_path).files) == ["good/1.png"]
    assert walk(tmp_path).notes() == ()


def test_earlier_results_are_left_out(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "1.png",
        "run1/.anomalist-results",
        "run1/heatmaps/x/1.png",
        "run1/contact_sheet.png",
        "run1/2.png",
        "old/predictions.csv",
        "old/predictions.jsonl",
        "old/heatmaps/1.png",
        "heatmaps/3.png",
        "bench/results.csv",
        "bench/runs/p/x.json",
        "bench/p/key_heatmaps.png",
        "key.anomalist",
        "key_least_normal.png",
        "other_least_normal.png",
    )
    kept = ["1.png", "heatmaps/3.png", "other_least_normal.png", "run1/2.png"]
    listing = walk(tmp_path)
    assert below(tmp_path, listing.files) == kept
    assert sum(count for _, count in listing.results) == 5
    assert below(tmp_path, list_inputs([f"{tmp_path}/**/*.png"])) == kept
    assert not walk(tmp_path / "run1" / "heatmaps").files
    assert below(tmp_path, walk(tmp_path, results=tmp_path).files) == [kept[0], *kept[2:]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "good/1.png", "good/locked/2.png")
    (tmp_path / "good/locked").chmod(0)
    listing = walk(tmp_path)
    (tmp_path / "good/locked").chmod(0o700)
    assert listing.unreadable == ((tmp_path / "good/locked", "Permission denied"),)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "good/1.png", "good/locked/2.png")
    real = os.scandir

    def scandir(path: object) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    listing = walk(tmp_path)
    assert below(tmp_path, listing.files) == ["good/1.png"]
    assert listing.notes() == (f"{tmp_path / 'good/locked'} can't be read: Permission denied",)


def test_a_tree_deeper_than_python_calls_itself(tmp_path: Path) -> None:
    places = [tmp_path]
    for _ in range(1100):
        places.append(places[-1] / "d")
        places[-1].mkdir()
    (places[-1] / "1.png").touch()
    try:
        assert len(walk(tmp_path).files) == 1
    finally:  # what cleans up after tests does call itself
        (places[-1] / "1.png").unlink()
        for place in places[:0:-1]:
            place.rmdir()
