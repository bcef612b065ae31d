"""``anomalist demo --serve``: a line of drawn parts that a server inspects, to look at its page."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anomalist.cli.output import Output
from anomalist.cli.serve import extra_missing

if TYPE_CHECKING:
    from anomalist.server.service import Service

# Slow enough to be watched, quick enough to fill the page within the first minute.
_EVERY_S = 1.5
_CAMERA = "demo"


def serve_demo(
    out: Path,
    categories: Sequence[str],
    images: Mapping[str, int],
    output: Output,
    *,
    seed: int,
    port: int,
) -> None:
    """Fit a model to each kind of drawn parts, serve them, and have new parts come by once.

    Parameters
    ----------
    out : Path
        The folder of all that is made.
    categories : sequence of str
        Which parts.
    images : mapping of str to int
        How many of them, as `make_sample_set` takes it.
    output : Output
        Where to tell.
    seed : int
        Of parts and models.
    port : int
        Where the page is; 0 for any that is free.
    """
    try:
        from anomalist.server import listening
    except ImportError as error:
        raise extra_missing(error) from error
    from anomalist.data import make_sample_set
    from anomalist.detectors import PaDiM
    from anomalist.inspection import fit_parts, open_parts
    from anomalist.server.settings import ServerSettings

    coming: list[tuple[str, Path]] = []
    for category in categories:
        output.note(f"drawing {category}")
        data = make_sample_set(out / "sample_data", seed=seed, categories=[category], **images)
        model = out / "models" / f"{category}.anomalist"
        if not model.exists():
            output.note(f"fitting padim to {category}")
            fit_parts(PaDiM(seed=seed), open_parts(data, category), model)
        coming += [(category, path) for path in sorted((data / category / "test").rglob("*.png"))]
    random.Random(seed).shuffle(coming)
    settings = ServerSettings(models=out / "models", state=out / "server", port=port)
    address = ""

    def ready(service: Service, at: str) -> None:
        from anomalist.server.background import Background

        nonlocal address
        address = at
        line = Background("demo", lambda stop: _run_line(service, coming, stop))
        service.parts.append(line)
        line.start()
        output.result(f"{len(coming)} parts come by: look at {at} (Ctrl-C stops it)")

    listening.serve(settings, ready=ready)
    output.fields |= {"address": address, "out": out}


def _run_line(service: Service, coming: Sequence[tuple[str, Path]], stop: threading.Event) -> None:
    from anomalist.server.inspecting import Upload

    for category, path in coming:
        if stop.wait(_EVERY_S):
            return
        name = f"{category}/{path.parent.name}/{path.name}"
        upload = Upload(name=name, data=path.read_bytes(), source="folder", camera=_CAMERA)
        service.inspector.inspect([upload], category)
    stop.wait()
