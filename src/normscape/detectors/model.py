"""The complete model: feature maps in; map, score and category out; one folder on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from normscape.detectors.base import Detector
from normscape.detectors.kinds import config_of, kind_of
from normscape.detectors.maps import finish_maps
from normscape.errors import NormscapeError, UsageError
from normscape.features.transform import TokenTransform
from normscape.files import atomic_path, read_json, write_json
from normscape.prototypes.categories import CategoryHead
from normscape.sections.model import MapParams

TENSORS = "model.safetensors"
CONFIG = "model.json"
_FORMAT = 3
_FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class Prediction:
    """What the model says about B images.

    Attributes:
        score: `(B,)` raw image scores, higher = more anomalous.
        map: `(B, S, S)` raw anomaly maps.
        category: `(B,)` index of the nearest category, int64.
        category_distance: `(B,)` distance to it; about 1 for its normal images.
    """

    score: Tensor
    map: Tensor
    category: Tensor
    category_distance: Tensor

    def cpu(self) -> Prediction:
        """The same on the CPU."""
        return Prediction(**{name: value.cpu() for name, value in vars(self).items()})


class InspectionModel(nn.Module):
    """Token transform, detector and category head.

    The scores of an image do not depend on its batch mates, to the bit on one machine, nor on
    whether its features were cached: maps are rounded to the precision of the feature store, and
    images are scored one at a time.

    Args:
        transform: Maps to tokens.
        detector: Tokens to scores, trained; it is frozen.
        head: Tokens to category.
        categories: Names in the order of the head's indices.
        maps: From token scores to maps.
        routed_categories: How many categories' prototypes an image is compared with at most.
        route_margin: Only with those whose distance is at most so many times the nearest's.
    """

    def __init__(
        self,
        transform: TokenTransform,
        detector: Detector,
        head: CategoryHead,
        *,
        categories: Sequence[str],
        maps: MapParams,
        routed_categories: int,
        route_margin: float,
    ) -> None:
        super().__init__()
        detector.freeze()
        self.transform = transform
        self.detector = detector
        self.head = head
        self.categories = tuple(categories)
        self.maps = maps
        self.routed_categories = routed_categories
        self.route_margin = route_margin

    def tokens(self, maps: Sequence[Tensor]) -> Tensor:
        """Tokens `(B, N, D)` of feature maps."""
        rounded = [level.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).half().float() for level in maps]
        tokens: Tensor = self.transform(rounded)
        return tokens

    def forward(self, maps: Sequence[Tensor]) -> Prediction:
        """Score images from their level maps `(B, C_l, H_l, W_l)`."""
        with torch.no_grad():
            images = zip(*(torch.split(level, 1) for level in maps), strict=True)
            predictions = [self._one(image) for image in images]
            return Prediction(
                **{
                    name: torch.cat([vars(prediction)[name] for prediction in predictions])
                    for name in Prediction.__dataclass_fields__
                }
            )

    def _one(self, maps: Sequence[Tensor]) -> Prediction:
        tokens = self.tokens(maps)
        categories, distances = self.routes(tokens)
        pixels, score = finish_maps(self.detector.token_scores(tokens, categories), self.maps)
        return Prediction(score, pixels, categories[:, 0], distances[:, 0])

    def routes(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The categories that one image `(1, N, D)` may be of, nearest first, and distances."""
        categories, distances = self.head(tokens, self.routed_categories)
        count = int((distances[0] <= self.route_margin * distances[0, 0]).sum())
        return categories[:, : max(1, count)], distances

    def config(self) -> dict[str, Any]:
        """Everything but the tensors, as JSON values."""
        return {
            "format": _FORMAT,
            "categories": list(self.categories),
            "detector": {"name": self.detector.name, **self.detector.config.as_json()},
            "transform": self.transform.config(),
            "maps": self.maps.model_dump(mode="json"),
            "routed_categories": self.routed_categories,
            "route_margin": self.route_margin,
        }

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `model.json` into `folder`.

        Raises:
            NormscapeError: The folder cannot be written.
        """
        tensors = {
            name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()
        }
        with atomic_path(folder / TENSORS) as temporary:
            save_file(tensors, temporary)
        write_json(folder / CONFIG, self.config())

    @classmethod
    def load(cls, folder: Path) -> InspectionModel:
        """Read a model from `folder`, on the CPU and in evaluation mode.

        Raises:
            UsageError: There is no model in the folder.
            NormscapeError: It is damaged, or of another version.
        """
        for name in (TENSORS, CONFIG):
            if not (folder / name).is_file():
                raise UsageError(
                    f"{folder / name} is missing; run the detector stage or name a folder that "
                    "holds a model"
                )
        try:
            model = cls._from_config(read_json(folder / CONFIG))
            model.load_state_dict(load_file(folder / TENSORS))
            model.detector.freeze()
        except (
            UsageError, SafetensorError, ValidationError, KeyError, TypeError, ValueError,
            RuntimeError, AttributeError,
        ) as error:  # fmt: skip
            raise NormscapeError(
                f"the model in {folder} cannot be read ({' '.join(str(error).split())[:200]}); it "
                "is damaged or was written by another version, restore it or train again"
            ) from None
        tensors = model.state_dict()
        broken = [name for name, value in tensors.items() if not bool(value.isfinite().all())]
        if broken:
            raise NormscapeError(
                f"the model in {folder} holds NaN or infinite values in {', '.join(broken[:3])}; "
                "restore it or train again"
            )
        return model.eval()

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> InspectionModel:
        if config["format"] != _FORMAT:
            raise ValueError(f"format {config['format']}, this version reads {_FORMAT}")
        shape = dict(config["detector"])
        name = shape.pop("name")
        detector = kind_of(name).empty(config_of(name).from_json(shape))
        categories, dimensions = config["categories"], detector.config.dimensions
        head = CategoryHead(
            torch.zeros(len(categories), dimensions),
            torch.zeros(dimensions, dimensions),
            torch.zeros(len(categories)),
        )
        return cls(
            TokenTransform.from_config(config["transform"]),
            detector,
            head,
            categories=categories,
            maps=MapParams(**config["maps"]),
            routed_categories=config["routed_categories"],
            route_margin=config["route_margin"],
        )
