"""`scorer.pt2`: a `torch.export` program, for torch alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from normscape.backbones import BackboneIdentity
from normscape.export.formats.base import Answers, Parts, Runner
from normscape.export.graph import OUTPUTS, ScorerGraph
from normscape.export.record import Record
from normscape.export.refining import RefinerRunner, trace_refiner
from normscape.export.trace import trace

PACKAGES = ("torch",)
_PROGRAM, _REFINER = "scorer.pt2", "refiner.pt2"


def precision(identity: BackboneIdentity) -> str:
    """Always float32."""
    return "fp32"


def write(folder: Path, parts: Parts) -> None:
    """Write the program, and the refiner's."""
    graph = ScorerGraph(parts.network(), parts.detector).eval()
    size = parts.identity.input_size
    torch.export.save(trace(graph, [(3, size, size)], listed=False), folder / _PROGRAM)
    if parts.refiner is not None:
        torch.export.save(trace_refiner(parts.refiner), folder / _REFINER)


def load(folder: Path, record: Record) -> Runner:
    """Read the program; it runs on the CPU."""
    program = torch.export.load(folder / _PROGRAM).module()

    def run(pixels: NDArray[np.float32], declared: NDArray[np.int64]) -> Answers:
        with torch.inference_mode():
            found = program(torch.from_numpy(pixels), torch.from_numpy(declared))
        return {name: value.numpy() for name, value in zip(OUTPUTS, found, strict=True)}

    return run


def load_refiner(folder: Path) -> RefinerRunner:
    """Read the refiner's program; it runs on the CPU."""
    program = torch.export.load(folder / _REFINER).module()

    def run(
        pixels: NDArray[np.float32], maps: NDArray[np.float32], category: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = program(*map(torch.from_numpy, (pixels, maps, category)))
        sharp: NDArray[np.float32] = found.numpy()
        return sharp

    return run
