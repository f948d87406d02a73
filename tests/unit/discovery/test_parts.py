"""Views, attention, foreground, space, prototypes and count: what holds whatever the images."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from normscape.discovery.attention import pool
from normscape.discovery.count import estimate
from normscape.discovery.foreground import ObjectPrior
from normscape.discovery.knowledge import by_type
from normscape.discovery.matching import match
from normscape.discovery.mixture import fit_mixture
from normscape.discovery.regions import SIDE, Level, find_regions
from normscape.discovery.space import Space, nearest_other, unit
from normscape.discovery.views import PLAIN, plan_views
from normscape.discovery.vote import vote
from normscape.sections.production import DiscoveryParams

from .support import EYES, draw, flagged_image

PARAMS = DiscoveryParams()


def clusters(sizes, dimensions=8, spread=0.15, seed=0):
    generator = np.random.default_rng(seed)
    centres = unit(generator.normal(size=(len(sizes), dimensions)))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    points = centres[labels] + spread * generator.normal(size=(len(labels), dimensions))
    return unit(points), labels


def region():
    one = flagged_image("spot", 3)
    return one, find_regions(one.map, Level.of([one.map]), 1)[0]


def test_views_stay_within_the_image_and_are_the_same_every_time():
    one, found = region()

    views = plan_views(found, one.sha256, 12)

    assert views == plan_views(found, one.sha256, 12)
    assert views[:PLAIN] == plan_views(found, one.sha256, PLAIN)
    assert views != plan_views(found, "0" * 64, 12)
    for view in views:
        assert 0 <= view.box[0] < view.box[2] <= SIDE
        assert 0 <= view.box[1] < view.box[3] <= SIDE


def test_a_view_turns_image_and_map_alike():
    image, mask = draw("line", 1)
    one, found = region()
    values = np.asarray(mask, dtype=np.float32)
    values = np.kron(values, np.ones((2, 2), np.float32))
    for view in plan_views(found, one.sha256, 12):
        seen = np.asarray(view.of_image(image, 64).convert("L"), dtype=float)
        weight = view.of_map(values, 64)
        if weight.max() > 0.9 and weight.min() < 0.1:
            assert seen[weight > 0.9].mean() < seen[weight < 0.1].mean() - 20


def test_attention_is_a_mean_that_leans_to_the_region():
    tokens = torch.zeros(1, 2, 8, 8)
    tokens[0, 0, :4, :4] = 1.0
    tokens[0, 1] = 1.0
    weight = torch.zeros(1, 1, 8, 8)
    weight[0, 0, 1, 1] = 1.0
    everywhere = torch.ones_like(weight)

    own, around = pool(tokens, weight, everywhere, 3.0)

    assert own[0, 0] > 0.99
    assert own[0, 1] == pytest.approx(1.0) == around[0, 1]
    assert around[0, 0] == pytest.approx(15 / 63)
    mild, _ = pool(tokens, 0.5 + 0.0 * weight, everywhere, 3.0)
    assert mild[0, 0] == pytest.approx(0.25)


def test_what_lies_beside_the_object_counts_less():
    tokens = torch.zeros(1, 1, 8, 8)
    tokens[..., :4] = 1.0
    weight = torch.full((1, 1, 8, 8), 0.5)
    left = torch.zeros_like(weight)
    left[..., :4] = 1.0

    assert pool(tokens, weight, left, 3.0)[0] > pool(tokens, weight, torch.ones_like(left), 3.0)[0]


def test_an_object_is_found_before_a_background_and_none_on_a_surface():
    generator = torch.Generator().manual_seed(0)
    tokens = 0.05 * torch.randn(6, 5, 16, 16, generator=generator)
    surface = ObjectPrior.fit(tokens + 1.0)
    tokens[:, 0] += 1.0
    tokens[:, 1, 4:12, 3:13] += 2.0

    prior = ObjectPrior.fit(tokens)

    assert surface is None
    assert ObjectPrior.fit(torch.ones(3, 5, 16, 16)) is None
    assert prior is not None
    mask = prior.mask(tokens)
    assert mask[:, :, 5:11, 4:12].mean() > 0.95
    assert mask[:, :, :3].mean() < 0.05


def test_larger_regions_have_more_weight_and_weights_sum_to_one():
    areas = [np.array([0.25, 0.01], np.float32), np.array([0.1], np.float32)]

    found = vote(areas, np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]]))

    assert found.sum(1) == pytest.approx([1.0, 1.0])
    assert found[0, 0] > 0.9
    assert found[1] == pytest.approx([0.3, 0.7])


def test_prototypes_find_what_is_there_and_posteriors_are_probabilities():
    points, labels = clusters([30, 20, 10])

    mixture = fit_mixture(points, 3)

    assert np.linalg.norm(mixture.means, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert mixture.posterior(points).sum(1) == pytest.approx(np.ones(60))
    assert mixture.shares.sum() == pytest.approx(1.0)
    groups = mixture.nearest(points)
    assert sorted(np.bincount(groups).tolist()) == [10, 20, 30]
    assert len({(a, b) for a, b in zip(groups, labels, strict=True)}) == 3


def test_labels_hold_their_points_and_number_their_prototypes():
    points, labels = clusters([30, 20, 10])
    fixed = {0: 2, 1: 2, 35: 0}

    mixture = fit_mixture(points, 3, fixed=fixed)

    groups = mixture.nearest(points)
    assert set(groups[labels == 0]) == {2}
    assert set(groups[labels == 1]) == {0}


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [2, 3, 4])
def test_the_number_of_clear_kinds_is_found(kinds):
    points, _ = clusters([15] * kinds, dimensions=16)

    assert estimate(points, PARAMS).types == kinds


@pytest.mark.slow
def test_one_cloud_equal_points_and_few_points_are_one_kind():
    cloud, _ = clusters([60], dimensions=16, spread=1.0)
    equal = np.repeat(cloud[:1], 30, axis=0)

    assert estimate(cloud, PARAMS).types == 1
    assert estimate(equal, PARAMS).types == 1
    assert estimate(cloud[:5], PARAMS).types == 1


def test_groups_are_matched_with_the_types_they_share_most_with():
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    belief = np.zeros((8, 2))
    belief[[0, 1, 2], 1] = 1.0
    belief[[3, 4], 0] = 1.0

    assert match(groups, belief) == {0: 1, 1: 0}
    assert match(groups, np.zeros((8, 0))) == {}
    assert match(groups, np.zeros((8, 2))) == {}


def test_beliefs_of_prototypes_of_one_type_are_added():
    values = np.array([[0.5, 0.3, 0.2]])

    assert by_type(values, ("T2", "T1", "T2")) == pytest.approx(np.array([[0.7, 0.3]]))


def test_the_nearest_other_is_never_oneself():
    points, _ = clusters([5, 5])

    assert (nearest_other(points) < 1.0 - 1e-6).all()
    assert nearest_other(points[:1]) == pytest.approx([-1.0])


def test_the_space_ignores_what_changes_between_views():
    from normscape.discovery.describe import describe

    flagged = [flagged_image(kind, number) for kind in ("spot", "patch") for number in range(8)]
    level = Level.of([each.map for each in flagged])
    described = list(describe(EYES, flagged, level, None, PARAMS, views=6))
    space = Space.fit(described, [6, 6, 6], dimensions=8, surroundings=1.0)

    points = space.embed(described)

    assert np.linalg.norm(points, axis=1) == pytest.approx(np.ones(len(points)), abs=1e-5)
    shifted = [replace(each, features=each.features + each.surroundings * 0) for each in described]
    assert space.embed(shifted) == pytest.approx(points)
    same = points[:8] @ points[:8].T
    other = points[:8] @ points[8:].T
    assert same.mean() > other.mean() + 0.5
