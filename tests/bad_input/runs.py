"""Outputs that can't be written, results that are damaged, runs that are stopped."""

from __future__ import annotations

from tests.bad_input.case import (
    FILLING,
    Case,
    benchmark,
    both,
    content,
    evaluate,
    fit,
    many,
    parts,
    predict,
    results,
    used,
    whole_lines,
)

OUTPUTS = [
    Case(
        "an output folder that is a file",
        "predict model.anomalist photos --out taken",
        "anomalist: error: taken/predictions.csv: Not a directory",
        1,
        content("taken", "kept"),
    ),
    Case(
        "an output folder below a file",
        "evaluate model.anomalist photos --out taken/out",
        "anomalist: error: taken/out/metrics.json: Not a directory",
        1,
        content("taken", "kept"),
    ),
    benchmark(
        "an output folder that is a file",
        "--out taken",
        "anomalist: error: taken/results.csv: Not a directory",
        1,
        both(parts, content("taken", "kept")),
    ),
    fit(
        "an output below a file",
        "--out taken/new.anomalist",
        "anomalist: error: taken/new.anomalist: Not a directory",
        1,
        both(parts, content("taken", "kept")),
    ),
    fit(
        "an output that is a folder",
        "--out photos",
        "anomalist: error: photos is a folder: name the file to write, such as part.anomalist",
        1,
    ),
    fit(
        "an output in the folder of images",
        "--out parts/new.anomalist",
        "anomalist: error: parts/new.anomalist lies in the folder of images parts, where"
        " pictures that are written would be taken for parts: choose another place",
        1,
    ),
    benchmark(
        "an output in the folder of images",
        "--out parts/results",
        "anomalist: error: parts/results lies in the folder of images parts, where pictures"
        " that are written would be taken for parts: choose another place",
        1,
    ),
    Case(
        "an output in the folder of images",
        "synthesize photos --out photos/sheet.png",
        "anomalist: error: photos/sheet.png lies in the folder of images photos, where pictures"
        " that are written would be taken for parts: choose another place",
        1,
    ),
    Case(
        "an output in the folder of photographs, whose pictures aren't taken for photographs later",
        "predict model.anomalist photos --out photos",
        "2 images: 1 anomalous, 1 normal",
        0,
    ),
    fit(
        "an output in a folder that isn't there: it is made",
        "--out new/new.anomalist",
        "model: new/new.anomalist (... MB)",
        0,
        lambda here: parts(here, 2, 0),
    ),
    Case(
        "an output below a file",
        "export model.anomalist --out taken/new.onnx",
        "anomalist: error: taken/new.onnx: Not a directory",
        1,
        content("taken", "kept"),
    ),
    Case(
        "an output below a file",
        "synthesize photos --out taken/sheet.png",
        "anomalist: error: taken/sheet.png: Not a directory",
        1,
        content("taken", "kept"),
    ),
    predict(
        "a full disk (here: files of 0 bytes at most)",
        "photos",
        "anomalist: error: out/...: File too large",
        1,
        fsize=0,
        leaves=("out", "out/*"),
    ),
    Case(
        "a disk that fills up: whole lines stay, and the same command goes on",
        FILLING,
        "anomalist: error: out/predictions.jsonl: File too large",
        1,
        many,
        fsize=1500,
        leaves=("out", "out/*"),
        after=whole_lines,
    ),
    fit(
        "a full disk: the model that was there stays",
        "",
        "anomalist: error: new.anomalist: ...File too large...",
        1,
        lambda here: (parts(here, 2, 0), content("new.anomalist", "kept")(here)),
        fsize=20_000,
    ),
    evaluate(
        "a full disk",
        "anomalist: error: out/metrics.json: File too large",
        1,
        parts,
        fsize=10,
        leaves=("out",),
    ),
    Case(
        "a full disk",
        "synthesize photos --out sheet.png",
        "anomalist: error: sheet.png: File too large",
        1,
        fsize=1000,
    ),
    Case(
        "a full disk",
        "export model.anomalist --out new.onnx",
        "anomalist: error: new.onnx: File too large",
        1,
        fsize=100_000,
    ),
    Case(
        "no place for scratch files",
        "fit spade --data parts --out new.anomalist",
        "anomalist: error: ...taken/...: Not a directory",
        1,
        both(parts, content("taken", "kept")),
        temporary="taken",
    ),
    Case(
        "no place for scratch files, where none are needed",
        "predict ./model.anomalist photos --out out",
        "2 images: 1 anomalous, 1 normal",
        0,
        content("taken", "kept"),
        temporary="taken",
    ),
]


USED = ": add to them with --append, replace them with --overwrite, or choose another folder"

RESULTS = [
    Case(
        "results of other inputs in the output folder",
        "predict model.anomalist many --out out",
        f"anomalist: error: out holds results of other inputs (...photos){USED}",
        1,
        both(many, used()),
    ),
    Case(
        "results at another threshold in the output folder",
        "predict model.anomalist photos --out out --threshold 7",
        f"anomalist: error: out holds results of another threshold{USED}",
        1,
        used(),
    ),
    Case(
        "the same command again: nothing is scored twice",
        "predict model.anomalist photos --out out",
        "2 images (2 of them before): 1 anomalous, 1 normal",
        0,
        used(),
    ),
    Case(
        "a page of that name that isn't of anomalist",
        "predict model.anomalist photos --out out",
        "anomalist: error: out/index.html is there, and is no page of anomalist: choose another"
        " folder, or leave the page out with --no_page",
        1,
        content("out/index.html", "mine"),
    ),
    Case(
        "a table that predict didn't write",
        "predict model.anomalist photos --out out",
        "anomalist: error: out/predictions.csv is there, but no .anomalist-results beside it that"
        " tells of which call: choose another folder, or replace what is there with --overwrite",
        1,
        content("out/predictions.csv", "mine"),
    ),
    Case(
        "a damaged row",
        "predict model.anomalist photos --out out",
        "anomalist: error: line 1 of out/predictions.jsonl isn't a row as it was written: remove"
        " the line, or replace all with --overwrite",
        1,
        both(used(), content("out/predictions.jsonl", "{\n")),
        leaves=("out/*",),
    ),
    Case(
        "both to keep and to remove",
        "predict model.anomalist photos --out out --append --overwrite",
        "anomalist: error: --append keeps what --overwrite removes: give one of them",
        1,
    ),
    Case(
        "no image from standard input, but the start of one",
        "predict model.anomalist - --out out",
        "failed: standard-input ...",
        3,
        stdin=b"\x89PNG\r\n\x1a\n\0\0",
    ),
    Case(
        "a results folder that isn't there",
        "report gone",
        "anomalist: error: gone holds no run records (looked for gone/runs/*/*.json)",
        1,
    ),
    Case(
        "a torn run record",
        "report results",
        "anomalist: error: results/runs/patchcore/dot_seed0.json isn't a run record of this"
        " version: delete it, and the run is done again",
        1,
        results,
    ),
    Case(
        "a run record with values of other types",
        "report results",
        "anomalist: error: results/runs/patchcore/dot_seed0.json isn't a run record of this"
        " version: delete it, and the run is done again",
        1,
        both(results, content("results/runs/patchcore/dot_seed0.json", '{"detector": 5}')),
    ),
]


# What happens to processes: each runs in a function below, not by its command alone.
STOPPED = Case(
    "Ctrl-C while it predicts: what is done stays, and the same command goes on",
    "predict model.anomalist many --out out",
    "anomalist: error: stopped; the same command goes on from what is finished",
    130,
)
KILLED = Case(
    "SIGKILL while it predicts: the same command goes on, and no line is torn",
    "predict model.anomalist many --out out",
    "",
    -9,
)
UNHEARD = Case("a reader that goes away", "info model.anomalist | true", "", 141)
CLOSED = Case(
    "standard input that is closed",
    "predict model.anomalist - --out out <&-",
    "anomalist: error: there is no standard input to read paths from",
    1,
)
FULL = Case(
    "standard output on a full disk",
    "info model.anomalist > /dev/full",
    "anomalist: error: standard output: No space left on device",
    1,
)
VANISHED = Case(
    "a photograph that vanishes between listing and reading",
    "predict model.anomalist photos --out out",
    "failed: there is no file photos/good.png",
    3,
)
IN_USE = Case(
    "an output folder that another process writes to",
    "predict model.anomalist photos --out out",
    "anomalist: error: out is in use by process ...: stop it or choose another folder",
    1,
)
PROCESSES = [IN_USE, STOPPED, KILLED, UNHEARD, CLOSED, FULL, VANISHED]

CASES = [*OUTPUTS, *RESULTS]
