"""Generated days of a line."""

import datetime

import numpy as np
import pandas as pd

from normscape.drift import History, Reference
from normscape.sections.production import MonitorParams


def rows(rng, sizes, *, shift=None, scatter=None, defects=None, look=None):
    """Images of one day; the keywords name what has changed, by category."""
    parts = []
    for category, size in sizes.items():
        scores = rng.gamma(4.0, size=size) / 2 * (scatter or {}).get(category, 1.0)
        scores += (shift or {}).get(category, 0.0)
        spoiled = rng.random(size) < (defects or {}).get(category, 0.0)
        dark = (look or {}).get(category, 0.0)
        parts.append(
            pd.DataFrame(
                {
                    "category": category,
                    "score": scores + 5 * spoiled,
                    "flagged": spoiled,
                    "mean_intensity": 0.5 + 0.02 * (rng.normal(size=size) + dark),
                    "std_intensity": 0.2 + 0.01 * rng.normal(size=size),
                    "sharpness": np.exp(rng.normal(size=size) * 0.2 - 3),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def day(number):
    return (datetime.date(2026, 1, 1) + datetime.timedelta(days=number)).isoformat()


def history_of(reference, days, params=None):
    """The reference's rows and the rows of each day → what `decide` takes."""
    params = params or MonitorParams()
    known = Reference.of(reference)
    history = History(known, params.min_images)
    for number, frame in enumerate(days):
        history.add(day(number), frame)
    return known, history, params
