"""A small detector with real banks, made of clusters of random tokens."""

from collections.abc import Callable

import pytest
import torch

from normscape.detectors.base import Detector
from normscape.features.transform import TokenTransform
from normscape.params import Params
from normscape.prototypes.artifact import Prototypes
from normscape.prototypes.categories import CategoryHead
from normscape.prototypes.global_bank import GlobalBank
from normscape.prototypes.local import LocalBank
from normscape.prototypes.sample import TokenSample, sample_tokens
from normscape.prototypes.spaces import CategorySpaces
from normscape.stages.detector import build

GRID, DIMENSIONS = 8, 8


@pytest.fixture
def params() -> Params:
    return Params.model_validate(
        {
            "features": {"grid": GRID, "dimensions": DIMENSIONS},
            "prototypes": {"local_per_category": 16},
            "proad": {"prototypes": 16},
            "detector": {
                "steps": 30, "batch_tokens": 256, "width": 16, "blocks": 1, "heads": 2,
                "noise_step": 20, "timesteps": 100, "prototype_share": 0.6,
            },
            "maps": {"size": 32},
        }
    )  # fmt: skip


@pytest.fixture
def images() -> Callable[[int, int], torch.Tensor]:
    """Tokens `(count, 64, 8)` of two kinds of images, alternating, from a seed."""

    def make(count: int, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        motifs = 2.0 * torch.randn(2, 4, DIMENSIONS, generator=torch.Generator().manual_seed(9))
        which = torch.randint(4, (count, GRID**2), generator=generator)
        kind = torch.arange(count) % 2
        noise = 0.3 * torch.randn(count, GRID**2, DIMENSIONS, generator=generator)
        return motifs[kind.unsqueeze(1), which] + noise

    return make


@pytest.fixture
def sample(images: Callable[[int, int], torch.Tensor]) -> TokenSample:
    return sample_tokens([images(24, 0)], [0, 1] * 12, 100_000, 0)


@pytest.fixture
def held_out(images: Callable[[int, int], torch.Tensor]) -> TokenSample:
    return sample_tokens([images(6, 1)], [0, 1] * 3, 100_000, 0)


@pytest.fixture
def prototypes(sample: TokenSample, params: Params) -> Prototypes:
    """Fitted banks; the transform is the identity on one level of 8 channels."""
    transform = TokenTransform(
        {
            "shapes": [[DIMENSIONS, GRID, GRID]], "grid": GRID, "neighbourhood": 1,
            "dimensions": DIMENSIONS, "whitening": 0.0, "explained": 1.0, "level_sizes": [3, 5],
        }
    )  # fmt: skip
    transform.get_buffer("projection_0").copy_(torch.eye(DIMENSIONS))
    tokens = [sample.of_category(0).float(), sample.of_category(1).float()]
    spaces = CategorySpaces.fit(tokens, 0.5)
    local = LocalBank.fit(
        [spaces.enter(points, category) for category, points in enumerate(tokens)],
        per_category=16, iterations=8, neighbours=4, temperature=0.1, seed=0,
    )  # fmt: skip
    globally, _ = GlobalBank.fit(
        [sample.embeddings_of_category(0), sample.embeddings_of_category(1)],
        per_category=2, steps=2, neighbours=2, regularisation=0.05, marginal=1.0, seed=0,
    )  # fmt: skip
    head = CategoryHead.fit(sample.embedding, sample.category, ["bolt", "nut"])
    return Prototypes(
        transform, spaces, local.prototypes, local.sizes, globally.prototypes, head,
        ("bolt", "nut"), {"images": 24},
    )  # fmt: skip


@pytest.fixture
def detector(prototypes: Prototypes, params: Params) -> Detector:
    return build(params, prototypes)
