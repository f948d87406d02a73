"""Feature extraction with torch: the runtime for CUDA, and the reference on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property

import torch
from torch import Tensor

from normscape.backbones.base import BackboneIdentity, LevelShape
from normscape.backbones.network import FeatureNetwork

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TorchBackbone:
    """Runs a network with torch, channels last, under autocast where it computes in half.

    Args:
        identity: What shapes the features.
        shapes: `(C, H, W)` of each level.
        build: Builds the network; called at the first batch.
        device: Where it runs.
    """

    def __init__(
        self,
        identity: BackboneIdentity,
        shapes: tuple[LevelShape, ...],
        build: Callable[[], FeatureNetwork],
        device: torch.device,
    ) -> None:
        self.identity = identity
        self.shapes = shapes
        self._build = build
        self._device = device

    @cached_property
    def _network(self) -> torch.nn.Module:
        return self._build().to(self._device).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Extract the maps of a `(B, 3, S, S)` batch; see `Backbone`."""
        pixels = batch.to(self._device, non_blocking=True)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        half = _HALF.get(self.identity.precision)
        with torch.autocast(self._device.type, dtype=half) if half else nullcontext():
            maps = self._network(pixels)
        return [level.float().contiguous() for level in maps]
