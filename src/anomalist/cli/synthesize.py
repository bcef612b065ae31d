"""``anomalist synthesize FOLDER``: draw synthetic defects on good images, to look at them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ActionYesNo, ArgumentParser, Namespace

from anomalist.cli.folders import add_folder_options, folder_options
from anomalist.cli.output import Output
from anomalist.cli.parsing import command_parser
from anomalist.errors import DataError, ParameterError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_PATCH = 8
_SUFFIXES = (".png", ".jpg", ".jpeg")


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument(
        "folder", type=str, help="good images, at any depth below it; others in it aren't drawn on"
    )
    add_folder_options(arguments)
    arguments.add_argument("--out", type=str, default="synthetic.png", help="picture to write")
    arguments.add_argument("--count", type=int, default=24, help="how many images")
    arguments.add_argument("--seed", type=int, default=0, help="another seed draws others")
    arguments.add_argument(
        "--textures", type=str, default=None, help="folder of textures (default: drawn patterns)"
    )
    arguments.add_argument(
        "--foreground",
        action=ActionYesNo,
        default=True,
        help="whether defects stay on the part, as far as it stands out from its background",
    )
    arguments.add_argument(
        "--foreground_sheet",
        type=str,
        default=None,
        help="another picture to write: the good images, what is taken for the part outlined",
    )
    arguments.add_argument("--image_size", type=int, default=288, help="side in pixels")
    return arguments


def run(arguments: Namespace, output: Output) -> None:
    """Run the command."""
    import numpy as np

    from anomalist.data import Transform, as_image_set, open_dataset
    from anomalist.data.layout import existing_folder
    from anomalist.data.walking import walk
    from anomalist.files import check_writable
    from anomalist.inspection.parts import check_outside
    from anomalist.synthesis import LocalSynthesis, Textures, foreground_mask

    if arguments.count < 1:
        raise ParameterError(f"count must be at least 1, not {arguments.count}")
    if arguments.seed < 0:
        raise ParameterError(f"seed must be 0 or more, not {arguments.seed}")
    for path in (arguments.out, arguments.foreground_sheet):
        if path is not None and Path(path).suffix.lower() not in _SUFFIXES:
            raise ParameterError(f"{path} must end in one of {', '.join(_SUFFIXES)}")
    folder = existing_folder(arguments.folder)
    for path in (arguments.out, arguments.foreground_sheet):
        if path is not None:
            check_outside(Path(path), folder)
            check_writable(path)
    if not walk(folder).files:
        raise DataError(f"{folder} holds no image: name a folder of good images")
    found = open_dataset(folder, unnamed_good=True, loose_good=True, **folder_options(arguments))
    images = as_image_set([s for name in found.categories for s in found.category(name).train])
    transform = Transform(arguments.image_size)
    side = -(-arguments.image_size // _PATCH)
    synthesis = LocalSynthesis(
        textures=Textures(arguments.textures), transform=transform, grid=(side, side)
    )
    rng = np.random.default_rng(arguments.seed)
    chosen = rng.permutation(len(images))
    defects, parts = [], []
    for i in range(arguments.count):
        image = transform(images[chosen[i % len(images)]].read())
        part = foreground_mask(image)
        parts.append((image, part))
        defects.append(synthesis(image, rng, part if arguments.foreground else None))
    files = [_save(defects, arguments.out)]
    if arguments.foreground_sheet is not None:
        files.append(_save(parts, arguments.foreground_sheet))
    for path in files:
        output.result(path)
    output.fields |= {"files": files, "images": len(images)}


def _save(pairs: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]], path: str) -> str:
    from anomalist.files import atomic_path
    from anomalist.report import synthesis_sheet

    with atomic_path(path) as temporary:
        synthesis_sheet(pairs).save(temporary)
    return path
