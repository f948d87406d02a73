"""What a detector is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Detector(Protocol):
    """Scores tokens; the same image gets the same scores whatever it is batched with."""

    def token_scores(self, tokens: Tensor, categories: Tensor) -> Tensor:
        """Scores `(B, N, 2)`, positive and higher = more anomalous, of tokens `(B, N, D)`.

        The first says how unusual a token is: an image's score is made of it. The second says by
        how much it differs from what is normal: it gives the anomaly map its shape.

        `categories` `(B, m)` are those that the images look most like, nearest first, as the
        category head sees them; never the category that somebody declared.
        """
