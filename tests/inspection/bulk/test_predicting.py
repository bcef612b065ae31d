from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anomalist.errors import ObjectNotFoundError, ParameterError, ResultsError, StorageError
from anomalist.inspection import predict_files
from anomalist.storage import Storage, open_storage
from anomalist.storage.folder import Folder
from tests.inspection.brightness import RULE, photograph, sha
from tests.inspection.bulk.objects import Plain, fill, manifest, predict, rows

NAMES = [f"{i:02}.bmp" for i in range(10)]


@pytest.fixture
def place(tmp_path: Path) -> str:
    fill(str(tmp_path / "in"), NAMES)
    return str(tmp_path)


def test_rows_are_those_of_a_call_that_keeps_no_parts(place: str, tmp_path: Path) -> None:
    (tmp_path / "in" / "04.bmp").write_bytes(b"no image")
    (tmp_path / "in" / "05.bmp").write_bytes(b"")
    tally, _ = predict([f"{place}/in"], f"{place}/out", tmp_path / "m")
    detector: Any = Plain()
    files = sorted((tmp_path / "in").iterdir())
    identity = {"model": sha(b"a model")}
    other = predict_files(
        detector, [files], tmp_path / "plain", RULE, heatmaps="none", identity=identity
    )
    text = (tmp_path / "plain" / "predictions.jsonl").read_text()
    expected = {row["path"]: row for row in map(json.loads, text.splitlines())}
    found = rows(f"{place}/out")
    assert [row["path"] for row in found] == [str(file) for file in files]
    for row in found:
        told = {name: value for name, value in row.items() if value not in (None, [])}
        of_object = {name: told.pop(name, None) for name in ("width", "height", "size", "version")}
        assert of_object["size"] == Path(row["path"]).stat().st_size
        assert told == {k: v for k, v in expected[row["path"]].items() if v is not None}
    assert (tally.total, tally.failed, tally.normal, tally.anomalous) == (
        other.total,
        other.failed,
        other.normal,
        other.anomalous,
    )
    assert tally.notes[0].startswith(f"2 objects couldn't be scored: {files[4]}")


def test_a_stopped_call_goes_on_by_part(place: str, tmp_path: Path) -> None:
    def stop(_: str, done: int, __: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    call = [f"{place}/in"], f"{place}/out", tmp_path / "m"
    with pytest.raises(KeyboardInterrupt):
        predict(*call, progress=stop)
    assert list(manifest(f"{place}/out")["done"]) == ["0"]
    shown: list[tuple[int, int]] = []
    tally, scored = predict(*call, progress=lambda _, done, total: shown.append((done, total)))
    assert (tally.total, tally.before, shown) == (10, 4, [(0, 6), (4, 6), (6, 6)])
    # The highest ones are scored again, for the sheet.
    assert len(scored) == 6 + 10
    assert [row["path"] for row in rows(f"{place}/out")] == [f"{place}/in/{n}" for n in NAMES]
    said = manifest(f"{place}/out")
    assert (said["complete"], said["rows"], said["parts"]) == (True, 10, 3)
    tally, scored = predict(*call)
    assert (tally.total, tally.before, scored) == (10, 10, [])


def test_a_part_that_the_manifest_does_not_name_yet_is_done(place: str, tmp_path: Path) -> None:
    call = [f"{place}/in"], f"{place}/out", tmp_path / "m"
    predict(*call)
    path = tmp_path / "out" / "manifest.json"
    known = json.loads(path.read_text())
    del known["done"]["1"], known["done"]["2"]
    path.write_text(json.dumps(known))
    (tmp_path / "out/parts/part-000002.parquet").write_bytes(b"torn")
    (tmp_path / "out/parts/part-000000.parquet").unlink()
    (tmp_path / "out/contact_sheet.png").unlink()
    tally, scored = predict(*call)
    assert tally.before == 4
    assert set(scored[:6]) == {sha(photograph(i)) for i in (0, 1, 2, 3, 8, 9)}
    assert len(rows(f"{place}/out")) == 10


def test_what_came_changed_or_failed_since_is_scored(place: str, tmp_path: Path) -> None:
    (tmp_path / "in/06.bmp").write_bytes(b"not yet")
    call = [f"{place}/in"], f"{place}/out", tmp_path / "m"
    assert predict(*call)[0].failed == 1
    (tmp_path / "in/02.bmp").write_bytes(photograph(102))
    (tmp_path / "in/06.bmp").write_bytes(photograph(6))
    (tmp_path / "in/09.bmp").unlink()
    (tmp_path / "in/00new.bmp").write_bytes(photograph(100))
    told: list[str] = []
    (tmp_path / "out/contact_sheet.png").unlink()
    tally, scored = predict(*call, news=told.append)
    assert set(scored[:3]) == {sha(photograph(i)) for i in (2 + 100, 6, 100)}
    assert told[:3] == [
        "2 objects have changed since: scored again",
        "1 object that is listed isn't there any more: a row that is written stays",
        "1 object has come since: added",
    ]
    assert (tally.total, tally.failed) == (11, 0)
    found = rows(f"{place}/out")
    paths = [Path(row["path"]).name for row in found]
    assert paths == [*NAMES, "00new.bmp"]
    assert found[2]["sha256"] == sha(photograph(102))
    assert manifest(f"{place}/out")["parts"] == 4


def test_an_object_that_goes_before_it_is_read_has_a_row(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Folder.read

    def gone(self: Folder, key: str) -> bytes:
        if key == "03.bmp":
            raise ObjectNotFoundError(f"{self.address_of(key)} isn't there")
        return read(self, key)

    monkeypatch.setattr(Folder, "read", gone)
    tally, _ = predict([f"{place}/in"], f"{place}/out", tmp_path / "m")
    assert (tally.total, tally.failed) == (10, 1)
    assert rows(f"{place}/out")[3]["error"] == f"{place}/in/03.bmp isn't there"


def test_a_storage_that_goes_away_is_no_fault_of_its_objects(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Folder.read

    def away(self: Folder, key: str) -> bytes:
        if key == "05.bmp":
            raise StorageError(f"{self.address}: the storage doesn't answer")
        return read(self, key)

    call = [f"{place}/in"], f"{place}/out", tmp_path / "m"
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "read", away)
        with pytest.raises(StorageError, match="doesn't answer"):
            predict(*call)
    assert open_storage(f"{place}/out").keys("parts/") == ["parts/part-000000.parquet"]
    tally, _ = predict(*call)
    assert (tally.total, tally.before, tally.failed) == (10, 4, 0)


def test_another_call_is_refused_unless_it_replaces(place: str, tmp_path: Path) -> None:
    out, model = f"{place}/out", tmp_path / "m"
    predict([f"{place}/in"], out, model)
    (tmp_path / "out" / "mine.txt").touch()
    (tmp_path / "out" / "parts" / "mine.parquet").touch()
    model.write_bytes(b"another model")
    with pytest.raises(ResultsError, match=r"results of another model.*--overwrite"):
        predict([f"{place}/in"], out, model)
    model.write_bytes(b"a model")
    with pytest.raises(ResultsError, match="other inputs"):
        predict([f"{place}/in/00.bmp"], out, model)
    tally, _ = predict([f"{place}/in/00.bmp"], out, model, overwrite=True)
    assert tally.total == 1
    assert (tmp_path / "out" / "mine.txt").exists()
    assert (tmp_path / "out" / "parts" / "mine.parquet").exists()


def test_results_of_a_call_that_keeps_no_parts_are_no_place(place: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.csv").touch()
    with pytest.raises(ResultsError, match="aren't in parts"):
        predict([f"{place}/in"], f"{place}/out", tmp_path / "m")


def test_a_damaged_manifest_or_listing_is_told(place: str, tmp_path: Path) -> None:
    call = [f"{place}/in"], f"{place}/out", tmp_path / "m"
    predict(*call)
    listing = tmp_path / "out/listing/part-000000.parquet"
    listing.write_bytes(b"torn")
    with pytest.raises(ResultsError, match=r"part-000000\.parquet is missing or damaged"):
        predict(*call)
    (tmp_path / "out/manifest.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"manifest\.json is damaged"):
        predict(*call)
    assert predict(*call, overwrite=True)[0].total == 10


def test_two_at_once_are_refused(place: str, tmp_path: Path) -> None:
    call = [f"{place}/in"], f"{place}/out", tmp_path / "m"
    refused: list[str] = []

    def another(_: str, done: int, __: int) -> None:
        if done == 4:
            with pytest.raises(ResultsError, match="in use") as error:
                predict(*call)
            refused.append(str(error.value))

    assert predict(*call, progress=another)[0].total == 10
    assert len(refused) == 1


def test_heatmaps_of_those_that_are_anomalous_and_their_arrays(place: str, tmp_path: Path) -> None:
    tally, _ = predict([f"{place}/in"], f"{place}/out", tmp_path / "m", heatmaps=None, arrays=True)
    found = rows(f"{place}/out")
    drawn = [row["heatmap"] for row in found if row["heatmap"] is not None]
    assert len(drawn) == tally.anomalous > 0
    assert {row["decision"] for row in found if row["heatmap"]} == {"anomalous"}
    for key in drawn:
        assert (tmp_path / "out" / key).is_file()
        assert (tmp_path / "out" / key).with_suffix(".npy").is_file()


def test_what_makes_no_sense(place: str, tmp_path: Path) -> None:
    for inputs, more, words in (
        (["-"], {}, "can't be scored by parts"),
        ([f"{place}/in"], {"part_size": 0}, "--part_size must be at least 1, not 0"),
    ):
        with pytest.raises(ParameterError, match=words):
            predict(inputs, f"{place}/out", tmp_path / "m", **more)
    assert not (tmp_path / "out").exists()


def test_names_that_paths_would_change_have_a_row_each(s3: str, tmp_path: Path) -> None:
    odd = ["a//b.bmp", "a/b.bmp", "a/./b.bmp", "a/x/../b.bmp", "ü #1?%20.bmp", "a/b.BMP"]
    fill(f"{s3}/in", odd)
    open_storage(f"{s3}/in").write("torn.bmp", b"BM")
    open_storage(f"{s3}/in").write("empty.bmp", b"")
    tally, _ = predict([f"{s3}/in"], f"{s3}/out", tmp_path / "m")
    found = {row["path"]: row for row in rows(f"{s3}/out")}
    assert (len(found), tally.total, tally.failed) == (8, 8, 2)
    for i, name in enumerate(odd):
        assert found[f"{s3}/in/{name}"]["sha256"] == sha(photograph(i))
    assert found[f"{s3}/in/empty.bmp"]["error"].startswith(f"{s3}/in/empty.bmp ")


def test_a_part_is_written_after_its_pictures(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = Folder.write

    def keep(self: Storage, key: str, data: bytes) -> None:
        assert isinstance(self, Folder)
        write(self, key, data)
        written.append(key.partition("/")[0])

    monkeypatch.setattr(Folder, "write", keep)
    predict([f"{place}/in"], f"{place}/out", tmp_path / "m", heatmaps="all", part_size=10)
    order = list(dict.fromkeys(written))
    assert order[:5] == [".anomalist-results", "listing", "manifest.json", "heatmaps", "parts"]


def test_a_scorer_reads_a_listing_once_for_its_parts(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Folder.read
    monkeypatch.setattr(
        Folder, "read", lambda self, key: (read.append(key), original(self, key))[1]
    )
    predict([f"{place}/in"], f"{place}/out", tmp_path / "m", part_size=2)
    # Once to plan, once to score.
    assert read.count("listing/part-000000.parquet") == 2
