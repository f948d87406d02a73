"""What a model's reference says of each category: where its body lies and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from normscape.drift.robust import EFFICIENCY, MIN_REFERENCE, Numbers, bodies, qn_scale

LOOKS = ("mean_intensity", "std_intensity", "sharpness")
MEASURES = ("score", *LOOKS)

_RATIO_SCALED = ("sharpness",)  # a variance: its changes are factors, its distribution skewed
_NORMAL_RATIO = 1.1  # variance of the location times n / scale², at the normal distribution
_PRIOR_IMAGES = 30.0  # images that it counts for against the reference's own
_TAIL = 3.0  # scales above the body from where a score belongs to the tail
_TAIL_QUANTILE = 0.95
_LEAST_SCALE = 0.01  # of the median category's: a reference of equal scores still has a unit


@dataclass(frozen=True)
class Body:
    """One measure of all C categories in the reference.

    Attributes:
        location: `(C,)`; NaN below `MIN_REFERENCE` images.
        scale: `(C,)` robust standard deviations (Qn), the unit of every shift.
        spread: `(C,)`, see `robust.Bodies`.
        ratio: `(C,)` variance of a location times the number of images, over scale².
    """

    location: Numbers
    scale: Numbers
    spread: Numbers
    ratio: Numbers


@dataclass(frozen=True)
class Reference:
    """The reference of all categories.

    Attributes:
        categories: Their names, in order.
        images: `(C,)` finite scores.
        bodies: By name of the measure.
        tail_level: `(C,)` the score from where an image belongs to the tail.
        tail_images: `(C,)` of the reference above it.
    """

    categories: tuple[str, ...]
    images: Numbers
    bodies: dict[str, Body]
    tail_level: Numbers
    tail_images: Numbers

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Self:
        """Read it off the reference's rows: columns `category`, `score` and the image statistics.

        Raises:
            KeyError: A column is missing.
        """
        names = tuple(sorted(frame["category"].unique()))
        found = {name: _body(frame, names, name) for name in MEASURES}
        body, scores = found["score"], [_finite(frame, name) for name in names]
        quantiles = [np.quantile(each, _TAIL_QUANTILE) if each.size else np.nan for each in scores]
        level = np.maximum(body.location + _TAIL * body.scale, quantiles)
        above = [float((each > limit).sum()) for each, limit in zip(scores, level, strict=True)]
        images = np.array([float(each.size) for each in scores])
        return cls(names, images, found, level, np.array(above))

    @property
    def freedom(self) -> Numbers:
        """`(C,)` degrees of freedom of the scales."""
        return np.maximum(EFFICIENCY * (self.images - 1), 1.0)


def measure(frame: pd.DataFrame, name: str) -> Numbers:
    """The values of a measure as they are compared; NaN where there is none."""
    values: Numbers = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    if name in _RATIO_SCALED:
        values = np.log(np.maximum(values, 1e-9))
    return np.where(np.isfinite(values), values, np.nan)


def _body(frame: pd.DataFrame, names: tuple[str, ...], name: str) -> Body:
    empty = [np.full(len(names), np.nan) for _ in range(4)]
    location, scale, spread, ratio = empty
    for row, category in enumerate(names):
        values = _finite(frame, category, name)
        if values.size < MIN_REFERENCE:
            continue
        _, body = bodies(values, np.zeros(values.size, np.int64))
        location[row], spread[row] = body.location[0], body.spread[0]
        scale[row] = qn_scale(values)
        unit = (spread[row] / scale[row]) ** 2 if scale[row] > 0 else 1.0
        own = float(np.clip(body.ratio[0] * unit, 0.5, 4.0))
        ratio[row] = (values.size * own + _PRIOR_IMAGES * _NORMAL_RATIO) / (
            values.size + _PRIOR_IMAGES
        )
    known = scale[scale > 0]
    least = _LEAST_SCALE * float(np.median(known)) if known.size else _LEAST_SCALE
    return Body(location, np.maximum(scale, least), spread, ratio)


def _finite(frame: pd.DataFrame, category: str, name: str = "score") -> Numbers:
    values = measure(frame[frame["category"] == category], name)
    return values[np.isfinite(values)]
