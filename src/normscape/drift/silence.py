"""Which category has gone silent: it used to come, the plant is running, and it does not come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

MIN_ACTIVE_DAYS = 7
"""Days with images of anything before a silence can be told from a beginning."""


@dataclass(frozen=True)
class Silence:
    """A category that stays away.

    Attributes:
        category: Its name.
        days: Active days of the plant since it was last seen.
        usual_per_day: Its images on a day on which it came, as a median.
        last_day: The day it was last seen.
    """

    category: str
    days: int
    usual_per_day: float
    last_day: str


def find_silent(
    table: pd.DataFrame, days: list[str], *, false_alarms: float, categories: int
) -> tuple[Silence, ...]:
    """Categories whose absence is longer than their own habit explains.

    Only active days count: days on which the plant scored something. A category that came on a
    share p of them is silent after the number of days that chance gives `(1 - p)^days`, at most a
    false alarm's share of the budget, and never before one and a half of its longest gap so far.

    Args:
        table: Of `History`.
        days: The active days, oldest first, the judged one last.
        false_alarms: Of all categories in a year.
        categories: How many are watched.
    """
    if len(days) < MIN_ACTIVE_DAYS:
        return ()
    place = {day: number for number, day in enumerate(days)}
    level = false_alarms / (365.0 * max(categories, 1))
    found = []
    for name, rows in table.groupby("category", sort=True):
        seen = sorted(place[day] for day in set(rows["day"]))
        gap = len(days) - 1 - seen[-1]
        if not gap or len(seen) < 2:
            continue
        longest = max(later - earlier for earlier, later in pairwise(seen)) - 1
        span = seen[-1] - seen[0] + 1
        present = (len(seen) + 0.5) / (span + 1.0)
        needed = max(math.ceil(math.log(level) / math.log(1.0 - present)), math.ceil(1.5 * longest))
        if gap >= max(needed, 1):
            usual = float(rows["arrived"].median())
            found.append(Silence(str(name), gap, usual, days[seen[-1]]))
    return tuple(found)
