"""Compression of norms: what the two ends of the range mean."""

import torch

from normscape.prototypes.geometry import compress_norm, rank_distances


def tokens() -> torch.Tensor:
    return torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) * 3.0


def test_power_zero_changes_nothing():
    assert torch.equal(compress_norm(tokens(), 0.0), tokens())


def test_power_one_makes_distances_cosines():
    unit = compress_norm(tokens(), 1.0)
    torch.testing.assert_close(unit.norm(dim=1), torch.full((50,), 4.0))
    cosine = torch.nn.functional.cosine_similarity(tokens()[0], tokens()[1], dim=0)
    squared = (unit[0] - unit[1]).square().sum()
    torch.testing.assert_close(squared, 2 * 16 * (1 - cosine))


def test_direction_is_kept_and_long_tokens_stay_longer():
    half = compress_norm(tokens(), 0.5)
    torch.testing.assert_close(
        torch.nn.functional.cosine_similarity(half, tokens(), dim=1), torch.ones(50)
    )
    assert torch.equal(half.norm(dim=1).argsort(), tokens().norm(dim=1).argsort())
    assert half.norm(dim=1).std() < tokens().norm(dim=1).std()


def test_zero_token_stays_finite():
    assert torch.equal(compress_norm(torch.zeros(2, 8), 0.5), torch.zeros(2, 8))


def test_rank_is_the_order_of_euclidean_distances():
    points, centres = tokens()[:20], tokens()[20:]
    expected = torch.cdist(points, centres).square() - points.square().sum(1, keepdim=True)
    torch.testing.assert_close(rank_distances(points, centres), expected, atol=1e-3, rtol=1e-4)
