from __future__ import annotations

import threading
import time

from anomalist.server.batching import Batcher


class Log:
    """What was done, and a gate that holds the first batch."""

    def __init__(self) -> None:
        self.done: list[tuple[str, list[int]]] = []
        self.gate = threading.Event()

    def __call__(self, key: str, batch: list[int]) -> None:
        self.gate.wait(5)
        self.done.append((key, batch))


def fill(batcher: Batcher[str, int], key: str, numbers: range) -> None:
    for _ in numbers:
        batcher.expect(key)
    for number in numbers:
        batcher.put(key, number)


def test_one_alone_waits_for_nobody() -> None:
    log = Log()
    log.gate.set()
    batcher: Batcher[str, int] = Batcher(log, lambda _: 8, 30.0, "test")
    began = time.monotonic()
    fill(batcher, "a", range(1))
    while not log.done:
        time.sleep(0.001)
    assert time.monotonic() - began < 5
    batcher.close()


def test_what_is_on_its_way_is_waited_for_no_longer_than_told() -> None:
    log = Log()
    log.gate.set()
    batcher: Batcher[str, int] = Batcher(log, lambda _: 8, 0.02, "test")
    batcher.expect("a")
    batcher.expect("a")
    batcher.put("a", 1)
    while not log.done:
        time.sleep(0.001)
    batcher.put("a", 2)
    batcher.close()
    assert log.done == [("a", [1]), ("a", [2])]


def test_batches_are_full_in_order_and_in_turns() -> None:
    log = Log()
    batcher: Batcher[str, int] = Batcher(log, lambda _: 2, 0.0, "test")
    fill(batcher, "a", range(1))  # which holds the gate
    time.sleep(0.05)
    fill(batcher, "a", range(1, 7))
    fill(batcher, "b", range(3))
    log.gate.set()
    batcher.close()
    assert log.done[0] == ("a", [0])
    rest = log.done[1:]
    assert [batch for key, batch in rest if key == "a"] == [[1, 2], [3, 4], [5, 6]]
    assert [batch for key, batch in rest if key == "b"] == [[0, 1], [2]]
    assert [key for key, _ in rest] == ["a", "b", "a", "b", "a"]


def test_what_is_given_up_is_not_waited_for() -> None:
    log = Log()
    log.gate.set()
    batcher: Batcher[str, int] = Batcher(log, lambda _: 8, 60.0, "test")
    batcher.expect("a")
    batcher.expect("a")
    batcher.put("a", 1)
    batcher.give_up("a")
    batcher.close()
    assert log.done == [("a", [1])]


def test_close_waits_for_what_is_on_its_way() -> None:
    log = Log()
    log.gate.set()
    batcher: Batcher[str, int] = Batcher(log, lambda _: 8, 60.0, "test")
    batcher.expect("a")
    threading.Timer(0.05, batcher.put, ("a", 1)).start()
    batcher.close()
    assert log.done == [("a", [1])]
    assert not batcher.is_alive()
