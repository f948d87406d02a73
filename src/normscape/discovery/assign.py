"""Sorting new images by what is stored: nothing is learned."""

from __future__ import annotations

from collections.abc import Sequence

from normscape.backbones import Backbone
from normscape.discovery.catalogue import Catalogue
from normscape.discovery.describe import Flagged, describe
from normscape.discovery.knowledge import Knowledge, Placed, Verdict
from normscape.discovery.outcome import NOTHING
from normscape.discovery.views import PLAIN
from normscape.params import DiscoveryParams


def assign(
    backbone: Backbone, flagged: Sequence[Flagged], known: Catalogue, params: DiscoveryParams
) -> list[Verdict]:
    """The verdict of the stored prototypes on images, in their order; nothing is learned.

    Raises:
        DataError: An image cannot be read.
    """
    if known.knowledge is None:
        return [NOTHING for _ in flagged]
    placed = place(backbone, flagged, known.knowledge, params)
    return known.knowledge.judge(placed, known.known_points, params.unseen_alpha)


def place(
    backbone: Backbone, flagged: Sequence[Flagged], known: Knowledge, params: DiscoveryParams
) -> Placed:
    """Place images in a known space, by the views of them as they are.

    Raises:
        DataError: An image cannot be read.
    """
    described = describe(backbone, flagged, known.level, known.prior, params, views=PLAIN)
    return Placed.of(known.space, list(described))
