"""The pictures that the inpainting model learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from normscape.data.images import read_image
from normscape.features.preprocess import to_batch
from normscape.progress import progress_bar
from normscape.prototypes.training import TrainingImages
from normscape.refine.inpainting import hide
from normscape.refine.masks import random_mask
from normscape.refine.model import Refiner


@dataclass(frozen=True)
class Pictures:
    """Normal pictures, all in memory: 49 kB each at 128 pixels a side.

    Attributes:
        pixels: `(n, 3, S, S)` uint8.
        labels: `(n,)` category indices.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def read(cls, images: TrainingImages, data: Path, refiner: Refiner, most: int) -> Pictures:
        """Decode images; where there are more than `most`, every so-manieth.

        Raises:
            DataError: One cannot be read.
        """
        stride = max(1, -(-len(images) // most))
        rows = range(0, len(images), stride)
        config = refiner.config
        pixels = torch.empty((len(rows), 3, config.size, config.size), dtype=torch.uint8)
        with progress_bar("refine: read", len(rows), True) as report:
            for place, row in enumerate(rows):
                image = read_image(data / images.paths[row])
                picture = refiner.picture(to_batch([image], config.input_size))[0]
                pixels[place] = ((picture + 1.0) * 127.5).round().byte()
                report(place + 1, "")
        return cls(pixels, torch.tensor([images.labels[row] for row in rows], dtype=torch.long))


@dataclass(frozen=True)
class Trial:
    """Pictures with what is hidden of them.

    Attributes:
        image: `(B, 3, S, S)` in [-1, 1].
        mask: `(B, 1, S, S)`, 1 = hidden.
        noised: `(B, 3, S, S)`.
        time: `(B,)`.
        category: `(B,)`.
    """

    image: Tensor
    mask: Tensor
    noised: Tensor
    time: Tensor
    category: Tensor

    def to(self, device: torch.device) -> Trial:
        """The same on a device."""
        return Trial(**{name: value.to(device) for name, value in vars(self).items()})


def draw(
    pictures: Pictures, cells: tuple[int, ...], times: tuple[float, ...], count: int, seed: int
) -> Trial:
    """A trial of `count` pictures, each category and each of the times as likely as any other.

    It depends on the seed alone, so a training that was interrupted goes on with the very trials
    it would have seen.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = 1.0 / torch.bincount(pictures.labels)[pictures.labels].double()
    rows = torch.multinomial(weights, count, True, generator=generator)
    image = pictures.pixels[rows].float() / 127.5 - 1.0
    size = image.shape[-1]
    mask = torch.stack([random_mask(size, cells, generator) for _ in range(count)])
    time = torch.tensor(times)[torch.randint(len(times), (count,), generator=generator)]
    noise = torch.randn(image.shape, generator=generator)
    return Trial(image, mask, hide(image, noise, mask, time), time, pictures.labels[rows])
