"""Exported detectors beside the detectors they came from: how far apart, and how long they take.

    python benchmarks/latency.py DATA --category bottle --peers-python PYTHON

Detectors are fitted with their defaults at 256 pixels (PatchCore with a coreset of 10 %; GLASS for
``--glass-epochs`` epochs: latency doesn't depend on how long it was trained), exported, and held
against their exports on all test images. Then all contenders score the same transformed images, in
memory, in turn; medians of several rounds are printed, and their multiples of the bare backbone
with the same layers. anomalib's models run in another interpreter with an untrained network of the
same shape and a bank or Gaussians of the same size, so that its time is comparable and its scores
mean nothing.
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
from typing import Any

import numpy as np

METHODS = ("patchcore", "padim", "cfa", "glass")
LAYERS = {"patchcore": ["blocks.2", "blocks.4"], "padim": ["blocks.1", "blocks.2", "blocks.4"]}
BATCHES = (1, 16)
OWN: dict[str, dict[str, Any]] = {"patchcore": {"coreset_ratio": 0.1}}


def median_ms(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each contender, all taking turns."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(rounds + 2):
        for name, run in contenders.items():
            time.sleep(0.05)  # threads of the last one that wait for work go to sleep
            start = time.perf_counter()
            run()
            if i >= 2:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def peer(args: argparse.Namespace) -> None:
    """Time anomalib's model of a method in this process and print milliseconds as JSON."""
    import torch

    torch.set_num_threads(args.threads)
    network = "tf_efficientnet_lite0"
    if args.peer == "patchcore":
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        model = PatchcoreModel(
            layers=LAYERS["patchcore"], backbone=network, pre_trained=False, num_neighbors=9
        )
        model.memory_bank = torch.randn(args.bank, 152)
    else:
        from anomalib.models.image.padim.torch_model import PadimModel

        model = PadimModel(
            layers=LAYERS["padim"], backbone=network, pre_trained=False, n_features=100
        )
        model.gaussian.mean = torch.randn(100, 64 * 64)
        model.gaussian.inv_covariance = torch.eye(100).expand(64 * 64, 100, 100).contiguous()
    model.eval()
    result = {}
    with torch.inference_mode():
        for batch in BATCHES:
            images = torch.rand(batch, 3, 256, 256)
            result[batch] = median_ms({"peer": lambda x=images: model(x)}, args.rounds)["peer"]
    print(json.dumps(result))


def measure(args: argparse.Namespace) -> None:
    import torch

    from anomalist import DETECTORS, MVTecAD
    from anomalist.data import load_batches
    from anomalist.export import OnnxDetector, OpenVINODetector, export

    torch.set_num_threads(args.threads)
    category = MVTecAD(args.data).category(args.category)
    parity, latency = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for name in args.methods:
            own = OWN.get(name, {}) | (
                {"meta_epochs": args.glass_epochs} if name == "glass" else {}
            )
            detector = DETECTORS[name](image_size=256, device="cpu", **own).fit(category.train)
            runners = {}
            for kind, suffix, runner in (
                ("onnx", "onnx", OnnxDetector),
                ("openvino", "xml", OpenVINODetector),
            ):
                path = Path(temporary) / f"{name}.{suffix}"
                report = export(detector, path, format=kind, images=category.test)
                size = sum(f.stat().st_size for f in path.parent.glob(f"{name}.*")) / 2**20
                parity.append(
                    f"| {name} | {kind} | {report.images} | {report.score_difference:.1e}"
                    f" | {report.score_relative:.1e} | {report.map_difference:.1e}"
                    f" | {report.map_relative:.1e} | {size:.0f} |"
                )
                runners[kind] = runner(path, threads=args.threads)
                if kind == "onnx":
                    path.unlink()
            peers = {}
            if args.peers_python and name in LAYERS:
                command = [args.peers_python, __file__, "-", "--peer", name]
                command += ["--threads", str(args.threads), "--rounds", str(args.rounds)]
                command += ["--bank", str(len(getattr(detector, "bank_", [])))]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
                else:
                    peers = json.loads(done.stdout.splitlines()[-1])
            for batch in BATCHES:
                images = category.test[np.arange(batch)]
                (pixels,) = load_batches(images, detector.transform, batch)
                planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

                def whole(pixels: Any = pixels, detector: Any = detector) -> None:
                    detector._enlarge(detector._score(detector.backbone_(pixels))[1])

                took = median_ms(
                    {
                        "bare": lambda p=pixels, d=detector: d.backbone_(p),
                        "torch": whole,
                        "onnx": lambda p=planes, r=runners: r["onnx"](p),
                        "openvino": lambda p=planes, r=runners: r["openvino"](p),
                    },
                    args.rounds,
                )
                took["peer"] = peers.get(str(batch), float("nan"))
                cells = " | ".join(
                    "–" if value != value else f"{value:.0f} ({value / took['bare']:.2f})"
                    for value in took.values()
                )
                latency.append(f"| {name} | {batch} | {cells} |")
                print(latency[-1], file=sys.stderr, flush=True)
    print("| detector | format | images | scores | of the largest | maps | of their spread | MB |")
    print("|---|---|--:|--:|--:|--:|--:|--:|", *parity, "", sep="\n")
    print("| detector | batch | backbone | detector | ONNX Runtime | OpenVINO | anomalib |")
    print("|---|--:|--:|--:|--:|--:|--:|", *latency, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", default="bottle")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--glass-epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers-python", help="an interpreter that has anomalib")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--bank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    peer(args) if args.peer else measure(args)


if __name__ == "__main__":
    main()
