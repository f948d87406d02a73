"""A bounded sample of training tokens in memory, and the embeddings of whole images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

REGIONS = 4
"""Regions per side of the grid whose mean is a pooled-token embedding."""


@dataclass(frozen=True)
class TokenSample:
    """Tokens of `n` training images, at most a given number of them in all.

    Attributes:
        tokens: `(M, D)` float16, image after image.
        region: `(M,)` int8, which of the `REGIONS ** 2` cells of the image a token lies in.
        start: `(n + 1,)` where an image's tokens begin in `tokens`.
        embedding: `(n, D)` robust image embeddings, see `image_embedding`.
        pooled: `(n, REGIONS ** 2, D)` float16, mean of all tokens of each region.
        category: `(n,)` index of the image's category.
    """

    tokens: Tensor
    region: Tensor
    start: Tensor
    embedding: Tensor
    pooled: Tensor
    category: Tensor

    def of_category(self, category: int) -> Tensor:
        """All sampled tokens `(M_c, D)` of one category, float16."""
        images = torch.nonzero(self.category == category).flatten().tolist()
        return torch.cat([self.tokens[self.start[i] : self.start[i + 1]] for i in images])

    def embeddings_of_category(self, category: int) -> Tensor:
        """Image-level and pooled-token embeddings `(n_c * (1 + REGIONS ** 2), D)`."""
        chosen = self.category == category
        return torch.cat([self.embedding[chosen], self.pooled[chosen].flatten(0, 1).float()])


def image_embedding(tokens: Tensor) -> Tensor:
    """The median over the regions' means of each image's tokens `(B, N, D)`: `(B, D)`.

    A median of means is blind to a defect in less than half of the regions.
    """
    region = region_of_tokens(tokens.shape[1]).to(tokens.device)
    return pool_regions(tokens, region).median(dim=1).values


def region_of_tokens(count: int) -> Tensor:
    """The region index `(N,)` of every token of a square grid of `count` tokens."""
    side = math.isqrt(count)
    cell = torch.arange(side) * REGIONS // side
    return (cell.unsqueeze(1) * REGIONS + cell).flatten().to(torch.int8)


def pool_regions(tokens: Tensor, region: Tensor) -> Tensor:
    """Mean of the tokens `(B, N, D)` in each region; `region` is `(N,)` or `(B, N)`.

    Returns:
        `(B, REGIONS ** 2, D)`; zero for a region without tokens.
    """
    cells = torch.arange(REGIONS**2, device=tokens.device)
    member = (region.unsqueeze(-1) == cells).to(tokens.dtype).expand(*tokens.shape[:2], -1)
    counts = member.sum(dim=1).clamp_min(1.0).unsqueeze(-1)
    return member.transpose(1, 2) @ tokens / counts


def sample_tokens(
    batches: Iterable[Tensor], categories: Sequence[int], limit: int, seed: int
) -> TokenSample:
    """Collect a sample in one pass.

    Args:
        batches: Tokens `(B, N, D)` of the training images in the order of `categories`.
        categories: The category index of every image.
        limit: Upper bound of the number of tokens, shared equally by the categories; within a
            category every image gives the same number.
        seed: Of the choice; an image's choice depends on the seed and its position alone.
    """
    category = torch.tensor(categories, dtype=torch.long)
    counts = torch.bincount(category)
    share = limit // int((counts > 0).sum())
    parts, regions, embeddings, pooled, lengths = [], [], [], [], []
    image = 0
    for batch in batches:
        region = region_of_tokens(batch.shape[1])
        embeddings.append(image_embedding(batch).cpu())
        pooled.append(pool_regions(batch, region.to(batch.device)).half().cpu())
        for tokens in batch.half().cpu():
            keep = max(1, min(len(tokens), share // int(counts[category[image]])))
            generator = torch.Generator().manual_seed(seed * 1_000_003 + image)
            chosen = torch.randperm(len(tokens), generator=generator)[:keep].sort().values
            parts.append(tokens[chosen])
            regions.append(region[chosen])
            lengths.append(keep)
            image += 1
    start = torch.cat([torch.zeros(1, dtype=torch.long), torch.tensor(lengths).cumsum(0)])
    return TokenSample(
        torch.cat(parts),
        torch.cat(regions),
        start,
        torch.cat(embeddings),
        torch.cat(pooled),
        category,
    )
