"""What the prototypes stage leaves for the detector: transform, banks and category head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from normscape.errors import NormscapeError
from normscape.features.transform import TokenTransform
from normscape.files import read_json, write_json
from normscape.prototypes.categories import CategoryHead
from normscape.prototypes.spaces import CategorySpaces

_TRANSFORM = "transform.safetensors"
_BANKS = "banks.safetensors"
_RECORD = "prototypes.json"


@dataclass(frozen=True)
class Prototypes:
    """The fitted parts.

    Attributes:
        transform: Maps to tokens.
        spaces: Of the categories.
        local: `(K_l, D)`, category by category.
        local_sizes: How many of each category.
        globally: `(K_g, D)`.
        head: Category head.
        categories: Names.
        record: Sizes and losses, JSON values.
    """

    transform: TokenTransform
    spaces: CategorySpaces
    local: Tensor
    local_sizes: tuple[int, ...]
    globally: Tensor
    head: CategoryHead
    categories: tuple[str, ...]
    record: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the files into `folder`."""
        save_file(_plain(self.transform.state_dict()), folder / _TRANSFORM)
        banks = {"local": self.local, "global": self.globally}
        banks |= {f"spaces.{name}": value for name, value in self.spaces.state_dict().items()}
        banks |= {f"head.{name}": value for name, value in self.head.state_dict().items()}
        save_file(_plain(banks), folder / _BANKS)
        write_json(
            folder / _RECORD,
            {
                "categories": list(self.categories),
                "transform": self.transform.config(),
                "local_sizes": list(self.local_sizes),
                "norm_power": self.spaces.norm_power,
                **self.record,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Prototypes:
        """Read what `save` wrote.

        Raises:
            UsageError: There is none.
            NormscapeError: A file is damaged.
        """
        record = read_json(folder / _RECORD)
        try:
            transform = TokenTransform.from_config(record.pop("transform"))
            transform.load_state_dict(load_file(folder / _TRANSFORM))
            banks = load_file(folder / _BANKS)
            return cls(
                transform,
                CategorySpaces(
                    banks["spaces.origin"], banks["spaces.scale"], record.pop("norm_power")
                ),
                banks["local"],
                tuple(record.pop("local_sizes")),
                banks["global"],
                CategoryHead(banks["head.centres"], banks["head.whitening"], banks["head.scale"]),
                tuple(record.pop("categories")),
                record,
            )
        except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
            raise NormscapeError(
                f"the prototypes in {folder} cannot be read ({' '.join(str(error).split())[:200]});"
                " run the prototypes stage again"
            ) from None


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
