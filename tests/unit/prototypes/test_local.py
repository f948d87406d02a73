"""The local bank against slow, obvious references."""

import pytest
import torch

from normscape.prototypes.kmeans import assign, kmeans, spread_out
from normscape.prototypes.local import LocalBank, local_loss


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(count: int, each: int, dimensions: int = 6) -> torch.Tensor:
    centres = 20.0 * torch.eye(dimensions)[:count]
    return (centres.unsqueeze(1) + 0.1 * random(count, each, dimensions)).flatten(0, 1)


def test_kmeans_finds_separated_blobs():
    points = blobs(5, 40)
    centres = kmeans(points, 5, 20, generator(3))
    nearest = torch.cdist(20.0 * torch.eye(6)[:5], centres).min(dim=1).values
    assert nearest.max() < 0.5


def test_kmeans_lowers_the_cost_and_is_deterministic():
    points = random(500, 8)
    cost = [float(assign(points, kmeans(points, 20, n, generator()))[0].mean()) for n in (0, 2, 10)]
    assert cost[0] > cost[1] > cost[2]
    assert torch.equal(kmeans(points, 20, 5, generator()), kmeans(points, 20, 5, generator()))


def test_dead_clusters_restart():
    # Many equal points: centres chosen among them are dead at once, yet each outlier needs one.
    points = torch.cat([torch.zeros(200, 3), 10.0 * torch.eye(3)])
    centres = kmeans(points, 4, 10, generator())
    assert assign(points, centres)[0].max() < 1e-6


def test_kmeans_with_fewer_points_than_clusters():
    points = random(3, 4)
    assert len(kmeans(points, 10, 5, generator())) == 3


def test_match_equals_brute_force():
    bank = LocalBank(random(30, 8, seed=1), [30], neighbours=4, temperature=0.2)
    tokens = random(25, 8)
    match = bank(tokens, 0)
    distances = (tokens.unsqueeze(1) - bank.prototypes).square().mean(dim=2)
    values, index = distances.topk(4, dim=1, largest=False)
    assert torch.equal(match.index, index)
    torch.testing.assert_close(match.distance, values[:, 0])
    weights = torch.softmax(-values / 0.4, dim=1)
    expected = torch.stack([w @ bank.prototypes[i] for w, i in zip(weights, index, strict=True)])
    torch.testing.assert_close(match.aggregate, expected)


def test_temperature_acts_on_the_cosine_of_unit_tokens():
    unit = torch.nn.functional.normalize(random(12, 8), dim=1) * 8**0.5
    bank = LocalBank(unit[:6], [6], neighbours=6, temperature=0.1)
    match = bank(unit[6:], 0)
    cosine = unit[6:] @ bank.prototypes.T / 8
    expected = torch.softmax(cosine / 0.1, dim=1) @ bank.prototypes
    torch.testing.assert_close(match.aggregate, expected)
    torch.testing.assert_close(local_loss(match), 2 * (1 - cosine.max(dim=1).values).mean())


def test_a_prototype_matches_itself():
    bank = LocalBank(random(20, 8), [20], neighbours=1, temperature=0.1)
    match = bank(bank.prototypes, 0)
    assert match.index.flatten().tolist() == list(range(20))
    assert match.distance.max() == 0


def test_gradient_descent_on_the_loss_brings_prototypes_to_tokens():
    bank = LocalBank(random(10, 8), [10], neighbours=2, temperature=0.1)
    tokens = random(100, 8, seed=5)
    first = local_loss(bank(tokens, 0))
    optimiser = torch.optim.SGD(bank.parameters(), lr=5.0)
    for _ in range(20):
        optimiser.zero_grad()
        local_loss(bank(tokens, 0)).backward()
        optimiser.step()
    assert local_loss(bank(tokens, 0)) < first


@pytest.mark.parametrize(("tokens", "expected"), [(400, 16), (40, 10), (2, 1)])
def test_budget_is_per_category_and_capped_by_tokens(tokens: int, expected: int):
    bank = LocalBank.fit(
        [random(400, 8), random(tokens, 8, seed=1) + 50.0],
        per_category=16,
        iterations=3,
        neighbours=4,
        temperature=0.1,
        seed=0,
    )
    far = int((bank.prototypes.mean(dim=1) > 25).sum())
    assert (len(bank.prototypes) - far, far) == (16, expected)


def test_neighbours_are_capped_by_the_bank():
    bank = LocalBank(random(2, 4), [2], neighbours=8, temperature=0.1)
    assert bank(random(5, 4), 0).index.shape == (5, 2)


def three_products() -> LocalBank:
    prototypes = torch.cat([random(10, 8), random(6, 8, seed=1), random(12, 8, seed=2)])
    return LocalBank(prototypes, [10, 6, 12], neighbours=3, temperature=0.1)


@pytest.mark.parametrize("category", [0, 1, 2])
def test_only_the_prototypes_of_the_category_are_searched(category: int):
    bank, tokens = three_products(), random(20, 8, seed=3)
    rows = torch.split(torch.arange(28), [10, 6, 12])[category]
    alone = LocalBank(bank.prototypes[rows], [len(rows)], neighbours=3, temperature=0.1)
    match, expected = bank(tokens, category), alone(tokens, 0)
    assert torch.equal(match.index, rows[expected.index])
    torch.testing.assert_close(match.aggregate, expected.aggregate)
    nearest = bank.nearest(tokens, category)
    assert torch.equal(nearest, bank.prototypes[match.index[:, 0]])


def test_sizes_must_cover_the_bank():
    with pytest.raises(ValueError, match="sizes"):
        LocalBank(random(10, 8), [4, 4], neighbours=2, temperature=0.1)


def test_spread_out_covers_rare_points():
    # 3 rare points among 2,000 near the origin: random centres miss them, spread ones do not.
    points = torch.cat([0.1 * random(2000, 100), 10.0 * torch.eye(100)[:3]])
    rare = range(2000, 2003)
    chosen = spread_out(points, 12, generator()).tolist()
    assert set(rare) <= set(chosen)
    assert len(set(chosen)) == 12
    assert assign(points, kmeans(points, 12, 3, generator(), spread=True))[0][2000:].max() < 1.0


def test_spread_out_takes_the_farthest_point_each_time():
    points = random(60, 5)
    chosen = spread_out(points, 8, generator())
    for position in range(1, 8):
        distance = torch.cdist(points, points[chosen[:position]]).min(dim=1).values
        assert chosen[position] == distance.argmax()
