"""What a detector is, what it is trained for, and what makes it one that can be chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from torch import Tensor, nn

from normscape.detectors.batches import Batch
from normscape.detectors.config import DetectorConfig
from normscape.params import Params
from normscape.prototypes.artifact import Prototypes
from normscape.training.loop import Group


class Detector(nn.Module, ABC):
    """Scores tokens; the same image gets the same scores whatever it is batched with.

    Attributes:
        name: Under which it is chosen and stored.
        config: Its shape.
    """

    name: ClassVar[str]
    config: DetectorConfig

    @abstractmethod
    def token_scores(self, tokens: Tensor, categories: Tensor) -> Tensor:
        """Scores `(B, N, 2)`, positive and higher = more anomalous, of tokens `(B, N, D)`.

        The first says how unusual a token is: an image's score is made of it. The second says by
        how much it differs from what is normal: it gives the anomaly map its shape.

        `categories` `(B, m)` are those that the images look most like, nearest first, as the
        category head sees them; never the category that somebody declared.
        """

    @abstractmethod
    def freeze(self) -> None:
        """End the training: what is scored with is what is stored."""

    @abstractmethod
    def fit_scales(self, images: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take the scales that only scoring needs from normal images, after the training.

        Args:
            images: Tokens `(1, N, D)` and categories `(1, m)` of each.
        """


D = TypeVar("D", bound=Detector)


@dataclass(frozen=True)
class Training:
    """How a detector is trained.

    Attributes:
        seed: Of batches and of what is drawn for them.
        steps: At most.
        images: Per batch.
        tokens: Of each image.
        learning_rate: The highest.
        patience: Evaluations without improvement.
        checkpoint_seconds: Between two checkpoints.
    """

    seed: int
    steps: int
    images: int
    tokens: int
    learning_rate: float
    patience: int
    checkpoint_seconds: float


class Objective(Protocol):
    """What a detector is trained for; `train_detector` does the rest.

    Attributes:
        training: How.
        names: Of the losses, as the curves call them; the first is minimised.
    """

    training: Training
    names: tuple[str, ...]

    @property
    def detector(self) -> Detector:
        """It is trained in place."""

    def groups(self) -> Sequence[Group]:
        """The parameters that are trained."""

    def start(self, batches: Iterable[Batch]) -> None:
        """Fit to the first batches what no gradient trains; not called when a training resumes."""

    def losses(self, batch: Batch) -> Sequence[Tensor]:
        """Scalars in the order of `names`; called once a step."""

    def held_out(self, batch: Batch) -> Tensor:
        """The loss that stops the training, on normals that are not learned from."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside the detector."""

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` returned."""


@dataclass(frozen=True)
class Kind(Generic[D]):
    """A detector that can be chosen, from its parameters to its export.

    Attributes:
        empty: A detector to load stored tensors into.
        build: One with the fitted banks, untrained and seeded; a `UsageError` where parameters
            contradict each other.
        trains: Whether these parameters leave anything to train.
        objective: What it is trained for.
        graph: A frozen detector as operations on batches that `torch.export` can follow; a
            `NormscapeError` where there is none. Called with tokens `(B, N, D)`, categories
            `(B, m)` and whether each of them is asked `(B, m)`, it gives the token scores.
        prototypes: How many local prototypes a category has, at most.
        by_level: Whether it needs tokens whose numbers are each of one feature level.
        sections: Of the parameters that shape it beside the prototypes.
        scoring: Fields of its configuration that can change when it is trained, as
            `section.name`, and the values with which it is trained.
    """

    empty: Callable[[DetectorConfig], D]
    build: Callable[[Params, Prototypes], D]
    trains: Callable[[Params], bool]
    objective: Callable[[D, Params], Objective]
    graph: Callable[[D], nn.Module]
    prototypes: Callable[[Params], int]
    by_level: bool
    sections: tuple[str, ...]
    scoring: Callable[[Params], Mapping[str, Any]]
