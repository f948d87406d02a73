"""What people do with types: name, merge, split, and say of images which type they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from normscape.discovery.catalogue import Catalogue, DefectType, is_id
from normscape.discovery.knowledge import Knowledge
from normscape.discovery.mixture import Mixture, ward
from normscape.discovery.space import unit
from normscape.errors import UsageError

_LONGEST = 60
_LEAST_SHARE = 1e-3


def name_type(catalogue: Catalogue, wanted: str, name: str) -> Catalogue:
    """Give a type a name, or another one.

    Raises:
        UsageError: The name is empty, too long, or that of another type; or there is no such type.
    """
    found, plain = catalogue.find(wanted), " ".join(name.split())
    if not 0 < len(plain) <= _LONGEST or not plain.isprintable() or is_id(plain):
        raise UsageError(
            f"'{name}' is no name of a type; expected 1 to {_LONGEST} printable characters, and "
            "not the form of an id (T and digits)"
        )
    taken = [each for each in catalogue.living if plain == each.name]
    if any(each.id != found.id for each in taken):
        raise UsageError(
            f"{taken[0].id} of {catalogue.category} is named '{plain}' already; choose another "
            f"name, or merge {found.id} into {taken[0].id}"
        )
    return catalogue.with_types([replace(found, name=plain)])


def merge_types(catalogue: Catalogue, wanted: str, into: str) -> Catalogue:
    """Let a type take another one's images and prototypes.

    Raises:
        UsageError: There is no such type, or both are one.
    """
    gone, kept = catalogue.find(wanted), catalogue.find(into)
    if gone.id == kept.id:
        raise UsageError(f"{gone.title} cannot be merged into itself; name two types")
    if gone.name and not kept.name:
        kept = replace(kept, name=gone.name)
    since = min(gone.since, kept.since)
    types = [replace(gone, merged_into=kept.id), replace(kept, since=since)]
    moved = [member.retyped(gone.id, kept.id) for member in catalogue.members.values()]
    changed = catalogue.with_types(types).with_members(moved)
    if changed.knowledge is None:
        return changed
    owners = tuple(kept.id if each == gone.id else each for each in changed.knowledge.owners)
    return replace(changed, knowledge=replace(changed.knowledge, owners=owners))


def split_type(catalogue: Catalogue, wanted: str, parts: int) -> Catalogue:
    """Divide the images of a type by what they look like; the largest part keeps the id.

    Raises:
        UsageError: There is no such type, or it has too few images that can be compared.
    """
    found = catalogue.find(wanted)
    index = [i for i, sha in enumerate(catalogue.placed) if _type_of(catalogue, sha) == found.id]
    if parts < 2 or len(index) < 2 * parts:
        raise UsageError(
            f"{found.title} has {len(index)} images that can be compared; expected at least "
            f"{2 * max(parts, 2)} to split it into {parts} parts, at least 2"
        )
    labels = ward(catalogue.points[index], parts)
    order = np.argsort(-np.bincount(labels, minlength=parts), kind="stable")
    fresh = catalogue.new_ids(parts - 1)
    ids = dict(zip(order, [found.id, *fresh], strict=True))
    members = [
        catalogue.members[catalogue.placed[i]].retyped(found.id, ids[label])
        for i, label in zip(index, labels, strict=True)
    ]
    types = [
        DefectType(
            name, None, min(member.day for member in members if member.type == name),
            part_of=found.id,
        )
        for name in fresh
    ]  # fmt: skip
    parted = catalogue.with_types(types).with_members(members)
    return _rebuilt(parted, [found.id, *fresh], anew=True)


def label_images(catalogue: Catalogue, wanted: str, images: Sequence[str]) -> Catalogue:
    """A person says that these images are of a type; discoveries keep to it.

    Args:
        catalogue: What is known.
        wanted: Id or name of the type.
        images: First digits of the images' SHA-256, at least four.

    Raises:
        UsageError: There is no such type or image, or digits fit several.
    """
    found = catalogue.find(wanted)
    hashes = [_find_image(catalogue, each) for each in images]
    before = {catalogue.members[sha].type for sha in hashes}
    members = [
        replace(catalogue.members[sha], type=found.id, confidence=1.0, by="person")
        for sha in hashes
    ]
    touched = [found.id, *sorted(filter(None, before - {found.id}))]
    return _rebuilt(catalogue.with_members(members), touched, anew=False)


def _find_image(catalogue: Catalogue, prefix: str) -> str:
    found = [sha for sha in catalogue.members if sha.startswith(prefix.lower())]
    if len(prefix) < 4 or len(found) != 1:
        raise UsageError(
            f"{len(found) if len(prefix) >= 4 else 'too few digits:'} images of "
            f"{catalogue.category} begin with '{prefix}'; expected one: give at least 4 digits of "
            "an id that `normscape defects show` lists"
        )
    return found[0]


def _type_of(catalogue: Catalogue, sha256: str) -> str | None:
    return catalogue.members[sha256].type


def _rebuilt(catalogue: Catalogue, touched: Sequence[str], *, anew: bool) -> Catalogue:
    """Prototypes of some types: the mean directions of their images.

    Each of a type's images counts for that of the type's prototypes which it is nearest to, or,
    `anew`, for the only one.
    """
    known = catalogue.knowledge
    if known is None:
        return catalogue
    kept = [k for k, owner in enumerate(known.owners) if owner not in touched]
    means, shares = list(known.mixture.means[kept]), list(known.mixture.shares[kept])
    owners = [known.owners[k] for k in kept]
    for name in touched:
        own = [i for i, sha in enumerate(catalogue.placed) if _type_of(catalogue, sha) == name]
        before = [k for k, owner in enumerate(known.owners) if owner == name and not anew]
        points = catalogue.points[own]
        nearest = np.zeros(len(own), dtype=np.intp)
        if len(before) > 1:
            nearest = (points @ known.mixture.means[before].T).argmax(1)
        for k in np.unique(nearest):
            means.append(unit(points[nearest == k].mean(0)))
            shares.append((nearest == k).sum() / len(catalogue.placed) + _LEAST_SHARE)
            owners.append(name)
    if not owners:
        return catalogue
    weights = np.array(shares, dtype=np.float32)
    mixture = Mixture(np.stack(means), weights / weights.sum(), known.mixture.concentration)
    rebuilt: Knowledge = replace(known, mixture=mixture, owners=tuple(owners))
    return replace(catalogue, knowledge=rebuilt)
