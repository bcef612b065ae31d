"""How much the members of an ensemble count: by how well each tells made defects."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from anomalist.calibration import number_groups
from anomalist.data import ImageSet
from anomalist.detectors.base import Detector
from anomalist.detectors.judging import judge_by, trials
from anomalist.errors import ModelFileError
from anomalist.features import FeatureStore, Progress
from anomalist.models import conforms

# A weight falls with these powers of what a member gets wrong: those of 1, 2, 4, 6, 8, 12 and 16
# that lost least where three kinds of made defects weighed members and three others measured them.
_POWER_OF_SCORES, _POWER_OF_MAPS = 4.0, 8.0
# Below this share of the error nobody can be told from a faultless one, by as many made defects.
_LEAST_ERROR = 0.005
# A member that would count for less is left out.
_LEAST_WEIGHT = 0.1

_STATE = {"scores", "maps"}


@dataclass(frozen=True)
class Weights:
    """How much each member of an ensemble counts, in image scores and in maps.

    Parameters
    ----------
    scores, maps : tuple of float
        One a member, not negative, each of sum 1.
    """

    scores: tuple[float, ...]
    maps: tuple[float, ...]

    @classmethod
    def given(cls, weights: Sequence[float]) -> Self:
        """Take the same for scores and maps, of any sum."""
        total = float(sum(weights))
        shares = tuple(weight / total for weight in weights)
        return cls(shares, shares)

    @property
    def used(self) -> tuple[bool, ...]:
        """Whether each member counts at all."""
        return tuple(max(pair) > 0 for pair in zip(self.scores, self.maps, strict=True))

    def kept(self) -> Self:
        """Return the weights of those that count."""
        pairs = [pair for pair in zip(self.scores, self.maps, strict=True) if max(pair) > 0]
        scores, maps = zip(*pairs, strict=True)
        return type(self)(scores, maps)

    def as_dict(self) -> dict[str, list[float]]:
        """Return them as JSON values."""
        return {"scores": list(self.scores), "maps": list(self.maps)}

    @classmethod
    def from_dict(cls, values: Any, members: int) -> Self:
        """Make them again from what `as_dict` returned.

        Raises
        ------
        ModelFileError
            If they aren't weights of as many members.
        """
        if not conforms(values, dict[str, tuple[float, ...]]) or values.keys() != _STATE:
            raise ModelFileError("its header lacks or garbles 'weights'")
        for weights in values.values():
            whole = len(weights) == members and min(weights, default=-1) >= 0
            if not whole or abs(sum(weights) - 1) > 1e-6:
                raise ModelFileError("its header garbles 'weights'")
        return cls(tuple(map(float, values["scores"])), tuple(map(float, values["maps"])))


def weigh(
    members: Sequence[Detector],
    images: ImageSet,
    *,
    groups: Iterable[Hashable] | None = None,
    seed: int = 0,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Weights:
    """Weigh the members of an ensemble by good images alone.

    Each is judged by made defects (`~anomalist.detectors.judging.judge`): by its image AUROC for
    scores, by its PRO for maps. A weight falls with a power of what is missing to 1, the fourth and
    the eighth, so that members of like strength count alike, and one that is wrong more often than
    another hardly; what would count for less than a tenth is left out.

    Parameters
    ----------
    members : sequence of Detector
        M of them; they are neither fitted nor changed.
    images : ImageSet
        Good images.
    groups : iterable of hashable, optional
        One an image, equal for images that aren't independent.
    seed : int
        Of what is held out and of the defects.
    store : FeatureStore, optional
        Keeps feature maps.
    progress : callable, optional
        Called with the number of images done and the total, member by member.

    Returns
    -------
    Weights
        All alike where there is but one image, or one group, of which none can be held out.

    Raises
    ------
    DataError
        If an image can't be read.

    Examples
    --------
    >>> import tempfile
    >>> from anomalist import MVTecAD, PaDiM, PatchCore
    >>> from anomalist.data import make_sample_set
    >>> root = make_sample_set(
    ...     tempfile.mkdtemp(), image_size=64, train=8, good=1, per_defect=1,
    ...     categories=["brass_key"],
    ... )
    >>> key = MVTecAD(root).category("brass_key")
    >>> weights = weigh([PatchCore(image_size=64), PaDiM(image_size=64)], key.train)
    >>> round(sum(weights.scores), 6), round(sum(weights.maps), 6)
    (1.0, 1.0)
    """
    numbers = number_groups(groups, len(images))
    if len(members) < 2 or numbers.max(initial=0) == 0:
        return Weights.given([1.0] * len(members))
    dealt = trials(images, groups=numbers, seed=seed)
    store = FeatureStore() if store is None else store
    judged = [judge_by(member, dealt, store=store, progress=progress) for member in members]
    return Weights(
        weights_of([judgement.image_AUROC for judgement in judged], _POWER_OF_SCORES),
        weights_of([judgement.pixel_PRO for judgement in judged], _POWER_OF_MAPS),
    )


def weights_of(values: Sequence[float], power: float) -> tuple[float, ...]:
    """Return weights of sum 1 for metrics of which 1 is the best.

    Examples
    --------
    >>> weights_of([0.9, 0.9, 0.5], 4.0)
    (0.5, 0.5, 0.0)
    """
    wrong = np.maximum(1 - np.asarray(values, np.float64), _LEAST_ERROR)
    weights: npt.NDArray[np.float64] = (wrong / wrong.min()) ** -power
    weights /= weights.sum()
    weights[weights < min(_LEAST_WEIGHT, float(weights.max()))] = 0.0
    weights /= weights.sum()
    return tuple(weights.tolist())
