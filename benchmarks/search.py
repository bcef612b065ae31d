"""Nearest-neighbour search beside faiss' IndexFlatL2 and torch.cdist with topk, all exact methods.

    python benchmarks/search.py --data data/mvtec_ad --category bottle --ratio 0.1
    python benchmarks/search.py --spread none --count 20480

With ``--data``, the patches of a category's test images are looked up in PatchCore's bank of its
good ones. Without it and without ``--queries`` and ``--bank`` files, patch-like vectors are made:
clusters with few strong directions, or, with ``--spread none``, normal noise in which no bound
helps. Every contender runs in a process of its
own, so that its peak memory is its own: "loaded" is what the process holds once its libraries and
the data are in memory, "peak" the most it ever held. "build" is the making of the index, "first"
the first query, with the loading or compiling of kernels. Seconds are of wall time and, steadier on
a busy machine, of CPU time on all cores. "same" is the share of neighbours that are ours.
faiss-cpu may be missing; ``--peers-python`` names another interpreter that has it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from peak import peak_mb

Arrays = tuple[np.ndarray, np.ndarray]
Query = Callable[[np.ndarray, int], Arrays]


def make_data(folder: Path, queries: int, size: int, dimensions: int, clustered: bool) -> None:
    rng = np.random.default_rng(0)
    scales = np.arange(1, dimensions + 1) ** -0.8 if clustered else np.ones(dimensions)
    means = rng.standard_normal((200, dimensions)) * scales * clustered
    for name, count in (("queries", queries), ("bank", size)):
        noise = rng.standard_normal((count, dimensions), dtype=np.float32)
        noise *= (scales * (0.4 if clustered else 1)).astype(np.float32)
        np.save(folder / f"{name}.npy", noise + means[rng.integers(200, size=count)].astype("f4"))


def anomalist(bank: np.ndarray, threads: int) -> Query:
    import torch

    from anomalist.neighbors import Index

    torch.set_num_threads(threads)
    return Index(bank).query


def faiss(bank: np.ndarray, threads: int) -> Query:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(bank)

    def query(queries: np.ndarray, k: int) -> Arrays:
        squares, indices = index.search(queries, k)
        return np.sqrt(np.maximum(squares, 0)), indices

    return query


def cdist(bank: np.ndarray, threads: int) -> Query:
    import torch

    torch.set_num_threads(threads)
    rows = torch.from_numpy(bank)

    def query(queries: np.ndarray, k: int) -> Arrays:
        parts = [
            torch.cdist(part, rows).topk(k, largest=False)
            for part in torch.from_numpy(queries).split(1024)
        ]
        values = torch.cat([part.values for part in parts])
        return values.numpy(), torch.cat([part.indices for part in parts]).numpy()

    return query


CONTENDERS = {"anomalist": anomalist, "faiss IndexFlatL2": faiss, "torch.cdist and topk": cdist}
PEERS = ("faiss",)


def measure(args: argparse.Namespace) -> None:
    """Run one contender in this process and print what it took as JSON."""
    queries, bank = np.load(args.queries), np.load(args.bank)
    batch = args.batch or len(queries)
    # A tiny run first, so that "loaded" has the libraries in it.
    CONTENDERS[args.measure](bank[:10], args.threads)(queries[:10], 1)
    loaded, start = peak_mb(), time.perf_counter()
    query = CONTENDERS[args.measure](bank, args.threads)
    result: dict[str, object] = {"build": time.perf_counter() - start, "loaded": loaded}
    for k in args.k:
        seconds, cpu = [], []
        for _ in range(args.repeats):
            start, cpu_start = time.perf_counter(), time.process_time()
            parts = [query(queries[i : i + batch], k) for i in range(0, len(queries), batch)]
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
        np.save(args.out / f"{k}.npy", np.concatenate([part[1] for part in parts]))
        result[str(k)] = {"s": seconds, "cpu": cpu, "peak": peak_mb()}
    print(json.dumps(result))


def real_data(folder: Path, data: Path, category: str, ratio: float) -> None:
    from anomalist import MVTecAD, PatchCore
    from anomalist.features import patch_embeddings

    images = MVTecAD(data).category(category)
    detector = PatchCore(image_size=256, coreset_ratio=ratio, device="cpu").fit(images.train)
    np.save(folder / "bank.npy", detector.bank_)
    patches = [patch_embeddings(maps) for maps in detector._features(images.test)]
    np.save(folder / "queries.npy", np.concatenate([p.flatten(0, 2).numpy() for p in patches]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of MVTec AD")
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--ratio", type=float, default=0.1, help="share of patches in the bank")
    parser.add_argument("--queries", type=Path, metavar="FILE.npy")
    parser.add_argument("--bank", type=Path, metavar="FILE.npy")
    parser.add_argument("--count", type=int, default=83 * 1024, help="queries to make")
    parser.add_argument("--size", type=int, default=21_401, help="bank vectors to make")
    parser.add_argument("--dimensions", type=int, default=152)
    parser.add_argument("--spread", choices=["clusters", "none"], default="clusters")
    parser.add_argument("--k", type=int, nargs="+", default=[1, 9])
    parser.add_argument("--batch", type=int, help="queries a call; all at once by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args)
        return
    if (args.queries is None) != (args.bank is None):
        parser.error("give both --queries and --bank, or neither")

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.queries is None:
            if args.data:
                real_data(folder, args.data, args.category, args.ratio)
            else:
                clusters = args.spread == "clusters"
                make_data(folder, args.count, args.size, args.dimensions, clusters)
            args.queries, args.bank = folder / "queries.npy", folder / "bank.npy"
        shapes = [np.load(file, mmap_mode="r").shape for file in (args.queries, args.bank)]
        batch = f", {args.batch} queries a call" if args.batch else ""
        print(f"queries {shapes[0]}, bank {shapes[1]}, {args.threads} threads{batch}\n")
        heads = "|k|build s|first s|median s|x ours|CPU s|x ours|loaded MB|peak MB|same"
        print(f"| {heads.replace('|', ' | ')} |\n|-{'|-:' * heads.count('|')}|")
        ours: dict[str, dict[str, float]] = {}
        for name in args.only:
            out = folder / name
            out.mkdir()
            python = args.peers_python if name.startswith(PEERS) else sys.executable
            command = [python, __file__, "--measure", name, "--out", str(out)]
            command += ["--queries", str(args.queries), "--bank", str(args.bank)]
            command += ["--threads", str(args.threads), "--repeats", str(args.repeats)]
            command += ["--batch", str(args.batch)] if args.batch else []
            command += ["--k", *map(str, args.k)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"| {name} | failed: {done.stderr.strip().splitlines()[-1]} |||||||||")
                continue
            result = json.loads(done.stdout.splitlines()[-1])
            for k in map(str, args.k):
                took = result[k]
                medians = {kind: statistics.median(took[kind]) for kind in ("s", "cpu")}
                base = ours.setdefault(k, medians)
                wall, cpu = (f"{v:.3f} | {v / base[kind]:.1f}" for kind, v in medians.items())
                first = folder / args.only[0] / f"{k}.npy"
                same = (np.load(first) == np.load(out / f"{k}.npy")).mean()
                print(
                    f"| {name} | {k} | {result['build']:.3f} | {took['s'][0]:.3f} | {wall} | {cpu} "
                    f"| {result['loaded']:.0f} | {took['peak']:.0f} | {same:.6f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
