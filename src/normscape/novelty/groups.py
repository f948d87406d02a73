"""Images that were judged together, and what is said of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

_ID_DIGITS = 10
_NAMED_IDS = 40


class Source(StrEnum):
    """Why a group of images is suspected."""

    NAME = "name"
    """They declare a category that the model does not know."""
    UNDECLARED = "undeclared"
    """They declare none; grouped by the predicted category, since one product resembles itself."""
    MISDECLARED = "misdeclared"
    """They declare a known category and look like another one or none."""
    SWAPPED = "swapped"
    """They declare a known category and look like normal images of another one."""


@dataclass(frozen=True)
class UnknownGroup:
    """Images that were judged together.

    Attributes:
        name: The unknown name, or the category predicted (undeclared) or declared (others).
        source: How the group came about.
        images: In the group.
        strange: Of them, those that speak against a known product: with a category p-value no
            larger than the level, or for a swapped group, that look like another category.
        p_value: Of so many or more, were the product known and declared rightly; None for an
            unknown name, which needs no test.
        adjusted: After Benjamini-Hochberg over the groups that were tested; None for those with
            too few strange or flagged images to be called anything.
        unknown: The decision.
        paths: The strange images (all images of an unknown name), as in the score log.
        hashes: Their sha256, in the same order.
        nearest: The known categories that they look most like and the share of the images that
            does, largest first.
    """

    name: str
    source: Source
    images: int
    strange: int
    p_value: float | None
    adjusted: float | None
    unknown: bool
    paths: tuple[str, ...]
    hashes: tuple[str, ...]
    nearest: tuple[tuple[str, float], ...]

    @property
    def looks_like(self) -> str:
        """The nearest known categories in words."""
        return ", ".join(f"{name} ({share:.0%})" for name, share in self.nearest)

    def command(self, day: str) -> str | None:
        """What adds the images to the data once a person has looked at them.

        None for a swapped group: its product is known, the line's declaration is to be corrected.

        Args:
            day: The day for which they wait in the inbox.
        """
        if self.source is Source.SWAPPED:
            return None
        name = self.name if self.source is Source.NAME else "NEW_NAME"
        some = len(self.hashes) <= _NAMED_IDS
        which = (
            " ".join(sha256[:_ID_DIGITS] for sha256 in self.hashes)
            if some
            else f"--all --reason unknown --day {day}"
        )
        return f"normscape review approve {which} --category {name}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        content = asdict(self)
        content["paths"], content["hashes"] = list(self.paths), list(self.hashes)
        content["nearest"] = [{"category": name, "share": share} for name, share in self.nearest]
        return content


@dataclass(frozen=True)
class UnknownVerdict:
    """All groups that were judged, the unknown ones first."""

    groups: tuple[UnknownGroup, ...]

    @property
    def unknown(self) -> tuple[UnknownGroup, ...]:
        """The groups that are called a new product."""
        return tuple(group for group in self.groups if group.unknown)
