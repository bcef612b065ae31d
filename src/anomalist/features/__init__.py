"""Frozen backbones, where their weights come from, and patch embeddings."""

from anomalist.features.backbone import Backbone, unite_backbones
from anomalist.features.devices import NoDeviceError, pick_device
from anomalist.features.enlarging import enlarge
from anomalist.features.patches import patch_embeddings
from anomalist.features.preparation import Preparation
from anomalist.features.progress import Progress
from anomalist.features.store import FeatureStore
from anomalist.features.tiles import TileGrid
from anomalist.features.weights import EMBEDDED, PINNED, WeightsFile, find_weights, timm_name

__all__ = [
    "EMBEDDED",
    "PINNED",
    "Backbone",
    "FeatureStore",
    "NoDeviceError",
    "Preparation",
    "Progress",
    "TileGrid",
    "WeightsFile",
    "enlarge",
    "find_weights",
    "patch_embeddings",
    "pick_device",
    "timm_name",
    "unite_backbones",
]
