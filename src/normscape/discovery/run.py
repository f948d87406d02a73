"""The job: what was flagged, sorted category by category, stored, and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from normscape.discovery.alarm import raise_new, settle
from normscape.discovery.catalogue import Catalogue
from normscape.discovery.describe import Flagged
from normscape.discovery.store import CatalogueStore
from normscape.discovery.verdict import Verdict
from normscape.errors import DataError
from normscape.files import exclusive_lock
from normscape.params import Params

if TYPE_CHECKING:
    from normscape.alerts import Alert
    from normscape.discovery.eyes import Eyes
    from normscape.discovery.outcome import Discovery

EXTERNAL = "files"
"""The model version of images whose maps came from files."""

_WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class Origin:
    """Where the flagged images are.

    Attributes:
        images: A folder of images; None: the inbox.
        maps: The folder of their maps.
        category: Only this one; None: all.
    """

    images: Path | None = None
    maps: Path | None = None
    category: str | None = None


@dataclass(frozen=True)
class Sorted:
    """What a discovery has done in one category.

    Attributes:
        discovery: What was found; its catalogue is as it is stored.
        alerts: Of new types.
    """

    discovery: Discovery
    alerts: tuple[Alert, ...]


@dataclass(frozen=True)
class DiscoveryRun:
    """What a run has done.

    Attributes:
        flagged: All images that were looked at.
        categories: By category, sorted.
        notes: What a person must know, in sentences.
    """

    flagged: tuple[Flagged, ...]
    categories: tuple[Sorted, ...]
    notes: tuple[str, ...]


def discover_all(
    params: Params, origin: Origin, *, reason: str, afresh: bool = False
) -> DiscoveryRun:
    """Sort what was flagged into kinds of defects, store the catalogues and the alerts.

    A category without a new image or verdict keeps its catalogue as it is, and so does one with an
    image that cannot be read: a note says so.

    Args:
        params: The project.
        origin: Where the flagged images are.
        reason: For the audit log.
        afresh: Learn every category anew.

    Raises:
        UsageError: There is no model in production, or a folder is missing.
        StaleCatalogueError: A person has changed a catalogue meanwhile; run it again.
        NormscapeError: The model, the inbox or the store cannot be used.
    """
    from normscape.discovery.learn import discover

    store = CatalogueStore.of(params)
    done: list[Sorted] = []
    notes: list[str] = []
    lock = params.state / "locks" / "discovery.lock"
    with exclusive_lock(lock, "a discovery of defects", _WAIT_SECONDS):
        eyes, version, flagged, reviewed, lost = _gather(params, origin)
        notes += lost
        if not flagged:
            notes.append(_nothing(origin))
        for category in _categories(store, flagged, reviewed, origin):
            own = [each for each in flagged if each.category == category]
            known = store.load(category)
            try:
                found = discover(
                    eyes, own, known, params.discovery, afresh=afresh, reviewed=reviewed
                )
            except DataError as error:
                notes.append(f"{category}: nothing was sorted, the others are: {error}")
                continue
            if found.catalogue is not known:
                action = "learn" if found.refitted else "add"
                saved = store.save(found.catalogue, action=action, reason=reason)
                found = replace(found, catalogue=saved)
            settle(params, found.catalogue)
            raised = raise_new(params, found.catalogue, version)
            done.append(Sorted(found, tuple(raised)))
    return DiscoveryRun(tuple(flagged), tuple(done), tuple(notes))


def assign_all(params: Params, origin: Origin) -> list[tuple[Flagged, Verdict, Catalogue]]:
    """What the stored prototypes say of images; nothing is learned or stored.

    Raises:
        UsageError: There is no model in production, or a folder is missing.
        NormscapeError: The model, the inbox or a catalogue cannot be used.
    """
    from normscape.discovery.assign import assign

    store = CatalogueStore.of(params)
    eyes, _, flagged, _, _ = _gather(params, origin)
    found = []
    for category in sorted({each.category for each in flagged}):
        own = [each for each in flagged if each.category == category]
        known = store.load(category)
        verdicts = assign(eyes, own, known, params.discovery)
        found += [(each, verdict, known) for each, verdict in zip(own, verdicts, strict=True)]
    return found


def _gather(
    params: Params, origin: Origin
) -> tuple[Eyes, str, Sequence[Flagged], Mapping[str, str | None], Sequence[str]]:
    from normscape.backbones import load_backbone, load_identity
    from normscape.discovery.eyes import Eyes
    from normscape.discovery.segment import open_segmenter
    from normscape.discovery.sources import from_folders, from_inbox

    segmenter = open_segmenter(params.discovery, params.root)
    if origin.images is not None:
        maps = origin.maps or origin.images
        flagged, lost = from_folders(origin.images, maps, origin.category)
        cache = params.state / "cache"
        return (
            Eyes(load_backbone(params.backbone, root=params.root, cache=cache), segmenter),
            EXTERNAL,
            flagged,
            {},
            lost,
        )
    from normscape.registry.bundle import Bundle
    from normscape.registry.contract import PRODUCTION
    from normscape.registry.store import open_registry
    from normscape.scoring.scorer import Scorer

    registry = open_registry(params)
    version = registry.resolve(PRODUCTION)
    bundle = Bundle.load(registry.get(version))
    scorer = Scorer.open(bundle, root=params.root, cache=params.state / "cache")
    flagged, reviewed, lost = from_inbox(params, origin.category, scorer)
    identity = bundle.identity
    backbone = load_identity(
        identity, runtime=identity.runtime, precision=identity.precision, root=params.root,
        cache=params.state / "cache",
    )  # fmt: skip
    return Eyes(backbone, segmenter), version, flagged, reviewed, lost


def _categories(
    store: CatalogueStore,
    flagged: Sequence[Flagged],
    reviewed: Mapping[str, str | None],
    origin: Origin,
) -> list[str]:
    """The categories with flagged images or, in their catalogues, with reviewed ones."""
    known = [
        category
        for category in (store.categories() if reviewed else ())
        if origin.category in (None, category)
        and store.load(category).members.keys() & reviewed.keys()
    ]
    return sorted({*known, *(each.category for each in flagged)})


def _nothing(origin: Origin) -> str:
    where = f"in {origin.images}" if origin.images else "waits in the inbox"
    of = f" of {origin.category}" if origin.category else ""
    return f"no flagged image{of} {where}; there is nothing to sort"
