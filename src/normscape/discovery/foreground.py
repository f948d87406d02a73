"""Where the object is: the first principal component of backbone tokens, or nowhere in particular.

On pictures of an object before a background the tokens fall into two groups, and the outermost
tokens of the pictures are background. Surfaces that fill the picture have no such groups; there is
no prior then, and everything is object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from torch import Tensor

_SEPARATION = 0.65
_BORDER = 0.75
_CENTRE = 0.75
_SMALLEST = 0.05


@dataclass(frozen=True)
class ObjectPrior:
    """Tells object from background by one direction in the space of one level's tokens.

    Attributes:
        direction: `(C,)`.
        threshold: A token whose component is higher belongs to the object.
    """

    direction: NDArray[np.float32]
    threshold: float

    @classmethod
    def fit(cls, tokens: Tensor) -> ObjectPrior | None:
        """Learn the direction from whole images of one category.

        Args:
            tokens: `(N, C, H, W)` of one level.

        Returns:
            None where there is no foreground: the component has not two groups, or the border is
            not of one of them and the centre of the other.
        """
        values = tokens.float().permute(0, 2, 3, 1).flatten(0, 2)
        values = values / values.norm(dim=1, keepdim=True).clamp(min=1e-6)
        centred = (values - values.mean(0)).double()
        direction = torch.linalg.eigh(centred.T @ centred)[1][:, -1].float()
        component = (values @ direction).reshape(len(tokens), *tokens.shape[2:]).numpy()
        if float(np.ptp(component)) < 1e-6:
            return None
        cut = float(threshold_otsu(component))  # type: ignore[no-untyped-call]
        border = _border(component)
        if (border > cut).mean() > 1 - _BORDER:  # the sign of a component is arbitrary
            direction, component, cut, border = -direction, -component, -cut, -border
        high = component > cut
        height, width = tokens.shape[2:]
        centre = high[:, height // 3 : -(height // 3), width // 3 : -(width // 3)]
        clear = (
            _explained(component, high) >= _SEPARATION
            and (border <= cut).mean() >= _BORDER
            and centre.mean() >= _CENTRE
            and _SMALLEST <= high.mean() <= 1 - _SMALLEST
        )
        return cls(direction.numpy().astype(np.float32), cut) if clear else None

    def mask(self, tokens: Tensor) -> Tensor:
        """`(B, 1, H, W)`: 1 on the object and 0 beside it, of one level's tokens `(B, C, H, W)`."""
        values = tokens.float() / tokens.float().norm(dim=1, keepdim=True).clamp(min=1e-6)
        direction = torch.from_numpy(self.direction).to(values).view(1, -1, 1, 1)
        component: Tensor = (values * direction).sum(1, keepdim=True)
        return (component > self.threshold).float()


def _border(component: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = (component[:, 0], component[:, -1], component[:, :, 0], component[:, :, -1])
    return np.concatenate([each.ravel() for each in sides])


def _explained(component: NDArray[np.float32], high: NDArray[np.bool_]) -> float:
    """Share of the variance that lies between the two groups."""
    if high.all() or not high.any():
        return 0.0
    share = high.mean()
    gap = component[high].mean() - component[~high].mean()
    return float(share * (1 - share) * gap**2 / component.var())
