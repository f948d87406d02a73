"""Sorting new images by what is stored: nothing is learned."""

from __future__ import annotations

from collections.abc import Sequence

from normscape.discovery.catalogue import Catalogue
from normscape.discovery.describe import Flagged, describe
from normscape.discovery.eyes import Eyes
from normscape.discovery.knowledge import Knowledge, Placed
from normscape.discovery.verdict import NOTHING, Verdict
from normscape.discovery.views import PLAIN
from normscape.errors import UsageError
from normscape.sections.production import DiscoveryParams


def assign(
    eyes: Eyes, flagged: Sequence[Flagged], known: Catalogue, params: DiscoveryParams
) -> list[Verdict]:
    """The verdict of the stored prototypes on images, in their order; nothing is learned.

    Raises:
        DataError: An image cannot be read.
        UsageError: The prototypes were learned with another backbone.
    """
    if known.knowledge is None:
        return [NOTHING for _ in flagged]
    if known.backbone != eyes.identity:
        raise UsageError(
            f"the kinds of defects of {known.category} were learned with the backbone "
            f"{known.backbone.get('name')}, not as {eyes.backbone.identity.name} is set up now; "
            "`normscape defects discover` learns them anew, and ids stay"
        )
    placed = place(eyes, flagged, known.knowledge, params)
    return known.knowledge.judge(placed, known.known_points, params.unseen_alpha)


def place(
    eyes: Eyes, flagged: Sequence[Flagged], known: Knowledge, params: DiscoveryParams
) -> Placed:
    """Place images in a known space, by the views of them as they are.

    Raises:
        DataError: An image cannot be read.
    """
    described = describe(eyes, flagged, known.level, known.prior, params, views=PLAIN)
    return Placed.of(known.space, list(described))
