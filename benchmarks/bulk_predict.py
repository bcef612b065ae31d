"""A hundred thousand objects of an S3 storage predicted through Ray, with the driver killed twice.

    python benchmarks/bulk_predict.py --counts 10000,100000

An S3 server of this machine (moto's) holds JPEG files of 64 x 64 pixels, each of a content of its
own, one in a thousand of them torn. A Ray cluster of this machine has two processors. PaDiM, fitted
to keys of the sample set at 32 pixels, predicts them by ``anomalist predict ... --ray``. Of the
largest count the driver gets SIGKILL after a third and after two thirds of the parts, and the same
command is given again. Checked is that every object has exactly one row, that the torn ones and no
others failed, that rows are of the bytes that the objects hold, and that a sample of scores are
those that the detector gives alone. Printed are the peaks of memory of drivers and workers.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from PIL import Image

from anomalist import load
from anomalist.cli.main import main as anomalist
from anomalist.data import ImageSet, Sample, make_sample_set, read_image
from anomalist.report import to_markdown
from anomalist.storage import open_storage

SIDE, LEARNT, BASES, TORN_EVERY, SAMPLE = 64, 120, 500, 1000, 64
BUCKET = "line"


def photographs(folder: Path, count: int, seed: int, defects: bool = True) -> list[bytes]:
    """Encode photographs of keys, turned and brightened a little; one in twenty has a defect."""
    rng = np.random.default_rng(seed)
    root = folder / "brass_key"
    good = [read_image(path) for path in sorted(root.glob("*/good/*.png"))]
    bad = [read_image(path) for path in sorted(root.glob("test/[!g]*/*.png"))]
    found = []
    for i in range(count):
        sources = bad if defects and i % 20 == 0 else good
        picture = sources[rng.integers(len(sources))].rotate(float(rng.uniform(-2, 2)))
        shown = np.asarray(picture, float) * rng.uniform(0.97, 1.03)
        stream = io.BytesIO()
        Image.fromarray(shown.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
        found.append(stream.getvalue())
    return found


def content(bases: list[bytes], number: int) -> bytes:
    """The bytes of an object: a photograph with a comment that no other has."""
    if number % TORN_EVERY == 7:
        return b"\xff\xd8torn %d" % number
    text = b"number %d" % number
    comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
    data = bases[number % len(bases)]
    return data[:2] + comment + data[2:]


def name(count: int, number: int) -> str:
    """What an object is called."""
    return f"{count}/camera {number % 4}/{number:07}.jpg"


def serve(folder: Path, counts: list[int], port: int) -> None:
    """Hold the objects, put where the server keeps them, as 100,000 requests take minutes."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    bases = photographs(folder, BASES, seed=0)
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(BUCKET, "us-east-1")
    for count in counts:
        for number in range(count):
            backend.put_object(BUCKET, name(count, number), content(bases, number))
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    print("ready", flush=True)
    threading.Event().wait()


def peaks(root: int) -> dict[str, float]:
    """Peak memory in MB of a process and what it started, the highest by kind."""
    parents, found = dict[int, int](), dict[str, float]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat[1])
    for pid in parents:
        above: int | None = pid
        while above is not None and above != root:
            above = parents.get(above)
        if above is None:
            continue
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text()
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        if "VmHWM:" not in status:
            continue
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        kind = "worker" if words.startswith("ray::") and "MapWorker" in words else None
        if "anomalist\0predict" in words:
            kind = "driver"
        if kind is not None:
            found[kind] = max(found.get(kind, 0.0), peak)
    return found


def predict(command: list[str], out: str, kill_after: int | None) -> tuple[int, float, Any]:
    """Run the command; kill it once so many parts are there. Return code, seconds, peaks."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    highest, seen = dict[str, float](), 0
    while process.poll() is None:
        time.sleep(1)
        for kind, peak in peaks(os.getpid()).items():
            highest[kind] = max(highest.get(kind, 0.0), peak)
        if kill_after is not None:
            seen = len(open_storage(out).keys("parts/"))
            if seen >= kill_after:
                process.send_signal(signal.SIGKILL)
                process.wait()
    return process.returncode, time.perf_counter() - start, highest


def rows(out: str) -> Iterator[dict[str, Any]]:
    """The columns that are checked, of all rows."""
    import fsspec

    place = f"{out}/parts".removeprefix("s3://")
    data = ds.dataset(place, filesystem=fsspec.filesystem("s3"))
    columns = ["path", "score", "error", "sha256"]
    for batch in data.to_batches(columns=columns):
        yield from batch.to_pylist()


def check(out: str, count: int, bases: list[bytes], model: Path) -> int:
    """Hold the rows against the objects and the detector; return how many failed."""
    numbers, torn, sample = set[int](), 0, list[tuple[int, float]]()
    for row in rows(out):
        number = int(row["path"].rsplit("/", 1)[1].removesuffix(".jpg"))
        assert row["path"] == f"s3://{BUCKET}/{name(count, number)}"
        assert number not in numbers, f"two rows of {row['path']}"
        numbers.add(number)
        is_torn = number % TORN_EVERY == 7
        assert (row["error"] is not None) == is_torn, row
        assert row["sha256"] == hashlib.sha256(content(bases, number)).hexdigest()
        torn += is_torn
        if number % (count // SAMPLE) == 0 and not is_torn:
            sample.append((number, row["score"]))
    assert numbers == set(range(count)), f"{count - len(numbers)} objects without a row"
    images = (Sample(str(n), image=content(bases, n)) for n, _ in sample)
    alone = load(model).predict(ImageSet(images)).scores
    np.testing.assert_allclose([score for _, score in sample], alone, rtol=1e-4)
    return torn


def measure(count: int, kills: int, model: Path, bases: list[bytes], size: int, ray: str) -> Any:
    """Predict so many objects, and check what was written."""
    out = f"s3://{BUCKET}/out-{count}-{secrets.token_hex(3)}"
    call = ["predict", str(model), f"s3://{BUCKET}/{count}", "--out", out, "--ray", ray]
    command = [sys.executable, "-m", "anomalist", *call, "--part_size", str(size)]
    parts = -(-count // size)
    seconds, highest = list[float](), dict[str, float]()
    for kill_after in [*(parts * (i + 1) // (kills + 1) for i in range(kills)), None]:
        code, took, found = predict(command, out, kill_after)
        assert code == (3 if kill_after is None else -signal.SIGKILL), code
        seconds.append(took)
        for kind, peak in found.items():
            highest[kind] = max(highest.get(kind, 0.0), peak)
    failed = check(out, count, bases, model)
    known = json.loads(open_storage(out).read("manifest.json"))
    assert known["complete"]
    assert known["rows"] == count
    return {
        "objects": count,
        "rows": known["rows"],
        "torn, reported": failed,
        "kills": kills,
        "s": " + ".join(f"{took:.0f}" for took in seconds),
        "objects a second": round(count / sum(seconds), 1),
        "driver, peak MB": round(highest["driver"]),
        "worker, peak MB": round(highest["worker"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="10000,100000")
    parser.add_argument("--part_size", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2, help="processors of the cluster")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.counts.split(",")]
    if arguments.serve:
        folder, port = arguments.serve
        serve(Path(folder), counts, int(port))
    with tempfile.TemporaryDirectory(prefix="bulk-") as place:
        run(Path(place), counts, arguments.part_size, arguments.workers)


def run(folder: Path, counts: list[int], part_size: int, workers: int) -> None:
    """Start the storage and the cluster, and measure."""
    make_sample_set(folder, image_size=SIDE, categories=["brass_key"])
    model = folder / "key.anomalist"
    # As cheap as can be: what is measured is what is around the detector.
    fast = [
        "--image_size",
        "32",
        "--batch_size",
        "64",
        "--device",
        "cpu",
        "--padim.dimensions",
        "20",
    ]
    good = folder / "good"
    good.mkdir()
    for i, data in enumerate(photographs(folder, LEARNT, seed=1, defects=False)):
        (good / f"{i:03}.jpg").write_bytes(data)
    anomalist(["fit", "padim", "--data", str(good), "--out", str(model), *fast, "--quiet"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RAY_TMPDIR": str(folder),
    }
    task = ["--counts", ",".join(map(str, counts)), "--serve", str(folder), str(port)]
    server = subprocess.Popen(
        [sys.executable, __file__, *task], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        cluster.add_node(num_cpus=workers, include_dashboard=False, object_store_memory=150 * 2**20)
        bases = photographs(folder, BASES, seed=0)
        found = []
        for count in counts:
            kills = 2 if count == max(counts) else 0
            found.append(measure(count, kills, model, bases, part_size, cluster.address))
            print(found[-1], flush=True)
        print(to_markdown(pd.DataFrame(found)))
    finally:
        cluster.shutdown()
        server.kill()


if __name__ == "__main__":
    main()
