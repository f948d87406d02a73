"""A catalogue as bytes: one sealed JSON document, and its arrays as safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from normscape.discovery.catalogue import Catalogue, DefectType, Member
from normscape.discovery.foreground import ObjectPrior
from normscape.discovery.knowledge import Knowledge
from normscape.discovery.mixture import Mixture
from normscape.discovery.regions import Level
from normscape.discovery.space import Space
from normscape.discovery.verdict import RegionVerdict
from normscape.errors import NormscapeError
from normscape.registry.audit import parse_entry
from normscape.registry.contract import AuditEntry
from normscape.registry.documents import seal, unseal

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Stored:
    """A catalogue on its way to or from a store.

    Attributes:
        catalogue: Its content.
        entry: Of the audit log: who made this version, when and why.
    """

    catalogue: Catalogue
    entry: AuditEntry


def encode(stored: Stored) -> tuple[bytes, bytes]:
    """The document, and the arrays that it names by their SHA-256."""
    catalogue, known = stored.catalogue, stored.catalogue.knowledge
    arrays = save(_arrays(catalogue))
    content = {
        "category": catalogue.category,
        "backbone": dict(catalogue.backbone),
        "types": [asdict(each) for each in catalogue.types],
        "members": [asdict(each) for each in catalogue.members.values()],
        "placed": list(catalogue.placed),
        "fitted": catalogue.fitted,
        "knowledge": None if known is None else _described(known),
        "arrays": hashlib.sha256(arrays).hexdigest(),
        "entry": asdict(stored.entry),
    }
    return seal(content), arrays


def arrays_of(document: bytes, where: str) -> str:
    """SHA-256 of the arrays that a document needs.

    Raises:
        NormscapeError: It is damaged.
    """
    return str(_field(unseal(document, where), "arrays", where))


def entry_of(document: bytes, where: str) -> AuditEntry:
    """The audit entry of a document.

    Raises:
        NormscapeError: It is damaged.
    """
    try:
        return parse_entry(_field(unseal(document, where), "entry", where))
    except ValueError as error:
        raise _damaged(where, error) from None


def decode(document: bytes, arrays: bytes, version: int, where: str) -> Stored:
    """Read a catalogue.

    Args:
        document: Of `encode`.
        arrays: Of `encode`.
        version: Under which it is stored.
        where: The place, for messages.

    Raises:
        NormscapeError: One of them is damaged, or they do not belong together.
    """
    content = unseal(document, where)
    try:
        if hashlib.sha256(arrays).hexdigest() != content["arrays"]:
            raise ValueError("its arrays are others")
        tensors = load(arrays)
        known = content["knowledge"]
        catalogue = Catalogue(
            category=content["category"],
            backbone=content["backbone"],
            types=tuple(DefectType(**each) for each in content["types"]),
            members={each["sha256"]: _member(each) for each in content["members"]},
            knowledge=None if known is None else _knowledge(known, tensors),
            points=tensors["points"],
            placed=tuple(content["placed"]),
            fitted=int(content["fitted"]),
            version=version,
        )
        if len(catalogue.placed) != len(catalogue.points):
            raise ValueError("not one point an image")
        return Stored(catalogue, parse_entry(content["entry"]))
    except (KeyError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise _damaged(where, error) from None


def _member(content: Mapping[str, Any]) -> Member:
    regions = tuple(RegionVerdict(**each) for each in content["regions"])
    return Member(**{**content, "regions": regions})


def _arrays(catalogue: Catalogue) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"points": catalogue.points}
    known = catalogue.knowledge
    if known is not None:
        arrays |= {
            "space.centre": known.space.centre,
            "space.projection": known.space.projection,
            "prototypes": known.mixture.means,
            "shares": known.mixture.shares,
            "fits": known.fits,
        }
        if known.prior is not None:
            arrays["prior"] = known.prior.direction
    return {name: np.ascontiguousarray(value) for name, value in arrays.items()}


def _described(known: Knowledge) -> dict[str, Any]:
    return {
        "level": asdict(known.level),
        "surroundings": known.space.surroundings,
        "concentration": known.mixture.concentration,
        "owners": list(known.owners),
        "prior": None if known.prior is None else known.prior.threshold,
    }


def _knowledge(content: Mapping[str, Any], tensors: Arrays) -> Knowledge:
    threshold = content["prior"]
    mixture = Mixture(tensors["prototypes"], tensors["shares"], float(content["concentration"]))
    owners = tuple(content["owners"])
    if len(owners) != len(mixture.means):
        raise ValueError("not one type a prototype")
    return Knowledge(
        level=Level(**content["level"]),
        prior=None if threshold is None else ObjectPrior(tensors["prior"], float(threshold)),
        space=Space(
            tensors["space.centre"], tensors["space.projection"], float(content["surroundings"])
        ),
        mixture=mixture,
        owners=owners,
        fits=tensors["fits"],
    )


def _field(content: Mapping[str, Any], name: str, where: str) -> Any:
    try:
        return content[name]
    except KeyError as error:
        raise _damaged(where, error) from None


def _damaged(where: str, error: Exception) -> NormscapeError:
    return NormscapeError(
        f"{where} is no readable defect catalogue ({error}); restore it, or remove it to go back "
        "to the version before"
    )
