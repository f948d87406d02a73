"""The training loop: joint, seeded step by step, stopped early, resumed after an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from normscape.detectors.base import Objective
from normscape.detectors.batches import BatchSource
from normscape.detectors.checkpoint import Checkpoints, optimiser_tensors, restore_optimiser
from normscape.errors import NormscapeError
from normscape.prototypes.sample import TokenSample

_WARM_UP = 20
_CLIP = 1.0
_EVALUATE_EVERY = 25
_HELD_OUT_BATCHES = 4
_START_BATCHES = 8

Report = Callable[[int, float], None]
"""Called after every step with the number of steps done and the loss."""

Evaluated = Callable[[dict[str, float]], None]
"""Called with the curve's entry of every evaluation; a resumed training begins with the earlier."""


@dataclass
class Progress:
    """How far a training is; JSON values.

    Attributes:
        step: Steps done.
        best_step: Steps after which the held-out loss was lowest.
        best_loss: That loss; None before the first evaluation or without held-out images.
        stale: Evaluations since then.
        stopped_early: Whether there were too many of them.
        curve: One entry per evaluation: step, train losses (means since the last), learning rate
            of that step, held-out loss.
        sums: Of the train losses since the last evaluation.
    """

    step: int = 0
    best_step: int = 0
    best_loss: float | None = None
    stale: int = 0
    stopped_early: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)


class Trainer:
    """Trains any detector.

    Args:
        objective: What it is trained for; the detector is trained in place, on its device.
        train: What to learn from.
        held_out: Normal images for early stopping; None trains all steps.
        checkpoints: Where to keep the state.
    """

    def __init__(
        self,
        objective: Objective,
        train: TokenSample,
        held_out: TokenSample | None,
        checkpoints: Checkpoints,
    ) -> None:
        self._objective = objective
        self._detector = objective.detector
        self._training = objective.training
        self._checkpoints = checkpoints
        self._groups = objective.groups()
        self._device = next(self._detector.parameters()).device
        self._source = self._batches(train, self._training.seed)
        self._held_out = []
        if held_out is not None:
            source = self._batches(held_out, self._training.seed + 1)
            self._held_out = [source.draw(number) for number in range(_HELD_OUT_BATCHES)]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": group.parameters, "weight_decay": group.weight_decay}
                for group in self._groups
            ]
        )
        self._best: dict[str, Tensor] = {}
        self._progress = Progress(sums=[0.0] * len(objective.names))

    def run(self, report: Report, evaluated: Evaluated) -> Progress:
        """Train to the end, from the last checkpoint if there is one.

        Returns:
            The progress; the detector holds the best tensors. The checkpoint stays until the
            caller removes it.

        Raises:
            NormscapeError: The loss is no finite number any more.
        """
        if not self._resume():
            self._objective.start(self._source.draw(step) for step in range(_START_BATCHES))
        settings, progress = self._training, self._progress
        for entry in progress.curve:
            evaluated(entry)
        saved = time.monotonic()
        while progress.step < settings.steps and progress.stale < settings.patience:
            loss = self._step(progress.step)
            progress.step += 1
            if progress.step % _EVALUATE_EVERY == 0 or progress.step == settings.steps:
                self._evaluate()
                evaluated(progress.curve[-1])
            report(progress.step, loss)
            if time.monotonic() - saved >= settings.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
        progress.stopped_early = progress.step < settings.steps
        if self._best:
            self._detector.load_state_dict(self._best)
        return progress

    def _batches(self, sample: TokenSample, seed: int) -> BatchSource:
        settings = self._training
        return BatchSource(
            sample, images=settings.images, tokens=settings.tokens, seed=seed, device=self._device
        )

    def _step(self, step: int) -> float:
        rate = self._rate(step)
        for optimised, group in zip(self._optimiser.param_groups, self._groups, strict=True):
            optimised["lr"] = rate * group.rate
        losses = self._objective.losses(self._source.draw(step))
        self._check("training", losses[0].item(), step)
        self._optimiser.zero_grad(set_to_none=True)
        losses[0].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._detector.parameters(), _CLIP)
        self._optimiser.step()
        for position, value in enumerate(losses):
            self._progress.sums[position] += value.item()
        return losses[0].item()

    def _check(self, what: str, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise NormscapeError(
                f"the training diverged: the {what} loss is {loss} at step {step} of "
                f"{self._training.steps}; lower 'detector.learning_rate', which is "
                f"{self._training.learning_rate:g}"
            )

    def _rate(self, step: int) -> float:
        warm = min(1.0, (step + 1) / _WARM_UP)
        decay = 0.5 * (1.0 + math.cos(math.pi * step / self._training.steps))
        return self._training.learning_rate * warm * decay

    def _evaluate(self) -> None:
        progress = self._progress
        steps = progress.step - (progress.curve[-1]["step"] if progress.curve else 0)
        names = self._objective.names
        entry: dict[str, float] = {"step": progress.step}
        entry |= {n: total / steps for n, total in zip(names, progress.sums, strict=True)}
        entry["learning_rate"] = self._rate(progress.step - 1)
        progress.sums = [0.0] * len(names)
        if self._held_out:
            loss = entry["held_out"] = self._held_out_loss()
            self._check("held-out", loss, progress.step)
            if progress.best_loss is None or loss < progress.best_loss:
                progress.best_loss, progress.best_step, progress.stale = loss, progress.step, 0
                self._best = {
                    name: value.clone() for name, value in self._detector.state_dict().items()
                }
            else:
                progress.stale += 1
        else:
            progress.best_step = progress.step
        progress.curve.append(entry)

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        losses = [self._objective.held_out(batch).item() for batch in self._held_out]
        return sum(losses) / len(losses)

    def _save(self) -> None:
        tensors = {f"objective.{n}": v for n, v in self._objective.state().items()}
        tensors |= {f"model.{n}": v for n, v in self._detector.state_dict().items()}
        tensors |= {f"best.{n}": v for n, v in self._best.items()}
        tensors |= {f"optimiser.{n}": v for n, v in optimiser_tensors(self._optimiser).items()}
        self._checkpoints.save(tensors, vars(self._progress))

    def _resume(self) -> bool:
        found = self._checkpoints.load()
        if found is None:
            return False
        tensors, progress = found

        def part(prefix: str) -> dict[str, Any]:
            size = len(prefix)
            return {name[size:]: v for name, v in tensors.items() if name.startswith(prefix)}

        self._detector.load_state_dict(part("model."))
        self._best = {name: v.to(self._device) for name, v in part("best.").items()}
        restore_optimiser(self._optimiser, part("optimiser."))
        self._objective.load_state(part("objective."))
        self._progress = Progress(**progress)
        return True
