"""What people have said of images in the review, put into a catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from normscape.discovery.catalogue import Catalogue, DefectType, is_id
from normscape.discovery.describe import Flagged
from normscape.discovery.edit import label_images


def dismiss(known: Catalogue, reviewed: Mapping[str, str | None]) -> Catalogue:
    """The catalogue without images that show no defect of its category after all.

    Args:
        known: Of one category.
        reviewed: By SHA-256: the category in which a person saw a defect, None: a good part.
    """
    members = known.members.keys() & reviewed.keys()
    return known.without({sha for sha in members if reviewed[sha] != known.category})


def heed(known: Catalogue, flagged: Sequence[Flagged]) -> Catalogue:
    """The catalogue after the labels of its images: each is of the type that its label names.

    A name that no type has becomes that of the unnamed type that most of its images were sorted
    into, else that of a new type. An id that no type has is no label. What was said of an image in
    the catalogue itself (`label`) counts more than a label of the review.
    """
    said: dict[str, list[str]] = {}
    for each in flagged:
        member = known.members.get(each.sha256)
        if each.label is not None and member is not None and member.by != "person":
            said.setdefault(each.label, []).append(each.sha256)
    for label in sorted(said, key=lambda name: (-len(said[name]), name)):
        if known.meant(label) is None and is_id(label):
            continue
        known = _labelled(known, label, said[label])
    return known


def _labelled(known: Catalogue, label: str, hashes: Sequence[str]) -> Catalogue:
    meant = known.meant(label)
    if meant is None:
        most = Counter(known.members[sha].type for sha in hashes).most_common(1)[0][0]
        usual = next((each for each in known.living if each.id == most), None)
        if usual is not None and usual.name is None:
            meant = replace(usual, name=label)
        else:
            day = min(known.members[sha].day for sha in hashes)
            meant = DefectType(known.new_ids(1)[0], label, day)
        known = known.with_types([meant])
    return label_images(known, meant.id, hashes)
