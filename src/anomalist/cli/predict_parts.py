"""``anomalist predict`` of addresses, or on a cluster: by parts, each one file of rows."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jsonargparse import Namespace

from anomalist.cli.output import Output
from anomalist.cli.pictures import heatmap_options
from anomalist.cli.predict import SOME_FAILED, show_counts
from anomalist.errors import ParameterError
from anomalist.storage import is_address, on_disk


def run_by_parts(arguments: Namespace, output: Output) -> int:
    """Run the command where results are kept by parts."""
    from anomalist.cli.progress import GOES_ON, StageProgress
    from anomalist.inspection import Rule, open_model
    from anomalist.inspection.bulk import Workers, predict_objects
    from anomalist.storage import open_storage

    for flag in ("append", "watch"):
        if getattr(arguments, flag):
            raise ParameterError(
                f"--{flag} is for a folder of this machine without --ray: the same command adds"
                " what is new"
            )
    workers = Workers(
        arguments.workers,
        arguments.worker_cpus or 1,
        arguments.worker_gpus,
        arguments.worker_memory_mb,
    )
    out = open_storage(arguments.out).address
    with _own(arguments.model) as model:
        detector = open_model(arguments.model, device=arguments.device)
        rule = Rule.of(detector, alpha=arguments.alpha, threshold=arguments.threshold)
        output.note(rule.describe())
        started = False
        with StageProgress(output) as progress:

            def show(stage: str, done: int, total: int) -> None:
                nonlocal started
                started = True
                progress(stage, done, total)

            try:
                tally = predict_objects(
                    detector,
                    arguments.inputs,
                    arguments.out,
                    rule,
                    model=model,
                    **heatmap_options(arguments),
                    part_size=arguments.part_size,
                    overwrite=arguments.overwrite,
                    ray=arguments.ray,
                    workers=workers,
                    device=arguments.device,
                    progress=show,
                    news=output.warn,
                )
            except KeyboardInterrupt as stop:
                if started:
                    command = "the same command" + " without --overwrite" * arguments.overwrite
                    stop.add_note(GOES_ON.replace("the same command", command))
                raise
    show_counts(tally, output)
    output.result(f"results: {out} (manifest.json, parts)")
    output.fields |= {**tally.as_dict(), "rule": rule.as_dict(), "out": out}
    return SOME_FAILED if tally.failing else 0


@contextmanager
def _own(model: str) -> Iterator[Path]:
    """Give the file of a model; of one at an address a copy that nobody drops meanwhile."""
    if not is_address(model):
        yield Path(model)
        return
    with tempfile.TemporaryDirectory() as place:
        yield Path(shutil.copy(on_disk(model), Path(place) / "model.anomalist"))
