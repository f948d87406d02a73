"""Training any detector: joint, on batches that depend on the step's number alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from normscape.detectors.base import Detector, Objective
from normscape.detectors.batches import BatchSource
from normscape.prototypes.sample import TokenSample
from normscape.training.checkpoint import Checkpoints
from normscape.training.loop import Evaluated, Group, Loop, Progress, Report, Schedule

_WARM_UP = 20
_CLIP = 1.0
_EVALUATE_EVERY = 25
_HELD_OUT_BATCHES = 4
_START_BATCHES = 8


def train_detector(
    objective: Objective,
    train: TokenSample,
    held_out: TokenSample | None,
    checkpoints: Checkpoints,
    *,
    report: Report,
    evaluated: Evaluated,
) -> Progress:
    """Train a detector in place, on its device, from the last checkpoint if there is one.

    Args:
        objective: What it is trained for.
        train: What to learn from.
        held_out: Normal images for early stopping; None trains all steps.
        checkpoints: Where to keep the state; the last one stays until the caller removes it.
        report: Told of every step.
        evaluated: Told of every evaluation.

    Raises:
        NormscapeError: The loss is no finite number any more.
    """
    training = objective.training
    schedule = Schedule(
        steps=training.steps,
        learning_rate=training.learning_rate,
        parameter="detector.learning_rate",
        warm_up=_WARM_UP,
        evaluate_every=_EVALUATE_EVERY,
        patience=training.patience,
        clip=_CLIP,
        checkpoint_seconds=training.checkpoint_seconds,
    )
    return Loop(_Task(objective, train, held_out), schedule, checkpoints).run(report, evaluated)


class _Task:
    def __init__(
        self, objective: Objective, train: TokenSample, held_out: TokenSample | None
    ) -> None:
        self._objective = objective
        self.names = objective.names
        self._source = self._batches(train, objective.training.seed)
        self._held_out = []
        if held_out is not None:
            source = self._batches(held_out, objective.training.seed + 1)
            self._held_out = [source.draw(number) for number in range(_HELD_OUT_BATCHES)]

    @property
    def module(self) -> Detector:
        return self._objective.detector

    def groups(self) -> Sequence[Group]:
        return self._objective.groups()

    def start(self) -> None:
        self._objective.start(self._source.draw(step) for step in range(_START_BATCHES))

    def losses(self, step: int) -> Sequence[Tensor]:
        return self._objective.losses(self._source.draw(step))

    def held_out(self) -> float | None:
        losses = [self._objective.held_out(batch).item() for batch in self._held_out]
        return sum(losses) / len(losses) if losses else None

    def state(self) -> dict[str, Tensor]:
        return self._objective.state()

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        self._objective.load_state(tensors)

    def _batches(self, sample: TokenSample, seed: int) -> BatchSource:
        training = self._objective.training
        device: torch.device = next(self.module.parameters()).device
        return BatchSource(
            sample, images=training.images, tokens=training.tokens, seed=seed, device=device
        )
