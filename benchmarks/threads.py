"""One detector asked by many threads at once: the same bits as alone, and how many images a second.

    python benchmarks/threads.py --image_size 256

Images are of grey noise, some with a square, in memory, so that no disk and no decoder has a part
in it. Each thread asks for one image at a time.
"""

from __future__ import annotations

import argparse
import platform
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from anomalist import DETECTORS
from anomalist.detectors import Detector
from anomalist.testing import tiny_category

_SHORT = {"glass": {"meta_epochs": 3}, "cfa": {"epochs": 2}}


def measured(detector: Detector, threads: int, each: int) -> tuple[int, float, float]:
    """How many predictions differ from those of one thread, and images a second of 1 and of all."""
    category = tiny_category()
    detector.fit(category.train)
    images = category.test
    alone = [detector.predict(images[i : i + 1]) for i in range(len(images))]
    begin = time.perf_counter()
    for i in range(each):
        detector.predict(images[i % len(images)])
    single = each / (time.perf_counter() - begin)

    def differs(i: int) -> bool:
        got, expected = detector.predict(images[i % len(images)]), alone[i % len(images)]
        return not (
            np.array_equal(got.scores, expected.scores) and np.array_equal(got.maps, expected.maps)
        )

    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        differing = sum(pool.map(differs, range(threads * each)))
    return differing, single, threads * each / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--each", type=int, default=200, help="predictions of each thread")
    parser.add_argument("--detectors", default=",".join(DETECTORS))
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} torch threads")
    for name in arguments.detectors.split(","):
        short = _SHORT.get(name, {})
        detector = DETECTORS[name](image_size=arguments.image_size, device="cpu", **short)
        differing, single, together = measured(detector, arguments.threads, arguments.each)
        print(
            f"{name:10}  {differing} of {arguments.threads * arguments.each} differ;"
            f" images/s: 1 thread {single:.1f}, {arguments.threads} threads {together:.1f}"
            f" ({together / single:.2f}x)",
            flush=True,
        )


if __name__ == "__main__":
    main()
