"""What the loader of model files answers to files that aren't what a detector saved."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

import anomalist
from anomalist.cli.main import main
from anomalist.data import ImageSet, Sample
from anomalist.detectors import DETECTORS
from anomalist.errors import ModelFileError, ParameterError
from anomalist.features import Backbone
from anomalist.inspection import model_card
from anomalist.models import SUMMARY, Layout, check_state, checked_summary, conforms, sign
from fuzz.models import seeds

Header = dict[str, Any]
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return seeds(tmp_path_factory.mktemp("seeds"))


def changed(
    content: bytes, path: Path, change: Callable[[Header, Tensors], None], *, signed: bool = True
) -> Path:
    """A model file whose header and tensors somebody changed."""
    path.write_bytes(content)
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["anomalist"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    change(header, tensors)
    safetensors.torch.save_file(tensors, path, {"anomalist": json.dumps(header)})
    if signed:
        sign(path)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        anomalist.load(path)
    message = str(caught.value)
    assert str(path) in message
    return message


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code from a model file was run')",))


def torch_saved() -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, stream)
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return stream.getvalue()


ONNX = b"\x08\x0a\x12\x07pytorch\x1a\x052.5.0:\x10\x0a\x04onnx"

FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "pickle": (lambda: pickle.dumps({"a": _Evil()}), "pickles can run code"),
    "torch.save": (torch_saved, "pickles can run code"),
    "zip": (zipped, "is a zip archive"),
    "onnx": (lambda: ONNX, "is an ONNX graph"),
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"model: patchcore\n" * 999, "is a text file"),
    "png": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG image"),
    "noise": (lambda: b"\x07" + bytes(range(200, 256)) * 9, "is of an unknown kind"),
    "weights": (lambda: safetensors.torch.save({"a": torch.zeros(2)}), "something else"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_files_are_told_by_what_they_are(kind: str, tmp_path: Path) -> None:
    make, words = FOREIGN[kind]
    path = tmp_path / "part.anomalist"
    path.write_bytes(make())
    message = refused(path)
    assert words in message
    assert "fit" in message
    with pytest.raises(ModelFileError, match=words):
        model_card(path)


def test_a_folder_a_pipe_and_nothing_are_refused(tmp_path: Path) -> None:
    assert "is a folder" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for a writer for ever
    assert "is no file" in refused(tmp_path / "pipe")
    assert "no model file at" in refused(tmp_path / "gone")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused(
    share: float, models: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "part.anomalist"
    content = models["patchcore"]
    path.write_bytes(content[: int(len(content) * share)])
    assert "cut short or damaged" in refused(path)


def test_any_flipped_bit_is_refused(models: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "part.anomalist"
    content = bytearray(models["dfm"])
    rng = np.random.default_rng(0)
    header = 8 + int.from_bytes(content[:8], "little")
    for at in [*range(8), *rng.integers(header, size=150), *rng.integers(len(content), size=50)]:
        bit = 1 << int(rng.integers(8))
        content[at] ^= bit
        path.write_bytes(content)
        refused(path)
        content[at] ^= bit
    path.write_bytes(content)
    anomalist.load(path)


def test_a_newer_format_asks_for_a_newer_anomalist(
    models: dict[str, bytes], tmp_path: Path
) -> None:
    def newer(header: Header, _: Tensors) -> None:
        header["format"] = 2

    path = changed(models["dfm"], tmp_path / "part.anomalist", newer, signed=False)
    assert "update anomalist" in refused(path)


def test_every_detector_says_what_its_arrays_must_be(models: dict[str, bytes]) -> None:
    assert set(models) == set(DETECTORS)


@pytest.mark.parametrize("name", [name for name in DETECTORS if name != "ensemble"])
def test_no_array_may_be_missing_superfluous_or_of_another_shape_or_kind(
    name: str, models: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "part.anomalist"
    path.write_bytes(models[name])
    with safetensors.safe_open(path, "pt") as file:
        own = [n for n in file.keys() if n.startswith("state.")]  # noqa: SIM118
    assert own
    for array in own:
        short = array.removeprefix("state.")

        def drop(_: Header, tensors: Tensors, array: str = array) -> None:
            del tensors[array]

        def longer(_: Header, tensors: Tensors, array: str = array) -> None:
            tensors[array] = tensors[array][None].contiguous()

        def other(_: Header, tensors: Tensors, array: str = array) -> None:
            tensors[array] = tensors[array].to(torch.float64)

        def nan(_: Header, tensors: Tensors, array: str = array) -> None:
            if tensors[array].is_floating_point():
                tensors[array].fill_(float("nan"))
            else:
                tensors[array].fill_(-1)

        for change in (drop, longer, other):
            assert short.split(".")[0] in refused(changed(models[name], path, change))
        if not short.endswith("num_batches_tracked") and short != "losses_":
            assert short in refused(changed(models[name], path, nan))

    def more(_: Header, tensors: Tensors) -> None:
        tensors["state.more_"] = torch.zeros(3)

    assert "more_" in refused(changed(models[name], path, more))


def _set(*keys: Any) -> Callable[[Header, Tensors], None]:
    *holders, key, value = keys

    def change(header: Header, _: Tensors) -> None:
        place: Any = header
        for holder in holders:
            place = place[holder]
        place[key] = value

    return change


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("parameters", "image_size", 10**9), "image_size"),
        (("parameters", "image_size", 10**6), "pixels"),
        (("parameters", "image_size", 64.5), "image_size"),
        (("parameters", "sigma", "4"), "sigma"),
        (("parameters", "sigma", 1e9), "sigma"),
        (("parameters", "neighbourhood", 10**9 + 1), "neighbourhood"),
        (("parameters", "num_neighbors", True), "num_neighbors"),
        (("parameters", "seed", 2**70), "seed"),
        (("parameters", "batch_size", None), "batch_size"),
        (("parameters", "crystal", 1), "crystal"),
        (("parameters", "device", "abacus"), "device"),
        (("parameters", "device", "cuda:x"), "device"),
        (
            ("parameters", "backbone", "hf-hub:timm/resnet18.a1_in1k"),
            "isn't the name of a backbone",
        ),
        (("parameters", "backbone", "local-dir:/tmp"), "isn't the name of a backbone"),
        (("parameters", "backbone", "x" * 10**6), "isn't the name of a backbone"),
        (("parameters", "backbone", "resnet18.bogus"), "bogus"),
        (("parameters", "backbone", "resnet999"), "unknown backbone"),
        (("parameters", "backbone", "resnet18"), "aren't those of resnet18"),
        (("parameters", "backbone", "vit_giant_patch14_dinov2"), "has no layer"),
        (("backbone", "layers", []), "layers"),
        (("backbone", "layers", ["layer1", "layer1"]), "layers"),
        (("backbone", "layers", ["layer4"]), "lack"),
        (("backbone", "layers", ["x"] * 100_000), "no layer"),
        (("backbone", "weights_sha256", 3), "backbone"),
        (("state", {}), "coverage_radius_"),
        (("state", "coverage_radius_", "far"), "coverage_radius_"),
        (("calibration", 7), "calibration"),
        (("calibration", "pixel_deviation", -1.0), "pixel_deviation"),
        (("calibration", "pixel_mean", 10**400), "pixel_mean"),
        (("calibration", "method", None), "method"),
        (("summary", "alpha", 7), "alpha"),
        (("summary", "sizes", [1, 2]), "sizes"),
        (("summary", "sizes", [[0, 64, 4]]), "sizes"),
        (("summary", "scenes", 0), "scenes"),
        (("summary", "scenes", 10**9), "scenes"),
        (("summary", "looks", {"brightness": [2.0]}), "looks"),
        (("summary", "looks", {"brightness": [2.0, 1.0]}), "looks"),
        (("summary", "looks", {"brightness": [0.0, 1e30]}), "looks"),
        (("summary", "looks", {"taste": [1.0, 2.0]}), "looks"),
        (("summary", None), "summary"),
        (("summary", "more", json.loads("[" * 400 + "]" * 400)), "damaged"),
    ],
)
def test_headers_that_make_no_sense_are_refused(
    keys: tuple[Any, ...], words: str, models: dict[str, bytes], tmp_path: Path
) -> None:
    message = refused(changed(models["patchcore"], tmp_path / "part.anomalist", _set(*keys)))
    assert words in message
    assert len(message) < 1000
    with suppress(ModelFileError):  # it looks at less, and must not stumble either
        model_card(tmp_path / "part.anomalist")


@pytest.mark.usefixtures("warm_processes")
def test_huge_networks_that_a_small_file_names_get_no_memory() -> None:
    script = (
        "import resource\n"
        "import torch\n"
        "from anomalist.errors import WeightsError\n"
        "from anomalist.features import Backbone\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for name, layer in (('vit_giant_patch14_dinov2', 'blocks.1'),"
        " ('swinv2_cr_giant_384', 'stages.0'), ('vit_base_r50_s16_224', 'blocks.0')):\n"
        "    try:\n"
        "        Backbone.from_state(name, [layer], {'a': torch.zeros(1)}, '')\n"
        "    except WeightsError as error:\n"
        "        print(error)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print((after - before) // 1024)\n"
    )
    run = [sys.executable, "-c", script]
    *errors, grown = subprocess.run(
        run, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(errors) == 3
    assert int(grown) < 200  # MB; the networks would take 4,500, 10,000 and 390


@pytest.mark.parametrize(
    "header",
    [
        f'{{"sha256": "{"0" * 64}", "format": 1, "detector": {"[" * 10**5 + "]" * 10**5}}}',
        f'{{"sha256": "{"0" * 64}", "format": NaN}}',
        f'{{"sha256": "{"0" * 64}", "format": 1, "parameters": {"9" * 10_000}}}',
        '{"format": 1}',
        "[]",
        "",
    ],
)
def test_texts_that_are_no_header_are_refused(header: str, tmp_path: Path) -> None:
    path = tmp_path / "part.anomalist"
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, {"anomalist": header})
    if "sha256" in header:
        sign(path)
    assert "damaged" in refused(path)


@pytest.mark.parametrize(
    "members",
    [
        [],
        ["patchcore"],
        ["patchcore", "ensemble"],
        ["patchcore"] * 10**5,
        [{"detector": "patchcore", "sigma": "x"}, "padim"],
        [7, "padim"],
        "patchcore",
    ],
)
def test_ensembles_whose_members_make_no_sense_are_refused(
    members: Any, models: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "part.anomalist"
    refused(changed(models["ensemble"], path, _set("parameters", "members", members)))


@pytest.mark.parametrize(
    ("depth", "words"), [(1, "an ensemble can't be a member"), (10, "can't be"), (300, "damaged")]
)
def test_nested_ensembles_are_refused(
    depth: int, words: str, models: dict[str, bytes], tmp_path: Path
) -> None:
    nested: Any = "patchcore"
    for _ in range(depth):
        nested = {"detector": "ensemble", "members": [nested]}
    change = _set("parameters", "members", [nested, "padim"])
    assert words in refused(changed(models["ensemble"], tmp_path / "part.anomalist", change))


def test_members_must_be_those_that_the_header_names(
    models: dict[str, bytes], tmp_path: Path
) -> None:
    def swapped(header: Header, _: Tensors) -> None:
        header["members"].reverse()

    path = changed(models["ensemble"], tmp_path / "part.anomalist", swapped)
    assert "its members aren't patchcore, padim" in refused(path)


def test_a_device_that_is_not_there_names_the_way_out(
    models: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = changed(models["dfm"], tmp_path / "part.anomalist", _set("parameters", "device", "cuda"))
    assert "--device cpu" in refused(path)
    loaded = anomalist.load(path, device="cpu")
    assert loaded.device == "cpu"
    grey = tmp_path / "grey.png"
    Image.new("RGB", (32, 32), (99, 99, 99)).save(grey)
    arguments = ["predict", str(path), str(grey), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    assert main([*arguments, "--device", "cpu"]) == 0
    assert np.isfinite(loaded.predict(ImageSet([Sample(grey)])).scores).all()
    # What was fitted with auto takes what there is.
    path.write_bytes(models["dfm"])
    assert anomalist.load(path).device == "auto"
    with pytest.raises(ParameterError, match="no cuda device"):
        anomalist.load(path, device="cuda")


@pytest.mark.parametrize("command", ["info", "predict", "evaluate", "export"])
def test_commands_tell_in_one_line(
    command: str, tmp_path: Path, dots: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "part.anomalist"
    more = {
        "info": [],
        "predict": [str(dots), "--out", str(tmp_path / "o")],
        "evaluate": [str(dots)],
        "export": ["--out", str(tmp_path / "o.onnx")],
    }[command]
    for make, words in FOREIGN.values():
        path.write_bytes(make())
        assert main([command, str(path), *more]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
        assert str(path) in line
        assert "Traceback" not in line


def test_what_a_card_shows_moves_no_terminal(models: dict[str, bytes], tmp_path: Path) -> None:
    path = changed(
        models["dfm"], tmp_path / "part.anomalist", _set("summary", "name", "a\x1b[2J\n\ud800é")
    )
    assert model_card(path)["training"]["name"] == "a\\x1b[2J\\n\\ud800é"
    with pytest.raises(ModelFileError, match="backbone"):
        model_card(changed(models["dfm"], path, _set("backbone", {})))


def test_a_file_that_is_overwritten_changes_no_loaded_detector(
    models: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "part.anomalist"
    path.write_bytes(models["spade"])
    detector = anomalist.load(path)
    grey = tmp_path / "grey.png"
    Image.new("RGB", (32, 32), (99, 99, 99)).save(grey)
    expected = detector.predict(ImageSet([Sample(grey)])).maps
    with path.open("r+b") as file:
        file.write(bytes(len(models["spade"])))
        file.truncate(10)
    assert np.array_equal(detector.predict(ImageSet([Sample(grey)])).maps, expected)


def test_saved_twice_is_the_same_bytes(models: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "part.anomalist"
    for content in models.values():
        path.write_bytes(content)
        anomalist.load(path).save(path)
        assert path.read_bytes() == content


def test_backbones_of_all_kinds_are_made_again() -> None:
    """Also those whose constructors compute with weights, or that no file keeps all of."""
    image = np.full((1, 224, 224, 3), 99, np.uint8)
    for name, layer in (
        ("swin_tiny_patch4_window7_224", "stride8"),
        ("vit_tiny_patch16_224", "blocks.1"),
        ("swinv2_cr_tiny_ns_224", "stride8"),
    ):
        torch.manual_seed(0)
        first = _untrained(name, layer)
        again = Backbone.from_state(name, first.layers, first.state(), "")
        assert torch.equal(first(image)[0], again(image)[0])
        assert again.shapes(224, 224) == [tuple(first(image)[0].shape[1:])]


def _untrained(name: str, layer: str) -> Backbone:
    import tempfile

    import timm

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        safetensors.torch.save_file(timm.create_model(name).state_dict(), path)
        return Backbone(name, [layer], weights=path)


def test_kinds_and_layouts() -> None:
    assert conforms(np.int64(3), int)
    assert conforms(np.float32(3), float)
    assert not conforms(10**400, float)
    assert not conforms(True, int)
    assert conforms({"a": [1, "x"]}, {"a": tuple[int, str]})
    assert not conforms({"a": [1]}, {"a": tuple[int, str]})
    layout = {"a": Layout(np.float32, ("n",)), "b": Layout(np.int64, ("n",), minimum=0, below=9)}
    a, b = np.zeros(3, np.float32), np.arange(3)
    check_state({"a": a, "b": b}, layout)
    for state in ({"a": a}, {"a": a, "b": b[:2]}, {"a": a, "b": b - 1}, {"a": a, "b": b + 7}):
        with pytest.raises(ModelFileError):
            check_state(state, layout)
    with pytest.raises(ModelFileError, match="alpha"):
        checked_summary({"alpha": "0.5"})
    assert set(SUMMARY) >= {"alpha", "known_images"}


def test_a_reference_is_checked_and_early_files_lack_it(tmp_path: Path) -> None:
    good = [_ramp() // 4 + np.uint8(level) for level in range(40, 100, 5)]
    detector = anomalist.PatchCore(image_size=32, device="cpu").fit(good)
    detector.calibrate(good)
    detector.save(tmp_path / "new.anomalist")
    whole = (tmp_path / "new.anomalist").read_bytes()
    loaded = anomalist.load(tmp_path / "new.anomalist")
    assert loaded.reference_ is not None
    assert detector.reference_ is not None
    assert loaded.reference_.state() == detector.reference_.state()

    early = changed(whole, tmp_path / "early", lambda header, _: header.pop("reference"))
    assert anomalist.load(early).reference_ is None
    for garbled in ([], {"names": ["brightness"]}, {**header_of(whole, tmp_path), "near": "far"}):
        path = changed(whole, tmp_path / "bad", lambda h, _, g=garbled: h.update(reference=g))
        assert "reference" in refused(path)
    rows = {**header_of(whole, tmp_path), "rows": [[1.0]]}
    assert "rows" in refused(
        changed(whole, tmp_path / "bad", lambda h, _: h.update(reference=rows))
    )


def _ramp() -> np.ndarray[Any, Any]:
    return np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint8)


def header_of(content: bytes, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    changed(content, folder / "read", lambda header, _: found.update(header["reference"]))
    return found
