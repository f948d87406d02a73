"""Who is who: groups of a new discovery, known types, and what people have said of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from normscape.discovery.assign import assign
from normscape.discovery.catalogue import Catalogue, DefectType, is_id
from normscape.discovery.describe import Flagged
from normscape.discovery.eyes import Eyes
from normscape.discovery.matching import match
from normscape.sections.production import DiscoveryParams


def identify(
    eyes: Eyes,
    seen: Sequence[Flagged],
    known: Catalogue,
    groups: NDArray[np.intp],
    *,
    labels: dict[int, int],
    params: DiscoveryParams,
) -> tuple[list[DefectType], dict[int, str]]:
    """Give each group the id of the type that it is, or a new one.

    Args:
        eyes: The frozen networks.
        seen: The grouped images.
        known: The types so far.
        groups: The group of each image.
        labels: Of `labels_of`: a group with a label is the type that the label names.
        params: Section `discovery`.

    Returns:
        The types that are new or that a label has named, and the id of each group.
    """
    spoken = _spoken(seen, known)
    owners: dict[int, str] = {}
    names: dict[int, str] = {}
    for index, number in labels.items():
        meant = known.meant(spoken[index])
        if meant is not None:
            owners[number] = meant.id
        else:
            names[number] = spoken[index]
    free = [each for each in known.living if each.id not in owners.values()]
    belief = _belief(eyes, seen, known, [each.id for each in free], params)
    types = []
    for group, column in match(groups, belief).items():
        if group in owners or (group in names and free[column].name):
            continue
        owners[group] = free[column].id
        if group in names:
            types.append(replace(free[column], name=names[group]))
    fresh = [int(group) for group in np.unique(groups).tolist() if int(group) not in owners]
    fresh.sort(key=lambda group: -int((groups == group).sum()))
    owners |= dict(zip(fresh, known.new_ids(len(fresh)), strict=True))
    days = {
        group: min(seen[i].day for i in np.flatnonzero(groups == group).tolist()) for group in fresh
    }
    types += [DefectType(owners[group], names.get(group), days[group]) for group in fresh]
    return types, owners


def _belief(
    eyes: Eyes,
    seen: Sequence[Flagged],
    known: Catalogue,
    ids: Sequence[str],
    params: DiscoveryParams,
) -> NDArray[np.float64]:
    """`(n, T)`: how much each image is of each known type: as it was sorted, else as it fits."""
    belief = np.zeros((len(seen), len(ids)))
    column = {name: index for index, name in enumerate(ids)}
    strangers = []
    for row, each in enumerate(seen):
        member = known.members.get(each.sha256)
        if member is None:
            strangers.append(row)
        elif member.type in column:
            belief[row, column[member.type]] = 1.0
    usable = known.knowledge is not None and known.backbone == eyes.identity
    if strangers and usable and ids:
        verdicts = assign(eyes, [seen[row] for row in strangers], known, params)
        for row, verdict in zip(strangers, verdicts, strict=True):
            if verdict.type in column:
                belief[row, column[verdict.type]] = verdict.confidence
    return belief


def _spoken(seen: Sequence[Flagged], known: Catalogue) -> dict[int, str]:
    """Id or name of the type of those images of which a person has said it."""
    spoken = {}
    for index, each in enumerate(seen):
        member = known.members.get(each.sha256)
        if member is not None and member.by == "person" and member.type is not None:
            spoken[index] = member.type
        elif each.label is not None:
            meant = known.meant(each.label)
            if meant is not None or not is_id(each.label):
                spoken[index] = meant.id if meant is not None else each.label
    return spoken


def labels_of(seen: Sequence[Flagged], known: Catalogue) -> dict[int, int]:
    """The group of each image of which a person has said the type, by the number of the image."""
    spoken = _spoken(seen, known)
    numbers = {name: number for number, name in enumerate(sorted(set(spoken.values())))}
    return {index: numbers[name] for index, name in spoken.items()}
