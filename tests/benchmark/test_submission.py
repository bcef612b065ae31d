from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from anomalist import Ensemble, PaDiM, PatchCore
from anomalist.benchmark import submission, submit
from anomalist.benchmark.archive import Entry, check_archive, scale_of, write_archive
from anomalist.data import MVTecAD2, open_dataset
from anomalist.errors import DataError, ParameterError, ResultsError
from tests.data.drawn_ad2 import draw_ad2
from tests.reference import binary
from tests.reference.mvtec import enlarged

SIZE = (48, 64)


def padim(**more: Any) -> PaDiM:
    given = {"image_size": 32, "layers": ("stride4",), "dimensions": 8, "device": "cpu", **more}
    return PaDiM(**given)


@pytest.fixture(autouse=True)
def _whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of two objects with three images each is whole."""
    monkeypatch.setattr(submission, "PRIVATE_COUNTS", {"can": 3, "vial": 3})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> MVTecAD2:
    found = open_dataset(draw_ad2(tmp_path_factory.mktemp("ad2"), size=SIZE))
    assert isinstance(found, MVTecAD2)
    return found


def content(path: Path) -> dict[str, npt.NDArray[Any]]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive:
            stream = io.BytesIO(archive.extractfile(member).read())  # type: ignore[union-attr]
            is_map = member.name.endswith(".tiff")
            found[member.name] = (
                tifffile.imread(stream) if is_map else np.asarray(Image.open(stream))
            )
        return found


def test_the_archive_holds_what_the_detector_says(data: MVTecAD2, tmp_path: Path) -> None:
    done = submit(data, padim(), tmp_path / "a.tar.gz")
    found = content(done.path)
    assert len(found) == 2 * done.images == 24
    highest = 0.0
    for name in data.categories:
        detector = padim().fit(data.category(name).train)
        threshold = binary.threshold(detector.calibrate(data.category(name).train).maps)
        assert done.thresholds[name] == pytest.approx(threshold)
        alarms = []
        for split, images in data.private(name).items():
            for sample, values in zip(images, detector.predict(images).maps, strict=True):
                highest = max(highest, float(np.abs(values).max()))
                whole = enlarged(values, (0, 0, SIZE[1], SIZE[0]), SIZE)
                place = f"{name}/{split}/{sample.path.stem}"
                there = found[f"anomaly_images/{place}.tiff"]
                assert (there.dtype, there.shape) == (np.float16, SIZE)
                np.testing.assert_allclose(there, whole * 2.0**done.scale, rtol=1e-3)
                drawn = found[f"anomaly_images_thresholded/{place}.png"]
                assert (drawn.dtype, drawn.shape) == (np.uint8, SIZE)
                sure = abs(whole - threshold) > 1e-4 * threshold
                np.testing.assert_array_equal(drawn[sure], 255 * (whole > threshold)[sure])
                alarms.append(drawn.any())
        assert done.anomalous[name] == pytest.approx(np.mean(alarms))
    assert done.scale == scale_of(highest)
    assert list(tmp_path.iterdir()) == [done.path]
    assert "2**" in str(done)


def test_a_crop_is_laid_where_it_was(data: MVTecAD2, tmp_path: Path) -> None:
    detector = padim(image_size=40, crop_size=32)
    found = content(submit(data, detector, tmp_path / "a.tgz").path)
    one = found["anomaly_images/can/test_private/000_regular.tiff"].astype(np.float32)
    assert one[0, 0] == one[-1, -1] == one.min()
    assert np.isfinite(one).all()
    assert not found["anomaly_images_thresholded/can/test_private/000_regular.png"][0].any()


class _StopError(BaseException):
    pass


def stopped_at(stage: str, after: int) -> Callable[[str, int, int], None]:
    def progress(name: str, done: int, _total: int) -> None:
        if name == stage and done >= after:
            raise _StopError

    return progress


def test_one_that_was_stopped_goes_on_to_the_same_bytes(data: MVTecAD2, tmp_path: Path) -> None:
    whole = submit(data, padim(), tmp_path / "whole.tar.gz").path.read_bytes()
    out = tmp_path / "out" / "a.tar.gz"
    calls: list[str] = []
    for stage, after in (
        ("can: predict", 3),
        ("vial: calibrate", 1),
        ("write", 2),
        ("check", 3),
    ):
        with pytest.raises(_StopError):
            submit(data, padim(), out, progress=stopped_at(stage, after))
        assert [path.name for path in out.parent.iterdir()] == ["a.tar.gz.unfinished"]
    submit(data, padim(), out, progress=lambda name, *_: calls.append(name))
    assert out.read_bytes() == whole
    assert {name.split()[-1] for name in calls} == {"write", "check"}
    assert list(out.parent.iterdir()) == [out]


def test_other_settings_begin_anew(data: MVTecAD2, tmp_path: Path) -> None:
    expected = submit(data, padim(dimensions=6), tmp_path / "other.tar.gz").path.read_bytes()
    out = tmp_path / "a.tar.gz"
    with pytest.raises(_StopError):
        submit(data, padim(), out, progress=stopped_at("write", 1))
    assert submit(data, padim(dimensions=6), out).path.read_bytes() == expected


def test_a_finished_one_is_replaced_whole(data: MVTecAD2, tmp_path: Path) -> None:
    out = tmp_path / "a.tar.gz"
    out.write_bytes(b"earlier")
    with pytest.raises(_StopError):
        submit(data, padim(), out, progress=stopped_at("check", 1))
    assert out.read_bytes() == b"earlier"
    submit(data, padim(), out)
    assert len(content(out)) == 24


def test_other_detectors_and_ensembles(data: MVTecAD2, tmp_path: Path) -> None:
    core = PatchCore(image_size=32, layers=("stride4",), coreset_ratio=0.5, device="cpu")
    both = Ensemble(members=(core, padim()))
    done = submit(data, both, tmp_path / "a.tar.gz")
    assert done.detector == both.label
    assert len(content(done.path)) == 24


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: shutil.rmtree(root / "vial"), "vial is missing"),
        (
            lambda root: (root / "can/test_private/002_regular.png").unlink(),
            "can/test_private has 2 images of 3",
        ),
        (
            lambda root: (root / "can/test_private/002_regular.png").rename(
                root / "can/test_private/a.png"
            ),
            r"a\.png isn't named as the others are, such as 000_regular\.png",
        ),
        (
            lambda root: shutil.rmtree(root / "can/test_private_mixed"),
            "can/test_private_mixed has 0 images of 3",
        ),
    ],
)
def test_a_data_set_that_is_not_whole_is_refused_or_told(
    tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    root = draw_ad2(tmp_path / "data", size=SIZE)
    change(root)
    with pytest.raises(DataError, match=words):
        submit(open_dataset(root), padim(), tmp_path / "a.tar.gz")
    assert not (tmp_path / "a.tar.gz.unfinished").exists()
    done = submit(open_dataset(root), padim(), tmp_path / "a.tar.gz", incomplete=True)
    assert any("isn't whole" in note for note in done.notes)
    assert len(content(done.path)) == 2 * done.images


def test_what_makes_no_sense_is_refused(data: MVTecAD2, dots: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"must end in \.tar\.gz"):
        submit(data, padim(), tmp_path / "a.zip")
    with pytest.raises(DataError, match="isn't MVTec AD 2"):
        submit(open_dataset(dots), padim(), tmp_path / "a.tar.gz")
    root = draw_ad2(tmp_path / "data", size=SIZE, private=0)
    with pytest.raises(DataError, match="no private image"):
        submit(open_dataset(root), padim(), tmp_path / "a.tar.gz", incomplete=True)


ENTRIES = [Entry("can", split, f"{i:03}_x", (4, 5)) for split in ("p", "q") for i in range(2)]


def written(path: Path, values: npt.NDArray[Any], scale: int = 0) -> Path:
    write_archive(path, ENTRIES, lambda _: (values, 0.5), scale)
    return path


@pytest.mark.parametrize("highest", [1e-30, 3e-5, 0.99, 37.0, 65504.0, 1e9, 1e30])
def test_no_value_is_lost_to_float16(tmp_path: Path, highest: float) -> None:
    values = (highest * np.linspace(0.01, 1, 20).reshape(4, 5)).astype(np.float64)
    path = written(tmp_path / "a.tar.gz", values, scale_of(highest))
    check_archive(path, ENTRIES)
    there = content(path)[ENTRIES[0].map_name].astype(np.float64)
    assert 2**14 <= there.max() < 2**15 + 16
    np.testing.assert_allclose(there / 2.0 ** scale_of(highest), values, rtol=2**-11)
    assert (np.diff(there.ravel()) > 0).all()


def test_a_value_beyond_float16_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="float16"):
        written(tmp_path / "a.tar.gz", np.full((4, 5), 1e6))
    with pytest.raises(ResultsError, match="float16"):
        written(tmp_path / "b.tar.gz", np.full((4, 5), np.nan))


def repacked(path: Path, change: Callable[[str, bytes], Iterable[tuple[str, bytes]]]) -> None:
    with tarfile.open(path) as archive:
        files = [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files:
            for new, other in change(name, data):
                member = tarfile.TarInfo(new)
                member.size = len(other)
                archive.addfile(member, io.BytesIO(other))


def as_tiff(values: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="minisblack")
    return stream.getvalue()


def as_png(values: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


MAP, DRAWN = ENTRIES[1].map_name, ENTRIES[1].binary_name


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (MAP, as_tiff(np.zeros((4, 5), np.float32)), "holds float32"),
        (MAP, as_tiff(np.zeros((5, 4), np.float16)), r"shape \(5, 4\), its image \(4, 5\)"),
        (MAP, as_tiff(np.full((4, 5), np.inf, np.float16)), "aren't finite"),
        (MAP, b"nothing", "can't be read"),
        (DRAWN, as_png(np.full((4, 5), 1, np.uint8)), "other than 0 and 255"),
        (DRAWN, as_png(np.zeros((4, 6), np.uint8)), "shape"),
        (DRAWN, as_png(np.zeros((4, 5, 3), np.uint8)), "pixels of kind RGB"),
        (DRAWN, b"nothing", "can't be read"),
    ],
)
def test_a_wrong_file_is_found(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = written(tmp_path / "a.tar.gz", np.ones((4, 5)))
    check_archive(path, ENTRIES)
    repacked(path, lambda n, d: [(n, data if n == name else d)])
    with pytest.raises(ResultsError, match=words) as told:
        check_archive(path, ENTRIES)
    assert name in str(told.value)


def test_missing_and_spare_files_are_found(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar.gz", np.ones((4, 5)))
    repacked(path, lambda n, d: [] if n == DRAWN else [(n, d)])
    with pytest.raises(ResultsError, match=f"lacks 1 files, such as {DRAWN}"):
        check_archive(path, ENTRIES)
    written(path, np.ones((4, 5)))
    repacked(path, lambda n, d: [(n, d), (n, d)])
    with pytest.raises(ResultsError, match="twice or of no image"):
        check_archive(path, ENTRIES)
    written(path, np.ones((4, 5)))
    repacked(path, lambda n, d: [(n.replace("can", "tin"), d)])
    with pytest.raises(ResultsError, match="of no image"):
        check_archive(path, ENTRIES)
    written(path, np.ones((4, 5)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ResultsError, match="damaged"):
        check_archive(path, ENTRIES)
