"""``anomalist fit DETECTOR --data FOLDER --out FILE.anomalist``: learn from good images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.building import build_detectors
from anomalist.cli.cluster import add_ray, check_workers
from anomalist.cli.folders import add_folder_options, folder_options
from anomalist.cli.hyperparameters import add_hyperparameters
from anomalist.cli.options import add_groups, add_split, section
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.cli.signatures import constant, detector_signatures
from anomalist.digits import duration, shown
from anomalist.errors import ParameterError

if TYPE_CHECKING:
    from anomalist.detectors import Detector
    from anomalist.inspection import FitResult


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument(
        "detector",
        type=str,
        help=f"{', '.join(detector_signatures())}; patchcore+padim joins the two; auto chooses",
    )
    arguments.add_argument(
        "--data",
        type=str,
        required=True,
        help="folder of good images; or of good/ (ok, gut, ...) and a folder a kind of defect, held"
        " out to test on; or in the layout of MVTec AD, VisA and their like",
    )
    arguments.add_argument(
        "--out", type=str, default=None, help="the model file to write, such as part.anomalist"
    )
    arguments.add_argument(
        "--add",
        type=str,
        default=None,
        metavar="FOLDER",
        help="more good images, such as newer ones, to learn from as well; from 20 on they alone"
        " set the threshold",
    )
    arguments.add_argument("--category", type=str, default=None, help="which, if there are several")
    add_folder_options(arguments)
    arguments.add_argument(
        "--dry_run",
        action="store_true",
        help="print what the images are taken for, and stop",
    )
    arguments.add_argument(
        "--alpha",
        type=float,
        default=constant("anomalist.calibration", "DEFAULT_ALPHA"),
        help="false-alarm rate of the threshold",
    )
    add_groups(arguments)
    add_split(arguments)
    _add_choosing(arguments)
    _add_shards(arguments)
    arguments.add_argument("--seed", type=int, default=0, help="seed of everything random")
    add_hyperparameters(arguments)
    return arguments


def _add_choosing(arguments: ArgumentParser) -> None:
    """Add the options of a detector that chooses itself."""
    group = section(arguments, "fit auto")
    group.add_argument(
        "--budget",
        type=str,
        default=None,
        metavar="TIME",
        help="the time that choosing, fitting and calibrating may take, such as 90s, 5min or 1h"
        f" (default: {constant('anomalist.choosing', 'DEFAULT_BUDGET')})",
    )
    group.add_argument(
        "--most_ms",
        type=float,
        default=None,
        help="milliseconds that an image may take here: what is slower isn't chosen (default: any)",
    )


def _add_shards(arguments: ArgumentParser) -> None:
    """Add the options of a fit to very many images, shard by shard."""
    group = section(arguments, "very many images")
    group.add_argument(
        "--shards",
        type=int,
        default=None,
        help="for very many images: fit patchcore, padim or dfm to so many shards of them one by"
        " one, and put these together (default: none; with --ray as many as there are nodes)",
    )
    group.add_argument(
        "--calibrate_images",
        type=int,
        default=None,
        help="images that are drawn and held out of the shards to calibrate (default: 1000, or"
        " three in ten where that is less)",
    )
    group.add_argument(
        "--memory_limit_mb",
        type=int,
        default=None,
        help="the same as of the detector, such as --patchcore.memory_limit_mb: the ceiling of a"
        " fit's memory, and with shards of each worker's",
    )
    add_ray(arguments, "do the shards", cpus="those of the smallest node")


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    if arguments.dry_run:
        _describe(arguments, output)
        return
    if arguments.out is None:
        raise ParameterError("fit needs --out FILE, the model file to write; or --dry_run")
    from anomalist.choosing import Auto, seconds_of
    from anomalist.cli.progress import GOES_ON, StageProgress
    from anomalist.data.names import existing
    from anomalist.inspection import add_parts, fit_parts, open_parts
    from anomalist.inspection.fit_result import unfinished_training

    if "=" in arguments.detector:
        raise ParameterError(
            f"fit takes one detector, which needs no name: not {arguments.detector}"
        )
    arguments.detectors = (arguments.detector,)
    (detector,) = build_detectors(arguments, output, strict=True).values()
    detector = dataclasses.replace(detector, seed=arguments.seed)
    detector = _choosing(detector, arguments)
    if arguments.memory_limit_mb is not None:
        detector = _within(detector, arguments.memory_limit_mb)
    if _by_shards(arguments):
        _fit_shards(detector, arguments, output)
        return
    parts = open_parts(arguments.data, arguments.category, **folder_options(arguments))
    if arguments.add is not None:
        # Newer photographs of one category lie in a folder without any.
        named = arguments.category
        if named is not None and not (existing(arguments.add) / named).is_dir():
            named = None
        more = open_parts(arguments.add, named, **folder_options(arguments))
        parts = add_parts(parts, more)
    output.note(parts.describe())
    for text in parts.notes:
        output.warn(text)

    if isinstance(detector, Auto):
        output.note(
            f"auto: {len(detector.candidates())} candidates, judged by defects made on the good"
            f" images, within {duration(seconds_of(detector.budget))}"
        )

    def estimate(seconds: float) -> None:
        from anomalist.data.names import plural

        if isinstance(detector, Auto):
            output.note(f"fitting what was chosen takes roughly {duration(max(seconds, 5))}")
            return
        more = ", and trainings, of which the bar tells the time left" if detector.trains else ""
        transform, preparation = detector.planned(parts.train)
        height, width = transform.output_size
        tiles = preparation.tiles
        cut = "" if tiles is None else f" in {plural(len(tiles), 'tile')}"
        plan = _plan(detector, f"{width} x {height} pixels{cut}")
        output.note(f"{plan}; this takes roughly {duration(max(seconds, 5))}{more}")

    with StageProgress(output) as progress:
        try:
            result = fit_parts(
                detector,
                parts,
                arguments.out,
                alpha=arguments.alpha,
                groups=" ".join(arguments.groups),
                split=arguments.split,
                progress=progress,
                estimate=estimate,
            )
        except KeyboardInterrupt as stop:
            if unfinished_training(Path(arguments.out)):
                stop.add_note(GOES_ON)
            raise
    _show(result, output)
    output.fields |= {**result.as_dict(), "parts": parts.as_dict()}


def _choosing(detector: Detector, arguments: Namespace) -> Detector:
    """Return the detector, if it chooses itself within what the arguments allow.

    Raises
    ------
    ParameterError
        If it doesn't, and the arguments say how.
    """
    from anomalist.choosing import Auto

    given = {n: arguments[n] for n in ("budget", "most_ms") if arguments[n] is not None}
    if not given or isinstance(detector, Auto):
        return dataclasses.replace(detector, **given)
    raise ParameterError(
        f"--{next(iter(given))} is for fit auto, which chooses a detector: {detector.label} is one"
    )


def _within(detector: Detector, memory_limit_mb: int) -> Detector:
    """Return the detector with another ceiling of memory.

    Raises
    ------
    ParameterError
        If it has none.
    """
    if "memory_limit_mb" not in detector.parameters():
        raise ParameterError(
            f"{detector.label} has no memory_limit_mb: what it holds doesn't hang on a ceiling"
        )
    settings: dict[str, Any] = {"memory_limit_mb": memory_limit_mb}
    return dataclasses.replace(detector, **settings)


def _by_shards(arguments: Namespace) -> bool:
    """Whether the fit is by shards; refuse what goes only with the other one.

    Raises
    ------
    ParameterError
        It says which flag.
    """
    check_workers(arguments)
    if arguments.ray is not None or arguments.shards is not None:
        for flag, instead in (
            ("add", "put the images into one folder"),
            ("split", "--calibrate_images says how many are held out"),
        ):
            if arguments[flag] is not None:
                raise ParameterError(f"--{flag} doesn't go with --shards or --ray: {instead}")
        return True
    if arguments.calibrate_images is not None:
        raise ParameterError(
            "--calibrate_images is for --shards and --ray; else --split holds a share out"
        )
    return False


def _fit_shards(detector: Detector, arguments: Namespace, output: Output) -> None:
    """Fit by shards, here or on a cluster."""
    from functools import partial

    from anomalist.cli.progress import StageProgress
    from anomalist.inspection import fit_shards, open_parts

    parts = open_parts(arguments.data, arguments.category, **folder_options(arguments), read=False)
    output.note(parts.describe())
    for text in parts.notes:
        output.warn(text)
    with StageProgress(output) as progress:
        fit = partial(
            fit_shards,
            detector,
            parts,
            arguments.out,
            alpha=arguments.alpha,
            groups=" ".join(arguments.groups),
            calibrate_images=arguments.calibrate_images,
            progress=progress,
        )
        height, width = detector.transform.output_size
        plan = _plan(detector, f"about {width} x {height} pixels")
        if arguments.ray is None:
            output.note(f"{plan}, shard by shard ({arguments.shards})")
            result = fit(shards=arguments.shards)
        else:
            from anomalist.cluster import connected
            from anomalist.inspection.shards_on_ray import RayShards

            with connected(arguments.ray) as ray:
                run = RayShards(
                    ray,
                    (parts.root,),
                    arguments.worker_cpus,
                    arguments.worker_gpus,
                    arguments.worker_memory_mb,
                )
                shards = arguments.shards or max(1, min(len(run.nodes), len(parts.train) - 1))
                output.note(f"{plan}, {shards} shards on {arguments.ray}")
                result = fit(shards=shards, run=run)
    _show(result, output)
    output.fields |= {**result.as_dict(), "parts": parts.as_dict()}


def _describe(arguments: Namespace, output: Output) -> None:
    """Print what images are taken for; no image is read, and nothing large imported, for it."""
    from anomalist.data import open_dataset

    dataset = open_dataset(arguments.data, unnamed_good=True, **folder_options(arguments))
    names = dataset.categories if arguments.category is None else [arguments.category]
    parts = [dataset.understand(name) for name in names]
    for understanding in parts:
        output.result(understanding.describe())
    output.fields["dry_run"] = [understanding.as_dict() for understanding in parts]


def _plan(detector: Detector, size: str) -> str:
    from anomalist.features import pick_device

    backbones = ", ".join(dict.fromkeys(part.backbone for part in detector.components()))
    device = pick_device(detector.device)
    return f"{detector.label} on {backbones} at {size}, on {device}"


def _show(result: FitResult, output: Output) -> None:
    if result.choice is not None:
        from anomalist.choosing import describe_choice

        output.result(describe_choice(result.choice.as_dict()))
        for note in result.choice.notes:
            output.result(f"  {note}")
    for note in result.notes:
        output.result(f"Note: {note}")
    if result.measured is not None:
        output.result("on the images that were held out:")
        output.result(result.measured)
    if result.sheet is not None:
        of = "images held out to calibrate" if result.split else "images learnt from"
        output.result(f"least normal of the {of}, by held-out score; often mislabelled ones:")
        for path, score in result.least_normal:
            output.result(f"  {shown(score):>10}  {path}")
        output.result(f"  shown in {result.sheet}; --exclude leaves out those that aren't good")
    output.result(result.rule.describe())
    if result.odd is not None:
        output.warn(f"warning: {result.odd.describe()}")
    output.result(f"model: {result.path} ({result.path.stat().st_size / 1e6:.1f} MB)")
