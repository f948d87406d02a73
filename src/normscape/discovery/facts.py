"""The figures of types as tables, pages and JSON show them."""

from __future__ import annotations

from typing import Any

from normscape.discovery.catalogue import Catalogue, DefectType


def facts_of(catalogue: Catalogue, each: DefectType) -> dict[str, Any]:
    """Everything that is said of a type, as JSON values."""
    members = catalogue.of_type(each.id)
    days = [member.day for member in members]
    nearest = catalogue.nearest_named(each.id)
    return {
        "category": catalogue.category,
        "type": each.id,
        "name": each.name,
        "images": len(members),
        "share": len(members) / max(len(catalogue.members), 1),
        "confidence": catalogue.confidence(each.id),
        "first": min(days, default=None),
        "last": max(days, default=None),
        "merged_into": each.merged_into,
        "part_of": each.part_of,
        "nearest": nearest[0].title if nearest else None,
        "cosine": round(nearest[1], 3) if nearest else None,
    }


def unsorted(catalogue: Catalogue) -> dict[str, Any]:
    """The same of the images that are of no known type; there is at least one."""
    members = catalogue.of_type(None)
    days = [member.day for member in members]
    return {
        "category": catalogue.category,
        "type": None,
        "name": "no known kind",
        "images": len(members),
        "share": len(members) / len(catalogue.members),
        "confidence": 0.0,
        "first": min(days),
        "last": max(days),
        "merged_into": None,
        "part_of": None,
        "nearest": None,
        "cosine": None,
    }
