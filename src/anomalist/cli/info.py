"""``anomalist info FILE.anomalist``: tell what is in a model file."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.digits import shown


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument("model", type=str, help="a file that anomalist fit wrote")
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    from anomalist.inspection import model_card

    card = model_card(arguments.model)
    output.fields |= card
    size = f"{card['bytes'] / 1e6:.1f} MB"
    output.result(f"{card['detector']}, {size}, model file format {card['format']}")
    for backbone in card["backbones"]:
        layers = ", ".join(backbone["layers"])
        output.result(f"backbone {backbone['name']}, layers {layers}")
        output.result(f"  weights SHA-256 {backbone['weights_sha256']}")
    bits = card["bit_depth"]
    output.result(f"white of 16-bit images: {2**bits - 1} ({bits} bits)")
    if card["input_size"]:
        height, width = card["input_size"]
        output.result(_seen(card["parameters"], f"{width} x {height}"))
    if card["ignored"]:
        output.result(f"ignored: {card['ignored']:.1%} of the input")
    for member in card["weights"]:
        output.result(
            f"weight of {member['detector']} by made defects: {member['scores']:.0%} of the score,"
            f" {member['maps']:.0%} of the map"
        )
    _show_training(card["training"], output)
    _show_calibration(card["calibration"], output)
    output.result("hyperparameters")
    for name, value in card["parameters"].items():
        output.result(f"  {name:<18} {value}")


def _seen(parameters: dict[str, Any], size: str) -> str:
    """Say what of photographs is looked at, and at which size."""
    if parameters.get("align"):
        return f"the part is found in photographs and looked at alone, at as many pixels as {size}"
    tile = parameters.get("tile_size")
    in_tiles = f", in tiles of {tile} of their own" if tile else ""
    return f"photographs are resized to {size} pixels{in_tiles}"


def _show_training(training: dict[str, Any], output: Output) -> None:
    if not training:
        output.result("training: the file doesn't say")
        return
    sizes = ", ".join(f"{width} x {height} ({n})" for width, height, n in training["sizes"][:5])
    output.result(
        f"training: {training['name']}, {training['images']} good images, left out"
        f" {training['left_out']}; pixels {sizes}"
    )
    output.result(f"  data hash {training['data_hash']}, anomalist {training['version']}")
    output.result(f"  threshold for a false-alarm rate of {training['alpha']:g}")
    if choice := training.get("choice"):
        from anomalist.choosing import describe_choice

        output.result(f"  chosen by auto among {len(choice['candidates'])} candidates")
        for line in (*describe_choice(choice).splitlines(), *choice["notes"]):
            output.result(f"  {line}")
    if looks := training.get("looks"):
        ranges = (f"{name} {shown(low)} to {shown(high)}" for name, (low, high) in looks.items())
        output.result(f"  {', '.join(ranges)}")


def _show_calibration(calibration: dict[str, Any] | None, output: Output) -> None:
    if calibration is None:
        output.result("calibration: none, so there are no thresholds and no p-values")
        return
    from anomalist.data.names import plural

    images, scenes = calibration["images"], calibration["scenes"]
    of = f" of about {plural(scenes, 'independent scene')}" if scenes < images else ""
    output.result(f"calibration: {images} good images{of} ({calibration['method']})")
    output.result(f"  {'alpha':>6}  {'threshold':>10}  {'pixels':>10}  false alarms to expect")
    for row in calibration["thresholds"]:
        low, high = row["false_alarms_expected"]
        image, pixel = shown(row["threshold"]), shown(row["pixel_threshold"])
        few = ""
        if row["rate"] > row["alpha"]:
            few = f", the highest score: that rate takes {row['images_needed']}"
        output.result(
            f"  {row['alpha']:>6g}  {image:>10}  {pixel:>10}  {low:.1%} to {high:.1%}{few}"
        )
