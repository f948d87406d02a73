"""What a detector is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Detector(Protocol):
    """Scores tokens; the same image gets the same scores whatever it is batched with."""

    def anomaly_map(self, tokens: Tensor, categories: Tensor) -> Tensor:
        """Scores `(B, N)`, higher = more anomalous, of tokens `(B, N, D)`.

        `categories` `(B, m)` are those that the images look most like, nearest first, as the
        category head sees them; never the category that somebody declared.
        """
