"""Training the inpainting model on normal pixels, step by step from the step's number alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normscape.refine.inpainting import Inpainting
from normscape.refine.pictures import Pictures, Trial, draw
from normscape.sections.model import RefineParams
from normscape.training.checkpoint import Checkpoints
from normscape.training.loop import Group, Loop, Progress, Report, Schedule

_WARM_UP = 50
_EVALUATE_EVERY = 50
_HELD_OUT_TRIALS = 4
_EMA = 0.995
_CLIP = 1.0
_WEIGHT_DECAY = 1e-4
_SMOOTH = 1e-4  # below it the loss is quadratic
_CONFIDENCE_WEIGHT = 0.05
_APART = 1_000_003


def train_inpainting(
    model: Inpainting,
    learn: Pictures,
    held_out: Pictures,
    params: RefineParams,
    checkpoints: Checkpoints,
    *,
    report: Report,
) -> Progress:
    """Train a refiner's inpainting model, from the last checkpoint if there is one.

    Args:
        model: Trained in place, on its device; its weights are averaged over the steps.
        learn: Normal pictures.
        held_out: Others of the same categories, for early stopping; may be empty.
        params: Section `refine`.
        checkpoints: Where to keep the state; the last one stays until the caller removes it.
        report: Told of every step.

    Raises:
        NormscapeError: The loss is no finite number any more.
    """
    schedule = Schedule(
        steps=params.steps,
        learning_rate=params.learning_rate,
        parameter="refine.learning_rate",
        warm_up=_WARM_UP,
        evaluate_every=_EVALUATE_EVERY,
        patience=params.patience,
        clip=_CLIP,
        average=_EMA,
        checkpoint_seconds=params.checkpoint_seconds,
    )
    return Loop(_Task(model, learn, held_out, params), schedule, checkpoints).run(report)


class _Task:
    names: tuple[str, ...] = ("loss",)

    def __init__(
        self, model: Inpainting, learn: Pictures, held_out: Pictures, params: RefineParams
    ) -> None:
        self._model = model
        self._learn = learn
        self._params = params
        self._held_out = [
            self._trial(held_out, params.seed - 1 - number)
            for number in range(_HELD_OUT_TRIALS if len(held_out) else 0)
        ]

    @property
    def module(self) -> nn.Module:
        return self._model.net

    def groups(self) -> Sequence[Group]:
        return [Group(list(self.module.parameters()), rate=1.0, weight_decay=_WEIGHT_DECAY)]

    def start(self) -> None:
        pass

    def losses(self, step: int) -> Sequence[Tensor]:
        return [inpainting_loss(self._model, self._trial(self._learn, step))]

    def held_out(self) -> float | None:
        losses = [inpainting_loss(self._model, trial).item() for trial in self._held_out]
        return sum(losses) / len(losses) if losses else None

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        pass

    def _trial(self, pictures: Pictures, number: int) -> Trial:
        settings = self._params
        seed = (settings.seed * _APART + number) % (1 << 62)
        trial = draw(pictures, settings.cells, settings.times, settings.batch_size, seed)
        return trial.to(self._model.noise.device)


def inpainting_loss(model: Inpainting, trial: Trial) -> Tensor:
    """The mean error over the hidden pixels, plus a little of how wrong the expected error is.

    The error is absolute, but for the smallest; the expected squared error is judged by the
    Gaussian log likelihood, and does not move the estimate.
    """
    estimate, expected = model.net(trial.noised, trial.mask, trial.time, trial.category)
    squares = (trial.image - estimate).square()
    weights = trial.mask / trial.mask.sum().clamp_min(1.0)
    error = ((squares + _SMOOTH).sqrt().mean(dim=1, keepdim=True) * weights).sum()
    mean = squares.detach().mean(dim=1, keepdim=True)
    confidence = ((mean * torch.exp(-expected) + expected) * weights).sum()
    loss: Tensor = error + _CONFIDENCE_WEIGHT * confidence
    return loss
