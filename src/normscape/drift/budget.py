"""From the false alarms that a plant accepts in a year to the limits of its charts."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats

DAYS = 365.0
_SHARES = {"location": 0.75, "spread": 0.15, "tail": 0.1}
_LOOKS_CHANGE = 0.05  # of days at most, by chance: looks and scores are never wrong together
LOOKS = 3.5
"""Independent looks that the overlapping windows of one day amount to."""


@dataclass(frozen=True)
class Limits:
    """On |z| (location, spread) and on z (tail).

    `corroborated` is that of the location on days on which the look of the images changes too.
    """

    location: float
    corroborated: float
    spread: float
    tail: float


def limits(alarms_per_year: float, categories: int) -> Limits:
    """Limits under which all categories together raise so many false alarms in a year.

    A chart looks once a day at overlapping windows, worth `LOOKS` independent looks. Three quarters
    of the budget go to the location, for which there are most reasons to change.
    """
    looks = max(categories, 1) * DAYS * LOOKS

    def limit(share: float, sides: int) -> float:
        return float(stats.norm.isf(min(share * alarms_per_year / looks, 0.5) / sides))

    location = _SHARES["location"]
    return Limits(
        limit(location, 2),
        limit(location / _LOOKS_CHANGE, 2),
        limit(_SHARES["spread"], 2),
        limit(_SHARES["tail"], 1),
    )
