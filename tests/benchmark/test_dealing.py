"""Tasks are dealt so that feature maps are shared, and no worker idles."""

from __future__ import annotations

import pytest

from anomalist.benchmark import Task, plan
from anomalist.benchmark.dealing import Dealer
from anomalist.data import MVTecAD, make_sample_set
from anomalist.detectors import Ensemble, PaDiM, PatchCore


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Task]:
    root = make_sample_set(
        tmp_path_factory.mktemp("set"), image_size=64, train=2, good=1, per_defect=1
    )
    members = (PatchCore(image_size=256), PaDiM())
    detectors = {"patchcore": members[0], "padim": members[1], "pair": Ensemble(members=members)}
    return list(plan(MVTecAD(root), detectors, {"brass_key": "a", "bottle_mouth": "b"}))


def test_a_worker_stays_with_what_it_has_seen_and_helps_when_that_is_done(
    tasks: list[Task],
) -> None:
    dealer = Dealer(tasks)
    first, second = dealer.join(), dealer.join()
    a, b = dealer.deal(first), dealer.deal(second)
    assert a is not None
    assert b is not None
    assert {a.category, b.category} == {"brass_key", "bottle_mouth"}
    for _ in range(3):  # to the end of its group, the ensemble last
        assert a is not None
        assert a.category == tasks[0].category
        dealer.done(first, a)
        last, a = a, dealer.deal(first)
    assert last.name == "pair"
    # Then it helps where the other has begun; but the ensemble waits for its members.
    assert a is not None
    assert (a.name, a.category) == ("padim", b.category)
    dealer.done(first, a)
    assert dealer.deal(first) is None
    dealer.done(second, b)
    ensemble = dealer.deal(second)
    assert ensemble is not None
    dealer.done(second, ensemble)
    assert dealer.left == 0


def test_an_ensemble_is_left_to_the_worker_that_has_its_members(tasks: list[Task]) -> None:
    dealer = Dealer(tasks[:3])
    first, second = dealer.join(), dealer.join()
    for _ in range(2):
        task = dealer.deal(first)
        assert task is not None
        dealer.done(first, task)
    assert dealer.deal(second) is None
    dealer.leave(first)  # but where that one is lost, it is for whoever is there
    assert dealer.deal(second) is tasks[2]


def test_what_is_lost_comes_again_and_what_fails_takes_its_ensembles_with_it(
    tasks: list[Task],
) -> None:
    dealer = Dealer(tasks[:3])
    hand = dealer.join()
    task = dealer.deal(hand)
    assert task is not None
    dealer.again(task)
    assert dealer.deal(hand) is task
    assert dealer.drop(task) == [tasks[2]]
    assert (dealer.left, dealer.waiting) == (1, 1)
