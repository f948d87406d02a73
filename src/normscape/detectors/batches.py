"""Training batches: a few images, some tokens of each, chosen by the step's number alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from normscape.prototypes.sample import TokenSample


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        tokens: `(B, T, D)` float32.
        region: `(B, T)` int8.
        embedding: `(B, D)` of the images.
        category: `(B,)` index of each image's category.
        time: `(B,)` diffusion steps.
        noise: `(B, T, D)` unit noise.
    """

    tokens: Tensor
    region: Tensor
    embedding: Tensor
    category: Tensor
    time: Tensor
    noise: Tensor


class BatchSource:
    """Draws batches; every category is as likely as any other, whatever its number of images.

    A batch depends on the seed and the number of the step and on nothing that came before, so a
    training that was interrupted continues with the very batches it would have seen.

    Args:
        sample: Tokens to draw from.
        images: B.
        tokens: T per image, drawn with replacement.
        timesteps: Diffusion steps are drawn from 1 to this.
        seed: Of the draws.
        device: Where batches are put.
    """

    def __init__(
        self,
        sample: TokenSample,
        *,
        images: int,
        tokens: int,
        timesteps: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._sample = sample
        self._images = images
        self._tokens = tokens
        self._timesteps = timesteps
        self._seed = seed
        self._device = device
        present = torch.bincount(sample.category).nonzero().flatten().tolist()
        self._members = [torch.nonzero(sample.category == c).flatten() for c in present]

    def draw(self, step: int, *, time: int | None = None) -> Batch:
        """The batch of step `step`, at diffusion step `time` where one is given."""
        sample = self._sample
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        categories = torch.randint(len(self._members), (self._images,), generator=generator)
        luck = torch.rand(self._images, generator=generator, dtype=torch.float64)
        chosen = []
        for category, number in zip(categories.tolist(), luck.tolist(), strict=True):
            members = self._members[category]
            chosen.append(members[int(number * len(members))])
        images = torch.stack(chosen)
        first = sample.start[images].unsqueeze(1)
        count = sample.start[images + 1].unsqueeze(1) - first
        luck = torch.rand((self._images, self._tokens), generator=generator, dtype=torch.float64)
        rows = first + (luck * count).long()
        tokens = sample.tokens[rows].float()
        times = torch.randint(1, self._timesteps + 1, (self._images,), generator=generator)
        if time is not None:
            times = torch.full_like(times, time)
        batch = Batch(
            tokens=tokens,
            region=sample.region[rows],
            embedding=sample.embedding[images],
            category=sample.category[images],
            time=times,
            noise=torch.randn(tokens.shape, generator=generator),
        )
        return Batch(**{name: value.to(self._device) for name, value in vars(batch).items()})
