"""`backbone.xml` and `detector.xml`: OpenVINO's format, in the precision of the thresholds.

Two models, because a compiled model has one precision, marks that keep single nodes in float32 are
lost when it is written, and the detector in bfloat16 gives other scores. The backbone is the very
network that the project's own scorer runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normscape.backbones import BackboneIdentity, LevelShape
from normscape.backbones.conversion import compile_model
from normscape.backbones.runtime import cpu_has_bf16
from normscape.backbones.vendor import openvino
from normscape.errors import NormscapeError
from normscape.export.formats.base import Answers, Parts, Runner
from normscape.export.graph import OUTPUTS
from normscape.export.record import Record
from normscape.export.refining import INPUTS, OUTPUT, RefinerRunner, trace_refiner
from normscape.export.trace import trace

PACKAGES = ("torch", "openvino")
_BACKBONE, _DETECTOR, _REFINER = "backbone.xml", "detector.xml", "refiner.xml"


def precision(identity: BackboneIdentity) -> str:
    """That of the thresholds where OpenVINO has it, else float32."""
    return "bf16" if identity.precision == "bf16" else "fp32"


def write(folder: Path, parts: Parts) -> None:
    """Write both models, for batches of any size, and the refiner, for one image."""
    library = openvino()
    size, shapes = parts.identity.input_size, parts.detector.shapes
    backbone = parts.converted().model
    backbone.reshape({0: [-1, 3, size, size]})
    levels = [f"level_{level}" for level in range(len(shapes))]
    _name(backbone, ["pixels"], levels)
    library.save_model(backbone, folder / _BACKBONE, compress_to_fp16=False)
    detector = library.convert_model(trace(parts.detector.eval(), shapes, listed=True))
    detector.reshape(_inputs(shapes, -1))
    _name(detector, [*levels, "declared"], list(OUTPUTS))
    library.save_model(detector, folder / _DETECTOR, compress_to_fp16=False)
    if parts.refiner is not None:
        refiner = library.convert_model(trace_refiner(parts.refiner))
        _name(refiner, INPUTS, [OUTPUT])
        library.save_model(refiner, folder / _REFINER, compress_to_fp16=False)


def load(folder: Path, record: Record) -> Runner:
    """Read both models and compile them for this CPU, one image a stream.

    Raises:
        NormscapeError: The CPU lacks the precision of the thresholds.
    """
    arithmetic = record.precision["backbone"]
    if arithmetic == "bf16" and not cpu_has_bf16():
        raise NormscapeError(
            f"{folder}: the thresholds hold for OpenVINO in bf16, which this CPU does not compute "
            "in; use another machine, or recalibrate for this one and export again"
        )
    return open_models(folder, arithmetic)


def load_refiner(folder: Path) -> RefinerRunner:
    """Read the refiner and compile it for this CPU, in float32."""
    model = compile_model(openvino().Core().read_model(folder / _REFINER), "fp32")
    lock = Lock()

    def run(
        pixels: NDArray[np.float32], maps: NDArray[np.float32], category: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        with lock:
            sharp: NDArray[np.float32] = model([pixels, maps, category])[0].copy()
        return sharp

    return run


def open_models(folder: Path, arithmetic: str) -> Runner:
    """Compile both models, the backbone in `arithmetic`: bf16 or fp32."""
    return _Runner(folder, arithmetic)


class _Runner:
    def __init__(self, folder: Path, arithmetic: str) -> None:
        core = openvino().Core()
        backbone = core.read_model(folder / _BACKBONE)
        detector = core.read_model(folder / _DETECTOR)
        # Faster than with a free batch: OpenVINO plans memory and kernels ahead.
        _, *pixels = backbone.inputs[0].partial_shape
        backbone.reshape({0: [1, *pixels]})
        shapes = [tuple(output.shape)[1:] for output in backbone.outputs]
        detector.reshape(_inputs(shapes, 1))
        self._backbone = _Queue(compile_model(backbone, arithmetic))
        self._detector = _Queue(compile_model(detector, "fp32"))
        self._lock = Lock()

    def __call__(self, pixels: NDArray[np.float32], declared: NDArray[np.int64]) -> Answers:
        with self._lock:
            maps = self._backbone([pixels])
            found = self._detector([*maps, declared])
        return dict(zip(OUTPUTS, found, strict=True))


class _Queue:
    """Runs a compiled model of single images over batches, an image a stream."""

    def __init__(self, model: Any) -> None:
        self._queue = openvino().AsyncInferQueue(model)
        self._kinds = [
            (tuple(output.shape)[1:], output.element_type.to_dtype()) for output in model.outputs
        ]

    def __call__(self, batch: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        count = len(batch[0])
        results = [np.empty((count, *shape), dtype) for shape, dtype in self._kinds]

        def keep(request: Any, row: int) -> None:
            for position, result in enumerate(results):
                result[row] = request.get_output_tensor(position).data[0]

        self._queue.set_callback(keep)
        for row in range(count):
            feed = {place: values[row : row + 1] for place, values in enumerate(batch)}
            self._queue.start_async(feed, row)
        self._queue.wait_all()
        return results


def _inputs(shapes: Sequence[LevelShape], batch: int) -> dict[int, list[int]]:
    levels = {level: [batch, *shape] for level, shape in enumerate(shapes)}
    return {**levels, len(shapes): [batch]}


def _name(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    for port, name in zip(model.inputs, inputs, strict=True):
        port.tensor.set_names({name})
    for port, name in zip(model.outputs, outputs, strict=True):
        port.tensor.set_names({name})
