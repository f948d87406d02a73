"""`scorer.onnx` with its weights in `scorer.onnx.data`, for ONNX Runtime and others."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from normscape.backbones import BackboneIdentity
from normscape.errors import NormscapeError
from normscape.export.formats.base import Answers, Parts, Runner
from normscape.export.graph import OUTPUTS, ScorerGraph
from normscape.export.record import Record
from normscape.export.trace import trace

PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
_GRAPH = "scorer.onnx"
_OPSET = 18


def precision(identity: BackboneIdentity) -> str:
    """Always float32."""
    return "fp32"


def write(folder: Path, parts: Parts) -> None:
    """Write the graph, with its weights beside it: one file may hold no more than 2 GiB."""
    graph = ScorerGraph(parts.network(), parts.detector).eval()
    size = parts.identity.input_size
    program = trace(graph, [(3, size, size)], listed=False)
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        torch.onnx.export(
            program,
            (),
            folder / _GRAPH,
            input_names=["pixels", "declared"],
            output_names=list(OUTPUTS),
            opset_version=_OPSET,
            dynamo=True,
            external_data=True,
            verbose=False,
        )
    except ImportError as error:
        raise _missing(error) from None
    finally:
        logger.setLevel(before)


def load(folder: Path, record: Record) -> Runner:
    """Open the graph with ONNX Runtime on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing(error) from None
    session = onnxruntime.InferenceSession(folder / _GRAPH, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.float32], declared: NDArray[np.int64]) -> Answers:
        found: list[Any] = session.run(list(OUTPUTS), {"pixels": pixels, "declared": declared})
        return dict(zip(OUTPUTS, found, strict=True))

    return run


def _missing(error: ImportError) -> NormscapeError:
    return NormscapeError(
        f"the format onnx needs packages that are not installed ({error}); install "
        "'normscape[onnx]'"
    )
