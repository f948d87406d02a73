"""The group decision: one odd image is a defect or an accident, many are a new product."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from normscape.drift.multiplicity import benjamini_hochberg
from normscape.params import MonitorParams

_QUADRATURE = 400


class Source(StrEnum):
    """Why a group of images is suspected."""

    NAME = "name"
    """They declare a category that the model does not know."""
    UNDECLARED = "undeclared"
    """They declare none; grouped by the predicted category, since one product resembles itself."""
    MISDECLARED = "misdeclared"
    """They declare a known category and look like another one or none."""


@dataclass(frozen=True)
class UnknownGroup:
    """Images that were judged together.

    Attributes:
        name: The unknown name, or the category predicted (undeclared) or declared (misdeclared).
        source: How the group came about.
        images: In the group.
        strange: Of them, with a category p-value no larger than the level.
        p_value: Of so many or more, were `unknown_share` of a known product's images strange;
            None for an unknown name, which needs no test.
        adjusted: After Benjamini-Hochberg over the groups that were tested.
        unknown: The decision.
        paths: The strange images (all images of an unknown name), as in the score log.
        hashes: Their sha256, in the same order.
    """

    name: str
    source: Source
    images: int
    strange: int
    p_value: float | None
    adjusted: float | None
    unknown: bool
    paths: tuple[str, ...]
    hashes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        content = asdict(self)
        content["paths"], content["hashes"] = list(self.paths), list(self.hashes)
        return content


@dataclass(frozen=True)
class UnknownVerdict:
    """All groups that were judged, the unknown ones first."""

    groups: tuple[UnknownGroup, ...]

    @property
    def unknown(self) -> tuple[UnknownGroup, ...]:
        """The groups that are called a new product."""
        return tuple(group for group in self.groups if group.unknown)


def find_unknown(
    window: pd.DataFrame,
    known: Collection[str],
    params: MonitorParams,
    *,
    reference_images: int,
    alpha: float,
    drifted: Collection[str] = (),
) -> UnknownVerdict:
    """Decide which groups of images belong to no known category.

    A declared name that the model does not know is unknown at once. Images without a declaration,
    and images that declare one known category and look like another, are tested as groups: is the
    number of strange ones more than chance, defects and oddities explain? Images that declare a
    known category and look like it are no candidates, however strange: that is drift or defects.
    Nor are those of a drifted category, whose whole appearance has moved.

    Args:
        window: Columns `path`, `sha256`, `declared_category`, `predicted_category`,
            `category_p_value` of the score log.
        known: The model's categories.
        params: Section `monitor`.
        reference_images: Normal images behind the conformal p-values.
        alpha: The p-value up to which a single image counts as strange.
        drifted: Categories whose scores have drifted.

    Returns:
        The verdict over all groups.
    """
    declared = window["declared_category"]
    level, counted = strange_level(alpha, reference_images)
    groups = [
        _named(str(name), window[declared == name])
        for name in sorted(declared.dropna().unique())
        if name not in known
    ]
    tested: list[tuple[Source, str, pd.DataFrame, pd.DataFrame]] = []
    for name, rows in window[declared.isna()].groupby("predicted_category"):
        strange = rows[rows["category_p_value"] <= level]
        tested.append((Source.UNDECLARED, str(name), rows, strange))
    for name, rows in window[declared.isin(list(known))].groupby("declared_category"):
        elsewhere = rows[rows["predicted_category"] != name]
        strange = elsewhere[elsewhere["category_p_value"] <= level]
        if len(strange) and name not in drifted:
            tested.append((Source.MISDECLARED, str(name), rows, strange))
    p_values = [
        strange_count_p_value(
            len(strange), len(rows),
            reference_images=reference_images, counted=counted, share=params.unknown_share,
        )
        for _, _, rows, strange in tested
    ]  # fmt: skip
    adjusted = benjamini_hochberg(p_values)
    for (source, name, rows, strange), p_value, corrected in zip(
        tested, p_values, adjusted, strict=True
    ):
        enough = len(strange) >= params.unknown_min_images
        groups.append(
            UnknownGroup(
                name, source, len(rows), len(strange), p_value, float(corrected),
                bool(enough and corrected <= params.unknown_fdr), *_members(strange),
            )
        )  # fmt: skip
    return UnknownVerdict(tuple(sorted(groups, key=lambda each: (not each.unknown, each.name))))


def strange_level(alpha: float, reference_images: int) -> tuple[float, int]:
    """The level of a single image as a multiple of 1/(n+1), and that multiple, k.

    At least 1/(n+1): with n reference images no conformal p-value is smaller, so below n = 99 a
    level of 0.01 would never be reached. An image is strange when its p-value is at most the
    level (which lies a rounding error above k/(n+1)).
    """
    counted = max(1, math.floor(alpha * (reference_images + 1) + 1e-9))
    return counted / (reference_images + 1) * (1 + 1e-9), counted


def strange_count_p_value(
    strange: int, images: int, *, reference_images: int, counted: int, share: float
) -> float:
    """Probability of at least `strange` among `images` of known products.

    Given the n reference images, the chance that a normal image's conformal p-value is at most
    `k / (n + 1)` is itself random, `B ~ Beta(k, n + 1 - k)`, and common to all images of the group:
    with few reference images the counts scatter more than a binomial's. On top of it, `share` of
    the images may be strange for other reasons. The p-value is `E[P(Bin(images, 1 - (1 - share)
    (1 - B)) ≥ strange)]`, integrated over the quantiles of B.

    Args:
        strange: Images whose p-value is at most `k / (n + 1)`.
        images: All images of the group.
        reference_images: n.
        counted: k.
        share: Allowed share of strange images.

    Source:
        Vovk, Conditional validity of inductive conformal predictors, Machine Learning 92 (2013),
        for the Beta distribution of the conditional coverage.
    """
    if strange == 0:
        return 1.0
    quantiles = (np.arange(_QUADRATURE) + 0.5) / _QUADRATURE
    chance = stats.beta.ppf(quantiles, counted, reference_images + 1 - counted)
    rates = 1.0 - (1.0 - share) * (1.0 - chance)
    return float(np.mean(stats.binom.sf(strange - 1, images, rates)))


def _named(name: str, rows: pd.DataFrame) -> UnknownGroup:
    return UnknownGroup(name, Source.NAME, len(rows), len(rows), None, None, True, *_members(rows))


def _members(rows: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    ordered = rows.sort_values("path")
    return tuple(ordered["path"]), tuple(ordered["sha256"])
