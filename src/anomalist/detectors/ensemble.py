"""Ensemble: several detectors on one scale, which good images alone have set."""

from __future__ import annotations

import copy
import math
import reprlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import anomalist.detectors.registry as registry
from anomalist.calibration import Calibration, Reference, join_groups, number_groups
from anomalist.data import ImageSet, Transform, bit_depth_of, load_masks, of_as_many_pixels
from anomalist.data.ignoring import Ignored
from anomalist.detectors.base import Detector
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.combining import Combination, combined
from anomalist.detectors.input_size import asked_size, choose_input_size
from anomalist.detectors.settling import Settled
from anomalist.detectors.weighing import Weights, weigh
from anomalist.errors import DataError, ModelFileError, ParameterError
from anomalist.features import Backbone, FeatureStore, Progress, unite_backbones
from anomalist.models import Layout, conforms, expect, take_below
from anomalist.predictions import Predictions
from anomalist.training import Training

Array = npt.NDArray[Any]

_MAX_MEMBERS = 100
_ENTRIES = tuple[dict[str, Any], ...]
_BATCHES = 4
# What decides how photographs are read, which takes a while to find out where they are aligned.
_SETTLING = (
    *("backbone", "layers", "image_size", "smallest_defect", "tile_size", "tile_overlap"),
    *("crop_size", "interpolation", "bit_depth", "ignore", "ignore_box", "foreground", "align"),
)
_NESTED = "an ensemble can't be a member: name its members instead"


@dataclass(kw_only=True, eq=False)
class Ensemble(Detector):
    """Several detectors, brought to one scale by good images, combined.

    Every member is fitted to the good images and scores each of them as if it hadn't seen it
    (:meth:`Detector.calibrate`). How those scores, and the map values, are distributed is the
    member's scale; no test image and no defect has a part in it. Where p-values are combined, they
    are those that :meth:`~anomalist.calibration.Calibration.surprise` extrapolates. Where members
    disagree, the ensemble is unsure: predictions carry the members' standard deviation.

    Parameters
    ----------
    members : tuple of str, Detector or dict
        What to combine: names of detectors, which get the ensemble's own backbone, input size and
        device; detectors, as they are; or dictionaries with the key ``detector`` and
        hyperparameters. A name that comes twice gets another seed each time.
    combine : str
        ``fisher`` (the mean surprise) or ``cauchy`` (led by the most surprised) of the members'
        p-values; ``mean`` or ``max`` of their scores in standard deviations above the mean good
        one.
    member_weights : tuple of float or "auto", optional
        Weight of each member, positive, in the order of members; all alike by default. A maximum
        multiplies by them. ``auto`` weighs members by how well they tell made defects, for which
        each is fitted again, to shares of the images.

    Attributes
    ----------
    members_ : list of Detector
        The fitted members that have any weight, each with its ``calibration_``.
    member_weights_ : Weights
        Of all members, in scores and in maps, where they are ``auto``.

    References
    ----------
    Fisher, "Statistical Methods for Research Workers", 4th edition (1932), section 21.1; Liu and
    Xie, "Cauchy combination test", JASA 115 (2020), equation 3.

    Examples
    --------
    >>> [part.name for part in Ensemble(members=("patchcore", "spade")).components()]
    ['patchcore', 'spade']
    """

    name: ClassVar[str] = "ensemble"
    fitted: ClassVar[tuple[str, ...]] = ()

    members: tuple[str | Detector | dict[str, Any], ...] = ("patchcore", "padim")
    combine: Combination = "fisher"
    member_weights: tuple[float, ...] | Literal["auto"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.combine not in get_args(Combination):
            raise ParameterError(
                f"combine must be {', '.join(get_args(Combination))}, not {self.combine!r}"
            )
        if not 1 <= len(self.members) <= _MAX_MEMBERS:
            raise ParameterError(
                f"members must name at least one detector, and at most {_MAX_MEMBERS}, not"
                f" {len(self.members)}"
            )
        if isinstance(self.member_weights, tuple):
            weights = np.asarray(self.member_weights)
            if weights.shape != (len(self.members),) or not (weights > 0).all():
                raise ParameterError(
                    f"member_weights must be {len(self.members)} positive numbers, one a member,"
                    f" not {self.member_weights}"
                )
        for part in self.components():
            if not np.allclose(_visible(part), _visible(self)):
                raise ParameterError(
                    f"all members must see the same part of an image: {part.label} crops"
                    f" {part.image_size} to {part.crop_size}, the ensemble {self.image_size} to"
                    f" {self.crop_size}"
                )

    @property
    def label(self) -> str:
        """What it is called in tables: its members, unless they are the default ones."""
        if self.members == Ensemble.members:
            return self.name
        return "+".join(part.label for part in self.components())

    @property
    def seeded(self) -> bool:
        """Whether that of a member changes anything."""
        judged = self.member_weights == "auto"
        return judged or any(part.seeded for part in self.components())

    @property
    def shares(self) -> Weights:
        """Weights of the ``members_``, in their order."""
        known: Weights | None = vars(self).get("member_weights_")
        if known is not None:
            return known.kept()
        given = self.member_weights
        return Weights.given(given if isinstance(given, tuple) else (1.0,) * len(self.members))

    def parameters(self) -> dict[str, Any]:
        """Return all hyperparameters by name, as plain JSON values, those of members included."""
        own = replace(self, members=("patchcore",), member_weights=None)
        values = super(Ensemble, own).parameters()
        values["members"] = [
            {"detector": m.name, **m.parameters()} if isinstance(m, Detector) else m
            for m in self.members
        ]
        weights = self.member_weights
        values["member_weights"] = list(weights) if isinstance(weights, tuple) else weights
        return values

    def components(self) -> list[Detector]:
        """Return the members, unfitted. Their seeds go up with the ensemble's.

        Raises
        ------
        ParameterError
            If a member isn't known, or is an ensemble.
        """
        shared = {f.name: getattr(self, f.name) for f in fields(Detector) if f.name != "seed"}
        times: Counter[str] = Counter()
        made = []
        for member in self.members:
            if isinstance(member, Detector):
                made.append(
                    replace(
                        member,
                        seed=member.seed + self.seed,
                        bit_depth=member.bit_depth or self.bit_depth,
                        ignore=member.ignore or self.ignore,
                        ignore_box=member.ignore_box or self.ignore_box,
                        foreground=member.foreground or self.foreground,
                        align=member.align or self.align,
                        augment=member.augment or self.augment,
                    )
                )
                continue
            values: dict[str, Any] = (
                {"detector": member} if isinstance(member, str) else dict(member)
            )
            name = values.pop("detector", None)
            known = registry.DETECTORS
            if not isinstance(name, str) or name not in known:
                raise ParameterError(
                    f"no detector {reprlib.repr(name)}; there are {', '.join(known)}"
                )
            if name == self.name:
                raise ParameterError(_NESTED)
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            times[name] += 1
            try:
                seed = values.pop("seed", times[name] - 1) + self.seed
                made.append(known[name](**{**shared, **values, "seed": seed}))
            except TypeError as error:
                raise ParameterError(f"member {name}: {error}") from error
        for part in made:
            if isinstance(part, Ensemble):
                raise ParameterError(_NESTED)
        return made

    def settle(self, images: ImageSet) -> Settled:
        """Find out about good photographs what its members don't find out by themselves."""
        return Settled(self.bit_depth or bit_depth_of(images), choose_input_size(self, images))

    @property
    def _cuts(self) -> bool:
        """Whether a member cuts photographs into tiles."""
        return any(member._cuts for member in vars(self).get("members_", ()))

    def _view_of_members(self) -> Settled:
        """How it would have read and resized what its members were fitted to."""
        first = self.members_[0]
        size = asked_size(self)
        if self._cuts or self.image_size == "auto":
            # As fine as the finest: what it alone sees is small.
            size = max((member.input_size_ for member in self.members_), key=math.prod)
        elif isinstance(self.image_size, int) and self.crop_size is None:
            size = of_as_many_pixels(self.image_size, first.input_size_)
        return Settled(self.bit_depth or first.bit_depth_, size)

    @property
    def _aligned(self) -> bool:
        """Whether members look at the part alone, wherever it lies."""
        return any(member.align for member in self.members_)

    @property
    def source(self) -> Transform:
        """What brings photographs to the size that is enough of them for every member."""
        members: list[Detector] = vars(self).get("members_", [])
        sources = [self.transform, *(member.source for member in members if member.align)]
        return max(sources, key=lambda source: math.prod(source.output_size))

    def ignored_in(self, images: ImageSet) -> npt.NDArray[np.bool_] | None:
        """Return where photographs are ignored, (N, H, W) as its maps; None where nothing is."""
        if not self._aligned:
            return super().ignored_in(images)
        return _by_all([member.ignored_in(images) for member in self.members_])

    def _settle_by_members(self, view: Settled) -> None:
        """A pixel that counts for no member counts for nothing."""
        self.settled_ = view
        if self._aligned:
            return  # what counts for nothing lies elsewhere in every photograph
        size = self.transform.output_size
        found = [m.settled_.ignored.resized(size) for m in self.members_ if m.settled_.ignored]
        if len(found) == len(self.members_):
            mask = np.logical_and.reduce([ignored.mask for ignored in found])
            self.settled_ = replace(view, ignored=Ignored(mask, found[0].picture[mask]))

    def _learn(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training | None,
    ) -> None:
        """Fit and calibrate every member.

        A single image leaves none to hold out: then members are scaled by the image they saw. So
        are those of a single group by its images.
        """
        store = FeatureStore() if store is None else store
        members = self.components()
        _share(store, [member.make_backbone() for member in members])
        kept = None if training is None else training.checkpoint
        held_out = []
        apart = groups if groups.max() > 0 else None
        for i, member in enumerate(members):
            own = Training(checkpoint=None if kept is None else f"{kept}.member{i}")
            alike = [one for one in members[:i] if _reads_as(one, member)]
            if alike:
                member.settled_ = alike[0].settled_  # of the same photographs
            member.fit(images, store=store, progress=progress, training=own)
            if len(images) > 1:
                good = member.calibrate(
                    images, groups=apart, store=store, progress=progress, training=own
                )
            else:
                good = member.predict(images, store=store)
            held_out.append(good)
            if training is not None:
                training.resumed_seconds += own.resumed_seconds
                training.notes += own.notes
        self._assemble(members, held_out, groups, store, progress)

    def assemble(
        self,
        fitted: Sequence[Detector],
        held_out: Sequence[Predictions],
        *,
        groups: Iterable[Hashable] | None = None,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Make it of members that are fitted already.

        Parameters
        ----------
        fitted : sequence of Detector
            The `components`, fitted to the same images and, but for a single image, calibrated.
        held_out : sequence of Predictions
            What the :meth:`Detector.calibrate` of each gave.
        groups, store, progress
            As for :meth:`Detector.fit`, for weights that are found out.

        Returns
        -------
        Ensemble
            Itself, fitted and calibrated.
        """
        assembled = replace(self)
        numbers = number_groups(groups, len(held_out[0]))
        assembled._assemble(fitted, held_out, numbers, store, progress)
        self.__dict__ = vars(assembled)
        return self

    def _assemble(
        self,
        fitted: Sequence[Detector],
        held_out: Sequence[Predictions],
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
    ) -> None:
        self._forget()
        if self.member_weights == "auto":
            images = held_out[0].images
            store = FeatureStore() if store is None else store
            self.member_weights_ = weigh(
                self.components(),
                images,
                groups=groups,
                seed=self.seed,
                store=store,
                progress=progress,
            )
            used = self.member_weights_.used
            fitted = [member for member, part in zip(fitted, used, strict=True) if part]
            held_out = [good for good, part in zip(held_out, used, strict=True) if part]
        self.members_ = list(fitted)
        for member, good in zip(self.members_, held_out, strict=True):
            if member.calibration_ is None:
                member.calibration_ = Calibration.of(
                    good, method="the one image that it was fitted to"
                )
        self.backbone_ = self.members_[0].backbone_
        self.images_ = self.members_[0].images_
        self._settle_by_members(self._view_of_members())
        good = self.merge(held_out)
        # What was learnt of good images on the way, for the one who calibrates next.
        self._good: Predictions | None = good
        if len(good) > 1:
            calibrations = [m.calibration_ for m in self.members_ if m.calibration_ is not None]
            groups = reduce(join_groups, (calibration.groups for calibration in calibrations))
            self.calibration_ = Calibration.of(
                good, method=self.held_out_method, groups=groups, retrained=self.trains
            )
            self.reference_ = Reference.of(good, groups, self.sight)

    def _held_out(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training,
    ) -> Predictions:
        """Score the images that it was fitted to, each by members that hadn't seen its group."""
        known = [member.calibration_.groups for member in self.members_ if member.calibration_]
        same = all(np.array_equal(of_member, groups) for of_member in known)
        if self._good is not None and len(images) > 1 and same:
            return replace(self._good, paths=images.paths, images=images)
        store = FeatureStore() if store is None else store
        _share(store, [member.backbone_ for member in self.members_])
        made = []
        for i, member in enumerate(self.members_):
            kept = training.checkpoint
            own = Training(checkpoint=None if kept is None else f"{kept}.member{i}")
            made.append(
                copy.copy(member).calibrate(images, groups=groups, store=store, training=own)
            )
            training.resumed_seconds += own.resumed_seconds
            training.notes += own.notes
            if progress is not None:
                progress((i + 1) * len(images), len(self.members_) * len(images))
        return self.merge(made)

    @property
    def held_out_method(self) -> str:
        """How :meth:`calibrate` sees to it that an image wasn't seen, in words."""
        methods = {part.held_out_method: None for part in self.components()}
        return "its members', combined: " + "; ".join(methods)

    def _predict(
        self, images: ImageSet, store: FeatureStore | None, progress: Progress | None
    ) -> Predictions:
        """Score images by all members; predictions carry their disagreement, on their one scale."""
        if len(images) == 0:
            raise DataError(f"{images.name or 'the image set'} has no image to score")
        masks = load_masks(images, self.view)
        if store is not None:
            return self._merged(images, store, progress, masks)
        # Members share what an image's pass gives, and no more is kept than a few batches.
        step = _BATCHES * math.lcm(*(member.batch_size for member in self.members_))
        made = []
        for start in range(0, len(images), step):
            chunk = images[start : start + step]
            of_chunk = None if masks is None else masks[start : start + step]
            made.append(self._merged(chunk, FeatureStore(), None, of_chunk))
            if progress is not None:
                progress(start + len(chunk), len(images))
        return Predictions.join(made)

    def _merged(
        self,
        images: ImageSet,
        store: FeatureStore,
        progress: Progress | None,
        masks: npt.NDArray[np.bool_] | None,
    ) -> Predictions:
        _share(store, [member.backbone_ for member in self.members_])
        made = [m.predict(images, store=store, progress=progress) for m in self.members_]
        return self.merge(made, masks)

    def merge(
        self, made: Sequence[Predictions], masks: npt.NDArray[np.bool_] | None = None
    ) -> Predictions:
        """Combine what the members gave to the same images, each on its own scale.

        Parameters
        ----------
        made : sequence of Predictions
            Of the members, in their order.
        masks : bool array of shape (N, H, W), optional
            True masks at the ensemble's resolution, for the result to carry.

        Returns
        -------
        Predictions
        """
        size = self.view.output_size
        first = made[0]
        of_scores, of_maps = (np.asarray(w) for w in (self.shares.scores, self.shares.maps))
        pairs = list(zip(self.members_, made, strict=True))
        scores = np.stack([self._scaled(member, given.scores) for member, given in pairs])
        seen = [pair for pair, weight in zip(pairs, of_maps, strict=True) if weight > 0]
        maps = np.empty((len(first), *size), np.float32)
        spread = np.empty_like(maps)
        for i in range(len(first)):
            stacked = np.stack(
                [_resized(self._scaled(member, given.maps[i]), size) for member, given in seen]
            )
            maps[i] = combined(stacked, of_maps[of_maps > 0], self.combine)
            spread[i] = stacked.std(axis=0)
        maps = self.preparation.lowered(torch.from_numpy(maps)).numpy()
        mask = self.preparation.ignored
        ignored = None if mask is None else np.broadcast_to(mask.resized(size).mask, maps.shape)
        if self._aligned:
            ignored = _by_all([given.ignored for given in made])
        return Predictions(
            first.paths,
            combined(scores, of_scores, self.combine).astype(np.float32),
            maps,
            first.labels,
            masks,
            first.defects,
            disagreement=scores[of_scores > 0].std(axis=0).astype(np.float32),
            disagreement_maps=spread,
            images=first.images,
            transform=self.view,
            pooled=first.pooled,
            ignored=ignored,
        )

    def _scaled(self, member: Detector, values: Array) -> Array:
        scale = member.calibration_
        assert scale is not None
        of_maps = values.ndim == 2
        if self.combine in ("mean", "max"):
            return scale.standardised_maps(values) if of_maps else scale.standardised(values)
        return scale.surprise_maps(values) if of_maps else scale.surprise(values)

    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        return {}  # members have arrays of their own

    def _fit(self, features: FeatureBatches) -> None:
        raise NotImplementedError("members fit to feature maps of their own")

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("members score feature maps of their own")

    def _restore(self) -> None:
        self._good = None

    def _state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        header, tensors = self._calibration_state()
        entries = []
        for i, member in enumerate(self.members_):
            entry, of_member = member._state()
            entries.append(entry)
            tensors |= {f"member{i}.{name}": tensor for name, tensor in of_member.items()}
        return {
            "detector": self.name,
            "parameters": self.parameters(),
            "bit_depth": self.bit_depth_,
            "input_size": list(self.input_size_),
            "members": entries,
            **self._weights_state(),
            **header,
        }, tensors

    def _weights_state(self) -> dict[str, Any]:
        known: Weights | None = vars(self).get("member_weights_")
        return {} if known is None else {"weights": known.as_dict()}

    def _load_state(
        self, header: dict[str, Any], tensors: dict[str, Tensor], device: str | None
    ) -> None:
        expect(header, {"bit_depth": int})
        view = self._saved_view(header)
        self.members_ = []
        expected = [member.name for member in self.components()]
        if self.member_weights == "auto":
            self.member_weights_ = Weights.from_dict(header.get("weights"), len(expected))
            used = zip(expected, self.member_weights_.used, strict=True)
            expected = [name for name, part in used if part]
        entries = header.get("members", [])
        given = [entry.get("detector") for entry in entries] if conforms(entries, _ENTRIES) else []
        if given != expected:
            raise ModelFileError(f"its members aren't {', '.join(expected)}")
        left = dict(tensors)
        for i, entry in enumerate(entries):
            kind = registry.DETECTORS[expected[i]]
            member = kind._from_state(entry, take_below(f"member{i}.", left), device)
            if member.calibration_ is None:
                raise ModelFileError(f"member {i} of the ensemble has no calibration")
            if not np.allclose(_visible(member), _visible(self)):
                raise ModelFileError(f"member {i} of the ensemble sees another part of images")
            if i and not np.array_equal(member.images_, self.members_[0].images_):
                raise ModelFileError(f"member {i} of the ensemble was fitted to other images")
            self.members_.append(member)
        if left:
            raise ModelFileError(f"it holds {reprlib.repr(min(left))}, which doesn't belong there")
        self.backbone_ = self.members_[0].backbone_
        self.images_ = self.members_[0].images_
        self._settle_by_members(view)
        self._restore()


def _share(store: FeatureStore, backbones: list[Backbone]) -> None:
    """Let one pass of an image give the maps that all members ask for."""
    for backbone in unite_backbones(backbones):
        store.adopt(backbone)


def _reads_as(one: Detector, other: Detector) -> bool:
    """Whether two detectors settle the same of the same photographs."""
    return all(getattr(one, name) == getattr(other, name) for name in _SETTLING)


def _by_all(
    ignored: list[npt.NDArray[np.bool_] | None],
) -> npt.NDArray[np.bool_] | None:
    """Where every member ignores photographs; None where one of them ignores nothing."""
    known = [mask for mask in ignored if mask is not None]
    if len(known) < len(ignored) or len({mask.shape for mask in known}) > 1:
        return None
    joined: npt.NDArray[np.bool_] = np.logical_and.reduce(known)
    return joined


def _visible(detector: Detector) -> tuple[float, float]:
    """Which share of an image's height and width passes the transform."""
    crop = detector.crop_size
    height, width = asked_size(detector)
    return (1.0, 1.0) if crop is None else (crop / height, crop / width)


def _resized(values: Array, size: tuple[int, int]) -> Array:
    """A map at another resolution, where members work at several."""
    if values.shape == size:
        return values
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, None]
    enlarged: Array = torch.nn.functional.interpolate(
        tensor, size=size, mode="bilinear", antialias=True
    )[0, 0].numpy()
    return enlarged
