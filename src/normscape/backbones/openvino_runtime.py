"""Feature extraction with OpenVINO: the runtime for CPUs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normscape.backbones.base import BackboneIdentity, LevelShape
from normscape.backbones.conversion import Converted, compile_model
from normscape.backbones.vendor import openvino


class OpenVinoBackbone:
    """Runs a converted network on the CPU, one image a stream.

    Args:
        identity: What shapes the features.
        shapes: `(C, H, W)` of each level.
        convert: Returns the converted network; called at the first batch.
    """

    def __init__(
        self,
        identity: BackboneIdentity,
        shapes: tuple[LevelShape, ...],
        convert: Callable[[], Converted],
    ) -> None:
        self.identity = identity
        self.shapes = shapes
        self._convert = convert
        self._lock = Lock()  # the queue serves one batch at a time

    @cached_property
    def _queue(self) -> Any:
        return openvino().AsyncInferQueue(
            compile_model(self._convert().model, self.identity.precision)
        )

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Extract the maps of a `(B, 3, S, S)` batch; see `Backbone`."""
        pixels = np.ascontiguousarray(batch.cpu().numpy(), dtype=np.float32)
        maps = [np.empty((len(pixels), *shape), dtype=np.float32) for shape in self.shapes]

        def keep(request: Any, row: int) -> None:
            for level, out in enumerate(maps):
                out[row] = request.get_output_tensor(level).data[0]

        with self._lock:
            queue = self._queue
            queue.set_callback(keep)
            for row in range(len(pixels)):
                queue.start_async({0: pixels[row : row + 1]}, row)
            queue.wait_all()
        return [torch.from_numpy(level) for level in maps]
