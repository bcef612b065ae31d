"""Images are known again by their content, in whatever order and under whatever names they come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anomalist.calibration import number_groups
from anomalist.data import ImageSet
from anomalist.data.names import plural
from anomalist.errors import DataError

Digests = npt.NDArray[np.uint8]


def places_of(fitted: Digests, images: ImageSet) -> npt.NDArray[np.intp]:
    """Find where each of the images stands that a detector was fitted to.

    Parameters
    ----------
    fitted : uint8 array of shape (n, 32)
        SHA-256 of the content of those that it was fitted to.
    images : ImageSet
        The same n images, in any order.

    Returns
    -------
    int array of shape (n,)
        ``images[places]`` stand in the order of the fit.

    Raises
    ------
    DataError
        If there are others, or fewer.
    """
    there = _places(images)
    known = [digest.tobytes() for digest in fitted]
    fitted_to = f"the {plural(len(known), 'image')} that it was fitted to"
    new = [place for digest in there.keys() - set(known) for place in there[digest]]
    if new:
        raise DataError(
            f"{images[min(new)].path} isn't among {fitted_to}: give those, in any order, or say"
            " that they are others with seen=False"
        )
    places = [there[digest].pop(0) for digest in known if there.get(digest)]
    if not len(places) == len(known) == len(images):
        raise DataError(
            f"of {fitted_to}, {len(images)} are given: give all, in any order, and each once"
        )
    return np.array(places)


def check_unseen(fitted: Digests, images: ImageSet) -> None:
    """Refuse images that a detector was fitted to.

    Raises
    ------
    DataError
        It names the first.
    """
    there = _places(images)
    both = [place for digest in fitted for place in there.get(digest.tobytes(), ())]
    if both:
        raise DataError(
            f"{images[min(both)].path} is among the images that it was fitted to: calibrate on"
            " others, or on exactly those with seen=True"
        )


def is_fitted_to(fitted: Digests, images: ImageSet) -> bool:
    """Whether a detector was fitted to exactly these images, in this order."""
    return np.array_equal(fitted, images.digests())


def join_copies(images: ImageSet, groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number groups anew, those as one that hold copies, byte for byte, of the same image."""
    joined = groups.copy()
    for places in _places(images).values():
        for place in places[1:]:
            joined[joined == joined[place]] = joined[places[0]]
    return number_groups(joined, len(joined))


def _places(images: ImageSet) -> dict[bytes, list[int]]:
    places: dict[bytes, list[int]] = {}
    for place, digest in enumerate(images.digests()):
        places.setdefault(digest.tobytes(), []).append(place)
    return places
