"""From a torch network to OpenVINO's format: converted once, kept, measured before it is used."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from normscape.backbones.network import FeatureNetwork
from normscape.backbones.runtime import available_cores, cpu_has_bf16
from normscape.backbones.vendor import openvino
from normscape.errors import NormscapeError, UsageError
from normscape.files import atomic_folder, exclusive_lock, read_json, sha256_file, write_json

MAX_RELATIVE_ERROR = 0.10
"""Largest relative error of a level's map in bf16 that `auto` accepts; see docs/backbones.md."""

_MAX_STREAMS = 16
_WAIT_SECONDS = 600.0
_PROBES = ("astronaut", "brick", "chelsea", "coins")
_PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


@dataclass(frozen=True)
class Converted:
    """A network in OpenVINO's format for one image at a time.

    Attributes:
        model: The `openvino.Model`.
        bf16_errors: Relative error of each level in bf16 on real photographs, against torch in
            fp32; None where the CPU has no bf16.
    """

    model: Any
    bf16_errors: tuple[float, ...] | None

    @property
    def bf16_agrees(self) -> bool:
        """Whether every level stays within `MAX_RELATIVE_ERROR` in bf16."""
        return self.bf16_errors is not None and max(self.bf16_errors) <= MAX_RELATIVE_ERROR


def convert_cached(folder: Path, input_size: int, build: Callable[[], FeatureNetwork]) -> Converted:
    """Convert a network, or read what an earlier process converted.

    Args:
        folder: Where the conversion of this network and these levels is kept. A damaged copy, or
            one of another OpenVINO or CPU, is replaced.
        input_size: Pixels per side.
        build: Builds the torch network; not called when the cache holds the conversion.
    """
    found = _read(folder)
    if found is not None:
        return found
    if not _writable(folder.parent):
        return _measured(build(), input_size)
    lock = folder.with_name(f"{folder.name}.lock")
    with exclusive_lock(lock, f"the conversion of {folder.name}", wait_seconds=_WAIT_SECONDS):
        found = _read(folder)
        if found is not None:
            return found
        converted = _measured(build(), input_size)
        _write(folder, converted)
    return converted


def compile_model(model: Any, precision: str) -> Any:
    """Compile for this CPU: one stream a core, one image a stream.

    This is faster than whole batches (docs/backbones.md), and an image's features depend neither
    on its batch mates nor on the number of cores.
    """
    streams = min(available_cores(), _MAX_STREAMS)
    return (
        openvino()
        .Core()
        .compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
                "NUM_STREAMS": streams,
                "INFERENCE_NUM_THREADS": streams,
            },
        )
    )


def relative_errors(
    found: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]]
) -> tuple[float, ...]:
    """`‖found - expected‖ / ‖expected‖` of each level."""
    return tuple(
        float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-12))
        for a, b in zip(found, expected, strict=True)
    )


def probe_batch(input_size: int) -> Tensor:
    """Real photographs that scikit-image ships, `(B, 3, S, S)` in [0, 1]."""
    from PIL import Image
    from skimage import data

    pictures = [
        Image.fromarray(getattr(data, name)())
        .convert("RGB")
        .resize((input_size, input_size), Image.Resampling.BICUBIC)
        for name in _PROBES
    ]
    pixels = np.stack([np.asarray(picture, dtype=np.float32) for picture in pictures])
    return torch.from_numpy(pixels / 255.0).permute(0, 3, 1, 2).contiguous()


def _measured(network: FeatureNetwork, input_size: int) -> Converted:
    model = _convert(network, input_size)
    errors = _bf16_errors(network, model, input_size) if cpu_has_bf16() else None
    return Converted(model, errors)


def _convert(network: FeatureNetwork, input_size: int) -> Any:
    # openvino.convert_model traces the network three times; the frontend it is built on, once.
    library = openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.rand(1, 3, input_size, input_size)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and is what OpenVINO reads
        traced: Any = torch.jit.trace(network, example, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
        traced = torch.jit.freeze(traced)
    # Each of these must outlive the conversion: the frontend holds no reference to its decoder.
    decoder = TorchScriptPythonDecoder(traced, skip_freeze=True)
    frontend = FrontEndManager().load_by_framework("pytorch")
    loaded = frontend.load(decoder)
    try:
        pixels = loaded.get_inputs()[0]
        loaded.set_element_type(pixels, library.Type.f32)
        loaded.set_partial_shape(pixels, library.PartialShape(list(example.shape)))
        model = frontend.convert(loaded)
    except RuntimeError as error:
        raise NormscapeError(
            f"OpenVINO cannot convert this network: {str(error).strip().splitlines()[-1]}; "
            "set backbone.runtime to 'torch'"
        ) from error
    return model


def _bf16_errors(network: FeatureNetwork, model: Any, input_size: int) -> tuple[float, ...]:
    probes = probe_batch(input_size)
    with torch.no_grad():
        expected = [level.numpy() for level in network(probes)]
    request = compile_model(model, "bf16").create_infer_request()
    rows = []
    for image in probes.numpy():
        request.infer({0: image[None]})
        rows.append([request.get_output_tensor(i).data[0].copy() for i in range(len(expected))])
    found = [np.stack(level) for level in zip(*rows, strict=True)]
    return relative_errors(found, expected)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _environment() -> dict[str, Any]:
    return {"openvino": version("openvino"), "bf16": cpu_has_bf16()}


def _write(folder: Path, converted: Converted) -> None:
    try:
        with atomic_folder(folder) as temporary:
            openvino().save_model(converted.model, temporary / "model.xml", compress_to_fp16=False)
            files = {p.name: sha256_file(p) for p in sorted(temporary.iterdir())}
            record = {
                "environment": _environment(),
                "files": files,
                "bf16_errors": converted.bf16_errors,
            }
            write_json(temporary / "record.json", record)
    except (OSError, RuntimeError) as error:
        # The conversion is in memory; a full disk costs the next process some seconds.
        warnings.warn(f"cannot keep the converted network in {folder}: {error}", stacklevel=2)


def _read(folder: Path) -> Converted | None:
    if not (folder / "record.json").is_file():
        return None
    try:
        record = read_json(folder / "record.json")
        damaged = any(
            sha256_file(folder / name) != digest for name, digest in record["files"].items()
        )
    except (UsageError, OSError):
        return None
    if damaged or record["environment"] != _environment():
        return None
    errors = record["bf16_errors"]
    model = openvino().Core().read_model(folder / "model.xml")
    return Converted(model, None if errors is None else tuple(errors))
