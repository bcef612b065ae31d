"""How a detector learns how good images score that it hadn't seen, or as if."""

from __future__ import annotations

import copy
import dataclasses
from abc import abstractmethod
from collections.abc import Hashable, Iterable
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from anomalist.calibration import (
    DEFAULT_ALPHA,
    Calibration,
    Reference,
    affordable_split,
    all_differ,
    check_split,
    held_out_scores,
    hold_out,
    number_groups,
)
from anomalist.data import ImageSet, ImagesLike, as_image_set
from anomalist.detectors.good_images import check_good
from anomalist.detectors.recall import check_unseen, is_fitted_to, join_copies, places_of
from anomalist.detectors.seeing import Sighted
from anomalist.errors import ParameterError
from anomalist.features import FeatureStore, Progress
from anomalist.predictions import Predictions
from anomalist.training import Training


class Calibrated(Sighted):
    """A detector that learns how good images score, which gives thresholds and p-values."""

    folds: ClassVar[int]

    def calibrate(
        self,
        images: ImagesLike,
        *,
        seen: bool = True,
        groups: Iterable[Hashable] | None = None,
        split: float = 0.0,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Training | None = None,
    ) -> Predictions:
        """Learn how good images score, which gives thresholds and p-values.

        With a ``split``, it is fitted too, to the share of the images that isn't held out, unless
        it is fitted to just these already; afterwards it is that detector.

        Parameters
        ----------
        images : ImageSet, or path, array, image or bytes, or a sequence of them
            Good images.
        seen : bool
            Whether they are those that it was fitted to, in any order. Each is then scored as if it
            hadn't been seen, which costs more and promises false alarms only nearly as often as
            asked for; other images keep the promise for certain.
        groups : iterable of hashable, optional
            One an image, equal for images that aren't independent, such as shots of one part or
            frames of one run: none of a group is used to score another, and what is promised is
            for an image of a new group. Without it, every image is a group of its own.
        split : float
            Share of the images, such as 0.3, that is held out of the fit to calibrate: dealt by
            its seed, whole groups of them, copies of an image with it. What is promised then holds
            for certain. 0 holds none out.
        store : FeatureStore, optional
            Keeps feature maps for other detectors, seeds and settings.
        progress : callable, optional
            Called with the number of images done and the total.
        training : Training, optional
            How the trainings of copies are kept, each beside the checkpoint that it names; with a
            ``split`` how its own training is.

        Returns
        -------
        Predictions
            Of the images, in their order, or of those held out, by a detector that hadn't seen
            them. What they say is in ``calibration_``, a
            :class:`~anomalist.calibration.Calibration`.

        Raises
        ------
        DataError
            If there is no image, or only one, or one group, that was seen or to be split, one is
            labelled anomalous, groups aren't one an image, or images aren't those that it was
            fitted to where ``seen``, or are among them where not.
        ParameterError
            If the detector isn't fitted, unless by a ``split``, or ``split`` is below 0 or not
            below 1.

        Examples
        --------
        >>> import tempfile
        >>> from anomalist import CFA, MVTecAD
        >>> from anomalist.data import make_sample_set
        >>> root = make_sample_set(
        ...     tempfile.mkdtemp(), image_size=64, train=10, good=1, per_defect=1,
        ...     categories=["brass_key"],
        ... )
        >>> detector = CFA(image_size=64, epochs=1)
        >>> good = detector.calibrate(MVTecAD(root).category("brass_key").train, split=0.3)
        >>> len(detector.images_), len(good)
        (7, 3)
        """
        check_split(split)
        if split:
            if not seen:
                raise ParameterError("split deals images that aren't held out yet: not seen=False")
            return self._split(images, split, groups, store, progress, training)
        model = copy.copy(self)
        model._check_fitted()
        given = as_image_set(images)
        check_good(given)
        numbers = number_groups(groups, len(given))
        if seen:
            places = places_of(model.images_, given)
            kept = Training() if training is None else training
            own = number_groups(numbers[places], len(given))
            good = model._held_out(given[places], own, store, progress, kept)[np.argsort(places)]
            method = model.held_out_method
            if not all_differ(numbers):
                method += "; images of one scene together"
        else:
            check_unseen(model.images_, given)
            good = model.predict(given, store=store, progress=progress)
            method = "images that it wasn't fitted to"
        self.calibrate_by(good, method=method, groups=numbers, retrained=seen and self.trains)
        return good

    def calibrate_by(
        self,
        good: Predictions,
        *,
        method: str,
        groups: Iterable[Hashable] | None = None,
        retrained: bool = False,
    ) -> None:
        """Take thresholds, p-values and what counts as usual from predictions that are there.

        Parameters
        ----------
        good : Predictions
            By this detector, of good images that it hadn't seen, or as if, such as some of those
            that :meth:`calibrate` gave.
        method : str
            How it was seen to that it hadn't seen them.
        groups : iterable of hashable, optional
            One an image, equal for images that aren't independent.
        retrained : bool
            Whether other trainings than its own made them.

        Raises
        ------
        DataError
            If there is none, one is labelled anomalous, or groups aren't one an image.
        """
        reference = Reference.of(good, groups, self.sight)
        self.calibration_ = Calibration.of(good, method=method, groups=groups, retrained=retrained)
        self.reference_ = reference

    def deal(
        self, images: ImageSet, split: float, groups: Iterable[Hashable] | None = None
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Deal images as :meth:`calibrate` does with a ``split``.

        Parameters
        ----------
        images : ImageSet
            N good images.
        split : float
            Share to hold out.
        groups : iterable of hashable, optional
            One an image, equal for images that aren't independent.

        Returns
        -------
        held_out : bool array of shape (N,)
        groups : int64 array of shape (N,)
            Those given, with copies of an image in its group.
        """
        numbers = join_copies(images, number_groups(groups, len(images)))
        return hold_out(len(images), split, seed=self.seed, groups=numbers), numbers

    def usual_split(self, images: int, alpha: float) -> float:
        """Return the share to hold out where fit and calibration are planned and nobody asks.

        It is 0 for all that don't train, or where `affordable_split` says so.

        Parameters
        ----------
        images : int
            Number of good images, or of independent scenes that they show.
        alpha : float
            The false-alarm rate that thresholds are to have.
        """
        return affordable_split(images, alpha) if self.trains else 0.0

    def count_folds(self, groups: int) -> int:
        """Return into how many folds so many independent images are dealt to be held out."""
        return self.folds

    def check_calibrates(self, images: int) -> None:
        """Refuse a number of images on which it can be fitted, but not calibrated.

        Raises
        ------
        ParameterError
            If :meth:`calibrate` would fail on as many that were seen, from 2 up.
        """

    @property
    def held_out_method(self) -> str:
        """How :meth:`calibrate` sees to it that an image wasn't seen, in words."""
        return f"{self.folds} folds, each scored by a copy fitted on the others"

    @property
    def seeded(self) -> bool:
        """Whether the seed changes anything that it gives, but for what a ``split`` holds out."""
        return True

    @property
    def alpha_(self) -> float:
        """The false-alarm rate that it was fitted for, or the usual one if none was told."""
        return float(self.summary_.get("alpha", DEFAULT_ALPHA))

    def _split(
        self,
        images: ImagesLike,
        split: float,
        groups: Iterable[Hashable] | None,
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training | None,
    ) -> Predictions:
        given = as_image_set(images)
        check_good(given)
        held_out, numbers = self.deal(given, split, groups)
        learnt, others = given[np.flatnonzero(~held_out)], given[np.flatnonzero(held_out)]
        if not hasattr(self, "backbone_") or not is_fitted_to(self.images_, learnt):
            self.fit(
                learnt,
                groups=numbers[~held_out],
                store=store,
                progress=progress,
                training=training,
            )
        good = self.calibrate(
            others, seen=False, groups=numbers[held_out], store=store, progress=progress
        )
        assert self.calibration_ is not None
        method = f"{len(others)} of {len(given)} images, held out of the fit at random"
        self.calibration_ = dataclasses.replace(self.calibration_, method=method)
        return good

    def _held_out(
        self,
        images: ImageSet,
        groups: npt.NDArray[np.int64],
        store: FeatureStore | None,
        progress: Progress | None,
        training: Training,
    ) -> Predictions:
        """Score the images that it was fitted to, in their order, each as if it hadn't been seen.

        Images of one group, of which each has the number, are never used to score each other.
        Copies fitted on the other folds do it, see
        :func:`~anomalist.calibration.held_out_scores`, unless a method has a cheaper way.

        Raises
        ------
        DataError
            If there are fewer than 2 images or groups.
        """
        of_folds: list[Training] = []

        def of_fold(fold: int) -> Training:
            kept = training.checkpoint
            own = Training(checkpoint=None if kept is None else f"{kept}.fold{fold}")
            of_folds.append(own)
            return own

        good = held_out_scores(
            self,
            images,
            folds=self.count_folds(int(groups.max(initial=0)) + 1),
            seed=self.seed if self.seeded else 0,
            groups=groups,
            store=store,
            progress=progress,
            training=of_fold,
        )
        for own in of_folds:
            training.resumed_seconds += own.resumed_seconds
            training.notes += own.notes
        return good

    @property
    @abstractmethod
    def trains(self) -> bool:
        """Whether it, or a part of it, is ``trained``."""

    @abstractmethod
    def fit(
        self,
        images: ImagesLike,
        *,
        groups: Iterable[Hashable] | None = None,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
        training: Training | None = None,
    ) -> Self:
        """Learn what good looks like."""

    @abstractmethod
    def predict(
        self,
        images: ImagesLike,
        *,
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> Predictions:
        """Score images."""
