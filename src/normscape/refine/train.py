"""Training the inpainting model: seeded step by step, stopped early, resumed after a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from normscape.detectors.checkpoint import Checkpoints, optimiser_tensors, restore_optimiser
from normscape.errors import NormscapeError
from normscape.refine.inpainting import Inpainting
from normscape.refine.pictures import Pictures, Trial, draw
from normscape.sections.model import RefineParams

_WARM_UP = 50
_EVALUATE_EVERY = 50
_HELD_OUT_TRIALS = 4
_EMA = 0.995
_CLIP = 1.0
_WEIGHT_DECAY = 1e-4
_SMOOTH = 1e-4  # below it the loss is quadratic
_CONFIDENCE_WEIGHT = 0.05
_APART = 1_000_003

Report = Callable[[int, float], None]
"""Called after every step with the number of steps done and the loss."""


@dataclass
class Progress:
    """How far a training is; JSON values.

    Attributes:
        step: Steps done.
        best_step: Steps after which the held-out loss was lowest.
        best_loss: That loss; None before the first evaluation or without held-out images.
        stale: Evaluations since then.
        curve: One entry per evaluation: step, loss (mean since the last), held-out loss.
        total: Of the losses since the last evaluation.
    """

    step: int = 0
    best_step: int = 0
    best_loss: float | None = None
    stale: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    total: float = 0.0


class Trainer:
    """Trains the inpainting model of a refiner; the detectors' trainer learns from their tokens.

    Args:
        model: Trained in place, on its device; its weights are averaged over the steps.
        learn: Normal pictures.
        held_out: Others of the same categories, for early stopping; may be empty.
        params: Section `refine`.
        checkpoints: Where to keep the state.
    """

    def __init__(
        self,
        model: Inpainting,
        learn: Pictures,
        held_out: Pictures,
        params: RefineParams,
        checkpoints: Checkpoints,
    ) -> None:
        self._model = model
        self._learn = learn
        self._params = params
        self._checkpoints = checkpoints
        self._device = model.noise.device
        self._held_out = [
            self._trial(held_out, params.seed - 1 - number)
            for number in range(_HELD_OUT_TRIALS if len(held_out) else 0)
        ]
        self._optimiser = torch.optim.AdamW(model.net.parameters(), weight_decay=_WEIGHT_DECAY)
        self._average = _copy(model)
        self._best: dict[str, Tensor] = {}
        self._progress = Progress()

    def run(self, report: Report) -> Progress:
        """Train to the end, from the last checkpoint if there is one.

        Returns:
            The progress; the model holds the best average. The checkpoint stays until the caller
            removes it.

        Raises:
            NormscapeError: The loss is no finite number any more.
        """
        self._resume()
        settings, progress = self._params, self._progress
        saved = time.monotonic()
        while progress.step < settings.steps and progress.stale < settings.patience:
            loss = self._step(progress.step)
            progress.step += 1
            progress.total += loss
            if progress.step % _EVALUATE_EVERY == 0 or progress.step == settings.steps:
                self._evaluate()
            report(progress.step, loss)
            if time.monotonic() - saved >= settings.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
        self._model.net.load_state_dict(self._best or self._average)
        return progress

    def _trial(self, pictures: Pictures, number: int) -> Trial:
        settings = self._params
        seed = (settings.seed * _APART + number) % (1 << 62)
        return draw(pictures, settings.cells, settings.times, settings.batch_size, seed).to(
            self._device
        )

    def _step(self, step: int) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate(step)
        loss = inpainting_loss(self._model, self._trial(self._learn, step))
        if not math.isfinite(loss.item()):
            raise NormscapeError(
                f"the training diverged: the loss is {loss.item()} at step {step} of "
                f"{self._params.steps}; lower 'refine.learning_rate', which is "
                f"{self._params.learning_rate:g}"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.net.parameters(), _CLIP)
        self._optimiser.step()
        kept = min(_EMA, step / (step + 9))
        for name, value in self._model.net.state_dict().items():
            self._average[name].lerp_(value, 1.0 - kept)
        return loss.item()

    def _rate(self, step: int) -> float:
        settings = self._params
        warm = min(1.0, (step + 1) / _WARM_UP)
        return (
            settings.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))
        )

    @torch.no_grad()
    def _evaluate(self) -> None:
        progress = self._progress
        steps = progress.step - (progress.curve[-1]["step"] if progress.curve else 0)
        entry = {"step": float(progress.step), "loss": progress.total / steps}
        progress.total = 0.0
        if self._held_out:
            own = _copy(self._model)
            self._model.net.load_state_dict(self._average)
            losses = [inpainting_loss(self._model, trial).item() for trial in self._held_out]
            self._model.net.load_state_dict(own)
            judged = entry["held_out"] = sum(losses) / len(losses)
            if progress.best_loss is None or judged < progress.best_loss:
                progress.best_loss, progress.best_step, progress.stale = judged, progress.step, 0
                self._best = {name: value.clone() for name, value in self._average.items()}
            else:
                progress.stale += 1
        else:
            progress.best_step = progress.step
        progress.curve.append(entry)

    def _save(self) -> None:
        parts = {"model": self._model.net.state_dict(), "average": self._average}
        parts |= {"best": self._best, "optimiser": optimiser_tensors(self._optimiser)}
        tensors = {f"{part}.{n}": v for part, named in parts.items() for n, v in named.items()}
        self._checkpoints.save(tensors, vars(self._progress))

    def _resume(self) -> None:
        found = self._checkpoints.load()
        if found is None:
            return
        tensors, progress = found

        def part(prefix: str) -> dict[str, Any]:
            size = len(prefix)
            return {
                name[size:]: v.to(self._device)
                for name, v in tensors.items()
                if name.startswith(prefix)
            }

        self._model.net.load_state_dict(part("model."))
        self._average, self._best = part("average."), part("best.")
        restore_optimiser(self._optimiser, part("optimiser."))
        self._progress = Progress(**progress)


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


def _copy(model: Inpainting) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.net.state_dict().items()}
