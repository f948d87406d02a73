"""One discovery in one category: learn the kinds of defects, or add to what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from normscape.discovery.catalogue import Catalogue
from normscape.discovery.describe import Flagged, describe, fit_prior
from normscape.discovery.eyes import Eyes
from normscape.discovery.group import group
from normscape.discovery.grow import grow
from normscape.discovery.heed import dismiss, heed
from normscape.discovery.identify import identify, labels_of
from normscape.discovery.knowledge import Knowledge, Placed
from normscape.discovery.outcome import Discovery, member, notes_on
from normscape.discovery.regions import Level
from normscape.discovery.respace import is_worked_on, respace
from normscape.discovery.space import nearest_other
from normscape.discovery.verdict import NOTHING, Verdict
from normscape.sections.production import DiscoveryParams


def discover(
    eyes: Eyes,
    flagged: Sequence[Flagged],
    known: Catalogue,
    params: DiscoveryParams,
    *,
    afresh: bool = False,
    reviewed: Mapping[str, str | None] | None = None,
) -> Discovery:
    """Sort the flagged images of one category into kinds of defects.

    Without knowledge, with `refit_growth` times as many images as the space was learned from, with
    another backbone, or when asked to, space and prototypes are learned from all images given, and
    each group takes the id of the type that it overlaps most; but unless asked to, what was sorted
    stays so in a catalogue that people have worked on. Otherwise the new images are placed in the
    known space, and those that fit no prototype become new types where there are enough. Before
    that, images that a person has called good or another product's leave the catalogue.

    Args:
        eyes: The frozen networks.
        flagged: Images of one category, each once; those of the catalogue may be among them.
        known: What is known so far, maybe nothing.
        params: Section `discovery`.
        afresh: Learn anew in any case.
        reviewed: Of `dismiss`.

    Raises:
        DataError: An image cannot be read.
    """
    known_types = {each.id for each in known.types}
    found = _sorted(eyes, flagged, dismiss(known, reviewed or {}), params, afresh=afresh)
    catalogue = heed(found.catalogue, flagged)
    new_types = tuple(each.id for each in catalogue.types if each.id not in known_types)
    return replace(found, catalogue=catalogue, new_types=new_types)


def _sorted(
    eyes: Eyes,
    flagged: Sequence[Flagged],
    known: Catalogue,
    params: DiscoveryParams,
    *,
    afresh: bool,
) -> Discovery:
    fresh = [each for each in flagged if each.sha256 not in known.members]
    grown = len(flagged) >= params.refit_growth * max(known.fitted, 1)
    other = known.backbone != eyes.identity
    renewed = False
    if flagged and (afresh or known.knowledge is None or other or (grown and fresh)):
        kept = None
        if is_worked_on(known) and known.knowledge is not None and not afresh:
            kept = respace(eyes, flagged, known, params)
        if kept is None:
            return _learn(eyes, flagged, known, params)
        known, renewed = kept, True
    if not fresh:
        return Discovery(known, (), (), renewed, None, ())
    return replace(grow(eyes, fresh, known, params), refitted=renewed)


def _learn(
    eyes: Eyes, flagged: Sequence[Flagged], known: Catalogue, params: DiscoveryParams
) -> Discovery:
    level = Level.of([each.map for each in flagged])
    prior = fit_prior(eyes, flagged, params)
    described = list(describe(eyes, flagged, level, prior, params, views=params.views))
    seen = [each for each, one in zip(flagged, described, strict=True) if len(one.areas)]
    new_images = tuple(each.sha256 for each in flagged if each.sha256 not in known.members)
    identity = eyes.identity
    borderless = params.object_prior != "none" and not any(each.parted for each in described)
    notes = notes_on(flagged, seen, borderless)
    if len(seen) < params.min_images:
        members = [member(each, NOTHING) for each in flagged]
        unsorted = [member for member in members if member.sha256 not in known.members]
        enough = (
            f"{len(seen)} flagged images show a region; expected at least "
            f"{params.min_images} to tell kinds of defects apart (discovery.min_images)"
        )
        kept = replace(known, backbone=known.backbone or identity).with_members(unsorted)
        return Discovery(kept if unsorted else known, (), new_images, False, None, (*notes, enough))
    labels = labels_of(seen, known)
    levels = [shape[0] for shape in eyes.backbone.shapes]
    grouped = group(described, levels, params, labels=labels)
    said = {index: int(grouped.groups[index]) for index in labels}
    types, owners = identify(eyes, seen, known, grouped.groups, labels=said, params=params)
    placed = grouped.placed
    knowledge = Knowledge(
        level, prior, grouped.space, grouped.mixture,
        tuple(owners[number] for number in range(len(grouped.mixture.means))), grouped.fits,
    )  # fmt: skip
    verdicts = iter(
        _sorted_verdicts(knowledge, placed, [owners[number] for number in grouped.groups.tolist()])
    )
    members = [
        member(each, next(verdicts) if shown else NOTHING, known)
        for each, shown in zip(flagged, placed.shown, strict=True)
    ]
    catalogue = replace(
        known.with_types(types).with_members(members),
        backbone=identity, knowledge=knowledge, points=placed.points,
        placed=tuple(each.sha256 for each in seen), fitted=len(flagged),
    )  # fmt: skip
    return Discovery(catalogue, (), new_images, True, grouped.count, notes)


def _sorted_verdicts(knowledge: Knowledge, placed: Placed, own: Sequence[str]) -> list[Verdict]:
    """Of the images that the prototypes were learned from: each is of its group's type."""
    chances = knowledge.chances(nearest_other(placed.points))
    everything = np.ones(len(placed.views), dtype=bool)
    return knowledge.verdicts(
        placed, own, chances, fits=np.ones(len(own), dtype=bool), parts=everything
    )
