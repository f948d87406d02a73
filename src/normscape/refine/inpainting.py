"""How wrongly each part of an image is inpainted."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from normscape.refine.masks import grids
from normscape.refine.unet import InpaintingNet

_NOISE_SIDE = 64
_NOISE_SEED = 20_240_607


class Inpainting(nn.Module):
    """Hides every pixel once for each size of cells and compares it with what is inpainted.

    The hidden pixels are noised to a time t and estimated in one step: from the pixels around them,
    which are put back as they are, from the noised ones, of which mostly low frequencies survive,
    and from the predicted category. The estimates are independent of each other.

    Args:
        categories: C.
        width: Of the network.
        size: Pixels per side of the images.
        cells: Pixels per side of hidden cells.
        times: In (0, 1]; at 1 nothing of the hidden pixels is left.
    """

    noise: Tensor
    masks: Tensor

    def __init__(
        self,
        categories: int,
        width: int,
        size: int,
        cells: tuple[int, ...],
        times: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.times = times
        self.net = InpaintingNet(categories, width, size)
        # Stored with the weights: the same maps with any version of the random generator.
        noise = torch.randn(
            (3, _NOISE_SIDE, _NOISE_SIDE), generator=torch.Generator().manual_seed(_NOISE_SEED)
        )
        self.register_buffer("noise", noise)
        self.register_buffer("masks", grids(size, cells), persistent=False)

    def errors(self, image: Tensor, category: Tensor) -> Tensor:
        """What is inpainted wrongly in one image, means over times and sizes of cells.

        Args:
            image: `(1, 3, S, S)` of `centred`.
            category: `(1,)` int64, the predicted one.

        Returns:
            `(1, 4, S, S)`: the errors of three colours with their sign, and the squared error over
            the one that the model expects.
        """
        size, count = image.shape[-1], len(self.masks)
        repeats = -(-size // _NOISE_SIDE)
        noise = self.noise.repeat(1, repeats, repeats)[None, :, :size, :size]
        category, total = category.expand(count), torch.zeros_like(image[:, :1])
        for moment in self.times:
            time = torch.full((count,), moment, dtype=image.dtype, device=image.device)
            noised = hide(image, noise, self.masks, time)
            estimate, expected = self.net(noised, self.masks, time, category)
            signed = image - estimate
            surprise = signed.square().mean(dim=1, keepdim=True) * torch.exp(-expected)
            found = torch.cat([signed, surprise], dim=1) * self.masks
            total = total + found.sum(dim=0, keepdim=True)
        mean: Tensor = total * (2.0 / (len(self.times) * count))
        return mean


def hide(image: Tensor, noise: Tensor, masks: Tensor, time: Tensor) -> Tensor:
    """Noise what the masks hide: `cos(tπ/2) x + sin(tπ/2) e` there, `x` elsewhere.

    Args:
        image: `(B, 3, S, S)`.
        noise: Unit noise that fits it.
        masks: `(B, 1, S, S)`, 1 = hidden.
        time: `(B,)` in 0 to 1.
    """
    angle = (time * (math.pi / 2)).view(-1, 1, 1, 1)
    return image * (1.0 - masks) + masks * (angle.cos() * image + angle.sin() * noise)


def centred(pixels: Tensor) -> Tensor:
    """Pixels in [0, 1] as the network takes them, in [-1, 1]."""
    return pixels * 2.0 - 1.0
