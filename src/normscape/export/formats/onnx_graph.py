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
from normscape.export.refining import INPUTS, OUTPUT, RefinerRunner, trace_refiner
from normscape.export.trace import trace

PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
_GRAPH, _REFINER = "scorer.onnx", "refiner.onnx"
_OPSET = 18


def precision(identity: BackboneIdentity) -> str:
    """Always float32."""
    return "fp32"


def write(folder: Path, parts: Parts) -> None:
    """Write the graphs, their weights beside them: one file may hold no more than 2 GiB."""
    graph = ScorerGraph(parts.network(), parts.detector).eval()
    size = parts.identity.input_size
    program = trace(graph, [(3, size, size)], listed=False)
    _write(program, folder / _GRAPH, ["pixels", "declared"], list(OUTPUTS))
    if parts.refiner is not None:
        _write(trace_refiner(parts.refiner), folder / _REFINER, list(INPUTS), [OUTPUT])


def _write(program: Any, path: Path, inputs: list[str], outputs: list[str]) -> None:
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        torch.onnx.export(
            program,
            (),
            path,
            input_names=inputs,
            output_names=outputs,
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
    session = _open(folder / _GRAPH)

    def run(pixels: NDArray[np.float32], declared: NDArray[np.int64]) -> Answers:
        found: list[Any] = session.run(list(OUTPUTS), {"pixels": pixels, "declared": declared})
        return dict(zip(OUTPUTS, found, strict=True))

    return run


def load_refiner(folder: Path) -> RefinerRunner:
    """Open the refiner's graph with ONNX Runtime on the CPU."""
    session = _open(folder / _REFINER)

    def run(
        pixels: NDArray[np.float32], maps: NDArray[np.float32], category: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        given = dict(zip(INPUTS, (pixels, maps, category), strict=True))
        sharp: NDArray[np.float32] = session.run([OUTPUT], given)[0]
        return sharp

    return run


def _open(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing(error) from None
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _missing(error: ImportError) -> NormscapeError:
    return NormscapeError(
        f"the format onnx needs packages that are not installed ({error}); install "
        "'normscape[onnx]'"
    )
