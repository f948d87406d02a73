"""An inspection model that also says how strange an image is to all known products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from normscape.detectors.model import InspectionModel, Prediction
from normscape.errors import NormscapeError
from normscape.novelty.model import CONFIG, Novelty

_TOGETHER = 8


@dataclass(frozen=True)
class Inspection(Prediction):
    """What an inspector says of B images.

    Attributes:
        strangeness: `(B,)` how strange the images are to all known products: of the novelty
            model, or the category distance where there is none.
    """

    strangeness: Tensor

    def cpu(self) -> Inspection:
        """The same on the CPU."""
        return Inspection(**{name: value.cpu() for name, value in vars(self).items()})


class Inspector(InspectionModel):
    """An inspection model with a novelty model beside it, or without one as in older bundles.

    Args:
        model: The inspection model; its parts are shared, not copied.
        novelty: Of the same backbone, or None.

    Raises:
        NormscapeError: The novelty model was made for another backbone.
    """

    def __init__(self, model: InspectionModel, novelty: Novelty | None) -> None:
        super().__init__(
            model.transform,
            model.detector,
            model.head,
            categories=model.categories,
            maps=model.maps,
            routed_categories=model.routed_categories,
            route_margin=model.route_margin,
        )
        shapes = model.transform.shapes
        if novelty is not None and novelty.pooling.shapes != shapes:
            raise NormscapeError(
                f"the novelty model was made for levels of {novelty.pooling.shapes}, the detector "
                f"for {shapes}; run the novelty stage again"
            )
        self.novelty = novelty
        self.eval()

    @classmethod
    def open(cls, folder: Path, novelty: Path) -> Inspector:
        """Read a model from `folder`, and the novelty model from another one if it is there.

        Raises:
            UsageError: There is no model in the folder.
            NormscapeError: One of them is damaged, or they do not belong together.
        """
        model = InspectionModel.load(folder)
        return cls(model, Novelty.load(novelty) if (novelty / CONFIG).is_file() else None)

    def forward(self, maps: Sequence[Tensor]) -> Inspection:
        """Judge images from their level maps `(B, C_l, H_l, W_l)`."""
        found = super().forward(maps)
        return Inspection(**vars(found), strangeness=self._strangeness(maps, found))

    @torch.no_grad()
    def _strangeness(self, maps: Sequence[Tensor], found: Prediction) -> Tensor:
        if self.novelty is None:
            return found.category_distance
        # Always so many at once: the sum of a product's terms depends on the shapes alone, so an
        # image's last bits do not depend on how many others it comes with.
        parts = zip(*(torch.split(level, _TOGETHER) for level in maps), strict=True)
        values = [self.novelty([_filled(level) for level in part]) for part in parts]
        return torch.cat(values)[: len(maps[0])]


def _filled(level: Tensor) -> Tensor:
    missing = _TOGETHER - len(level)
    return torch.cat([level, level.new_zeros(missing, *level.shape[1:])]) if missing else level
