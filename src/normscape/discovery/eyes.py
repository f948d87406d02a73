"""What images are looked at with: a backbone and, where it is asked for, a segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from normscape.backbones import Backbone
from normscape.discovery.foreground import ObjectPrior
from normscape.discovery.regions import SIDE
from normscape.discovery.segment import Segmenter
from normscape.discovery.views import View


@dataclass(frozen=True)
class Eyes:
    """A backbone, and what tells object from background if that is not the backbone's tokens.

    Attributes:
        backbone: The frozen network.
        segmenter: Of whole pictures; None: an `ObjectPrior` of the category, or nothing.
    """

    backbone: Backbone
    segmenter: Segmenter | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What kinds were learned with: another one learns them anew. JSON values."""
        identity: dict[str, Any] = self.backbone.identity.as_dict()
        if self.segmenter is not None:
            identity["object_prior"] = dict(self.segmenter.identity)
        return identity

    def mask_of(self, image: Image.Image) -> NDArray[np.float32] | None:
        """`(SIDE, SIDE)`: 1 on the object of a whole picture; None: nothing is told apart."""
        found = None if self.segmenter is None else self.segmenter(image)
        if found is None:
            return None
        whole = Image.fromarray(found.astype(np.float32))
        return np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)


def foreground(
    tokens: Tensor,
    prior: ObjectPrior | None,
    masks: Sequence[NDArray[np.float32] | None],
    views: Sequence[View],
    side: int,
) -> Tensor:
    """`(B, 1, side, side)`: 1 on the object, 0 beside it; all 1 in a view without any of it.

    Args:
        tokens: `(B, C, H, W)` of the views, for a prior.
        prior: Of the category.
        masks: Of each view's whole picture; they count where there is one.
        views: Which part of it is seen.
        side: Of the answer.
    """
    if prior is None:
        found = torch.ones(len(tokens), 1, side, side)
    else:
        found = functional.interpolate(_any(prior.mask(tokens)), (side, side), mode="nearest")
    for row, (mask, view) in enumerate(zip(masks, views, strict=True)):
        if mask is not None:
            seen = torch.from_numpy(view.of_map(mask, side) > 0.5)
            found[row] = _any(seen.float()[None, None])[0]
    return found


def _any(mask: Tensor) -> Tensor:
    """Without any of the object in the view there is nothing to tell apart."""
    return torch.where(mask.mean((1, 2, 3), keepdim=True) > 0, mask, torch.ones_like(mask))
