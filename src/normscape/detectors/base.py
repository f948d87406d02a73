"""What a detector is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Detector(Protocol):
    """Scores tokens; the same image gets the same scores whatever it is batched with."""

    def anomaly_map(self, tokens: Tensor) -> Tensor:
        """Scores `(B, N)`, higher = more anomalous, of tokens `(B, N, D)`."""
