"""The group decision: one odd image is a defect or an accident, many are a new product."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import pandas as pd

from normscape.drift.multiplicity import benjamini_hochberg
from normscape.novelty.counts import strange_count_p_value, strange_level
from normscape.novelty.groups import Source, UnknownGroup, UnknownVerdict
from normscape.sections.production import MonitorParams

_NEAREST = 3


def find_unknown(
    window: pd.DataFrame,
    known: Collection[str],
    params: MonitorParams,
    *,
    reference_images: int,
    alpha: float,
    drifted: Collection[str] = (),
    reference: pd.DataFrame | None = None,
) -> UnknownVerdict:
    """Decide which groups of images belong to no known category, or not to the declared one.

    A declared name that the model does not know is unknown at once. Images without a declaration,
    and images that declare one known category and look like another, are tested as groups: are
    there more strange ones than chance explains among all, and more than defects explain among
    the remarkable ones, those that are strange or flagged? A new product is both in nearly every
    image; of the defects of a known product only some look like no product at all. Undeclared
    images that resemble several known categories are tested together too.

    Images that declare a known category and resemble it are no candidates, however strange: that
    is drift or defects. Nor are those of a drifted category, whose whole appearance has moved.
    Images that declare one known category and look like normal images of another are counted
    against how often the model itself confused the two on its reference.

    Args:
        window: Columns `path`, `sha256`, `declared_category`, `predicted_category`,
            `category_p_value` and `flagged` of the score log.
        known: The model's categories.
        params: Section `monitor`.
        reference_images: Normal images behind the conformal p-values.
        alpha: The p-value up to which a single image counts as strange.
        drifted: Categories whose scores have drifted.
        reference: The model's reference, `category` and `predicted_category`; without them wrong
            declarations among known products are not looked for.

    Returns:
        The verdict over all groups.
    """
    level, counted = strange_level(alpha, reference_images)
    rows = window.assign(
        strange=window["category_p_value"] <= level,
        remarkable=(window["category_p_value"] <= level) | window["flagged"].astype(bool),
    )
    declared = rows["declared_category"]
    named = [
        _named(str(name), rows[declared == name])
        for name in sorted(declared.dropna().unique())
        if name not in known
    ]
    candidates = [*_undeclared(rows[declared.isna()]), *_misdeclared(rows, known, drifted)]
    count = _Counter(reference_images, counted, params.unknown_share)
    p_values = [count.p_value(each) for each in candidates]
    able = [count.attainable(each) <= params.unknown_fdr for each in candidates]
    for swap, p_value in _swapped(rows, known, drifted, reference):
        candidates.append(swap)
        p_values.append(p_value)
        able.append(True)
    # Groups that are too small to be called anything do not make it harder for the others.
    tested = [p_value for p_value, can in zip(p_values, able, strict=True) if can]
    adjusted = iter(benjamini_hochberg(tested))
    groups = [
        each.judge(p_value, float(next(adjusted)) if can else None, params)
        for each, p_value, can in zip(candidates, p_values, able, strict=True)
    ]
    groups = named + _without_doubles(groups)
    return UnknownVerdict(tuple(sorted(groups, key=lambda each: (not each.unknown, each.name))))


@dataclass(frozen=True)
class _Candidate:
    """A group before its decision.

    Attributes:
        source: How it came about.
        name: See `UnknownGroup`.
        images: How many it has.
        remarkable: How many of them are strange or flagged.
        strange: The rows that speak against a known product.
    """

    source: Source
    name: str
    images: int
    remarkable: int
    strange: pd.DataFrame

    def judge(self, p_value: float, adjusted: float | None, params: MonitorParams) -> UnknownGroup:
        enough = len(self.strange) >= params.unknown_min_images
        unknown = enough and adjusted is not None and adjusted <= params.unknown_fdr
        group = _group(self.name, self.source, self.images, self.strange)
        return replace(group, p_value=p_value, adjusted=adjusted, unknown=unknown)


@dataclass(frozen=True)
class _Counter:
    """How many strange images are too many.

    Attributes:
        reference: Normal images behind the conformal p-values.
        counted: k of the level k/(n+1).
        share: Of the remarkable images that defects may explain.
    """

    reference: int
    counted: int
    share: float

    def p_value(self, each: _Candidate) -> float:
        """Of so many: by chance among all images, or by defects among the remarkable ones."""
        by_chance = self._of(len(each.strange), each.images, 0.0)
        return max(by_chance, self._of(len(each.strange), each.remarkable, self.share))

    def attainable(self, each: _Candidate) -> float:
        """The smallest p-value that the number of remarkable images allows (Tarone, 1990)."""
        return self._of(each.remarkable, each.remarkable, self.share)

    def _of(self, strange: int, images: int, share: float) -> float:
        return strange_count_p_value(
            strange, images, reference_images=self.reference, counted=self.counted, share=share
        )


_TOGETHER = ""  # the name of all undeclared images, until it is known what they resemble


def _undeclared(rows: pd.DataFrame) -> Iterator[_Candidate]:
    """By the predicted category; and all together where several have strange images."""
    parts = [(str(name), part) for name, part in rows.groupby("predicted_category")]
    if sum(bool(part["strange"].any()) for _, part in parts) > 1:
        parts.append((_TOGETHER, rows))
    for name, part in parts:
        strange, remarkable = part[part["strange"]], int(part["remarkable"].sum())
        yield _Candidate(Source.UNDECLARED, name, len(part), remarkable, strange)


def _misdeclared(
    rows: pd.DataFrame, known: Collection[str], drifted: Collection[str]
) -> Iterator[_Candidate]:
    for name, part in _declared(rows, known, drifted):
        strange = part[part["strange"] & (part["predicted_category"] != name)]
        if len(strange):
            remarkable = int(part["remarkable"].sum())
            yield _Candidate(Source.MISDECLARED, name, len(part), remarkable, strange)


def _swapped(
    rows: pd.DataFrame,
    known: Collection[str],
    drifted: Collection[str],
    reference: pd.DataFrame | None,
) -> Iterator[tuple[_Candidate, float]]:
    """Declared as one category, normal for another; and the p-value of so many.

    Of n reference images of the category m looked like the other: the chance that another one
    does is `Beta(m + 1, n - m)`, the same law as that of a conformal p-value of (m + 1)/(n + 1).
    """
    if reference is None or "predicted_category" not in reference:
        return
    for name, part in _declared(rows, known, drifted):
        own = reference.loc[reference["category"] == name, "predicted_category"]
        swapped = part[~part["strange"] & (part["predicted_category"] != name)]
        for other, wrong in swapped.groupby("predicted_category"):
            confused = int((own == other).sum())
            if confused < len(own):
                p_value = strange_count_p_value(
                    len(wrong), len(part), reference_images=len(own), counted=confused + 1,
                    share=0.0,
                )  # fmt: skip
                yield _Candidate(Source.SWAPPED, name, len(part), len(wrong), wrong), p_value


def _declared(
    rows: pd.DataFrame, known: Collection[str], drifted: Collection[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The images of each known category that has not drifted."""
    usable = rows["declared_category"].isin([name for name in known if name not in drifted])
    for name, part in rows[usable].groupby("declared_category"):
        yield str(name), part


def _without_doubles(groups: list[UnknownGroup]) -> list[UnknownGroup]:
    """All undeclared images together count only where no part of them does."""
    alone = any(group.unknown and group.source is Source.UNDECLARED and group.name != _TOGETHER
                for group in groups)  # fmt: skip
    kept = []
    for group in groups:
        if group.name != _TOGETHER:
            kept.append(group)
        elif group.unknown and not alone:
            kept.append(replace(group, name=group.nearest[0][0]))
    return kept


def _named(name: str, rows: pd.DataFrame) -> UnknownGroup:
    return replace(_group(name, Source.NAME, len(rows), rows), unknown=True)


def _group(name: str, source: Source, images: int, strange: pd.DataFrame) -> UnknownGroup:
    ordered = strange.sort_values("path")
    shares = strange["predicted_category"].value_counts(normalize=True).sort_index(kind="stable")
    largest = shares.sort_values(ascending=False, kind="stable").head(_NEAREST)
    return UnknownGroup(
        name=name,
        source=source,
        images=images,
        strange=len(strange),
        p_value=None,
        adjusted=None,
        unknown=False,
        paths=tuple(ordered["path"]),
        hashes=tuple(ordered["sha256"]),
        nearest=tuple((str(each), float(share)) for each, share in largest.items()),
    )
