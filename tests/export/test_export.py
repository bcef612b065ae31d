from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from anomalist import MVTecAD
from anomalist.cli.main import main
from anomalist.data import Category
from anomalist.detectors import DETECTORS, Detector, Ensemble
from anomalist.detectors.weighing import Weights
from anomalist.errors import ModelFileError, ParameterError
from anomalist.export import ExportError, OnnxDetector, OpenVINODetector, export, exporter
from anomalist.export.graph import Combiner, PiecewiseLinear

# Tracing takes as long as the network is deep: PatchCore's is the default one, others are short.
FIRST: dict[str, Any] = {"layers": ("stride4", "stride8")}
SMALL: dict[str, dict[str, Any]] = {
    "padim": FIRST,
    "spade": FIRST,
    "dfm": {"layers": ("stride4",)},
    "cfa": {"epochs": 1, **FIRST},
    "glass": {"meta_epochs": 1, "limit": 6, "variants": 2, **FIRST},
    "ensemble": {
        "members": tuple(
            {"detector": name, "layers": ("stride4",)} for name in ("patchcore", "dfm")
        )
    },
}
EXPORTABLE = [name for name in DETECTORS if name != "spade"]


@pytest.fixture(scope="module")
def dot(dots: Path) -> Category:
    return MVTecAD(dots).category("dot")


@pytest.fixture(scope="module")
def fitted(dot: Category) -> dict[str, Detector]:
    return {
        name: kind(image_size=64, device="cpu", **SMALL.get(name, {})).fit(dot.train)
        for name, kind in DETECTORS.items()
    }


@pytest.fixture(scope="module")
def shallow(dot: Category) -> Detector:
    """A detector whose graph is small, where the method doesn't matter."""
    detector = DETECTORS["patchcore"](layers=("stride4",), image_size=64, device="cpu")
    return detector.fit(dot.train)


@pytest.fixture(scope="module")
def exported(shallow: Detector, dot: Category, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "p.onnx"
    export(shallow, path, images=dot.test)
    return path


@pytest.mark.parametrize("name", EXPORTABLE)
def test_the_export_does_what_the_detector_does(
    name: str, fitted: dict[str, Detector], dot: Category, tmp_path: Path
) -> None:
    path = tmp_path / "new" / f"{name}.onnx"
    report = export(fitted[name], path, images=dot.test)
    assert max(report.map_relative, report.score_relative) < 1e-4
    expected = fitted[name].predict(dot.test)
    runner = OnnxDetector(path)
    for batch_size in (1, 3):
        got = runner.predict(dot.test.paths, batch_size=batch_size)
        spread = np.ptp(expected.maps)
        np.testing.assert_allclose(got.maps, expected.maps, rtol=0, atol=1e-4 * spread)
        np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-4)
    parity = json.loads((path.parent / f"{name}_parity.json").read_text())
    assert (parity["images"], parity["detector"]) == (6, fitted[name].label)
    assert sorted(f.name for f in path.parent.iterdir()) == [f"{name}.onnx", f"{name}_parity.json"]


@pytest.mark.parametrize("combine", ["fisher", "cauchy", "mean", "max"])
def test_every_combination_of_an_ensemble(
    combine: Any, fitted: dict[str, Detector], dot: Category
) -> None:
    whole = fitted["ensemble"]
    assert isinstance(whole, Ensemble)
    ensemble = replace(whole, combine=combine, member_weights=(1.0, 2.0))
    ensemble.members_ = whole.members_
    weighed = replace(whole, combine=combine, member_weights="auto")
    weighed.members_ = whole.members_
    weighed.member_weights_ = Weights((0.75, 0.25), (0.0, 1.0))
    made = [member.predict(dot.test) for member in whole.members_]
    for one in (ensemble, weighed):
        expected = one.merge(made)
        scores, maps = Combiner(one)(
            [(torch.from_numpy(given.scores), torch.from_numpy(given.maps)) for given in made]
        )
        np.testing.assert_allclose(scores.numpy(), expected.scores, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            maps.numpy(), expected.maps, rtol=0, atol=1e-5 * np.ptp(expected.maps)
        )


def test_members_that_resize_differently_are_refused(dot: Category, tmp_path: Path) -> None:
    members = ("patchcore", {"detector": "dfm", "image_size": 96})
    ensemble = Ensemble(members=members, image_size=64).fit(dot.train)
    with pytest.raises(ExportError, match="dfm resizes images in another way"):
        export(ensemble, tmp_path / "e.onnx", images=dot.test)


def test_the_papers_feature_sizes_of_glass(dot: Category, tmp_path: Path) -> None:
    sizes = {"pretrain_embed_dimension": 70, "target_embed_dimension": 50}
    detector = DETECTORS["glass"](image_size=64, device="cpu", **SMALL["glass"], **sizes)
    report = export(detector.fit(dot.train), tmp_path / "g.onnx", images=dot.test)
    assert report.map_relative < 1e-4


def test_crops_and_other_shapes(dot: Category, tmp_path: Path) -> None:
    for view in ({"image_size": 80, "crop_size": 64}, {"image_size": (64, 96)}):
        detector = DETECTORS["patchcore"](
            device="cpu", interpolation="bicubic", layers=("stride4",), **view
        )
        export(detector.fit(dot.train), tmp_path / "p.onnx", images=dot.test)
        assert OnnxDetector(tmp_path / "p.onnx").transform == detector.transform


@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiles_are_in_the_graph(batch_size: int, dot: Category, tmp_path: Path) -> None:
    detector = DETECTORS["patchcore"](
        layers=("stride4",), image_size=64, tile_size=32, coreset_size=40, device="cpu"
    )
    detector.fit(dot.train)
    assert detector.preparation.tiles is not None
    assert len(detector.preparation.tiles) > 4
    report = export(detector, tmp_path / "t.onnx", images=dot.test)
    assert max(report.map_relative, report.score_relative) < 1e-4
    expected = detector.predict(dot.test)
    got = OnnxDetector(tmp_path / "t.onnx").predict(dot.test, batch_size=batch_size)
    np.testing.assert_allclose(got.maps, expected.maps, atol=1e-4 * np.ptp(expected.maps))


def test_spade_says_why_not(fitted: dict[str, Detector], dot: Category, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="spade can't be exported: it keeps"):
        export(fitted["spade"], tmp_path / "s.onnx", images=dot.test)


def test_metadata_tell_how_to_feed_it(
    dot: Category, shallow: Detector, exported: Path, tmp_path: Path
) -> None:
    assert OnnxDetector(exported).threshold is None
    good = dot.test[np.resize(np.arange(3), 20)]
    detector = copy.copy(shallow)
    detector.calibrate(good, seen=False)
    detector.summary_ = {"alpha": 0.1}  # as `fit` leaves it
    # Not those that calibrated: one of their scores is the threshold.
    report = export(detector, tmp_path / "p.onnx", images=dot.test[3:])
    assert report.decisions_changed == 0
    model = onnx.load(tmp_path / "p.onnx")
    onnx.checker.check_model(model)
    kept = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert kept["anomalist.detector"] == "patchcore"
    assert kept["anomalist.transform"] == detector.transform.as_dict()
    assert detector.calibration_ is not None
    assert kept["anomalist.threshold"] == detector.calibration_.threshold(0.1)
    assert kept["anomalist.pixel_threshold"] == detector.calibration_.pixel_threshold(0.1)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [exporter.OPSET]
    runner = OnnxDetector(tmp_path / "p.onnx")
    assert (runner.alpha, runner.threshold) == (0.1, kept["anomalist.threshold"])


def test_openvino(
    fitted: dict[str, Detector], shallow: Detector, dot: Category, tmp_path: Path
) -> None:
    for detector in (shallow, fitted["dfm"]):
        path = tmp_path / f"{detector.name}.xml"
        report = export(detector, path, format="openvino", images=dot.test)
        assert report.map_relative < 1e-4
        got = OpenVINODetector(path).predict(dot.test.paths, batch_size=4)
        expected = detector.predict(dot.test)
        np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-4)
        assert OpenVINODetector(path).transform == detector.transform
        assert path.with_suffix(".bin").exists()
        assert not path.with_suffix(".onnx").exists()


@pytest.mark.parametrize("part", ["weights", "transform"])
def test_a_tampered_graph_isnt_kept(
    part: str,
    shallow: Detector,
    dot: Category,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = exporter._write_onnx

    def tampered(graph: Any, detector: Detector, alpha: float, path: Path) -> None:
        write(graph, detector, alpha, path)
        model = onnx.load(path)
        if part == "weights":
            largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
            values = onnx.numpy_helper.to_array(largest) * 1.1
            largest.CopyFrom(onnx.numpy_helper.from_array(values, largest.name))
        else:
            (entry,) = [e for e in model.metadata_props if e.key == "anomalist.transform"]
            entry.value = entry.value.replace('"image_size": 64', '"image_size": 80').replace(
                '"crop_size": null', '"crop_size": 64'
            )
        onnx.save(model, path)

    monkeypatch.setattr(exporter, "_write_onnx", tampered)
    with pytest.raises(ExportError, match="differs from the detector: scores by up to"):
        export(shallow, tmp_path / "p.onnx", images=dot.test)
    assert list(tmp_path.iterdir()) == []


def test_without_images_thumbnails_or_drawn_ones_serve(
    shallow: Detector, dot: Category, tmp_path: Path
) -> None:
    detector = copy.copy(shallow)
    assert "sample set" in export(detector, tmp_path / "d.onnx").images_from
    Image.open(dot.train.paths[0]).save(tmp_path / "thumb.jpg")
    detector.thumbnails_ = [(tmp_path / "thumb.jpg").read_bytes()] * 2
    report = export(detector, tmp_path / "d.onnx")
    assert (report.images, report.images_from) == (2, "thumbnails of its training images")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime", "openvino"])
def test_a_missing_extra_names_the_command(
    missing: str,
    shallow: Detector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ExportError, match=rf"{missing} isn't installed: pip install 'anomalist\[e"):
        export(shallow, tmp_path / "d.xml", format="openvino")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_a_missing_extra_is_told_before_anything_large_is_loaded(format: str) -> None:
    code = (
        "import sys; sys.modules['onnx'] = sys.modules['openvino'] = None;"
        " from anomalist.cli.main import main; code = main(sys.argv[1:]);"
        " assert not {'torch', 'numpy', 'PIL'} & sys.modules.keys(); sys.exit(code)"
    )
    arguments = ["export", "part.anomalist", "--out", "part.x", "--format", format]
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    names = "onnx isn't" if format == "onnx" else "onnx, openvino aren't"
    assert done.returncode == 1
    assert done.stderr == (
        f"anomalist: error: {names} installed: pip install 'anomalist[export]'\n"
    )


def test_the_runner_takes_files_images_and_arrays(exported: Path, dot: Category) -> None:
    runner = OnnxDetector(exported, threads=1)
    image = Image.open(dot.test.paths[0]).convert("RGB")
    made = runner.predict([dot.test.paths[0], image, np.asarray(image)])
    assert made.scores[0] == pytest.approx(made.scores[1]) == pytest.approx(made.scores[2])
    assert made.paths[1:] == [Path("image-1"), Path("image-2")]
    with pytest.raises(ParameterError, match="at least one image"):
        runner.predict([])


def test_the_runner_needs_no_torch(shallow: Detector, exported: Path, dot: Category) -> None:
    script = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from anomalist.export import OnnxDetector\n"
        "print(float(OnnxDetector(sys.argv[1]).predict([sys.argv[2]]).scores[0]))\n"
        "assert not {'timm', 'numba', 'sklearn'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-c", script, str(exported), str(dot.test.paths[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = shallow.predict(dot.test[:1]).scores[0]
    assert float(done.stdout) == pytest.approx(expected, rel=1e-4)


def test_files_that_are_no_exports_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no exported detector at"):
        OnnxDetector(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match="isn't a detector that anomalist exported"):
        OnnxDetector(tmp_path / "bad.onnx")


def test_the_command(
    fitted: dict[str, Detector],
    shallow: Detector,
    dots: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, out = tmp_path / "p.anomalist", tmp_path / "p.onnx"
    shallow.save(model)
    arguments = ["export", str(model), "--out", str(out), "--data", str(dots / "dot")]
    assert main(arguments) == 0
    assert "same as the model on 12 images" in capsys.readouterr().out
    assert main([*arguments, "--tolerance", "1e-12"]) == 1
    assert "tolerance 1e-12; nothing was written" in capsys.readouterr().err
    assert main(["export", str(model), "--out", str(tmp_path / "p.bin")]) == 1
    assert "ends in .onnx" in capsys.readouterr().err
    fitted["spade"].save(model)
    assert main(arguments) == 1
    assert "spade can't be exported" in capsys.readouterr().err


def test_piecewise_linear_is_interp_with_its_jumps() -> None:
    knots, values = np.float32([0, 1, 1, 4]), [0.0, 2.0, 5.0, 6.0]
    x = np.float32([-3, 0, 0.5, 1, 2.5, 4, 9])

    def function(x: Any) -> Any:
        return np.interp(x, knots, values)

    got = PiecewiseLinear(function, knots)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, function(x), atol=1e-5)
