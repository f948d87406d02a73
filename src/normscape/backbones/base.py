"""What a backbone is: a frozen feature extractor, named by everything that shapes its output."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from normscape.errors import NormscapeError

if TYPE_CHECKING:
    from torch import Tensor

RESIZE_RULE = "pillow-bicubic"
"""How an image becomes a square of input_size: Pillow's bicubic filter, antialiased."""

LevelShape = tuple[int, int, int]
"""Channels, height and width of one level's map."""


@dataclass(frozen=True)
class BackboneIdentity:
    """Everything that shapes the features of an image.

    Attributes:
        name: The timm name of the network.
        weights: Where the weights came from, as in `params.yaml`; not part of the key, because
            the same tensors give the same features whatever file they came in.
        weights_sha256: Hash of the tensors (`normscape.backbones.weights.tensors_sha256`).
        input_size: Pixels per side.
        levels: Indices into the network's feature levels (stages, or blocks of a transformer).
        mean: Per-channel mean that is subtracted, for pixels in [0, 1].
        std: Per-channel divisor.
        runtime: `torch` or `openvino`; never `auto`.
        precision: `fp32`, `bf16` or `fp16`; never `auto`.
        resize: The resize rule.
    """

    name: str
    weights: str
    weights_sha256: str
    input_size: int
    levels: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    runtime: str
    precision: str
    resize: str = RESIZE_RULE

    @property
    def key(self) -> str:
        """16 hex digits that name the features of this backbone in the feature store."""
        content = {name: value for name, value in self.as_dict().items() if name != "weights"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """The identity as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> BackboneIdentity:
        """Rebuild an identity from `as_dict`.

        Raises:
            NormscapeError: A field is missing or unknown, or the resize rule is not this
                version's.
        """
        try:
            values: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in content.items()
            }
            identity = cls(**values)
        except TypeError as error:
            raise NormscapeError(
                f"backbone identity {sorted(content)} is not complete: {error}; it was written by "
                "another version or is damaged, run the features stage again"
            ) from None
        if identity.resize != RESIZE_RULE:
            raise NormscapeError(
                f"backbone identity: resize rule '{identity.resize}', but this version resizes "
                f"with '{RESIZE_RULE}'; train again or use the version that wrote it"
            )
        return identity


class Backbone(Protocol):
    """A frozen feature extractor. Building one is cheap; its first call loads the network."""

    @property
    def identity(self) -> BackboneIdentity:
        """What shapes the features, with runtime and precision resolved."""

    @property
    def shapes(self) -> tuple[LevelShape, ...]:
        """`(C, H, W)` of each level's map."""

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Extract the feature maps of a batch.

        Args:
            batch: `(B, 3, S, S)` float32 pixels in [0, 1], resized but not normalised.

        Returns:
            One float32 tensor `(B, C_l, H_l, W_l)` per level, on the runtime's device.
        """
