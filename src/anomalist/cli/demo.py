"""``anomalist demo``: draw the sample set, run quick detectors and an ensemble on it, report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.cli.signatures import detector_signatures

if TYPE_CHECKING:
    from anomalist.benchmark import RunRecord
    from anomalist.detectors import Detector

# PaDiM comes first: after an installation PatchCore compiles its search, for many seconds. The
# ensemble takes over what the two fitted.
QUICK = ("padim", "patchcore", "ensemble")
_CATEGORIES = ("woven_fabric", "brass_key", "bottle_mouth")
# Few enough for the first minutes with anomalist, enough for a threshold of 5 % false alarms.
_IMAGES = {"train": 36, "good": 10, "per_defect": 3}
# Of no more pixels than the photographs of the sample set have.
_SHORT = {"image_size": 256, "meta_epochs": 30, "epochs": 5}


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument(
        "--out", type=str, default="anomalist-demo", metavar="FOLDER", help="the results folder"
    )
    arguments.add_argument("--seed", type=int, default=0, help="of the sample set and detectors")
    arguments.add_argument(
        "--all",
        action="store_true",
        help=f"run every detector, not {', '.join(QUICK)} alone; those that train, train briefly",
    )
    arguments.add_argument(
        "--serve",
        action="store_true",
        help="instead, fit models to the sample set and have a server inspect parts that come by,"
        " to look at its page",
    )
    arguments.add_argument("--port", type=int, default=8000, help="of that server; 0 for any free")
    return arguments


def quick(detector: type[Detector], seed: int) -> Detector:
    """Make a detector at its defaults, but for a small input, and a short training if any."""
    own = {field.name for field in dataclasses.fields(detector)}
    short: dict[str, Any] = {name: value for name, value in _SHORT.items() if name in own}
    return detector(seed=seed, **short)


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    if arguments.serve:
        from anomalist.cli.demo_line import serve_demo

        seed, port = arguments.seed, arguments.port
        serve_demo(Path(arguments.out), _CATEGORIES, _IMAGES, output, seed=seed, port=port)
        return
    from anomalist.benchmark import RunStore, benchmark
    from anomalist.cli.progress import BenchmarkProgress
    from anomalist.cli.table import print_summary, print_table
    from anomalist.data import MVTecAD, make_sample_set
    from anomalist.detectors import DETECTORS
    from anomalist.features import FeatureStore

    out = Path(arguments.out)
    names = [*QUICK, *(n for n in DETECTORS if arguments.all and n not in QUICK)]
    detectors = [quick(DETECTORS[name], arguments.seed) for name in names]
    store = FeatureStore()
    shown: list[RunRecord] = []

    def show_first(record: RunRecord) -> None:
        if not shown:
            shown.append(record)
            print_table(shown, output)
            heatmaps = out.resolve() / record.detector / f"{record.category}_heatmaps.png"
            output.result(f"heatmaps: {heatmaps}")

    for category in _CATEGORIES:
        output.note(f"drawing {category}")
        data = make_sample_set(
            out / "sample_data", seed=arguments.seed, categories=[category], **_IMAGES
        )
        with BenchmarkProgress(output, out, after=show_first) as progress:
            benchmark(
                MVTecAD(data),
                detectors,
                out,
                categories=[category],
                seeds=(arguments.seed,),
                store=store,
                watcher=progress,
                command=arguments.command_line,
            )
    print_summary(RunStore(out).inventory().records, out, output)
    left = [name for name in detector_signatures() if name not in names]
    if left:
        output.result(
            f"left out, to be done sooner: {', '.join(left)}; anomalist demo --all runs them too"
        )
