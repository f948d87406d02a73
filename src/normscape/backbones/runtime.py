"""Which runtime and precision this machine offers, and what `auto` means here."""

from __future__ import annotations

import os
from functools import lru_cache

import torch

from normscape.backbones.vendor import openvino
from normscape.errors import UsageError

PARITY = "parity"
"""Stands for OpenVINO's bf16 where it agrees with fp32 on this network, else fp32."""


def select_device() -> torch.device:
    """The device for torch: CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


@lru_cache(maxsize=1)
def cpu_has_bf16() -> bool:
    """Whether OpenVINO can compute in bfloat16 on this CPU."""
    return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def resolve(runtime: str, precision: str) -> tuple[str, str]:
    """Turn `auto` into what this machine does best.

    CUDA: torch, in bf16 (fp16 on GPUs that have no bf16). CPU: OpenVINO, in bf16 where the CPU
    has it and `PARITY` holds, else in fp32; torch on a CPU computes in fp32.

    Args:
        runtime: `auto`, `torch` or `openvino`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.

    Returns:
        Runtime and precision; the precision is `PARITY` where it depends on the network.

    Raises:
        UsageError: This machine cannot compute in the precision that was asked for.
    """
    cuda = select_device().type == "cuda"
    if runtime == "auto":
        runtime = "torch" if cuda else "openvino"
    if runtime == "openvino":
        offered = ("fp32", "bf16") if cpu_has_bf16() else ("fp32",)
        best = PARITY if "bf16" in offered else "fp32"
    elif cuda:
        half = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        offered, best = ("fp32", half), half
    else:
        offered, best = ("fp32",), "fp32"
    if precision == "auto":
        return runtime, best
    if precision not in offered:
        where = "a GPU" if runtime == "torch" and cuda else "a CPU"
        raise UsageError(
            f"backbone.precision is '{precision}', but {runtime} on {where} like this one offers "
            f"{' and '.join(offered)}; set it to 'auto' or choose another backbone.runtime"
        )
    return runtime, precision
