"""The calibration as tensor operations: p-values and thresholds to the last bit of a float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from normscape.calibration.calibrator import Calibration
from normscape.calibration.tail import build_tail


class CalibrationTables(nn.Module):
    """What `Calibration` says of float32 scores, for the categories of a model in their order.

    The tails are kept in float32, rounded *down*: for a float32 score `s` and a double `v`,
    `s > v` exactly when `s > floor32(v)`, so neither a p-value nor a decision changes.

    Args:
        calibration: Of the bundle.
        categories: Names in the order of the model's indices.
    """

    thresholds: Tensor
    tails: Tensor
    p_values: Tensor
    familiar: Tensor

    def __init__(self, calibration: Calibration, categories: Sequence[str]) -> None:
        super().__init__()
        known = [calibration.categories[name] for name in categories]
        tails = [
            build_tail(
                name,
                location=item.location,
                scale=item.scale,
                residuals=calibration.residuals,
                pool_strength=calibration.pool_strength,
            )
            for name, item in zip(categories, known, strict=True)
        ]
        longest = max(len(tail.values) for tail in tails)
        values = np.full((len(tails), longest), np.finfo(np.float32).max, dtype=np.float32)
        p_values = np.zeros((len(tails), longest + 1), dtype=np.float32)
        for row, tail in enumerate(tails):
            values[row, : len(tail.values)] = round_down(tail.values)
            p_values[row, : len(tail.p)] = tail.p
        self.register_buffer("tails", torch.from_numpy(values))
        self.register_buffer("p_values", torch.from_numpy(p_values))
        limits = np.array([item.threshold for item in known])
        self.register_buffer("thresholds", torch.from_numpy(round_down(limits)))
        limits = calibration.familiar
        self.register_buffer("familiar", torch.from_numpy(round_down(limits)))

    def p_value(self, scores: Tensor, categories: Tensor) -> Tensor:
        """Conformal p-values `(B,)` of raw scores `(B,)` among normals of `categories (B,)`."""
        below = (self.tails[categories] < scores.unsqueeze(1)).sum(dim=1)
        return self.p_values.flatten()[categories * self.p_values.shape[1] + below]

    def category_p_value(self, strangeness: Tensor) -> Tensor:
        """Conformal p-values `(B,)` of strangeness `(B,)`."""
        count = len(self.familiar)
        below = (self.familiar < strangeness.unsqueeze(1)).sum(dim=1)
        return (1 + count - below).to(strangeness.dtype) / (1 + count)


def round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each value."""
    nearest = values.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > values, below, nearest)
