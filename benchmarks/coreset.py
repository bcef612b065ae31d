"""Time greedy coresets beside peers' on the same embeddings, and print Markdown tables.

    python benchmarks/coreset.py --data data/mvtec_ad --category bottle
    python benchmarks/coreset.py --data data/mvtec_ad --layers blocks.3,blocks.4,blocks.5
        --image_size 512 --patchcore-inspection patchcore-inspection
    python benchmarks/coreset.py --growth

Peers that are installed are timed: anomalib's KCenterGreedy (which first projects at random), and
with ``--patchcore-inspection`` a checkout's ApproximateGreedyCoresetSampler (10 starting points,
128 random dimensions). Each contender runs in a process of its own, so that its peak memory is its
own. Contenders whose every pick costs the same are timed over a few hundred picks and extrapolated
to the full number; the table says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit, prange

from peak import peak_mb

FEW, MANY = 20, 220  # picks of the two runs from which the cost of a pick is taken
OURS = "anomalist greedy_coreset"
BRUTE = "fused brute force, numba"


def anomalist(rows: np.ndarray, size: int) -> None:
    from anomalist.neighbors.coreset import greedy_coreset

    greedy_coreset(rows, size)


@njit(parallel=True, fastmath=True)
def _bring_nearer(rows: Any, pick: int, nearest: Any) -> None:
    for i in prange(len(rows)):
        total = np.float32(0)
        for j in range(rows.shape[1]):
            difference = rows[i, j] - rows[pick, j]
            total += difference * difference
        nearest[i] = min(nearest[i], total)


def brute_force(rows: np.ndarray, size: int) -> None:
    """Fused float32 traversal: each pick reads all embeddings once, on all threads."""
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    pick = 0
    for _ in range(size):
        _bring_nearer(rows, pick, nearest)
        pick = int(nearest.argmax())


def anomalib(rows: np.ndarray, size: int) -> None:
    from anomalib.models.components.sampling import KCenterGreedy

    KCenterGreedy(torch.from_numpy(rows), sampling_ratio=(size + 0.5) / len(rows)).sample_coreset()


def patchcore_inspection(rows: np.ndarray, size: int) -> None:
    from patchcore.sampler import ApproximateGreedyCoresetSampler

    share = (size + 0.5) / len(rows)
    ApproximateGreedyCoresetSampler(share, torch.device("cpu")).run(torch.from_numpy(rows))


CONTENDERS: dict[str, Callable[[np.ndarray, int], None]] = {
    OURS: anomalist,
    BRUTE: brute_force,
    "anomalib KCenterGreedy": anomalib,
    "patchcore-inspection ApproximateGreedyCoresetSampler": patchcore_inspection,
}


def run_one(name: str, file: str, size: int) -> dict[str, Any]:
    """Time one contender in this process."""
    contender = CONTENDERS[name]
    rows = np.load(file)
    begin = time.perf_counter()
    contender(rows[:2000].copy(), 30)  # compiles, loads libraries
    warm_up = time.perf_counter() - begin
    before = peak_mb()

    def timed(picks: int) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        contender(rows, picks)
        return time.perf_counter() - wall, time.process_time() - cpu

    if name == OURS:
        runs = [timed(size) for _ in range(3)]
        wall, cpu = np.median(runs, axis=0)
    else:
        few, many = np.array(timed(FEW)), np.array(timed(MANY))
        wall, cpu = few + (many - few) / (MANY - FEW) * (size - FEW)
    peak = peak_mb()
    return {"wall": wall, "cpu": cpu, "peak": peak, "grown": peak - before, "warm_up": warm_up}


def in_own_process(name: str, file: Path, size: int, peer_sources: str | None) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", name, str(file), str(size)]
    path = os.pathsep.join(filter(None, [peer_sources, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def embed(data: Path, category: str, layers: list[str], image_size: int) -> np.ndarray:
    """Compute the patch embeddings of a category's normal training images."""
    from anomalist.data import MVTecAD, Transform, load_batches
    from anomalist.features import Backbone, patch_embeddings

    backbone = Backbone("efficientnet_lite0", layers)
    batches = load_batches(MVTecAD(data).category(category).train, Transform(image_size), 8)
    return np.concatenate([patch_embeddings(backbone(b)).flatten(0, 2).numpy() for b in batches])


def synthetic(count: int, dim: int = 152) -> np.ndarray:
    """Make clustered embeddings whose variance falls from axis to axis, as real ones' does."""
    rng = np.random.default_rng(0)
    spread = 1 / np.arange(1, dim + 1, dtype=np.float32)
    centres = 3 * rng.standard_normal((60, dim), dtype=np.float32)
    return (
        centres[rng.integers(60, size=count)] + rng.standard_normal((count, dim), dtype=np.float32)
    ) * spread


def compare(file: Path, size: int, peers: list[str], peer_sources: str | None) -> None:
    print("| coreset | seconds | | times ours | CPU seconds | peak memory | grown |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    ours = in_own_process(OURS, file, size, None)
    for name in (OURS, *peers):
        r = ours if name == OURS else in_own_process(name, file, size, peer_sources)
        how = "median of 3" if name == OURS else f"extrapolated from {MANY} picks"
        print(
            f"| {name} | {r['wall']:.1f} | {how} | {r['wall'] / ours['wall']:.1f} | {r['cpu']:.1f}"
            f" | {r['peak']:.0f} MB | {r['grown']:.0f} MB |",
            flush=True,
        )
    print(
        "\nPeak memory is a process's whole, with Python, libraries and embeddings; grown is what"
        f" the traversal added to it. Kernels took {ours['warm_up']:.1f} s to load, or compile the"
        " first time, not included.\n"
    )


def grow(ratio: float, folder: Path) -> None:
    print("| synthetic embeddings | picks | seconds | CPU seconds | brute force, extrapolated |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for count in (50_000, 100_000, 200_000, 400_000):
        file, size = folder / f"{count}.npy", int(ratio * count)
        np.save(file, synthetic(count))
        ours = in_own_process(OURS, file, size, None)
        brute = in_own_process(BRUTE, file, size, None)
        print(
            f"| {count:,} | {size:,} | {ours['wall']:.1f} | {ours['cpu']:.1f}"
            f" | {brute['wall']:.0f} |",
            flush=True,
        )
        file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of MVTec AD")
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--layers", default="stride8,stride16", help="of EfficientNet-Lite0")
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--embeddings", type=Path, help=".npy file of float32 (N, D) instead")
    parser.add_argument("--ratio", type=float, default=0.1, help="share of embeddings to pick")
    parser.add_argument("--patchcore-inspection", type=Path, help="checkout of that repository")
    parser.add_argument("--growth", action="store_true", help="50,000 to 400,000 embeddings")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, file, size = args.one
        print(json.dumps(run_one(name, file, int(size))))
        return
    names = [BRUTE]
    if importlib.util.find_spec("anomalib"):
        names.append("anomalib KCenterGreedy")
    peer_sources = None
    if args.patchcore_inspection:
        names.append("patchcore-inspection ApproximateGreedyCoresetSampler")
        peer_sources = str(args.patchcore_inspection / "src")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as folder:
        file = args.embeddings
        if args.data:
            file = Path(folder) / "embeddings.npy"
            layers = args.layers.split(",")
            np.save(file, embed(args.data, args.category, layers, args.image_size))
        if file:
            count, dim = np.load(file, mmap_mode="r").shape
            size = int(args.ratio * count)
            print(f"{count:,} embeddings of {dim} dimensions, {size:,} picks\n", flush=True)
            compare(file, size, names, peer_sources)
        if args.growth:
            grow(args.ratio, Path(folder))


if __name__ == "__main__":
    main()
