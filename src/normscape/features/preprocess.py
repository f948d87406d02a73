"""From pictures to the backbone's input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_batch(images: Sequence[Image.Image], size: int) -> Tensor:
    """Resize pictures to a square and stack them; the rule is `backbones.RESIZE_RULE`.

    Args:
        images: RGB pictures of any size.
        size: Pixels per side; a picture that is not square is squeezed.

    Returns:
        `(B, 3, size, size)` float32 in [0, 1].
    """
    pixels = np.empty((len(images), 3, size, size), dtype=np.float32)
    for row, image in enumerate(images):
        square = image.resize((size, size), Image.Resampling.BICUBIC)
        pixels[row] = np.asarray(square).transpose(2, 0, 1)
    return torch.from_numpy(pixels).div_(255.0)
