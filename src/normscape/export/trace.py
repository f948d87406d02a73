"""From a module to a program of tensor operations with a batch of any size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

_EXAMPLES = 2  # tracers take a dimension of 1 for a constant


def trace(module: nn.Module, shapes: Sequence[Sequence[int]], *, listed: bool) -> Any:
    """Follow a module whose arguments are float tensors and `declared`.

    Args:
        module: In evaluation mode.
        shapes: Of the float arguments, without the batch.
        listed: Whether the module takes them as one tuple.

    Returns:
        The `torch.export.ExportedProgram`.
    """
    floats = tuple(torch.rand(_EXAMPLES, *shape) for shape in shapes)
    declared = torch.full((_EXAMPLES,), -1, dtype=torch.int64)
    batch = torch.export.Dim("batch", min=1)
    free = tuple({0: batch} for _ in floats)
    arguments: tuple[Any, ...] = (floats, declared) if listed else (*floats, declared)
    dynamic: tuple[Any, ...] = (free, {0: batch}) if listed else (*free, {0: batch})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Constants that the code computes once and keeps must exist before tensors have no values.
        module(*arguments)
        return torch.export.export(module, arguments, dynamic_shapes=dynamic, strict=False)
