"""Frozen feature extractors: timm networks, their weights, and the runtimes that run them."""

from normscape.backbones.base import RESIZE_RULE, Backbone, BackboneIdentity, LevelShape
from normscape.backbones.load import load_backbone, load_identity
from normscape.backbones.runtime import select_device

__all__ = [
    "RESIZE_RULE",
    "Backbone",
    "BackboneIdentity",
    "LevelShape",
    "load_backbone",
    "load_identity",
    "select_device",
]
