"""All checks, and one call that makes them."""

from __future__ import annotations

from collections.abc import Callable, Collection

from anomalist.detectors import Detector
from anomalist.testing import bits, contract, sharing
from anomalist.testing.subject import Subject

#: Raises an AssertionError where a detector doesn't keep a promise.
Check = Callable[[Subject], None]

CHECKS: tuple[Check, ...] = (
    contract.constructing_changes_no_hyperparameter,
    contract.hyperparameters_are_documented,
    contract.bad_values_are_refused,
    contract.a_fit_is_needed,
    contract.fit_returns_itself,
    contract.defects_stand_out,
    contract.maps_have_the_size_of_the_input,
    contract.ignored_pixels_change_nothing,
    contract.scores_are_finite_numbers,
    contract.few_images_are_enough,
    contract.tiny_images_work_or_are_refused,
    contract.bad_images_are_refused,
    contract.a_failed_fit_leaves_nothing,
    contract.labels_change_no_score,
    bits.a_seed_gives_the_same_bits,
    bits.batches_change_rounding_at_most,
    bits.predicting_changes_nothing,
    bits.a_store_gives_the_same_bits,
    bits.images_in_memory_give_the_same_bits,
    bits.held_out_scores_know_images_by_content,
    bits.no_tensor_is_float64,
    sharing.saved_and_loaded_is_the_same,
    sharing.damaged_files_are_refused,
    sharing.threads_get_the_same_bits,
    sharing.copies_are_the_same,
    sharing.another_process_gets_the_same_bits,
)


def check_detector(detector: Detector | type[Detector], *, leave_out: Collection[str] = ()) -> None:
    """Check that a detector keeps what every detector promises; it takes some ten seconds.

    Parameters
    ----------
    detector : subclass of Detector, or one unfitted
        A class is checked at its defaults on images of 64 pixels; one that trains for long is
        better given made with a short training, such as ``GLASS(image_size=64, meta_epochs=9)``.
    leave_out : collection of str
        Names of checks to leave out, as a failure tells them.

    Raises
    ------
    AssertionError
        If it doesn't: a line for each promise that is broken.
    ValueError
        If ``leave_out`` names a check that there isn't.

    Examples
    --------
    In a test of the package that brings the detector:

    >>> from anomalist import PatchCore
    >>> check_detector(PatchCore, leave_out=["another_process_gets_the_same_bits"])
    """
    names = {check.__name__ for check in CHECKS}
    if unknown := set(leave_out) - names:
        raise ValueError(
            f"there is no check {min(unknown)!r}; there are {', '.join(sorted(names))}"
        )
    subject = Subject(detector)
    broken = []
    for check in CHECKS:
        if check.__name__ in leave_out:
            continue
        try:
            check(subject)
        except AssertionError as error:
            broken.append(f"{check.__name__}: {error}")
        except Exception as error:
            broken.append(f"{check.__name__}: {type(error).__name__}: {error}")
    if broken:
        lines = "\n".join(f"- {line}" for line in broken)
        raise AssertionError(f"{type(subject.template).__name__} breaks promises:\n{lines}")
