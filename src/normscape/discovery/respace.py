"""A new space for a catalogue that people have worked on: what was sorted stays sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from normscape.discovery.catalogue import Catalogue
from normscape.discovery.describe import Flagged, describe, fit_prior
from normscape.discovery.eyes import Eyes
from normscape.discovery.knowledge import Knowledge, Placed
from normscape.discovery.mixture import refine
from normscape.discovery.regions import Level
from normscape.discovery.space import Space, nearest_other
from normscape.discovery.views import PLAIN
from normscape.sections.production import DiscoveryParams


def is_worked_on(known: Catalogue) -> bool:
    """Whether a person has named, merged or split a type, or has said the type of an image."""
    edited = (each.name or each.merged_into or each.part_of for each in known.types)
    return any(edited) or any(member.by == "person" for member in known.members.values())


def respace(
    eyes: Eyes, flagged: Sequence[Flagged], known: Catalogue, params: DiscoveryParams
) -> Catalogue | None:
    """Learn the space anew from all images given, and the prototypes from what was sorted before.

    Args:
        eyes: The frozen networks.
        flagged: Images of one category; those that the catalogue does not have only count for the
            space.
        known: The catalogue.
        params: Section `discovery`.

    Returns:
        None where fewer than `min_images` images that have a type are among those given.

    Raises:
        DataError: An image cannot be read.
    """
    level = Level.of([each.map for each in flagged])
    prior = fit_prior(eyes, flagged, params)
    described = list(describe(eyes, flagged, level, prior, params, views=params.views))
    shown = [one for one in described if len(one.areas)]
    old = [one for one in shown if one.sha256 in known.members]
    types = [known.members[one.sha256].type for one in old]
    typed = [index for index, name in enumerate(types) if name is not None]
    if len(typed) < params.min_images:
        return None
    levels = [shape[0] for shape in eyes.backbone.shapes]
    space = Space.fit(shown, levels, dimensions=params.dimensions, surroundings=params.surroundings)
    points, plain = (Placed.of(space, old, most).points for most in (None, PLAIN))
    owners, labels = np.unique([str(types[index]) for index in typed], return_inverse=True)
    mixture = refine(points[typed], np.eye(len(owners))[labels], rounds=0)
    fits = np.sort(nearest_other(points[typed], plain[typed]))
    knowledge = Knowledge(level, prior, space, mixture, tuple(owners.tolist()), fits)
    return replace(
        known, backbone=eyes.identity, knowledge=knowledge, points=points,
        placed=tuple(one.sha256 for one in old), fitted=len(flagged),
    )  # fmt: skip
