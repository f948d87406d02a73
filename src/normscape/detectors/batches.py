"""Training batches: a few images, some tokens of each, chosen by the step's number alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from normscape.prototypes.sample import TokenSample

_STRIDE = 1_000_003
_APART = 1_000
"""Between the seeds of batches and those of what is drawn for them."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        tokens: `(B, T, D)` float32.
        region: `(B, T)` int8.
        embedding: `(B, D)` of the images.
        category: `(B,)` index of each image's category.
        seed: Of all that is drawn for this batch.
    """

    tokens: Tensor
    region: Tensor
    embedding: Tensor
    category: Tensor
    seed: int

    def generator(self) -> torch.Generator:
        """A generator on the CPU that always begins alike; the batch itself took none of it."""
        return torch.Generator().manual_seed(self.seed)


class BatchSource:
    """Draws batches; every category is as likely as any other, whatever its number of images.

    A batch depends on the seed and the number of the step and on nothing that came before, so a
    training that was interrupted continues with the very batches it would have seen.

    Args:
        sample: Tokens to draw from.
        images: B.
        tokens: T per image, each once unless it has fewer.
        seed: Of the draws.
        device: Where batches are put.
    """

    def __init__(
        self,
        sample: TokenSample,
        *,
        images: int,
        tokens: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._sample = sample
        self._images = images
        self._tokens = tokens
        self._seed = seed
        self._device = device
        present = torch.bincount(sample.category).nonzero().flatten().tolist()
        self._members = [torch.nonzero(sample.category == c).flatten() for c in present]

    def draw(self, step: int) -> Batch:
        """The batch of step `step`."""
        sample = self._sample
        generator = torch.Generator().manual_seed(self._seed * _STRIDE + step)
        categories = torch.randint(len(self._members), (self._images,), generator=generator)
        luck = torch.rand(self._images, generator=generator, dtype=torch.float64)
        images, rows = [], []
        for category, number in zip(categories.tolist(), luck.tolist(), strict=True):
            members = self._members[category]
            image = members[int(number * len(members))]
            first, end = sample.start[image], sample.start[image + 1]
            order = first + torch.randperm(int(end - first), generator=generator)
            images.append(image)
            rows.append(order[torch.arange(self._tokens) % len(order)])
        image, row = torch.stack(images), torch.stack(rows)
        return Batch(
            tokens=sample.tokens[row].float().to(self._device),
            region=sample.region[row].to(self._device),
            embedding=sample.embedding[image].to(self._device),
            category=sample.category[image].to(self._device),
            seed=(self._seed + _APART) * _STRIDE + step,
        )
