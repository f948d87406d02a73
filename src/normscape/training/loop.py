"""The training loop: seeded step by step, stopped early, resumed after an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from normscape.errors import NormscapeError
from normscape.training.average import Average, copied
from normscape.training.checkpoint import Checkpoints, optimiser_tensors, restore_optimiser

Report = Callable[[int, float], None]
"""Called after every step with the number of steps done and the loss."""

Evaluated = Callable[[dict[str, float]], None]
"""Called with the curve's entry of every evaluation; a resumed training begins with the earlier."""


@dataclass(frozen=True)
class Group:
    """Parameters that are trained alike.

    Attributes:
        parameters: Of what is trained.
        rate: Their learning rate, relative to the training's.
        weight_decay: Of AdamW.
    """

    parameters: Sequence[nn.Parameter]
    rate: float
    weight_decay: float


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: At most.
        learning_rate: The highest; it rises over `warm_up` steps and falls along a cosine.
        parameter: Of `params.yaml` that sets it, for messages.
        warm_up: Steps.
        evaluate_every: Steps between two evaluations; the last step is one as well.
        patience: Evaluations without improvement after which the training stops.
        clip: Largest norm of the gradient; None: any.
        average: Decay of the average of the weights that is evaluated and kept; None: the weights
            themselves are.
        checkpoint_seconds: Between two checkpoints.
    """

    steps: int
    learning_rate: float
    parameter: str
    warm_up: int
    evaluate_every: int
    patience: int
    clip: float | None = None
    average: float | None = None
    checkpoint_seconds: float = math.inf

    def rate(self, step: int) -> float:
        """The learning rate of step `step`, from 0."""
        warm = min(1.0, (step + 1) / self.warm_up)
        decay = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * warm * decay


class Task(Protocol):
    """What is trained, and for what; `Loop` does the rest.

    Attributes:
        names: Of the losses, as the curves call them; the first is minimised.
    """

    names: tuple[str, ...]

    @property
    def module(self) -> nn.Module:
        """It is trained in place, on its device."""

    def groups(self) -> Sequence[Group]:
        """The parameters that are trained."""

    def start(self) -> None:
        """Fit what no gradient trains; not called when a training resumes."""

    def losses(self, step: int) -> Sequence[Tensor]:
        """Scalars in the order of `names`; called once a step.

        A training that keeps checkpoints resumes exactly where they depend on the step's number
        and on `state` alone.
        """

    def held_out(self) -> float | None:
        """The loss that stops the training, on what is not learned from; None: there is none."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside the module."""

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` returned."""


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

    def summary(self) -> dict[str, Any]:
        """What `training.json` says of a training that has ended."""
        return {
            "steps": self.step,
            "stopped_early": self.stopped_early,
            "best_step": self.best_step,
            "best_loss": self.best_loss,
            "curve": self.curve,
        }


class Loop:
    """Trains a task.

    Args:
        task: Its module is trained in place.
        schedule: How long and how fast.
        checkpoints: Where to keep the state; None: nowhere.
    """

    def __init__(self, task: Task, schedule: Schedule, checkpoints: Checkpoints | None) -> None:
        self._task = task
        self._module = task.module
        self._schedule = schedule
        self._checkpoints = checkpoints
        self._groups = task.groups()
        self._optimiser = torch.optim.AdamW(
            [
                {"params": group.parameters, "weight_decay": group.weight_decay}
                for group in self._groups
            ]
        )
        decay = schedule.average
        self._average = None if decay is None else Average(self._module, decay)
        self._best: dict[str, Tensor] = {}
        self._progress = Progress(sums=[0.0] * len(task.names))

    def run(
        self,
        report: Report = lambda step, loss: None,
        evaluated: Evaluated = lambda entry: None,
    ) -> Progress:
        """Train to the end, from the last checkpoint if there is one.

        Returns:
            The progress; the module holds the best tensors, or, where nothing is held out, the
            last. The checkpoint stays until the caller removes it.

        Raises:
            NormscapeError: The loss is no finite number any more.
        """
        if not self._resume():
            self._task.start()
        schedule, progress = self._schedule, self._progress
        for entry in progress.curve:
            evaluated(entry)
        saved = time.monotonic()
        while progress.step < schedule.steps and progress.stale < schedule.patience:
            loss = self._step(progress.step)
            progress.step += 1
            if progress.step % schedule.evaluate_every == 0 or progress.step == schedule.steps:
                self._evaluate()
                evaluated(progress.curve[-1])
            report(progress.step, loss)
            if time.monotonic() - saved >= schedule.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
        progress.stopped_early = progress.step < schedule.steps
        if kept := self._best or (self._average.tensors if self._average else {}):
            self._module.load_state_dict(kept)
        return progress

    def _step(self, step: int) -> float:
        rate = self._schedule.rate(step)
        for optimised, group in zip(self._optimiser.param_groups, self._groups, strict=True):
            optimised["lr"] = rate * group.rate
        losses = self._task.losses(step)
        self._check("training", losses[0].item(), step)
        self._optimiser.zero_grad(set_to_none=True)
        losses[0].backward()  # type: ignore[no-untyped-call]
        if self._schedule.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._module.parameters(), self._schedule.clip)
        self._optimiser.step()
        if self._average:
            self._average.follow(step)
        for position, value in enumerate(losses):
            self._progress.sums[position] += value.item()
        return losses[0].item()

    def _check(self, what: str, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise NormscapeError(
                f"the training diverged: the {what} loss is {loss} at step {step} of "
                f"{self._schedule.steps}; lower '{self._schedule.parameter}', which is "
                f"{self._schedule.learning_rate:g}"
            )

    def _evaluate(self) -> None:
        progress = self._progress
        steps = progress.step - (progress.curve[-1]["step"] if progress.curve else 0)
        names = self._task.names
        entry: dict[str, float] = {"step": progress.step}
        entry |= {n: total / steps for n, total in zip(names, progress.sums, strict=True)}
        entry["learning_rate"] = self._schedule.rate(progress.step - 1)
        progress.sums = [0.0] * len(names)
        loss = self._held_out()
        if loss is None:
            progress.best_step = progress.step
        else:
            entry["held_out"] = loss
            self._check("held-out", loss, progress.step)
            if progress.best_loss is None or loss < progress.best_loss:
                progress.best_loss, progress.best_step, progress.stale = loss, progress.step, 0
                self._best = self._kept()
            else:
                progress.stale += 1
        progress.curve.append(entry)

    @torch.no_grad()
    def _held_out(self) -> float | None:
        if self._average is None:
            return self._task.held_out()
        with self._average.in_place():
            return self._task.held_out()

    def _kept(self) -> dict[str, Tensor]:
        if self._average is None:
            return copied(self._module)
        return {name: value.clone() for name, value in self._average.tensors.items()}

    def _save(self) -> None:
        if self._checkpoints is None:
            return
        parts = {
            "task": self._task.state(),
            "model": self._module.state_dict(),
            "average": self._average.tensors if self._average else {},
            "best": self._best,
            "optimiser": optimiser_tensors(self._optimiser),
        }
        tensors = {f"{part}.{n}": v for part, named in parts.items() for n, v in named.items()}
        self._checkpoints.save(tensors, vars(self._progress))

    def _resume(self) -> bool:
        found = self._checkpoints.load() if self._checkpoints else None
        if found is None:
            return False
        tensors, progress = found
        device = next(self._module.parameters()).device

        def part(prefix: str, device: torch.device | None = None) -> dict[str, Tensor]:
            size = len(prefix)
            return {
                name[size:]: value.to(device)
                for name, value in tensors.items()
                if name.startswith(prefix)
            }

        self._module.load_state_dict(part("model."))
        self._best = part("best.", device)
        if self._average:
            self._average.tensors = part("average.", device)
        restore_optimiser(self._optimiser, part("optimiser."))
        self._task.load_state(part("task."))
        self._progress = Progress(**progress)
        return True
