"""Adding new images to what is known of a category, without learning the space anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from normscape.discovery.assign import place
from normscape.discovery.catalogue import Catalogue, DefectType, Member
from normscape.discovery.count import estimate
from normscape.discovery.describe import Flagged
from normscape.discovery.eyes import Eyes
from normscape.discovery.knowledge import Knowledge, Placed
from normscape.discovery.mixture import Mixture, ward
from normscape.discovery.outcome import Discovery, member, notes_on
from normscape.discovery.space import nearest_other, unit
from normscape.discovery.verdict import Verdict
from normscape.sections.production import DiscoveryParams

_ALIKE = 0.25
"""Quantile of the known images' nearest cosines that half of a new type's images reach."""


def grow(
    eyes: Eyes, fresh: Sequence[Flagged], known: Catalogue, params: DiscoveryParams
) -> Discovery:
    """Sort new images by the known prototypes; those that fit none may become new types.

    Args:
        eyes: The networks of the catalogue.
        fresh: Images that are not in the catalogue.
        known: Has knowledge.
        params: Section `discovery`.

    Raises:
        DataError: An image cannot be read.
    """
    knowledge = known.knowledge
    assert knowledge is not None  # noqa: S101 - `discover` has seen to it
    placed = place(eyes, fresh, knowledge, params)
    verdicts = knowledge.judge(placed, known.known_points, params.unseen_alpha)
    # What a person has said of them comes afterwards (`heed`).
    members = [
        member(replace(each, label=None), verdict)
        for each, verdict in zip(fresh, verdicts, strict=True)
    ]
    points = np.concatenate([known.points, placed.points])
    seen = [each.sha256 for each, shown in zip(fresh, placed.shown, strict=True) if shown]
    grown = replace(
        known.with_members(members), points=points, placed=(*known.placed, *seen),
        knowledge=_moved(knowledge, placed, verdicts, len(known.placed)),
    )  # fmt: skip
    grown = _with_new_types(grown, params)
    notes = notes_on(fresh, seen, False)
    return Discovery(grown, (), tuple(each.sha256 for each in fresh), False, None, notes)


def _moved(
    knowledge: Knowledge, placed: Placed, verdicts: Sequence[Verdict], images: int
) -> Knowledge:
    """Prototypes move to the new images that fit them, the less the more images they stand for."""
    fitting = np.array([v.type is not None for v in verdicts])[placed.shown]
    if not fitting.any():
        return knowledge
    points = placed.points[fitting]
    nearest = knowledge.mixture.nearest(points)
    means, weights = knowledge.mixture.means.copy(), knowledge.mixture.shares * images
    for k in np.unique(nearest):
        means[k] = unit(weights[k] * means[k] + points[nearest == k].sum(0))
    return replace(knowledge, mixture=replace(knowledge.mixture, means=means))


def _with_new_types(grown: Catalogue, params: DiscoveryParams) -> Catalogue:
    """Images of no known type that are alike become types of their own."""
    knowledge = grown.knowledge
    index = [i for i, sha in enumerate(grown.placed) if grown.members[sha].type is None]
    if knowledge is None or len(index) < params.min_images:
        return grown
    points = grown.points[index]
    groups = ward(points, estimate(points, params).types)
    usual = np.quantile(knowledge.fits, _ALIKE)
    fresh: list[DefectType] = []
    means, changed = [], []
    for group in np.unique(groups):
        own = points[groups == group]
        mean = unit(own.mean(0))
        if len(own) < params.min_images or np.median(nearest_other(own)) < usual:
            continue
        members = [grown.members[grown.placed[index[i]]] for i in np.flatnonzero(groups == group)]
        name = grown.new_ids(len(fresh) + 1)[-1]
        fresh.append(DefectType(name, None, min(member.day for member in members)))
        means.append((mean, len(own) / len(grown.placed)))
        fits = np.clip(own @ mean, 0.0, 1.0).round(4).tolist()
        changed += [_typed(member, name, fit) for member, fit in zip(members, fits, strict=True)]
    if not fresh:
        return grown
    shares = np.concatenate([knowledge.mixture.shares, [share for _, share in means]])
    mixture = Mixture(
        np.concatenate([knowledge.mixture.means, [mean for mean, _ in means]]).astype(np.float32),
        (shares / shares.sum()).astype(np.float32), knowledge.mixture.concentration,
    )  # fmt: skip
    owners = (*knowledge.owners, *(each.id for each in fresh))
    wider = replace(knowledge, mixture=mixture, owners=owners)
    return replace(grown.with_types(fresh).with_members(changed), knowledge=wider)


def _typed(member: Member, name: str, fit: float) -> Member:
    """An image that has become one of a new type, with those of its regions that had none."""
    regions = tuple(
        each if each.type else replace(each, type=name, confidence=fit) for each in member.regions
    )
    return replace(member, type=name, confidence=fit, nearest=name, regions=regions)
