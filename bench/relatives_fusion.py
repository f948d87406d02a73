"""Two detectors as one: on the scale of normal images that neither has learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.datasets import train_rows
from bench.score import Scores

Answer = tuple[Scores, NDArray[np.floating]]
"""Raw scores `(N,)` and maps `(N, S, S)` of a detector."""

_LEAST_SPREAD = 1e-6


def learning_alone(rows: pd.DataFrame) -> pd.DataFrame:
    """A table whose calibration images are judged, not learned from; `held_out` says which."""
    held = (rows["split"] == "calibration") & (rows["label"] == 0)
    table = rows.assign(held_out=held, split=rows["split"].mask(held, "test"))
    names = set(train_rows(table)["category"])
    return table[table["category"].isin(names)].reset_index(drop=True)


def fused(judged: pd.DataFrame, answers: Sequence[Answer]) -> Answer:
    """The mean of the detectors' answers in standard deviations of their category's normals.

    Args:
        judged: The test rows of `learning_alone`, those held out among them.
        answers: Of each detector, in their order.

    Returns:
        Scores and maps of those that are not held out.
    """
    held = judged["held_out"].to_numpy(dtype=bool)
    names = judged["category"].to_numpy(dtype=str)
    scores = np.zeros(int((~held).sum()))
    maps = np.zeros((len(scores), *answers[0][1].shape[1:]), dtype=np.float32)
    for raw, pixels in answers:
        location, spread = np.empty(len(judged)), np.empty(len(judged))
        for name in set(names):
            normal = raw[(names == name) & held]
            location[names == name] = normal.mean()
            spread[names == name] = max(float(normal.std(ddof=1)), _LEAST_SPREAD)
        centre, unit = location[~held], spread[~held]
        scores += (raw[~held] - centre) / unit
        for place, image in enumerate(np.flatnonzero(~held)):
            shifted = pixels[image].astype(np.float32) - centre[place]
            maps[place] += shifted / unit[place]
    return (scores / len(answers)).astype(np.float32), maps / len(answers)
