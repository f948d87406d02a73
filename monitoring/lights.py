"""The traffic light of each verdict, and the order in which categories are shown."""

from __future__ import annotations

from enum import StrEnum

from normscape.drift import CategoryDrift, DriftVerdicts, Verdict


class Light(StrEnum):
    """From the most to the least urgent."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    GREY = "grey"


LIGHTS = {
    Verdict.DRIFT: Light.RED,
    Verdict.RISING: Light.ORANGE,
    Verdict.MISSING: Light.ORANGE,
    Verdict.STALE: Light.YELLOW,
    Verdict.QUIET: Light.GREEN,
    Verdict.TOO_FEW: Light.GREY,
    Verdict.SILENT: Light.GREY,
}

WORDS = {
    Verdict.DRIFT: "drift",
    Verdict.RISING: "more defects",
    Verdict.MISSING: "stays away",
    Verdict.STALE: "stale reference",
    Verdict.QUIET: "quiet",
    Verdict.TOO_FEW: "too few images",
    Verdict.SILENT: "no images",
}

REMARKABLE = (Light.RED, Light.ORANGE, Light.YELLOW)
"""Lights that a person should look at."""


def by_light(drift: DriftVerdicts) -> list[CategoryDrift]:
    """The categories, the most urgent light first, then the largest shift."""
    order = list(WORDS)
    return sorted(
        drift.categories,
        key=lambda each: (order.index(each.verdict), -abs(each.effect or 0.0), each.category),
    )
