"""What the model says of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageScore:
    """What the model says of one image.

    Attributes:
        score: Raw image score; higher is more anomalous.
        map: `(rows, columns)` float32, the anomaly map in the same unit.
        declared: The category the line gave, or None.
        predicted: The known category that looks most alike.
        category_distance: Distance to that category.
        strangeness: How strange the image is to all known products.
        category_p_value: Small when the image belongs to no known category.
        p_value_declared: Conformal p-value of the score among normal images of the declared
            category; None when it is not declared or not known.
        p_value_predicted: The same for the predicted category.
        category: The category whose threshold was used: the declared one if known, else the
            predicted one.
        threshold: The raw score from which an image is flagged.
        peak: Column and row of the pixel of a large image where its map is highest; None of an
            image that was not cut into tiles.
    """

    score: float
    map: NDArray[np.float32]
    declared: str | None
    predicted: str
    category_distance: float
    strangeness: float
    category_p_value: float
    p_value_declared: float | None
    p_value_predicted: float
    category: str
    threshold: float
    peak: tuple[int, int] | None = None

    @property
    def flagged(self) -> bool:
        """Whether the score is above the threshold of `category`."""
        return self.score > self.threshold

    @property
    def p_value(self) -> float:
        """The p-value under `category`."""
        declared = self.p_value_declared
        return self.p_value_predicted if declared is None else declared
