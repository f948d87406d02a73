"""The shape of a detector: what is known of it before any tensor is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class DetectorConfig(ABC):
    """What every detector's configuration has; each adds its own.

    Attributes:
        tokens: N, per image.
        dimensions: D, of a token.
    """

    tokens: int
    dimensions: int

    def as_json(self) -> dict[str, Any]:
        """JSON values, from which `from_json` makes it again."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave.

        Raises:
            TypeError: Something is missing or unknown.
        """
        lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
        return cls(**{**content, **lists})

    @classmethod
    @abstractmethod
    def least_elements(cls, content: Mapping[str, Any]) -> int:
        """Of four bytes each, in the largest tensor that unchecked JSON values ask for at least."""


@dataclass(frozen=True)
class BankedConfig(DetectorConfig):
    """The configuration of a detector that keeps prototypes of each category.

    Attributes:
        temperature: At which the prototypes near a token are mixed, before the training.
        norm_power: Of the spaces of the categories.
    """

    temperature: float
    norm_power: float


def whole(value: Any) -> int:
    """A whole number, or the sum of those in a list; 0 for anything else."""
    found = value if isinstance(value, list) else [value]
    return sum(each for each in found if isinstance(each, int))
