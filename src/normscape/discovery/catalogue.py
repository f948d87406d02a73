"""The kinds of defects of one category, as people and programs know them over the years.

Ids are given once and never again; a type that was merged stays in the list and says into which.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from normscape.discovery.knowledge import Knowledge
from normscape.discovery.space import Array
from normscape.discovery.verdict import RegionVerdict
from normscape.errors import UsageError

_ID = re.compile(r"T\d+")


def is_id(name: str) -> bool:
    """Whether a name has the form of an id, which no name of a type may have."""
    return _ID.fullmatch(name) is not None


@dataclass(frozen=True)
class DefectType:
    """A kind of defect.

    Attributes:
        id: T1, T2 and so on; of its category.
        name: What people call it; None until somebody has said.
        since: The day of the first image that it was made of.
        merged_into: Id of the type that has taken its images, or None.
        part_of: Id of the type it was split off, or None.
    """

    id: str
    name: str | None
    since: str
    merged_into: str | None = None
    part_of: str | None = None

    @property
    def title(self) -> str:
        """For people: the id, and the name where there is one."""
        return f"{self.id} {self.name}" if self.name else self.id


@dataclass(frozen=True)
class Member:
    """An image of the catalogue.

    Attributes:
        sha256: Of the image file.
        type: Id; None: of no known type, or its map shows nothing.
        confidence: Belief in the type; 1 where a person has said it.
        p_value: Of fitting the known types as badly as that.
        day: YYYY-MM-DD.
        source: Where the image came from.
        by: Who said so: the model or a person.
        nearest: The type that it resembles most, or None.
        regions: What the model has said of its regions when it was sorted.
    """

    sha256: str
    type: str | None
    confidence: float
    p_value: float
    day: str
    source: str
    by: Literal["model", "person"] = "model"
    nearest: str | None = None
    regions: tuple[RegionVerdict, ...] = ()

    @property
    def also(self) -> tuple[str, ...]:
        """Types of its regions beside its own, in the order of the regions."""
        found = dict.fromkeys(region.type for region in self.regions)
        return tuple(name for name in found if name is not None and name != self.type)

    def retyped(self, old: str, new: str) -> Member:
        """This image with one type replaced by another, wherever it is spoken of."""
        regions = tuple(
            replace(each, type=new) if each.type == old else each for each in self.regions
        )
        own, nearest = (new if name == old else name for name in (self.type, self.nearest))
        return replace(self, type=own, nearest=nearest, regions=regions)


@dataclass(frozen=True)
class Catalogue:
    """The types of one category, their images, and what assigns new ones.

    Attributes:
        category: The product.
        backbone: What the features come from, as `Eyes.identity`.
        types: In the order of their ids.
        members: All images that were ever sorted, by SHA-256.
        knowledge: None while there were too few images.
        points: `(P, D)` unit vectors of images in the knowledge's space.
        placed: SHA-256 of the image of each point.
        fitted: Number of images that the space was learned from.
        version: Of the stored catalogue; 0: not stored yet.
    """

    category: str
    backbone: Mapping[str, Any]
    types: tuple[DefectType, ...] = ()
    members: Mapping[str, Member] = field(default_factory=dict)
    knowledge: Knowledge | None = None
    points: Array = field(default_factory=lambda: np.empty((0, 0), np.float32))
    placed: tuple[str, ...] = ()
    fitted: int = 0
    version: int = 0

    @property
    def living(self) -> tuple[DefectType, ...]:
        """Types that were not merged into another one."""
        return tuple(each for each in self.types if each.merged_into is None)

    @property
    def counts(self) -> Counter[str | None]:
        """Number of images by the id of their type."""
        return Counter(member.type for member in self.members.values())

    def of_type(self, name: str | None) -> list[Member]:
        """The images of a type, or those of none; the most certain first."""
        found = [member for member in self.members.values() if member.type == name]
        return sorted(found, key=lambda member: (-member.confidence, member.sha256))

    @property
    def known_points(self) -> Array:
        """`(P, D)`: the points of images that are of some type."""
        typed = [index for index, sha in enumerate(self.placed) if self.members[sha].type]
        return self.points[typed]

    def confidence(self, name: str) -> float:
        """Mean belief in a type over its images; 0 without any."""
        found = [member.confidence for member in self.of_type(name)]
        return float(np.mean(found)) if found else 0.0

    def meant(self, word: str) -> DefectType | None:
        """The living type that has this id or, the first of them, this name; None without one."""
        return next((each for each in self.living if word in (each.id, each.name)), None)

    def find(self, wanted: str) -> DefectType:
        """The living type of an id or a name.

        Raises:
            UsageError: There is none, or two have that name.
        """
        found = [each for each in self.types if wanted in (each.id, each.name)]
        living = [each for each in found if each.merged_into is None]
        if len(living) == 1:
            return living[0]
        if living:
            raise UsageError(
                f"{len(living)} types of {self.category} are named '{wanted}'; give the id of one: "
                f"{', '.join(each.id for each in living)}"
            )
        if found:
            raise UsageError(
                f"type {wanted} of {self.category} was merged into {found[0].merged_into}; "
                "name that one"
            )
        ids = ", ".join(each.title for each in self.living) or "none yet"
        raise UsageError(f"{self.category} has no type '{wanted}'; it has {ids}")

    def new_ids(self, count: int) -> list[str]:
        """Ids that were never given."""
        used = max((int(each.id[1:]) for each in self.types), default=0)
        return [f"T{used + 1 + index}" for index in range(count)]

    def nearest_named(self, name: str) -> tuple[DefectType, float] | None:
        """The named type that another one resembles most, and the cosine; None without one."""
        if self.knowledge is None:
            return None
        owners, means = np.array(self.knowledge.owners), self.knowledge.mixture.means
        own = means[owners == name]
        others = [each for each in self.living if each.name and each.id != name]
        found = [
            (each, float((own @ means[owners == each.id].T).max()))
            for each in others
            if len(own) and (owners == each.id).any()
        ]
        return max(found, key=lambda pair: pair[1], default=None)

    def with_types(self, changed: Sequence[DefectType]) -> Catalogue:
        """This catalogue with types replaced or added."""
        known = {each.id: each for each in self.types} | {each.id: each for each in changed}
        return replace(self, types=tuple(sorted(known.values(), key=lambda each: int(each.id[1:]))))

    def with_members(self, changed: Sequence[Member]) -> Catalogue:
        """This catalogue with images replaced or added."""
        fresh = {member.sha256: member for member in changed}
        return replace(self, members={**self.members, **fresh})

    def without(self, gone: Collection[str]) -> Catalogue:
        """This catalogue without some images, by SHA-256; itself where it has none of them."""
        if not any(sha in self.members for sha in gone):
            return self
        kept = [index for index, sha in enumerate(self.placed) if sha not in gone]
        return replace(
            self,
            members={sha: member for sha, member in self.members.items() if sha not in gone},
            points=self.points[kept],
            placed=tuple(self.placed[index] for index in kept),
        )
