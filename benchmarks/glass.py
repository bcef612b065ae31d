"""GLASS beside the official code: same weights, layers, input, batches, epochs, and one ruler.

    python benchmarks/glass.py accuracy DATA --official GLASS --textures DTD --seeds 0,1,2
    python benchmarks/glass.py speed DATA --official GLASS --textures DTD --iterations 3

``GLASS`` is a checkout of github.com/cqylunlun/GLASS (f788d56 was used), ``DTD`` a folder of
folders of JPEG files. The official code needs ``pip install imgaug opencv-python tensorboard
openpyxl scikit-image tqdm``. Its own ``trainer``, ``_train_discriminator``, ``_predict`` and data
set class are run, on the processor, without its looks at the test set in between. Every run is in a
process of its own. What differs from the official code is changed in memory alone:

- in ``glass.py``, a line is put before the ascent, ``r_g = torch.zeros(1)``: below 5 steps ``r_g``,
  which is only logged, would never be set;
- ``np.sctypes``, which imgaug asks for and NumPy 2 no longer has, is given back;
- the backbone is timm's with the weights that anomalist takes, and it brings images from ImageNet's
  mean and deviation, to which the data set class scales them, to its own.

Both go without masks of the foreground and are told the distribution, a hypersphere. ``accuracy``
compares the raw scores and maps of the last epoch with this package's metrics.

``speed`` takes random weights unless they are embedded or given. Its columns: what is done once
(anomalist keeps pixels and features of the good images); an epoch, the official one's pass for the
centre included; and what of the epoch is waiting for images, features (backbone and patches), and
the steps of training. ``--iterations`` runs so many batches of an epoch and multiplies up; the
official code is then given so many images alone, so that its pass for the centre is as short.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import timm
import torch

from anomalist import MVTecAD, Predictions, evaluate
from anomalist.data import Category, Transform, load_masks
from anomalist.detectors import Detector, glass
from anomalist.detectors.glass_examples import Examples
from anomalist.features import Backbone, find_weights
from anomalist.features.weights import EMBEDDED, read_weights, timm_name
from anomalist.report import to_markdown
from anomalist.training import loop
from peak import peak_mb

HYPERSPHERE = 3
ASCENT = "            for step in range(self.step + 1):\n"
Job = dict[str, Any]


class Stopwatch:
    """Seconds by name, each without those of the named calls within, while an epoch runs."""

    def __init__(self) -> None:
        self.seconds = {"images": 0.0, "features": 0.0, "step": 0.0}
        self.processor = 0.0
        self._within: list[float] = []

    def epoch(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Count while the function runs; what isn't named within it are the steps."""

        def counted(*args: Any) -> Any:
            processor = time.process_time()
            try:
                return self._run("step", function, *args)
            finally:
                self.processor += time.process_time() - processor

        return counted

    def part(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Count the function's seconds under a name."""
        return lambda *args, **options: (
            self._run(name, function, *args, **options)
            if self._within
            else function(*args, **options)
        )

    def each(self, name: str, items: Iterable[Any]) -> Iterator[Any]:
        """Count the seconds that items take to come."""
        following = self.part(name, self.part(name, iter)(items).__next__)
        while True:
            try:
                item = following()
            except StopIteration:
                return
            yield item

    def _run(self, name: str, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        self._within.append(0.0)
        try:
            return function(*args, **options)
        finally:
            took = time.perf_counter() - start
            self.seconds[name] += took - self._within.pop()
            if self._within:
                self._within[-1] += took


class Watched:
    """A loader whose batches are waited for by the watch."""

    def __init__(self, loader: Any, watch: Stopwatch) -> None:
        self.loader, self.watch = loader, watch
        self.dataset = loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        return self.watch.each("images", self.loader)


def official_modules(checkout: str) -> tuple[Any, Any, Any]:
    kinds = {"int": "bhiq", "uint": "BHIQ", "float": "efd", "complex": "FD"}
    np.sctypes = {  # noqa: NPY201
        kind: [np.dtype(code).type for code in codes] for kind, codes in kinds.items()
    }
    sys.path.insert(0, checkout)
    source = (Path(checkout) / "glass.py").read_text(encoding="utf-8")
    if source.count(ASCENT) != 1:
        raise SystemExit(f"{checkout}/glass.py isn't the version that this was written for")
    official = types.ModuleType("official_glass")
    patched = source.replace(ASCENT, f"{' ' * 12}r_g = torch.zeros(1)\n{ASCENT}")
    exec(compile(patched, "glass.py", "exec"), official.__dict__)
    return official, importlib.import_module("datasets.mvtec"), importlib.import_module("utils")


def official_backbone(job: Job) -> tuple[torch.nn.Module, list[str]]:
    """The whole network, as the official code runs it, and its layers' module names."""
    network = timm.create_model(timm_name(job["backbone"])).eval()
    file = find_weights(job["backbone"], job["weights"])
    network.load_state_dict(read_weights(file, network.state_dict()))
    config = network.pretrained_cfg

    def rescale(_network: torch.nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        def column(values: Any) -> torch.Tensor:
            return torch.tensor(values, device=inputs[0].device).reshape(-1, 1, 1)

        pixels = inputs[0] * column((0.229, 0.224, 0.225)) + column((0.485, 0.456, 0.406))
        return (pixels - column(config["mean"])) / column(config["std"])

    if tuple(config["std"]) != (0.229, 0.224, 0.225):
        network.register_forward_pre_hook(rescale)
    strides = {f"stride{entry['reduction']}": entry["module"] for entry in network.feature_info}
    return network, [strides.get(layer, layer) for layer in job["layers"].split(",")]


class Official:
    """The official code."""

    def __init__(self, job: Job, category: Category) -> None:
        self.job, self.category = job, category
        official, self.mvtec, utils = official_modules(job["official"])
        import imgaug

        utils.fix_seeds(job["seed"], with_cuda=False)
        imgaug.seed(job["seed"])  # else every process draws the same rotations
        network, layers = official_backbone(job)
        side = job["image_size"]
        self.model = official.GLASS(torch.device("cpu"))
        self.model.load(
            backbone=network,
            layers_to_extract_from=layers,
            device=torch.device("cpu"),
            input_shape=(3, side, side),
            pretrain_embed_dimension=job["dimension"],
            target_embed_dimension=job["dimension"],
            meta_epochs=job["epochs"],
            eval_epochs=job["epochs"] + 1,
            step=job["step"],
            p=job["p"],
            lr=job["lr"],
        )

    def _loader(self, split: str, images: int | None = None) -> Any:
        dataset = self.mvtec.MVTecDataset(
            self.job["data"],
            self.job["textures"],
            classname=self.category.name,
            resize=self.job["image_size"],
            imagesize=self.job["image_size"],
            split=self.mvtec.DatasetSplit(split),
            distribution=HYPERSPHERE,
            fg=0,
        )
        dataset.data_to_iterate = dataset.data_to_iterate[:images]
        return torch.utils.data.DataLoader(
            dataset,
            batch_size=self.job["batch_size"],
            shuffle=split == "train",
            num_workers=self.job["workers"],
        )

    def warm_up(self) -> None:
        """Train on one batch, so that kernels are loaded."""
        self.fit(Stopwatch(), self.job["batch_size"])

    def fit(self, watch: Stopwatch, images: int | None = None) -> None:
        """Train, on the first images alone where a number of them is given."""
        self.model._embed = watch.part("features", type(self.model)._embed.__get__(self.model))
        with tempfile.TemporaryDirectory() as folder:
            self.model.set_model_dir(folder, "mvtec")
            loader = Watched(self._loader("train", images), watch)
            watch.epoch(self.model.trainer)(loader, None, f"mvtec_{self.category.name}")
            self.model.logger.logger.close()

    def predict(self) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and maps of the test images, in the category's order."""
        answers = {}
        for batch in self._loader("test"):
            answer = zip(*self.model._predict(batch["image"]), strict=True)
            answers.update(zip(map(Path, batch["image_path"]), answer, strict=True))
        scores, maps = zip(*[answers[path] for path in self.category.test.paths], strict=True)
        return np.array(scores), np.stack(maps)


class Ours:
    """The detector of this package."""

    precision = "float32"

    def __init__(self, job: Job, category: Category) -> None:
        self.job, self.category = job, category

    def _make(self, **options: Any) -> Detector:
        job = self.job
        return glass.GLASS(
            backbone=job["backbone"],
            layers=tuple(job["layers"].split(",")),
            weights=job["weights"],
            image_size=job["image_size"],
            batch_size=job["batch_size"],
            pretrain_embed_dimension=job["dimension"],
            target_embed_dimension=job["dimension"],
            meta_epochs=job["epochs"],
            step=job["step"],
            p=job["p"],
            lr=job["lr"],
            distribution=HYPERSPHERE,
            fg=0,
            textures=job["textures"],
            schedule="constant",
            spread=None,
            variants=0,
            patches=1.0,
            on_part=0.0,
            gas=1.0,
            dsc_hidden=1024,
            precision=self.precision,
            seed=job["seed"],
            device="cpu",
            **options,
        )

    def warm_up(self) -> None:
        """Train on one batch, so that kernels are loaded or compiled."""
        self._make().fit(self.category.train[: self.job["batch_size"]])

    def fit(self, watch: Stopwatch, images: int | None = None) -> None:
        """Train; where a number of images is given, an epoch ends after so many of them."""
        self.model = self._make(**({"limit": images - 1} if images else {}))
        run, patches = loop._Run, Examples.patches
        with (
            mock.patch.object(run, "epoch", watch.epoch(run.epoch)),
            mock.patch.object(
                Examples, "patches", lambda *args: watch.each("images", patches(*args))
            ),
            mock.patch.object(Backbone, "__call__", watch.part("features", Backbone.__call__)),
            mock.patch.object(self.model, "embed", watch.part("features", self.model.embed)),
        ):
            self.model.fit(self.category.train)

    def predict(self) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and maps of the test images."""
        predictions = self.model.predict(self.category.test)
        return predictions.scores, predictions.maps


class OursHalf(Ours):
    """The same, with the matrix products of training computed in bfloat16."""

    precision = "bfloat16"


CONTENDERS = {"official": Official, "anomalist": Ours, "anomalist bfloat16": OursHalf}


def accuracy(job: Job) -> dict[str, str]:
    category = MVTecAD(job["data"]).category(job["category"])
    contender = CONTENDERS[job["run"]](job, category)
    start = time.perf_counter()
    contender.fit(Stopwatch())
    fitted = time.perf_counter()
    scores, maps = contender.predict()
    done, peak = time.perf_counter(), peak_mb()
    masks = load_masks(category.test, Transform(job["image_size"]))
    predictions = Predictions(category.test.paths, scores, maps, category.test.labels, masks)
    metrics = evaluate(predictions, at="input").as_dict()
    return {
        "image AUROC": f"{metrics['image_AUROC']:.4f}",
        "pixel AUROC": f"{metrics['pixel_AUROC']:.4f}",
        "PRO": f"{metrics['pixel_PRO']:.4f}",
        "fit s": f"{fitted - start:.1f}",
        "predict s": f"{done - fitted:.1f}",
        "peak MB": f"{peak:.0f}",
    }


def speed(job: Job) -> dict[str, str]:
    category = MVTecAD(job["data"]).category(job["category"])
    batch = job["batch_size"]
    whole = -(-len(category.train) // batch)
    batches = min(job["iterations"] or whole, whole)
    contender = CONTENDERS[job["run"]](job, category)
    contender.warm_up()
    watch = Stopwatch()
    start = time.perf_counter()
    contender.fit(watch, batches * batch if batches < whole else None)
    fitted = time.perf_counter() - start
    counted = sum(watch.seconds.values())
    per_epoch = whole / batches / job["epochs"]
    return {
        "batches": f"{batches} of {whole}",
        "once s": f"{fitted - counted:.1f}",
        "s/epoch": f"{per_epoch * counted:.1f}",
        **{f"{part} s": f"{per_epoch * value:.1f}" for part, value in watch.seconds.items()},
        "CPU s/epoch": f"{per_epoch * watch.processor:.1f}",
        "peak MB": f"{peak_mb():.0f}",
    }


MODES = {"accuracy": accuracy, "speed": speed}


def in_a_process(job: Job) -> dict[str, str]:
    command = [sys.executable, __file__, "run", json.dumps(job)]
    quiet = os.environ | {"TQDM_DISABLE": "1"}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet)
    result: dict[str, str] = json.loads(answer.stdout.splitlines()[-1])
    return result


def random_weights(backbone: str, folder: str) -> str:
    torch.manual_seed(0)
    path = str(Path(folder) / "random.pth")
    torch.save(timm.create_model(timm_name(backbone)).state_dict(), path)
    return path


def add_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    parser.add_argument("data")
    parser.add_argument("--official", help="a checkout of github.com/cqylunlun/GLASS")
    parser.add_argument("--textures", required=True, help="a folder of folders of JPEG files")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--categories", default="bottle")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", help="of gradient ascent")
    parser.add_argument("--backbone")
    parser.add_argument("--weights", help="a local weights file, for other backbones")
    parser.add_argument("--layers")
    parser.add_argument("--dimension", type=int, help="of the patch features, both times")
    parser.add_argument("--p", type=float)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--image_size", type=int, default=288)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0, help="the official code's loaders")
    parser.set_defaults(**defaults)


def main() -> None:
    if sys.argv[1:2] == ["run"]:
        job = json.loads(sys.argv[2])
        print(json.dumps(MODES[job["mode"]](job)))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    modes = parser.add_subparsers(dest="mode", required=True)
    lite0 = {"backbone": "efficientnet_lite0", "layers": "stride8", "dimension": 256}
    add_options(modes.add_parser("accuracy"), **lite0, steps="1", p=0.0, lr=0.001)
    speed_parser = modes.add_parser("speed")
    resnet = {"backbone": "resnet18", "layers": "layer2,layer3", "dimension": 1536}
    add_options(speed_parser, **resnet, steps="1,20", p=0.5, lr=0.0001)
    speed_parser.add_argument("--iterations", type=int, help="batches a pass; all by default")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        known = arguments.weights or arguments.backbone in EMBEDDED
        if arguments.mode == "speed" and not known:
            arguments.weights = random_weights(arguments.backbone, folder)
        for category in arguments.categories.split(","):
            for step in map(int, arguments.steps.split(",")):
                for seed in map(int, arguments.seeds.split(",")):
                    for run in arguments.contenders.split(","):
                        row = {"category": category, "step": step, "seed": seed, "run": run}
                        rows.append(row | in_a_process(vars(arguments) | row))
                        print(rows[-1], flush=True)
    print(to_markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
