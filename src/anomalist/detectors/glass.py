"""GLASS: a discriminator taught on anomalies that are made in images and among features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anomalist.detectors.base import Detector
from anomalist.detectors.batches import FeatureBatches
from anomalist.detectors.glass_examples import HELD_OUT, WEIGHTS, Examples, GoodImages, Indices
from anomalist.detectors.glass_learner import GLASSLearner
from anomalist.detectors.glass_step import Iteration, Network, has_bfloat16
from anomalist.errors import ParameterError
from anomalist.features import patch_embeddings
from anomalist.models import Layout
from anomalist.synthesis import LocalSynthesis, Textures, judge_distribution
from anomalist.training import Schedule, constant, cosine, stream, train

Float32 = npt.NDArray[np.float32]

_MAX_PATCHSIZE = 31
_MAX_WIDTH = 2**16
_MAX_DEPTH = 100
_FEWEST_HELD_OUT = 2
_ITERATIONS = 2000  # of a training whose epochs aren't given
# What held before these were hyperparameters, in model files of that time.
_BEFORE = {"gas": 1.0, "on_part": 0.0}
_LEFT_OUT = (
    "global anomaly synthesis was left out, as its hypersphere doesn't enclose most of the part"
    " (gas=1 keeps it)"
)
_MOST_BEYOND = 0.5  # of the part's patches beyond r, or the hypersphere isn't theirs


@dataclass(kw_only=True, eq=False)
class GLASS(Detector):
    """Discriminator of good features and synthetic anomalies around them (Chen et al. 2024).

    Frozen features pass a learned linear projection; a small network tells the good ones (0) from
    two kinds of anomalies (1). Local anomaly synthesis (LAS) blends textures into the images where
    Perlin masks say so. Global anomaly synthesis (GAS) sets features off by Gaussian noise, moves
    them by gradient ascent to where the network errs, and keeps them in a shell: around the
    features themselves (manifold), or around the centre of all (hypersphere). A patch scores what
    the network says, an image the maximum of its patches.

    No test image is seen in training, and by default the result is that of the last epoch.

    Parameters
    ----------
    step : int
        Steps of the gradient ascent.
    p : float
        Quantile of the error above which patches of images with synthetic defects count in the
        focal loss; 0 takes all.
    lr : float
        Learning rate of the projection (Adam); the discriminator's (AdamW) is twice that.
    gas : float, optional
        Weight in the loss of global anomaly synthesis (the paper has 1); 0 leaves it out. By
        default 1, but 0 where the hypersphere doesn't enclose most of the part, as on parts that
        lie otherwise in every image: there it teaches that good patches are anomalous.
    mining : int
        1 for the ascent, 0 for noise alone.
    noise : float
        Standard deviation of the Gaussian noise.
    radius : float
        Quantile of the distances of good features from their centre that is the radius r.
    svd : int, optional
        1 for hypersphere, 0 for manifold; decides where given, whatever ``distribution`` says.
    distribution : int
        0 or 1: judged on the spectrum of the mean training image; 2: manifold; 3: hypersphere;
        4: the opposite of what is judged.
    mean, std : float
        Mean and deviation of beta, the share of the good image that shows through a texture.
    fg : int
        1 to put defects on the part only, where it stands out from its background; 0 for anywhere.
    rand_aug : int
        1 to change textures by three of nine random augmentations, 0 to take them as they are.
    downsampling : int
        Pixels of the image to a patch, along each side.
    dsc_layers : int
        Layers of the discriminator.
    dsc_hidden : int
        Width of its hidden layers.
    pre_proj : int
        Layers of the projection; 0 for none.
    patchsize : int
        Side of the neighbourhood whose features a patch joins; odd.
    pretrain_embed_dimension : int, optional
        Values of each layer's neighbourhood; by default one a channel.
    target_embed_dimension : int, optional
        Values of a patch's feature, D; by default those of all layers.
    meta_epochs : int, optional
        Epochs of training; by default as many as make 2,000 iterations.
    schedule : str
        ``constant`` keeps the learning rates, as the paper does; ``cosine`` lets them run out
        towards the last epoch, which steadies the result.
    eval_epochs : int
        Epochs from one look at how it stands to the next: on held-out images for ``selection``, on
        the test set where the benchmark is asked for the oracle.
    limit : int
        Images after which an epoch ends, with the batch that passes it.
    textures : str, optional
        Folder of texture images, such as DTD; by default they are drawn by code.
    spread : float, optional
        Standard deviation to which every dimension of the frozen features is brought, so that the
        noise, the steps and the shells mean the same for any backbone; None takes them as they are,
        as the paper does.
    variants : int
        Images with defects that are made of each good one, once, for all epochs to take from; 0
        makes new ones in every epoch.
    patches : float
        Share of an image's patches, drawn for each image with a defect, that an iteration takes.
    on_part : float
        Least share of those patches that lie on the part, with ``fg``, where it stands out from
        its background and has so many.
    selection : str
        ``last`` takes the last epoch; ``held_out`` the one that told best the synthetic defects on
        held-out good images from these images.
    held_out : float
        Share of the training images that ``held_out`` keeps from training.
    patience : int
        With ``held_out``, looks without a better result after which training ends; 0 for never.
    precision : str
        ``bfloat16`` computes the matrix products of training so, where the processor does this
        natively; all else, and scoring, stays in ``float32``.
    sigma : float
        Standard deviation, in pixels, of the Gaussian that smooths the map.
    memory_limit_mb : int
        Ceiling, in MB, of the memory for features and for pixels while fitting. Beyond it they wait
        in temporary files; the result is the same.

    Attributes
    ----------
    network_ : dict of float32 arrays
        Weights of the projection and the discriminator.
    hypersphere_ : bool
        Which shell the judge or the caller chose.
    gas_ : float
        Weight of global anomaly synthesis.
    epoch_ : int
        The epoch of the result.
    losses_ : float32 array of shape (epochs,)
        Mean loss of each epoch.

    Raises
    ------
    ParameterError
        If a value makes no sense.
    """

    name: ClassVar[str] = "glass"
    trained: ClassVar[bool] = True
    # Each fold is a training: two, on half of the images, cost as much as one on all.
    folds: ClassVar[int] = 2
    cost_only: ClassVar[tuple[str, ...]] = ("device", "memory_limit_mb")
    fitted: ClassVar[tuple[str, ...]] = (
        "network_",
        "hypersphere_",
        "gas_",
        "epoch_",
        "losses_",
    )

    step: int = 5
    p: float = 0.5
    lr: float = 3e-4
    gas: float | None = None
    mining: int = 1
    noise: float = 0.015
    radius: float = 0.75
    svd: int | None = None
    distribution: int = 0
    mean: float = 0.5
    std: float = 0.1
    fg: int = 1
    rand_aug: int = 1
    downsampling: int = 8
    dsc_layers: int = 2
    dsc_hidden: int = 256
    pre_proj: int = 1
    patchsize: int = 3
    pretrain_embed_dimension: int | None = None
    target_embed_dimension: int | None = None
    meta_epochs: int | None = None
    schedule: Literal["constant", "cosine"] = "cosine"
    eval_epochs: int = 1
    limit: int = 392
    textures: str | None = None
    spread: float | None = 0.1
    variants: int = 16
    patches: float = 0.25
    on_part: float = 0.5
    selection: Literal["last", "held_out"] = "last"
    held_out: float = 0.1
    patience: int = 0
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    sigma: float = 4.0
    memory_limit_mb: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "downsampling",
            "dsc_layers",
            "dsc_hidden",
            "pretrain_embed_dimension",
            "target_embed_dimension",
            "meta_epochs",
            "eval_epochs",
            "limit",
            "memory_limit_mb",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} must be at least 1, not {value}")
        if self.gas is not None and not self.gas >= 0:
            raise ParameterError(f"gas must not be negative, not {self.gas}")
        for name in ("step", "noise", "std", "pre_proj", "variants", "patience"):
            if not getattr(self, name) >= 0:
                raise ParameterError(f"{name} must not be negative, not {getattr(self, name)}")
        if not 0 < self.patches <= 1:
            raise ParameterError(f"patches must be above 0 and at most 1, not {self.patches}")
        if self.spread is not None and not self.spread > 0:
            raise ParameterError(f"spread must be above 0, not {self.spread}")
        for name in ("p", "radius", "mean", "on_part"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        for name, values in (
            ("mining", (0, 1)),
            ("svd", (None, 0, 1)),
            ("distribution", (0, 1, 2, 3, 4)),
            ("fg", (0, 1)),
            ("rand_aug", (0, 1)),
        ):
            if getattr(self, name) not in values:
                known = ", ".join(str(value) for value in values if value is not None)
                raise ParameterError(f"{name} must be one of {known}, not {getattr(self, name)!r}")
        if not self.lr > 0:
            raise ParameterError(f"lr must be above 0, not {self.lr}")
        if not 0 < self.held_out < 1:
            raise ParameterError(f"held_out must be between 0 and 1, not {self.held_out}")
        if self.patchsize % 2 == 0 or not 1 <= self.patchsize <= _MAX_PATCHSIZE:
            raise ParameterError(
                f"patchsize must be odd and positive, at most {_MAX_PATCHSIZE}, not"
                f" {self.patchsize}"
            )
        for name in ("pretrain_embed_dimension", "target_embed_dimension", "dsc_hidden"):
            value = getattr(self, name)
            if value is not None and value > _MAX_WIDTH:
                raise ParameterError(f"{name} must be at most {_MAX_WIDTH}, not {value}")
        for name in ("pre_proj", "dsc_layers"):
            if getattr(self, name) > _MAX_DEPTH:
                raise ParameterError(
                    f"{name} must be at most {_MAX_DEPTH}, not {getattr(self, name)}"
                )
        if min(self.grid) < 1:
            raise ParameterError(f"downsampling {self.downsampling} leaves no patch of the image")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches from top to bottom and from left to right."""
        height, width = self.frame.output_size
        return height // self.downsampling, width // self.downsampling

    def _fit(self, features: FeatureBatches) -> None:
        features.training.check()
        held_out, learnt = self._dealt(len(features))
        textures = Textures(self.textures)
        assert features.images is not None
        good = GoodImages.of(
            features.images,
            (self.embed(maps) for maps in features),
            self.frame,
            self.preparation,
            with_parts=self.fg == 1,
            batch_size=self.batch_size,
            memory_limit_mb=self.memory_limit_mb,
        )
        self.hypersphere_ = self._judged(good.pixels.mean(axis=0, dtype=np.float32))
        schedule = Schedule(
            examples=learnt,
            batch_size=self.batch_size,
            batches=math.ceil((self.limit + 1) / self.batch_size),
            epochs=self._epochs(len(learnt)),
            look=self.eval_epochs,
            patience=self.patience,
            rate=cosine if self.schedule == "cosine" else constant,
        )
        network = self._untrained(good, learnt)
        mean = network.standardized(good.mean(learnt, self.batch_size).to(self.backbone_.device))
        self.gas_ = self._weighed(good, learnt, network, mean)
        if self.gas is None and not self.gas_:
            features.training.notes.append(_LEFT_OUT)
        with ThreadPoolExecutor(2, thread_name_prefix="anomalist-synthesis") as pool:
            examples = Examples(
                good,
                LocalSynthesis(
                    textures=textures,
                    transform=self.frame,
                    grid=self.grid,
                    mean=self.mean,
                    std=self.std,
                    rand_aug=self.rand_aug == 1,
                ),
                lambda images: self.embed(self.preparation.maps(self.backbone_, images)),
                seed=self.seed,
                taken=self._taken(schedule),
                on_part=self.on_part,
                variants=self.variants,
                noise=self.noise,
                batch_size=self.batch_size,
                memory_limit_mb=self.memory_limit_mb,
                pool=pool,
            )
            learner = GLASSLearner(
                network,
                examples,
                Iteration(
                    self.hypersphere_,
                    self.step,
                    self.mining,
                    self.p,
                    self.radius,
                    self.gas_,
                    half=self.precision == "bfloat16" and has_bfloat16(self.backbone_.device),
                ),
                mean=mean,
                held_out=held_out,
                batch_size=self.batch_size,
                lr=self.lr,
                seed=self.seed,
                publish=self._take,
                identity={"textures": textures.digest()},
            )
            train(
                self,
                learner,
                schedule,
                images=features.images,
                training=features.training,
                progress=features.progress,
            )

    def check_calibrates(self, images: int) -> None:
        """Refuse fewer images than two of each fold, of which one is held out."""
        if self.selection == "held_out" and images < 2 * self.folds:
            self._refuse(images)

    def _refuse(self, images: int) -> NoReturn:
        raise ParameterError(
            "selection='held_out' needs 2 images or more, to learn from one and choose"
            f" the epoch by another, and {2 * self.folds} to be calibrated on folds of"
            f" them, not {images}: give more images, or selection='last'"
        )

    def _dealt(self, images: int) -> tuple[Indices, Indices]:
        """Deal the pictures into those held out and those learnt from, a photograph's together."""
        images //= self.views
        held_out = 0
        if self.selection == "held_out":
            if images < _FEWEST_HELD_OUT:
                self._refuse(images)
            held_out = min(max(round(self.held_out * images), 1), images - 1)
        order = stream(self.seed, HELD_OUT).permutation(images)
        if math.prod(self.grid) * (images - held_out) == 1:
            raise ParameterError(
                f"image_size {self.image_size} with downsampling {self.downsampling} makes one"
                " patch of one image, from which nothing can be learnt: enlarge image_size, lower"
                " downsampling or give more images"
            )
        pictures = (order[:, None] * self.views + np.arange(self.views)).ravel()
        return pictures[: held_out * self.views], pictures[held_out * self.views :]

    def _epochs(self, images: int) -> int:
        """The length of the training, of which an epoch takes at most so many images."""
        steps = math.ceil(min(images, self.limit + 1) / self.batch_size)
        return self.meta_epochs or math.ceil(_ITERATIONS / steps)

    def _taken(self, schedule: Schedule) -> int:
        """Patches of an image that a step takes."""
        smallest = min(map(len, schedule.batches_of(0, schedule.examples)))
        # Batch norm takes the spread of a step's patches, so one alone won't do.
        fewest = 2 if smallest == 1 else 1
        return max(fewest, round(self.patches * math.prod(self.grid)))

    def _untrained(self, good: GoodImages, learnt: Indices) -> Network:
        """The network before training, on its device."""
        network = self.make_network(good.clean.shape[-1])
        weights_seed = int(stream(self.seed, WEIGHTS).integers(2**31))
        network.initialise(torch.Generator().manual_seed(weights_seed))
        if self.spread is not None:
            network.standardize(*good.moments(learnt, self.batch_size), self.spread)
        return network.to(self.backbone_.device)

    def _judged(self, mean_image: Float32) -> bool:
        if self.svd is not None:
            return self.svd == 1
        if self.distribution in (2, 3):
            return self.distribution == 3
        judged = judge_distribution(mean_image) == "hypersphere"
        return judged != (self.distribution == 4)

    def _weighed(self, good: GoodImages, learnt: Indices, network: Network, mean: Tensor) -> float:
        """The weight of global synthesis."""
        if self.gas is not None:
            return float(self.gas)
        if not self.hypersphere_ or not self.fg:
            return 1.0
        return float(good.beyond(learnt, network, mean, self.radius, self.grid) <= _MOST_BEYOND)

    def embed(self, maps: list[Tensor]) -> Tensor:
        """Patch embeddings (B, h * w, D) of feature maps."""
        return patch_embeddings(
            maps,
            self.patchsize,
            size=self.grid,
            layer_dimension=self.pretrain_embed_dimension,
            dimension=self.target_embed_dimension,
        ).flatten(1, 2)

    def make_network(self, dimension: int) -> Network:
        """Make the network for features of so many values, untrained."""
        return Network(
            dimension,
            pre_proj=self.pre_proj,
            dsc_layers=self.dsc_layers,
            dsc_hidden=self.dsc_hidden,
        )

    @classmethod
    def _from_state(
        cls, header: dict[str, Any], tensors: dict[str, Tensor], device: str | None
    ) -> Self:
        parameters = header.get("parameters")
        state = header.get("state")
        if isinstance(parameters, dict) and isinstance(state, dict):
            header = header | {
                "parameters": _BEFORE | parameters,
                "state": {"gas_": _BEFORE["gas"]} | state,
            }
        return super()._from_state(header, tensors, device)

    def _take(self, epoch: int, losses: Sequence[float], network: dict[str, Tensor]) -> None:
        """Score from now on with the weights that stood after an epoch."""
        self.network_ = {name: tensor.cpu().numpy().copy() for name, tensor in network.items()}
        self.epoch_ = epoch
        self.losses_ = np.array(losses, np.float32)
        self._restore()

    def _layout(self, maps: list[tuple[int, int, int]]) -> dict[str, Layout | Any]:
        each = self.pretrain_embed_dimension
        values = sum(channels if each is None else each for channels, _, _ in maps)
        with torch.device("meta"):
            network = self.make_network(self.target_embed_dimension or values)
        layout: dict[str, Layout | Any] = {
            f"network_.{name}": Layout(
                np.int64 if tensor.dtype == torch.int64 else np.float32,
                tuple(tensor.shape),
                minimum=0 if name.endswith("running_var") else None,
            )
            for name, tensor in network.state_dict().items()
        }
        return layout | {
            "hypersphere_": bool,
            "gas_": float,
            "epoch_": int,
            "losses_": Layout(np.float32, ("epochs",)),
        }

    def _restore(self) -> None:
        self._network = self.make_network(len(self.network_["shift"]))
        self._network.load_state_dict({n: torch.as_tensor(w) for n, w in self.network_.items()})
        self._network.to(self.backbone_.device).eval()

    def _score(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        embeddings = self.embed(features)
        with torch.inference_mode():
            scores = self._network(embeddings.flatten(0, 1))
        scores = scores.reshape(-1, *self.grid)
        return scores.amax(dim=(1, 2)), scores

    def _enlarge(self, patch_scores: Tensor) -> Tensor:
        return self._in_view(patch_scores, self.sigma)
