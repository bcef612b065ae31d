from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from anomalist.cli.main import main
from anomalist.storage import open_storage
from tests.s3 import forget_connections


@pytest.fixture(scope="module")
def model(dots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "dot.anomalist"
    fast = ["--image_size", "64", "--patchcore.coreset_ratio", "0.2", "--device", "cpu"]
    assert (
        main(["fit", "patchcore", "--data", str(dots), "--out", str(out), *fast, "--alpha", "0.2"])
        == 0
    )
    return out


@pytest.fixture
def photos(dots: Path, s3: str) -> str:
    """Six photographs and one that is none, in a bucket."""
    storage = open_storage(f"{s3}/line 1")
    for path in sorted((dots / "dot" / "test").rglob("*.png")):
        storage.write(f"{path.parent.name}/{path.name}", path.read_bytes())
    storage.write("torn.png", b"\x89PNG")
    return storage.address


def test_addresses_go_by_parts_and_come_back_as_a_table(
    model: Path, photos: str, s3: str, capsys: pytest.CaptureFixture[str]
) -> None:
    open_storage(s3).write("models/dot.anomalist", model.read_bytes())
    call = ["predict", f"{s3}/models/dot.anomalist", photos, "--out", f"{s3}/out"]
    assert main([*call, "--part_size", "3"]) == 3
    told = capsys.readouterr()
    assert "7 images: 3 anomalous, 3 normal, 1 failed" in told.out
    assert f"results: {s3}/out (manifest.json, parts)" in told.out
    import fsspec

    files = fsspec.filesystem("s3")
    place = f"{s3}/out/parts".removeprefix("s3://")
    table = ds.dataset(place, filesystem=files).to_table()
    by_path = {row["path"]: row for row in table.to_pylist()}
    assert len(by_path) == table.num_rows == 7
    for path, row in by_path.items():
        defective = "/square/" in path
        assert row["decision"] == (
            "anomalous" if defective else None if "torn" in path else "normal"
        )
        assert (row["heatmap"] is not None) == defective
        if defective:
            assert open_storage(f"{s3}/out").exists(row["heatmap"])
            assert row["regions"][0]["box"][2] > 0
    assert by_path[f"{photos}/torn.png"]["error"].startswith(f"{photos}/torn.png ")
    open_storage(photos).write("torn.png", open_storage(photos).read("good/000.png"))
    assert main([*call, "--json"]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["images"], fields["before"], fields["failed"]) == (7, 7, 0)
    assert fields["out"] == f"{s3}/out"


def test_an_address_to_a_folder(model: Path, photos: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(model), photos, "--out", str(out), "--quiet"]) == 3
    assert ds.dataset(out / "parts").count_rows() == 7
    # The same folder holds no rows of another kind.
    shutil.copytree(out, tmp_path / "copy")
    assert main(["predict", str(model), str(tmp_path / "copy"), "--out", str(out)]) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--append"], "--append is for a folder of this machine without --ray"),
        (["--watch", "1"], "--watch is for a folder of this machine without --ray"),
        (["--part_size", "0"], "--part_size must be at least 1, not 0"),
        (["--ray", "local", "--workers", "0"], "--workers must be at least 1, not 0"),
        (["--heatmaps", "all", "--alpha", "2"], "alpha must be between 0 and 1, not 2.0"),
    ],
)
def test_what_makes_no_sense_is_a_line(
    model: Path,
    photos: str,
    s3: str,
    flags: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["predict", str(model), photos, "--out", f"{s3}/out", *flags]) in (1, 2)
    assert words in capsys.readouterr().err
    assert open_storage(s3).keys("out/") == []


def test_places_that_are_not_there(
    model: Path, photos: str, s3: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry, out, words in (
        (f"{s3}/nothing", f"{s3}/out", f"there is no image at {s3}/nothing"),
        ("s3://no-such-bucket/a", f"{s3}/out", "there is no such bucket"),
        (photos, "s3://no-such-bucket/out", "there is no such bucket"),
        ("s3://me:hidden@bucket/a", f"{s3}/out", "must carry no user, password"),
        (photos, "ftpx://place/out", "ftpx"),
        (photos, f"{s3}/taken.png", ""),
    ):
        code = main(["predict", str(model), entry, "--out", out])
        told = capsys.readouterr().err.strip().splitlines()[-1]
        assert code == (1 if words else 3), told
        assert words in told
        assert "hidden" not in told
    assert main(["predict", f"{s3}/no.anomalist", photos, "--out", f"{s3}/out"]) == 1
    assert f"{s3}/no.anomalist: there is nothing" in capsys.readouterr().err
    assert [key for key in open_storage(s3).keys("out/") if "lock" not in key] == []


def test_without_credentials(
    model: Path,
    photos: str,
    s3: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    forget_connections()
    assert main(["predict", str(model), photos, "--out", f"{s3}/out"]) == 1
    assert "there are no credentials for s3" in capsys.readouterr().err
    forget_connections()


def test_a_model_at_an_address_is_read_like_a_file(
    model: Path, dots: Path, s3: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = model.read_bytes()
    open_storage(s3).write("dot.anomalist", whole)
    open_storage(s3).write("torn.anomalist", whole[:-9])
    assert main(["info", f"{s3}/dot.anomalist"]) == 0
    assert main(["evaluate", f"{s3}/dot.anomalist", str(dots)]) == 0
    capsys.readouterr()
    for command in (["info"], ["predict"], ["evaluate"]):
        more = {"predict": [str(dots), "--out", f"{s3}/out"], "evaluate": [str(dots)]}
        assert main([*command, f"{s3}/torn.anomalist", *more.get(command[0], [])]) == 1
        assert f"error: {s3}/torn.anomalist is cut short" in capsys.readouterr().err
