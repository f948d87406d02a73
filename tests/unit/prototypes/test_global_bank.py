"""Optimal transport: invariants of the plan, gradients, and what the bank learns."""

import ot
import pytest
import torch

from normscape.errors import NormscapeError
from normscape.prototypes.global_bank import GlobalBank, transport_loss, transport_plan


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cost(rows: int = 40, columns: int = 6) -> torch.Tensor:
    values = torch.rand(rows, columns, generator=torch.Generator().manual_seed(2))
    return values / values.max()


@pytest.mark.parametrize("regularisation", [0.01, 0.05, 0.5])
def test_plan_is_finite_and_moves_mass(regularisation: float):
    plan = transport_plan(cost(), regularisation, 1.0)
    assert bool(plan.isfinite().all())
    assert bool((plan >= 0).all())
    assert 0.3 < plan.sum().item() < 1.1


def test_a_heavy_marginal_constraint_is_balanced_transport():
    plan = transport_plan(cost(), 0.1, 1000.0)
    torch.testing.assert_close(plan.sum(1), torch.full((40,), 1 / 40), atol=2e-3, rtol=0.05)
    torch.testing.assert_close(plan.sum(0), torch.full((6,), 1 / 6), atol=5e-3, rtol=0.05)


@pytest.mark.parametrize("regularisation", [0.01, 0.05])
def test_plan_is_near_the_converged_one(regularisation: float):
    values = cost(100, 8).double()
    plan = transport_plan(values, regularisation, 1.0)
    uniform = [torch.full((n,), 1 / n, dtype=torch.float64) for n in values.shape]
    exact = ot.unbalanced.sinkhorn_unbalanced(
        *uniform, values, regularisation, 1.0, numItermax=20_000, stopThr=1e-13
    )
    assert (plan - exact).abs().sum() < 0.05 * exact.sum()


def test_a_light_one_leaves_far_prototypes_alone():
    values = cost()
    values[:, 0] = 1.0
    values[:, 1:] *= 0.1
    plan = transport_plan(values, 0.05, 0.1)
    assert plan[:, 0].sum() < 0.1 * plan[:, 1:].sum(dim=0).min()


def test_threads_are_put_back():
    before = torch.get_num_threads()
    transport_plan(cost(), 0.05, 1.0)
    assert torch.get_num_threads() == before


def test_a_plan_without_mass_is_an_error():
    with pytest.raises(NormscapeError, match="ot_regularisation"):
        transport_plan(torch.full((4, 3), 1e9), 0.05, 1.0)


def test_costs_that_are_not_finite_are_an_error():
    with pytest.raises(NormscapeError, match="costs that are not finite"):
        transport_plan(torch.full((4, 3), float("nan")), 0.05, 1.0)


def test_gradient_is_finite_and_goes_downhill():
    embeddings = random(60, 8)
    prototypes = random(5, 8, seed=1).requires_grad_()
    loss = transport_loss(embeddings, prototypes, 0.01, 1.0)
    (gradient,) = torch.autograd.grad(loss, prototypes)
    assert bool(gradient.isfinite().all())
    assert gradient.abs().max() > 0
    after = transport_loss(embeddings, (prototypes - 0.5 * gradient).detach(), 0.01, 1.0)
    assert after < loss


def test_identical_embeddings_and_prototypes_cost_nothing():
    same = torch.ones(3, 4)
    assert transport_loss(same, same, 0.05, 1.0) < 1e-6


def test_fit_covers_every_category_and_lowers_the_cost():
    directions = torch.eye(8)[:4] * 5
    embeddings = [centre + 0.3 * random(30, 8, seed=i) for i, centre in enumerate(directions)]
    bank, losses = GlobalBank.fit(
        embeddings,
        per_category=2,
        steps=12,
        neighbours=2,
        regularisation=0.05,
        marginal=1.0,
        seed=0,
    )
    assert sum(losses[-3:]) < sum(losses[:3])
    nearest = bank(directions)
    cosine = torch.nn.functional.cosine_similarity(
        bank.prototypes[nearest[:, 0]], directions, dim=1
    )
    assert cosine.min() > 0.9


def test_neighbours_are_nearest_in_cosine():
    bank = GlobalBank(torch.eye(4), neighbours=2)
    assert bank(torch.tensor([[0.1, 9.0, 3.0, 0.0]])).tolist() == [[1, 2]]
    assert GlobalBank(torch.eye(4)[:1], neighbours=5)(torch.eye(4)).shape == (4, 1)
