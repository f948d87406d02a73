"""The refiner as a program of its own, for one image: most images need none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from normscape.refine.model import Refiner

INPUTS = ("pixels", "map", "category")
OUTPUT = "refined"

RefinerRunner = Callable[
    [NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]
]
"""The refined map `(1, M, M)` of pixels `(1, 3, S, S)`, a map `(1, M, M)` and a category `(1,)`."""


class RefinerGraph(nn.Module):
    """What is written: `Refiner.one`.

    Args:
        refiner: Of a bundle, in evaluation mode.
    """

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(self, pixels: Tensor, maps: Tensor, category: Tensor) -> Tensor:
        """The refined map of one image; see `Refiner.one`."""
        return self.refiner.one(pixels, maps, category)


def trace_refiner(refiner: Refiner) -> Any:
    """The refiner as a `torch.export.ExportedProgram` of one image."""
    config = refiner.config
    pixels = torch.rand(1, 3, config.input_size, config.input_size)
    maps = torch.rand(1, config.map_size, config.map_size) + 0.5
    example = (pixels, maps, torch.zeros(1, dtype=torch.int64))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(RefinerGraph(refiner).eval(), example, strict=False)
