"""The category head: right category, comparable distances, strangers far away."""

import pytest
import torch

from normscape.errors import DataError
from normscape.prototypes.categories import CategoryHead


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def world(seed: int, per_category: tuple[int, ...] = (60, 20, 8)) -> tuple[torch.Tensor, ...]:
    dimensions = 16
    spread = torch.linspace(0.1, 2.0, dimensions)
    embeddings, labels = [], []
    for category, count in enumerate(per_category):
        centre = 6.0 * random(dimensions, seed=100 + category)
        embeddings.append(centre + spread * random(count, dimensions, seed=seed + category))
        labels += [category] * count
    return torch.cat(embeddings), torch.tensor(labels)


def head() -> CategoryHead:
    embeddings, labels = world(0)
    return CategoryHead.fit(embeddings, labels, ["a", "b", "c"])


def test_new_images_go_to_their_category_at_a_distance_of_about_one():
    embeddings, labels = world(50)
    index, distance = head().classify(embeddings)
    assert torch.equal(index[:, 0], labels)
    medians = [distance[labels == category].median().item() for category in range(3)]
    assert all(0.7 < median < 1.4 for median in medians)


def test_an_unknown_product_is_far_from_all():
    _, known = head().classify(world(50)[0])
    _, unknown = head().classify(6.0 * random(16, seed=999) + random(10, 16))
    assert unknown.min() > 2 * known.max()


def test_tokens_with_a_defect_in_a_tenth_of_the_image():
    centre = head().centres[0] @ torch.linalg.inv(head().whitening)
    tokens = centre + random(1, 100, 16)
    damaged = tokens.clone()
    damaged[:, :10] += 50.0
    index, distance = head()(tokens)
    damaged_index, damaged_distance = head()(damaged)
    assert index.item() == damaged_index.item() == 0
    assert damaged_distance < distance + 1.0


@pytest.mark.parametrize("counts", [(2,), (2, 2), (3, 40)])
def test_few_images_still_work(counts: tuple[int, ...]):
    embeddings, labels = world(0, counts)
    fitted = CategoryHead.fit(embeddings, labels, [str(i) for i in range(len(counts))])
    index, distance = fitted.classify(embeddings)
    assert torch.equal(index[:, 0], labels)
    assert bool(distance.isfinite().all())


def test_identical_images_do_not_divide_by_zero():
    fitted = CategoryHead.fit(torch.ones(4, 8), torch.zeros(4, dtype=torch.long), ["a"])
    assert bool(fitted.classify(torch.ones(1, 8))[1].isfinite().all())


def test_one_image_is_a_clear_error():
    embeddings, labels = world(0, (5, 1))
    with pytest.raises(DataError, match="category 'nut' has 1 training"):
        CategoryHead.fit(embeddings, labels, ["bolt", "nut"])
