"""Which task a free worker gets: by what it has seen, what nobody has, or where most is left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from anomalist.benchmark.records import RunRecord
from anomalist.benchmark.tasks import Key, Task

#: What a pass of images through a backbone can be shared by: a category, and how it is seen.
Group = tuple[str, str]


@dataclass(eq=False)
class Hand:
    """What a worker has had: the group that it is in, and what it has done of that."""

    group: Group | None = None
    done: set[Key] = field(default_factory=set)


class Dealer:
    """Deals tasks to workers, none before those that it comes after.

    A worker keeps the feature maps and the fitted members of the group that it is in: tasks of one
    category, backbone and transform. So it gets, in this order,

    1. a task of its group;
    2. one of a group that nobody is in, that with the most work left;
    3. one of the group with the most work left for each worker that is in it. It makes feature maps
       again that another has, in time that it would have idled; but an ensemble is left to the
       worker that has all of its members.

    Of a group's tasks the longest comes first, as far as records tell how long; of equal ones the
    first of the plan.

    Parameters
    ----------
    tasks : sequence of Task
        Those to do.
    known : iterable of RunRecord
        Runs that were done before, of which names and categories tell how long a task takes.

    Examples
    --------
    >>> Dealer([]).left
    0
    """

    def __init__(self, tasks: Sequence[Task], known: Iterable[RunRecord] = ()) -> None:
        self._seconds = expected_seconds(tasks, known)
        self._waiting = {task.key: task for task in tasks}
        self._undone = set(self._waiting)
        self._groups = {task.key: group_of(task) for task in tasks}
        self._order = {task.key: i for i, task in enumerate(tasks)}
        self._hands: list[Hand] = []

    @property
    def left(self) -> int:
        """Tasks that aren't done, and may still be."""
        return len(self._undone)

    @property
    def waiting(self) -> int:
        """Tasks that no worker has."""
        return len(self._waiting)

    def join(self) -> Hand:
        """Take in a worker."""
        hand = Hand()
        self._hands.append(hand)
        return hand

    def leave(self, hand: Hand) -> None:
        """Let a worker go, with all that it has."""
        self._hands.remove(hand)

    def deal(self, hand: Hand) -> Task | None:
        """Give a worker its next task; None if there is none for it now."""
        ready = [t for t in self._waiting.values() if self._undone.isdisjoint(t.after)]
        own = [t for t in ready if self._groups[t.key] == hand.group]
        chosen = own or self._of_others(hand, ready)
        if not chosen:
            return None
        task = min(chosen, key=lambda t: (-self._seconds[t.key], self._order[t.key]))
        if (group := self._groups[task.key]) != hand.group:
            hand.group, hand.done = group, set()
        return self._waiting.pop(task.key)

    def done(self, hand: Hand, task: Task) -> None:
        """Note that a worker has done a task."""
        self._undone.discard(task.key)
        hand.done.add(task.key)

    def again(self, task: Task) -> None:
        """Put back a task whose worker was lost."""
        self._waiting[task.key] = task

    def drop(self, task: Task) -> list[Task]:
        """Give up a task; return those that come after it, which are given up with it."""
        self._undone.discard(task.key)
        self._waiting.pop(task.key, None)
        after = [t for t in self._waiting.values() if task.key in t.after]
        for other in after:
            self._undone.discard(other.key)
            del self._waiting[other.key]
        return after

    def together(self, task: Task) -> list[Task]:
        """Return a task and those of its group that no worker has: what may come with it."""
        group = self._groups[task.key]
        return [task, *(t for key, t in self._waiting.items() if self._groups[key] == group)]

    def _of_others(self, hand: Hand, ready: Sequence[Task]) -> list[Task]:
        groups: dict[Group, list[Task]] = {}
        for task in ready:
            groups.setdefault(self._groups[task.key], []).append(task)
        inside = {
            group: [h for h in self._hands if h is not hand and h.group == group]
            for group in groups
        }
        for group, tasks in groups.items():
            groups[group] = [t for t in tasks if not t.after or not _held_by_one(t, inside[group])]
        work = {
            group: sum(self._seconds[key] for key in self._waiting if self._groups[key] == group)
            for group, tasks in groups.items()
            if tasks
        }
        if not work:
            return []
        return groups[max(work, key=lambda g: (not inside[g], work[g] / max(len(inside[g]), 1)))]


def group_of(task: Task) -> Group:
    """Return what a task shares feature maps by; an ensemble is with its first member."""
    first = task.members[0]
    seen = {
        "backbone": first.backbone,
        "weights": None if first.weights is None else str(first.weights),
        "transform": first.transform.as_dict(),
    }
    return task.category, json.dumps(seen, sort_keys=True)


def expected_seconds(tasks: Sequence[Task], known: Iterable[RunRecord]) -> dict[Key, float]:
    """Return how long each task may take, by runs of its name: in its category, else anywhere.

    One whose name has no run takes the mean of the others; where there is none at all, a second.

    Examples
    --------
    >>> expected_seconds([], [])
    {}
    """
    here: dict[tuple[str, str], list[float]] = {}
    anywhere: dict[str, list[float]] = {}
    for record in known:
        seconds = record.fit_seconds + record.calibrate_seconds + record.predict_seconds
        here.setdefault((record.detector, record.category), []).append(seconds)
        anywhere.setdefault(record.detector, []).append(seconds)
    every = [seconds for many in anywhere.values() for seconds in many] or [1.0]
    found = {}
    for task in tasks:
        many = here.get((task.name, task.category)) or anywhere.get(task.name) or every
        found[task.key] = sum(many) / len(many)
    return found


def _held_by_one(task: Task, hands: Sequence[Hand]) -> bool:
    return any(hand.done.issuperset(task.after) for hand in hands)
