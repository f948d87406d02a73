"""Champion and challenger compared image by image: ranking, localisation, and decisions.

Image AUROC and localisation come with the intervals of a paired bootstrap. Escapes (missed defects)
and false alarms, each at the model's own calibrated thresholds, come with the exact interval that
belongs to McNemar's test: only the images on which the two models disagree tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normscape.errors import UsageError
from normscape.evaluation.bootstrap import Paired, average, paired_auroc, paired_means
from normscape.evaluation.metrics import binomial_interval

COLUMNS = ("path", "category", "label", "score", "localisation", "flagged_declared")
"""What is needed of the table of `Evaluation.scores`."""


@dataclass(frozen=True)
class Contrast:
    """One figure of challenger and champion on the same images.

    Attributes:
        images: How many it was measured on.
        challenger: Its value: an AUROC, or a share of the images.
        champion: The champion's.
        low: Lower limit of challenger minus champion.
        high: Upper limit.
    """

    images: int
    challenger: float
    champion: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion


@dataclass(frozen=True)
class Contrasts:
    """What was compared, in one category or over all; None where it could not be measured.

    Attributes:
        image_auroc: Of one category, or the mean of the categories.
        localisation: Mean over anomalous images of the pixel AUROC within the image; of one
            category, or the mean of the categories.
        escapes: Share of the anomalous images that are not flagged.
        false_alarms: Share of the normal images that are flagged.
    """

    image_auroc: Contrast | None = None
    localisation: Contrast | None = None
    escapes: Contrast | None = None
    false_alarms: Contrast | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Contrasts:
        """Read what `asdict` wrote."""
        found = {name: content.get(name) for name in cls.__dataclass_fields__}
        return cls(
            **{
                name: Contrast(**{field: value[field] for field in Contrast.__dataclass_fields__})
                for name, value in found.items()
                if value is not None
            }
        )


@dataclass(frozen=True)
class PairedScores:
    """Champion and challenger on the same images.

    Attributes:
        confidence: Of the intervals.
        overall: Means over the categories; escapes and false alarms of all images together.
        categories: Per category.
    """

    confidence: float
    overall: Contrasts
    categories: dict[str, Contrasts]

    def as_dict(self) -> dict[str, Any]:
        """Its content as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PairedScores:
        """Read what `as_dict` wrote; fields that a later release has added are left out."""
        categories = {
            name: Contrasts.from_dict(found) for name, found in content["categories"].items()
        }
        return cls(content["confidence"], Contrasts.from_dict(content["overall"]), categories)


def compare_scores(
    challenger: pd.DataFrame, champion: pd.DataFrame, confidence: float
) -> PairedScores:
    """Compare two tables of `Evaluation.scores` of the same images.

    Args:
        challenger: Its scores.
        champion: The champion's, of the same paths.
        confidence: Of the intervals.

    Raises:
        UsageError: The tables are not of the same images, or lack a column.
    """
    rows = _joined(challenger, champion)
    names = rows["category"].to_numpy(dtype=np.str_)
    labels = rows["label"].to_numpy()
    aurocs = paired_auroc(
        labels, names, *(rows[f"score_{who}"].to_numpy(dtype=np.float64) for who in _WHO)
    )
    located = rows[rows[[f"localisation_{who}" for who in _WHO]].notna().all(axis=1)]
    localised = paired_means(
        located["category"].to_numpy(dtype=np.str_),
        *(located[f"localisation_{who}"].to_numpy(dtype=np.float64) for who in _WHO),
    )
    judged = rows[rows[[f"flagged_declared_{who}" for who in _WHO]].notna().all(axis=1)]
    counted = located["category"].value_counts()
    categories = {}
    for name in sorted(set(names.tolist())):
        own = int((names == name).sum())
        categories[name] = Contrasts(
            _of([aurocs[name]], own, confidence) if name in aurocs else None,
            _of([localised[name]], int(counted[name]), confidence) if name in localised else None,
            *_decisions(judged[judged["category"] == name], confidence),
        )
    ranked = int(np.isin(names, list(aurocs)).sum())
    overall = Contrasts(
        _of(aurocs.values(), ranked, confidence),
        _of(localised.values(), len(located), confidence),
        *_decisions(judged, confidence),
    )
    return PairedScores(confidence, overall, categories)


_WHO = ("challenger", "champion")


def _joined(challenger: pd.DataFrame, champion: pd.DataFrame) -> pd.DataFrame:
    tables = []
    for who, table in zip(_WHO, (challenger, champion), strict=True):
        missing = [name for name in COLUMNS if name not in table.columns]
        if missing:
            raise UsageError(
                f"the {who}'s scores lack {', '.join(missing)}: they were written by another "
                "release; run dvc repro to evaluate again"
            )
        tables.append(table[list(COLUMNS)].sort_values("path", ignore_index=True))
    keys = ["path", "category", "label"]
    if not tables[0][keys].equals(tables[1][keys]):
        raise UsageError(
            f"the challenger was evaluated on {len(tables[0])} images and the champion on "
            f"{len(tables[1])}, which are not the same; run dvc repro to evaluate again"
        )
    values = [name for name in COLUMNS if name not in keys]
    parts = [table[values].add_suffix(f"_{who}") for who, table in zip(_WHO, tables, strict=True)]
    return pd.concat([tables[0][keys], *parts], axis=1)


def _of(parts: Iterable[Paired], images: int, confidence: float) -> Contrast | None:
    parts = list(parts)
    if not parts:
        return None
    mean = average(parts)
    return Contrast(images, mean.first, mean.second, *mean.interval(confidence))


def _decisions(judged: pd.DataFrame, confidence: float) -> tuple[Contrast | None, Contrast | None]:
    """Escapes and false alarms."""
    flagged = [judged[f"flagged_declared_{who}"].to_numpy(dtype=bool) for who in _WHO]
    anomalous = judged["label"].to_numpy() == 1
    return (
        _rates(~flagged[0][anomalous], ~flagged[1][anomalous], confidence),
        _rates(flagged[0][~anomalous], flagged[1][~anomalous], confidence),
    )


def _rates(
    challenger: NDArray[np.bool_], champion: NDArray[np.bool_], confidence: float
) -> Contrast | None:
    images = len(challenger)
    if not images:
        return None
    only_challenger = int((challenger & ~champion).sum())
    only_champion = int((champion & ~challenger).sum())
    low, high = paired_rate_interval(only_challenger, only_champion, images, confidence)
    return Contrast(images, float(challenger.mean()), float(champion.mean()), low, high)


def paired_rate_interval(
    only_first: int, only_second: int, images: int, confidence: float
) -> tuple[float, float]:
    """Exact limits of a difference of two rates on the same images, given where they disagree.

    Of the images on which exactly one of both errs, the first errs on a share p, which is one half
    when both are equally good (McNemar, Psychometrika 1947); p has the limits of Clopper and
    Pearson, and the difference is (2 p - 1) times the share of those images.

    Args:
        only_first: Images on which the first alone errs.
        only_second: Images on which the second alone errs.
        images: All images, at least 1.
        confidence: Such as 0.95.

    Returns:
        Limits of first minus second; 0 and 0 where they never disagree.
    """
    apart = only_first + only_second
    if not apart:
        return 0.0, 0.0
    low, high = binomial_interval(only_first, apart, confidence)
    return (2 * low - 1) * apart / images, (2 * high - 1) * apart / images
