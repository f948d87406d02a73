"""What a discovery in one category has found, and what it says of single images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normscape.discovery.catalogue import Catalogue, Member
from normscape.discovery.count import Count
from normscape.discovery.describe import Flagged
from normscape.discovery.verdict import Verdict


@dataclass(frozen=True)
class Discovery:
    """What a discovery has found.

    Attributes:
        catalogue: Afterwards, not stored yet.
        new_types: Ids that were not there before.
        new_images: SHA-256 of images that were not there before.
        refitted: Whether the space was learned anew.
        count: The estimate of the number of types; None where none was made.
        notes: What people should know, in sentences.
    """

    catalogue: Catalogue
    new_types: tuple[str, ...]
    new_images: tuple[str, ...]
    refitted: bool
    count: Count | None
    notes: tuple[str, ...]


def member(each: Flagged, verdict: Verdict, known: Catalogue | None = None) -> Member:
    """The entry of an image; what a person has said of it, in `known` or just now, stands."""
    before = known.members.get(each.sha256) if known is not None else None
    if before is not None and before.by == "person":
        return before
    said = each.label is not None and verdict.type is not None
    return Member(
        each.sha256, verdict.type, 1.0 if said else verdict.confidence, verdict.p_value,
        each.day if before is None else before.day, each.source,
        "person" if said else "model", verdict.nearest, verdict.regions,
    )  # fmt: skip


def notes_on(
    flagged: Sequence[Flagged], seen: Sequence[object], borderless: bool
) -> tuple[str, ...]:
    """Sentences about images whose map shows nothing, and about a missing foreground."""
    notes = []
    empty = len(flagged) - len(seen)
    if empty:
        notes.append(
            f"{empty} of {len(flagged)} flagged images have a map that is the same everywhere; "
            "they are of no type"
        )
    if borderless and flagged:
        notes.append("no object stands out from a background; the whole image counts as object")
    return tuple(notes)
