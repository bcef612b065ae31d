from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentError

from anomalist.cli import benchmark, fit
from anomalist.cli.building import build_detectors
from anomalist.cli.main import main
from anomalist.cli.names import choices_of, entries_of
from anomalist.cli.output import Output
from anomalist.detectors import DETECTORS, Detector, Ensemble
from anomalist.errors import ParameterError


def built(*arguments: str) -> dict[str, Detector]:
    return build_detectors(benchmark.parser().parse_args(["data", *arguments]), Output())


def test_each_name_is_a_detector_with_flags_of_its_own() -> None:
    made = built(
        *("--detectors", "patchcore,small=patchcore,v1.5=padim", "--image_size", "128"),
        *("--small.coreset_ratio", "0.01", "--v1.5.dimensions=20", "--v1.5.image_size", "64"),
    )
    assert [(name, d.name, d.image_size) for name, d in made.items()] == [
        ("patchcore", "patchcore", 128),
        ("small", "patchcore", 128),
        ("v1.5", "padim", 64),
    ]
    assert made["patchcore"].coreset_ratio == 0.05
    assert made["small"].coreset_ratio == 0.01
    assert made["v1.5"].dimensions == 20


def test_a_flag_of_a_detector_holds_for_all_of_its_kind() -> None:
    made = built(
        *("--detectors", "a=patchcore,b=patchcore", "--patchcore.sigma", "2", "--b.sigma", "3"),
        *("--batch_size", "4", "--patchcore.batch_size", "2"),
    )
    assert [(d.sigma, d.batch_size) for d in made.values()] == [(2, 2), (3, 2)]


def test_ensembles_join_what_is_named() -> None:
    made = built(
        *("--detectors", "small=patchcore,both=small+padim,patchcore+patchcore"),
        *("--small.coreset_ratio", "0.01", "--ensemble.combine", "max", "--both.combine", "mean"),
        *("--small.image_size", "64", "--padim.image_size", "64"),
    )
    both, twice = made["both"], made["patchcore+patchcore"]
    assert isinstance(both, Ensemble)
    assert isinstance(twice, Ensemble)
    small, padim = both.members
    assert isinstance(small, Detector)
    assert isinstance(padim, Detector)
    assert (small.name, small.coreset_ratio, padim.name) == ("patchcore", 0.01, "padim")
    assert (both.combine, both.image_size, twice.combine) == ("mean", 64, "max")
    assert [m.seed for m in twice.members if isinstance(m, Detector)] == [0, 1]


@pytest.mark.parametrize(
    "text",
    [
        """
        detectors: {patchcore: , small: {detector: patchcore, coreset_ratio: 1e-2}, p: padim}
        patchcore: {sigma: 2}
        """,
        """
        detectors: [patchcore, small=patchcore, p=padim]
        small: {coreset_ratio: 0.01}
        patchcore: {sigma: 2}
        """,
        """
        detectors: patchcore,small=patchcore,p=padim
        small.coreset_ratio: 0.01
        patchcore:
          sigma: 2
        """,
    ],
)
def test_a_file_names_them_too(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text.replace("\n        ", "\n"))
    made = built("--config", str(file), "--p.dimensions", "7")
    assert list(made) == ["patchcore", "small", "p"]
    assert [made[n].sigma for n in ("patchcore", "small")] == [2, 2]
    assert (made["small"].coreset_ratio, made["p"].dimensions) == (0.01, 7)
    only = built(f"--config={file}", "--detectors", "small=patchcore", "--small.coreset_ratio=0.5")
    assert [d.coreset_ratio for d in only.values()] == [0.5]


def test_help_shows_the_flags_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["benchmark", "--detectors", "small=patchcore", "--help"])
    out = capsys.readouterr().out
    assert "settings of small (patchcore)" in out
    assert re.search(r"--small.coreset_ratio NUMBER\n +Share of the patches", out)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("--detectors small=patchcore --small.coreset_rato 1", 2, "did you mean --small.coreset"),
        ("--patchcor.sigma 1", 2, "did you mean --patchcore.sigma?"),
        ("--detektors padim", 2, "did you mean --detectors?"),
        ("--small.sigma 1", 2, "no detector is called small: --detectors small="),
        ("--patchcore.nothing 1", 2, "unrecognized arguments: --patchcore.nothing 1 (anomalist"),
        ("--detectors small=patchcro", 1, "no detector 'patchcro'; did you mean patchcore?"),
        ("--detectors a=padim,a=dfm", 1, "detector a is named twice"),
        ("--detectors padim=dfm", 1, "the name padim is taken by the detector"),
        ("--detectors store=dfm", 1, "the name store is taken by a flag"),
        ("--detectors seed=dfm", 1, "the name seed is taken by a flag"),
        ("--detectors patchcore.sigma=dfm", 1, "is taken by a flag"),
        ("--detectors v1.sigma=patchcore,v1=patchcore", 1, "is taken by a flag"),
        ("--detectors ../up=dfm", 1, "'../up' can't be the name"),
        ("--detectors .up=dfm", 1, "'.up' can't be the name"),
        ("--detectors up.=dfm", 1, "'up.' can't be the name"),
        ("--detectors =dfm", 1, "'' can't be the name"),
        ("--detectors ü=dfm", 1, "can't be the name"),
        ("--detectors a=dfm,b=a", 1, "b=a must name a detector"),
        ("--detectors a=dfm+padim,b=a+dfm", 1, "b can't join a, an ensemble itself"),
        ("--detectors b=oracle+dfm,oracle", 1, "no detector 'oracle'; there are"),
        ("--detectors oracle", 1, "no detector 'oracle'; there are"),
        ("--detectors a=", 1, "no detector ''"),
    ],
)
def test_wrong_names_are_told_in_one_line(
    arguments: str, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", "data", *arguments.split()]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err
    assert err.count("did you mean") <= 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("detectors: {small: 5}", "detectors: small must hold hyperparameters by name, not 5"),
        ("detectors: {small: {detector: patchcro}}", "no detector 'patchcro'"),
        ("detectors: {small: {detector: padim, sigam: 1}}", "'small.sigam'"),
        ("detectors: {a: {detector: padim, sigma: 1}}\na: {sigma: 2}", "in two places"),
        ("detectors: {a: {detector: padim}}\na: 5", "a must hold hyperparameters by name, not 5"),
    ],
)
def test_wrong_files_are_told_in_one_line(
    text: str, words: str, dots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    arguments = ["--config", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "out")]
    assert main(["benchmark", str(dots), *arguments]) in (1, 2)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert words in err


def test_fit_takes_one_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "small=patchcore", "--data", "x", "--out", "y"]) == 1
    assert "which needs no name" in capsys.readouterr().err
    arguments = fit.parser().parse_args(["dfm+padim", "--data", "x", "--out", "y"])
    arguments.detectors = (arguments.detector,)
    assert list(build_detectors(arguments, Output())) == ["dfm+padim"]


def test_all_detectors_are_the_default() -> None:
    assert list(built()) == list(DETECTORS)


def test_a_preset_sets_those_that_have_it_and_says_which_it_leaves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = built(
        "--detectors", "patchcore,glass,both=patchcore+padim", "--preset", "wide_resnet50_2"
    )
    told = capsys.readouterr().err
    assert told == (
        "preset wide_resnet50_2 sets patchcore, padim; glass has none of that name and stays at"
        " its defaults, on efficientnet_lite0 (--glass.preset takes baseline, fast, paper)\n"
    )
    both = made["both"]
    assert isinstance(both, Ensemble)
    assert made["patchcore"].backbone == "wide_resnet50_2"
    backbones = [m.backbone for m in both.members if isinstance(m, Detector)]
    assert backbones == ["wide_resnet50_2"] * 2
    built("--detectors", "patchcore,padim", "--preset", "wide_resnet50_2")
    assert capsys.readouterr().err == ""


def test_each_name_may_have_a_preset_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = built(
        *("--detectors", "patchcore,small=patchcore,glass,plain=padim", "--preset", "resnet18"),
        *("--small.preset", "wide_resnet50_2", "--small.image_size", "512"),
        *("--glass.preset", "fast"),
    )
    assert {n: d.backbone for n, d in made.items()} == {
        "patchcore": "resnet18",
        "small": "wide_resnet50_2",
        "glass": "efficientnet_lite0",
        "plain": "resnet18",
    }
    assert made["small"].image_size == 512
    assert capsys.readouterr().err == ""
    file = tmp_path / "c.yaml"
    sections: dict[str, Any] = {"small": {"detector": "patchcore", "preset": "resnet18"}}
    file.write_text(yaml.safe_dump({"detectors": sections}))
    (small,) = built("--config", str(file)).values()
    assert small.backbone == "resnet18"
    with pytest.raises(ParameterError, match="glass has no preset 'fats'; did you mean fast"):
        built("--detectors", "glass", "--glass.preset", "fats")
    with pytest.raises(ParameterError, match="no preset 'fast' for patchcore, padim"):
        built("--detectors", "patchcore,padim", "--preset", "fast")


def test_a_later_detectors_flag_wins() -> None:
    assert list(built("--detectors", "oracle", "--detectors", "padim")) == ["padim"]


def test_names_are_handed_on_to_the_benchmark(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def stop(*arguments: Any, **_: Any) -> None:
        seen.append(arguments[1])
        raise KeyboardInterrupt

    monkeypatch.setattr("anomalist.benchmark.benchmark", stop)
    arguments = ["--detectors", "a=dfm,b=dfm", "--a.pca_level", "0.5"]
    assert main(["benchmark", str(dots), "--out", str(tmp_path), *arguments]) == 130
    given = list(seen[0].values()) if isinstance(seen[0], dict) else seen[0]
    assert [d.pca_level for d in given] == [0.5, 0.97]


def test_what_is_split_is_what_was_written() -> None:
    with pytest.raises(ParameterError, match="must hold"):
        entries_of({"a": [1]})
    assert entries_of({"a+b": None, "c": "d+e"}) == (["a+b", "c=d+e"], {})
    assert list(choices_of([" a = x ", "x"], ["x"])) == ["a", "x"]
    with pytest.raises(ArgumentError):
        built("--detectors", "a,,b")
