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

    from anomalist.data import ImageSet, Transform

    Pair = tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]

_PATCH = 8
_COUNT, _OF_EACH = 24, 6
_SUFFIXES = (".png", ".jpg", ".jpeg")


def parser() -> ArgumentParser:
    """Return the parser of the command's arguments."""
    arguments = command_parser(__doc__ or "")
    arguments.add_argument(
        "folder", type=str, help="good images, at any depth below it; others in it aren't drawn on"
    )
    add_folder_options(arguments)
    arguments.add_argument("--out", type=str, default="synthetic.png", help="picture to write")
    arguments.add_argument(
        "--kinds",
        type=str,
        default=None,
        help="kinds of made defects by which detectors are chosen, by commas, or all of them: a row"
        " each (default: what GLASS learns from)",
    )
    arguments.add_argument(
        "--count",
        type=int,
        default=None,
        help="how many images (default: 24), or of each kind (default: 6)",
    )
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

    kinds = _kinds(arguments.kinds)
    count = arguments.count
    if count is None:
        count = _OF_EACH if kinds else _COUNT
    if count < 1:
        raise ParameterError(f"count must be at least 1, not {count}")
    if kinds and arguments.textures is not None:
        raise ParameterError(
            "--textures are for what GLASS learns from: leave either it or --kinds away"
        )
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
    rng = np.random.default_rng(arguments.seed)
    chosen = images[rng.permutation(len(images))[:count]]
    parts = []
    for i in range(min(count, len(chosen)) if kinds else count):
        image = transform(chosen[i % len(chosen)].read())
        parts.append((image, foreground_mask(image)))
    if kinds:
        defects = _of_kinds(chosen, kinds, count, transform, arguments)
    else:
        side = -(-arguments.image_size // _PATCH)
        synthesis = LocalSynthesis(
            textures=Textures(arguments.textures), transform=transform, grid=(side, side)
        )
        defects = [synthesis(i, rng, part if arguments.foreground else None) for i, part in parts]
    files = [_save(defects, arguments.out, kinds, count)]
    if arguments.foreground_sheet is not None:
        files.append(_save(parts, arguments.foreground_sheet))
    for path in files:
        output.result(path)
    output.fields |= {"files": files, "images": len(images)}


def _kinds(told: str | None) -> tuple[str, ...]:
    """The kinds that are named, of which each is one; none where none are."""
    from anomalist.synthesis import CHECKING, DECIDING
    from anomalist.synthesis.defects import check_kinds

    if told is None:
        return ()
    every = (*DECIDING, *CHECKING)
    kinds = every if told == "all" else tuple(kind.strip() for kind in told.split(","))
    check_kinds(kinds)
    return kinds


def _of_kinds(
    good: ImageSet, kinds: Sequence[str], count: int, transform: Transform, arguments: Namespace
) -> list[Pair]:
    """As many good images as are asked for with a defect of each kind, kind by kind."""
    import numpy as np
    from PIL import Image

    from anomalist.synthesis import draw_defect, pool_mask

    pairs = []
    for row, kind in enumerate(kinds):
        for i in range(count):
            rng = np.random.default_rng([arguments.seed, row, i])
            pixels = np.asarray(good[i % len(good)].read())
            part = None if arguments.foreground else np.ones(pixels.shape[:2], np.bool_)
            made, mask = draw_defect(kind, pixels, rng, part)
            shown = transform(Image.fromarray(made))
            pairs.append((shown, pool_mask(mask, transform.output_size)))
    return pairs


def _save(pairs: Sequence[Pair], path: str, kinds: Sequence[str] = (), columns: int = 6) -> str:
    from anomalist.files import atomic_path
    from anomalist.report import synthesis_sheet

    with atomic_path(path) as temporary:
        if kinds:
            synthesis_sheet(pairs, columns, titles=kinds).save(temporary)
        else:
            synthesis_sheet(pairs).save(temporary)
    return path
