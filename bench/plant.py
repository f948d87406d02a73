"""A simulated plant: scores of 160 categories, with all that makes one day differ from another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CATEGORIES = 160
_BLOCK = 10  # neighbouring images that resemble each other
_RESEMBLANCE = 0.1  # share of the variance that a block has in common
_LOOKS = ("mean_intensity", "std_intensity", "sharpness")

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """What happens to some categories from one day on.

    Attributes:
        day: The first day of it.
        kind: `mean`: scores move by `size`; `scale`: they scatter `size` times as much; `tail`:
            the share of defects becomes `size`.
        size: In standard deviations, a factor, or a share.
        every: Each so-many-th category changes.
    """

    day: int
    kind: str
    size: float
    every: int = 5


@dataclass(frozen=True)
class Plant:
    """The parameters of a plant.

    Attributes:
        seed: Of everything drawn.
        references: Images of a category's reference; one of them each.
        traffic: Images a day; one number for each category, or None: 20 to 1,000, log-uniform.
        offset: Standard deviation of the harmless offset between days, of the reference's too.
        days: That are simulated.
        defects: Share of images 2 to 6 standard deviations above where they would lie.
        change: What happens, if anything.
    """

    seed: int
    references: tuple[int, ...] = (20, 100, 500)
    traffic: int | None = None
    offset: float = 0.0
    days: int = 365
    defects: float = 0.01
    change: Change | None = None

    def with_seed(self, seed: int) -> Plant:
        """The same plant, drawn anew."""
        return replace(self, seed=seed)


def simulate(plant: Plant) -> tuple[pd.DataFrame, Iterator[pd.DataFrame]]:
    """The reference and the days, rows as in the score log.

    A third of the categories has normal scores, a third gamma distributed (skewed), a third
    Student's t with 5 degrees of freedom (heavy tails), all with standard deviation 1. Neighbouring
    images resemble each other; every day, the one of the reference too, has its own offset.
    """
    rng = np.random.default_rng(plant.seed)
    images = rng.choice(plant.references, size=CATEGORIES)
    traffic = np.exp(rng.uniform(np.log(20), np.log(1000), CATEGORIES)).astype(int)
    if plant.traffic is not None:
        traffic = np.full(CATEGORIES, plant.traffic)
    scores = _scores(rng, images, plant.offset)
    reference = _frame(rng, plant, images, scores, np.zeros(images.sum(), bool))
    return reference, (_day(rng, plant, traffic, day) for day in range(plant.days))


def _day(
    rng: np.random.Generator, plant: Plant, traffic: NDArray[np.int64], day: int
) -> pd.DataFrame:
    scores = _scores(rng, traffic, plant.offset)
    of = np.repeat(np.arange(CATEGORIES), traffic)
    share = np.full(scores.size, plant.defects)
    change = plant.change
    if change is not None and day >= change.day:
        touched = of % change.every == 0
        if change.kind == "mean":
            scores[touched] += change.size
        elif change.kind == "scale":
            scores[touched] *= change.size
        else:
            share[touched] = change.size
    spoiled = rng.random(scores.size) < share
    scores[spoiled] += rng.uniform(2.0, 6.0, spoiled.sum())
    return _frame(rng, plant, traffic, scores, spoiled)


def _scores(rng: np.random.Generator, sizes: NDArray[np.int64], offset: float) -> Scores:
    of = np.repeat(np.arange(CATEGORIES), sizes)
    total = of.size
    own = np.empty(total)
    for law, draw in enumerate(
        (
            lambda size: rng.normal(size=size),
            lambda size: rng.gamma(4.0, size=size) / 2.0 - 2.0,
            lambda size: rng.standard_t(5, size=size) / np.sqrt(5 / 3),
        )
    ):
        chosen = of % 3 == law
        own[chosen] = draw(int(chosen.sum()))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    block = (np.arange(total) - starts[of]) // _BLOCK + of * (sizes.max() // _BLOCK + 1)
    shared = rng.normal(size=int(block.max()) + 1)[block]
    days: Scores = offset * rng.normal(size=CATEGORIES)[of]
    return np.sqrt(1 - _RESEMBLANCE) * own + np.sqrt(_RESEMBLANCE) * shared + days


def _frame(
    rng: np.random.Generator,
    plant: Plant,
    sizes: NDArray[np.int64],
    scores: Scores,
    flagged: NDArray[np.bool_],
) -> pd.DataFrame:
    """Rows; brightness and the like scatter and have offsets of their own, and mean nothing."""
    names = np.array([f"c{number:03d}" for number in range(CATEGORIES)])
    looks = {}
    for name in _LOOKS:
        days = plant.offset * rng.normal(size=CATEGORIES)
        looks[name] = 1.0 + 0.02 * (rng.normal(size=scores.size) + np.repeat(days, sizes))
    category = np.repeat(names, sizes)
    return pd.DataFrame({"category": category, "score": scores, "flagged": flagged, **looks})
