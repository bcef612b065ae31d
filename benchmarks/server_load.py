"""How many photographs a second the server inspects, beside the detector alone and anomalib's.

    python benchmarks/server_load.py DATA --category bottle --peers-python PYTHON

For each detector, taking turns round by round: ``predict`` of all photographs in one call, from
their bytes, and ``anomalist serve`` asked by 1, 8 and 32 clients that each send the next photograph
once the last is answered. With ``--peers-python``, an interpreter that has anomalib, fastapi and
uvicorn, its torch inferencer behind the smallest application that FastAPI's own tutorial would
write, with an untrained network of the same shape and a bank of the same size. Medians of the
rounds are printed: photographs a second, the latency's median and 99th percentile, and the
processor time that one photograph took, of all processes but the clients'. On a machine that does
other work too the last is the fairer number.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serving import serve, started

LAYERS = {"patchcore": ["blocks.2", "blocks.4"], "padim": ["blocks.1", "blocks.2", "blocks.4"]}
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Round:
    """What one round of one contender took."""

    rate: float
    median_ms: float
    slow_ms: float
    cpu_ms: float


def photographs(root: Path, category: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((root / category / "test").glob("*/*.png"))]


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of all that it started, ended ones too."""
    total = 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total = sum(map(int, fields[11:15])) / _TICK
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                total += cpu_seconds(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


def ask(
    address: str, path: str, data: list[bytes], kind: str, clients: int, count: int, pid: int
) -> Round:
    """Have so many clients send so many photographs in all, each the next once one is answered."""
    parts = urlsplit(address)
    took: list[float] = []
    numbers = iter(range(count))
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                connection.close()
                return
            start = time.perf_counter()
            body = data[number % len(data)]
            connection.request("POST", path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{answer.status}: {text[:200]!r}")
            took.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    used, start = cpu_seconds(pid), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, used = time.perf_counter() - start, cpu_seconds(pid) - used
    if len(took) != count:
        raise SystemExit(f"{count - len(took)} of {count} weren't answered")
    slow = statistics.quantiles(took, n=100)[98]
    return Round(count / wall, 1e3 * statistics.median(took), 1e3 * slow, 1e3 * used / count)


def bare(args: argparse.Namespace) -> None:
    """Predict when a line comes, and print what it took as JSON."""
    from anomalist import load
    from anomalist.data import ImageSet, Sample

    detector = load(args.bare)
    data = photographs(args.data, args.category)
    for line in sys.stdin:
        count = int(line)
        images = ImageSet(
            Sample(f"{n}.png", image=data[n % len(data)])  # type: ignore[arg-type]
            for n in range(count)
        )
        start, used = time.perf_counter(), time.process_time()
        detector.predict(images)
        wall, used = time.perf_counter() - start, time.process_time() - used
        print(json.dumps([count / wall, 0, 0, 1e3 * used / count]), flush=True)


def peer(args: argparse.Namespace) -> None:
    """Serve anomalib's torch inferencer as its users do."""
    import io

    import numpy as np
    import torch
    import uvicorn
    from anomalib.deploy import TorchInferencer
    from anomalib.models import Padim, Patchcore
    from fastapi import FastAPI, UploadFile
    from PIL import Image

    common: dict[str, Any] = {"backbone": "tf_efficientnet_lite0", "pre_trained": False}
    if args.peer == "patchcore":
        model = Patchcore(layers=LAYERS["patchcore"], num_neighbors=9, **common)
        model.model.memory_bank = torch.randn(args.bank, 152)
    else:
        model = Padim(layers=LAYERS["padim"], n_features=100, **common)
        model.model.gaussian.mean = torch.randn(100, 64 * 64)
        model.model.gaussian.inv_covariance = torch.eye(100).expand(64 * 64, 100, 100).contiguous()
    os.environ["TRUST_REMOTE_CODE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        file = model.to_torch(export_root=folder)
        inferencer = TorchInferencer(path=file, device="cpu")
    app = FastAPI()

    @app.get("/healthz")
    def live() -> str:
        return "ok"

    def predict(file: UploadFile) -> dict[str, Any]:
        image = Image.open(io.BytesIO(file.file.read())).convert("RGB")
        found = inferencer.predict(np.asarray(image))
        return {"score": float(found.pred_score), "anomalous": bool(found.pred_label)}

    # FastAPI can't look up by its name what was imported in here.
    predict.__annotations__["file"] = UploadFile
    app.post("/predict")(predict)
    uvicorn.run(app, port=args.port, log_level="warning")


def as_forms(data: list[bytes]) -> tuple[list[bytes], str]:
    """Return photographs as forms with a file, and the content type."""
    edge = "----photograph"
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode()
    forms = [head + one + f"\r\n--{edge}--\r\n".encode() for one in data]
    return forms, f"multipart/form-data; boundary={edge}"


def model_of(args: argparse.Namespace, method: str, folder: Path) -> Path:
    """Return the file of a fitted model, which is fitted where it isn't there."""
    from anomalist import DETECTORS, MVTecAD

    file = (args.models or folder) / f"{method}.anomalist"
    if not file.exists():
        images = MVTecAD(args.data).category(args.category).train
        own = {"coreset_ratio": 0.1} if method == "patchcore" else {}
        detector = DETECTORS[method](image_size=256, device="cpu", **own).fit(images)
        detector.calibrate(images)
        detector.save(file)
    return file


def measure(args: argparse.Namespace, method: str) -> None:
    data = photographs(args.data, args.category)
    rounds: dict[str, list[Round]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = model_of(args, method, folder)
        alone = subprocess.Popen(
            [sys.executable, __file__, str(args.data), "--category", args.category,
             "--bare", str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

        def predict(count: int) -> Round:
            assert alone.stdin is not None
            assert alone.stdout is not None
            alone.stdin.write(f"{count}\n")
            alone.stdin.flush()
            return Round(*json.loads(alone.stdout.readline()))

        with started(serve(file, folder / "state"), folder / "log") as server:
            address, pid = server.address, server.process.pid
            path = f"/v1/inspect?model={method}"
            predict(len(data))
            ask(address, path, data, "image/png", 8, len(data), pid)
            for number in range(args.rounds):
                for clients in args.clients:
                    rounds.setdefault("predict", []).append(predict(args.images))
                    found = ask(address, path, data, "image/png", clients, args.images, pid)
                    rounds.setdefault(f"serve, {clients} clients", []).append(found)
                    print(method, number, clients, found, file=sys.stderr, flush=True)
        if args.peers_python:
            from anomalist import load

            bank = str(len(getattr(load(file), "bank_", [])))
            command = [args.peers_python, __file__, str(args.data), "--peer", method]
            forms, kind = as_forms(data)
            with started([*command, "--bank", bank], folder / "peer") as server:
                address, pid = server.address, server.process.pid
                ask(address, "/predict", forms, kind, 8, len(data), pid)
                for _ in range(args.rounds):
                    for clients in args.clients:
                        rounds.setdefault("predict", []).append(predict(args.images))
                        found = ask(address, "/predict", forms, kind, clients, args.images, pid)
                        rounds.setdefault(f"anomalib, {clients} clients", []).append(found)
        assert alone.stdin is not None
        alone.stdin.close()
        alone.wait()
    best = statistics.median(one.rate for one in rounds["predict"])
    for name, found in rounds.items():
        rate, middle, slow, cpu = (
            statistics.median(getattr(one, field) for one in found)
            for field in ("rate", "median_ms", "slow_ms", "cpu_ms")
        )
        latency = f"{middle:.0f} | {slow:.0f}" if middle else "– | –"
        print(f"| {method} | {name} | {rate:.1f} | {rate / best:.2f} | {latency} | {cpu:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--methods", nargs="+", default=["patchcore", "padim"])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--images", type=int, default=166, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=Path, help="a folder of fitted models to use or to fill")
    parser.add_argument("--peers-python", help="an interpreter with anomalib, fastapi and uvicorn")
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--bank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        return bare(args)
    if args.peer:
        return peer(args)
    print("| detector | what | images/s | of predict | median ms | 99 % ms | CPU ms an image |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for method in args.methods:
        measure(args, method)


if __name__ == "__main__":
    main()
