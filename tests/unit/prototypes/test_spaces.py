"""The spaces of categories: where they begin, how they scale, and the way back."""

import pytest
import torch

from normscape.prototypes.spaces import CategorySpaces


def tokens(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))


def spaces(norm_power: float = 0.5) -> CategorySpaces:
    return CategorySpaces.fit([3.0 * tokens(400) + 5.0, 0.2 * tokens(300, 1) - 2.0], norm_power)


def test_a_category_is_centred_and_has_unit_scale_in_its_own_space():
    found = spaces(0.0)
    for category, points in enumerate((3.0 * tokens(400) + 5.0, 0.2 * tokens(300, 1) - 2.0)):
        inside = found.enter(points, category)
        assert inside.mean(dim=0).abs().max() < 1e-5
        torch.testing.assert_close(inside.square().mean(), torch.tensor(1.0))


def test_a_space_depends_on_its_category_alone():
    alone = CategorySpaces.fit([3.0 * tokens(400) + 5.0], 0.5)
    assert torch.equal(alone.enter(tokens(9), 0), spaces().enter(tokens(9), 0))


def test_categories_of_a_batch_are_entered_together():
    batch, category = tokens(24).view(3, 8, 16), torch.tensor([1, 0, 1])
    together = spaces().enter(batch, category)
    for row in range(3):
        torch.testing.assert_close(together[row], spaces().enter(batch[row], int(category[row])))


@pytest.mark.parametrize("power", [0.0, 0.5, 0.75])
def test_leaving_undoes_entering(power: float):
    found = spaces(power)
    torch.testing.assert_close(found.leave(found.enter(tokens(9), 1), 1), tokens(9))


def test_a_category_without_variation_stays_finite():
    found = CategorySpaces.fit([torch.ones(5, 16)], 0.5)
    assert found.enter(torch.ones(5, 16), 0).isfinite().all()
