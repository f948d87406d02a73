"""What detectors share that keep prototypes of each category and train a network with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import nn

from normscape.detectors.base import Detector, Training
from normscape.detectors.config import BankedConfig
from normscape.errors import UsageError
from normscape.prototypes.artifact import Prototypes
from normscape.prototypes.local import LocalBank
from normscape.prototypes.spaces import CategorySpaces
from normscape.sections.model import DetectorParams
from normscape.training.loop import Group

_IMAGES = 16
_BANK_RATE = 0.1
_WEIGHT_DECAY = 1e-4


class BankedDetector(Detector):
    """Categories' spaces and their prototypes; a subclass adds what scores with them.

    Args:
        config: The shape; the tensors are empty until trained or loaded.
        sizes: Prototypes of each category.
        neighbours: That are looked up for a token.
        frozen: Whether the prototypes will be loaded as `freeze` left them.
    """

    def __init__(
        self,
        config: BankedConfig,
        sizes: Sequence[int],
        neighbours: int,
        *,
        frozen: bool,
    ) -> None:
        super().__init__()
        self.config = config
        self.spaces = CategorySpaces(
            torch.zeros(len(sizes), config.dimensions), torch.ones(len(sizes)), config.norm_power
        )
        dtype = torch.bfloat16 if frozen else torch.float32
        prototypes = torch.zeros(sum(sizes), config.dimensions, dtype=dtype)
        self.local_bank = LocalBank(prototypes, sizes, neighbours, config.temperature)

    def freeze(self) -> None:
        """End the training: what is scored with is what is stored."""
        self.local_bank.freeze()


B = TypeVar("B", bound=BankedDetector)


def build_seeded(make: Callable[[], B], settings: DetectorParams, prototypes: Prototypes) -> B:
    """An untrained, seeded detector with the fitted prototypes.

    Args:
        make: Gives it with empty prototypes; all that it draws is seeded.
        settings: Section `detector`.
        prototypes: To fill in.

    Raises:
        UsageError: The heads do not divide the width.
    """
    if settings.width % settings.heads:
        raise UsageError(
            f"detector.width is {settings.width}, detector.heads is {settings.heads}; expected a "
            "width that the heads divide"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        detector = make()
    detector.spaces.load_state_dict(prototypes.spaces.state_dict())
    with torch.no_grad():
        detector.local_bank.prototypes.copy_(prototypes.local)
    return detector


def training_of(settings: DetectorParams) -> Training:
    """How the section `detector` wants a detector trained."""
    return Training(
        seed=settings.seed,
        steps=settings.steps,
        images=_IMAGES,
        tokens=max(1, settings.batch_tokens // _IMAGES),
        learning_rate=settings.learning_rate,
        patience=settings.patience,
        checkpoint_seconds=settings.checkpoint_seconds,
    )


def network_and_banks(
    network: Iterable[nn.Parameter], banks: Sequence[nn.Parameter]
) -> tuple[Group, Group]:
    """Parameter groups: banks learn slowly and undecayed, as they start where k-means left them."""
    return Group([*network], 1.0, _WEIGHT_DECAY), Group(banks, _BANK_RATE, 0.0)
