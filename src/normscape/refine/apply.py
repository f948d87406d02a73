"""The one rule of which maps are refined, for the scorer and for the evaluation."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from normscape.detectors.model import Prediction
from normscape.refine.model import Refiner

AnyPrediction = TypeVar("AnyPrediction", bound=Prediction)


def refined(
    refiner: Refiner, pixels: Tensor, prediction: AnyPrediction, p_values: NDArray[np.float64]
) -> AnyPrediction:
    """A prediction whose maps are refined where the image stands out; nothing else changes.

    Args:
        refiner: On the device of the prediction.
        pixels: `(B, 3, H, H)` in [0, 1], as the backbone took them.
        prediction: Of them.
        p_values: `(B,)` of the scores among normal images of the *predicted* categories.
    """
    wanted = refiner.wanted(torch.from_numpy(p_values)).nonzero().flatten()
    if not len(wanted):
        return prediction
    rows = wanted.to(prediction.map.device)
    maps = prediction.map.clone()
    maps[rows] = refiner(
        pixels[wanted].to(maps.device), prediction.map[rows], prediction.category[rows]
    )
    return dataclasses.replace(prediction, map=maps)
