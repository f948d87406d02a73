"""The bounded sample and the embeddings of images."""

import torch

from normscape.prototypes.sample import (
    image_embedding,
    pool_regions,
    region_of_tokens,
    sample_tokens,
)


def tokens(images: int, count: int = 64, dimensions: int = 4) -> torch.Tensor:
    return torch.randn(images, count, dimensions, generator=torch.Generator().manual_seed(images))


def test_every_token_is_kept_within_the_limit():
    everything = tokens(3)
    sample = sample_tokens([everything[:2], everything[2:]], [0, 1, 1], 10_000, 0)
    assert torch.equal(sample.tokens, everything.half().flatten(0, 1))
    assert sample.start.tolist() == [0, 64, 128, 192]
    assert torch.equal(sample.of_category(1), everything[1:].half().flatten(0, 1))
    assert sample.embeddings_of_category(0).shape == (17, 4)


def test_limit_is_shared_equally_by_categories():
    sample = sample_tokens([tokens(9)], [0] * 8 + [1], 64, 0)
    assert len(sample.of_category(0)) == 32
    assert len(sample.of_category(1)) == 32


def test_sample_does_not_depend_on_batching():
    everything = tokens(5)
    whole = sample_tokens([everything], [0] * 5, 100, 7)
    parts = sample_tokens(torch.split(everything, 2), [0] * 5, 100, 7)
    assert torch.equal(whole.tokens, parts.tokens)
    assert torch.equal(whole.region, parts.region)
    torch.testing.assert_close(whole.pooled, parts.pooled)


def test_regions_are_the_cells_of_the_grid():
    region = region_of_tokens(64).view(8, 8)
    assert region[0, :].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert region[:, 0].tolist() == [0, 0, 4, 4, 8, 8, 12, 12]
    grid = tokens(2)
    pooled = pool_regions(grid, region_of_tokens(64))
    expected = grid.view(2, 4, 2, 4, 2, 4).mean(dim=(2, 4)).flatten(1, 2)
    torch.testing.assert_close(pooled, expected)


def test_regions_of_sampled_tokens_and_empty_regions():
    grid = tokens(2)[:, :3]
    pooled = pool_regions(grid, torch.tensor([[0, 0, 5], [1, 1, 1]]))
    torch.testing.assert_close(pooled[0, 0], grid[0, :2].mean(dim=0))
    torch.testing.assert_close(pooled[1, 1], grid[1].mean(dim=0))
    assert pooled[1, 0].abs().max() == 0


def test_embedding_ignores_a_local_defect():
    image = tokens(1)
    damaged = image.clone()
    damaged[:, :6] += 1000.0
    moved = (image_embedding(damaged) - image_embedding(image)).abs().max()
    assert moved < 0.5
