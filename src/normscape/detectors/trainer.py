"""The training loop: joint, seeded step by step, stopped early, resumed after an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from normscape.detectors.batches import Batch, BatchSource
from normscape.detectors.checkpoint import Checkpoints, optimiser_tensors, restore_optimiser
from normscape.detectors.dpdiff import DPDiff
from normscape.detectors.objective import diffusion_loss, look_up, losses
from normscape.params import Params
from normscape.prototypes.sample import TokenSample

_IMAGES = 16
_QUEUE = 256
_WARM_UP = 20
_BANK_RATE = 0.1
"""Learning rate of the banks relative to the denoiser's: they start where k-means left them."""
_CLIP = 1.0
_WEIGHT_DECAY = 1e-4
_EVALUATE_EVERY = 25
_HELD_OUT_BATCHES = 4
_SCALE_STEPS = 8

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
        curve: One entry per evaluation: step, train losses (means since the last), learning rate
            of that step, held-out loss.
        sums: Of the train losses since the last evaluation.
    """

    step: int = 0
    best_step: int = 0
    best_loss: float | None = None
    stale: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])


class Trainer:
    """Trains a detector whose banks are initialised.

    Args:
        detector: Trained in place, on its device.
        train: What to learn from.
        held_out: Normal images for early stopping; None trains all steps.
        params: Sections `prototypes` and `detector`.
        checkpoints: Where to keep the state.
    """

    def __init__(
        self,
        detector: DPDiff,
        train: TokenSample,
        held_out: TokenSample | None,
        params: Params,
        checkpoints: Checkpoints,
    ) -> None:
        self._detector = detector
        self._params = params
        self._checkpoints = checkpoints
        self._device = detector.residual_scale.device
        self._source = self._batches(train, params.detector.seed)
        self._held_out = []
        if held_out is not None:
            source = self._batches(held_out, params.detector.seed + 1)
            self._held_out = [
                source.draw(number, time=params.detector.noise_step)
                for number in range(_HELD_OUT_BATCHES)
            ]
        denoiser = [] if detector.denoiser is None else [*detector.denoiser.parameters()]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": denoiser, "weight_decay": _WEIGHT_DECAY},
                {
                    "params": [detector.local_bank.prototypes, detector.global_bank.prototypes],
                    "weight_decay": 0.0,
                },
            ]
        )
        self._queue = torch.zeros(0, detector.config.dimensions, device=self._device)
        self._best: dict[str, Tensor] = {}
        self._progress = Progress()

    def run(self, report: Report, evaluated: Evaluated) -> Progress:
        """Train to the end, from the last checkpoint if there is one.

        Returns:
            The progress; the detector holds the best tensors. The checkpoint stays until the
            caller removes it.
        """
        if not self._resume():
            self._fit_scale()
        settings, progress = self._params.detector, self._progress
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
        if self._best:
            self._detector.load_state_dict(self._best)
        return progress

    def _batches(self, sample: TokenSample, seed: int) -> BatchSource:
        settings = self._params.detector
        tokens = max(1, settings.batch_tokens // _IMAGES)
        return BatchSource(
            sample,
            images=_IMAGES,
            tokens=tokens,
            timesteps=settings.timesteps,
            seed=seed,
            device=self._device,
        )

    @torch.no_grad()
    def _fit_scale(self) -> None:
        """Set the scale at which residuals have unit variance, as the schedule assumes."""
        squares = []
        for step in range(_SCALE_STEPS):
            batch = self._source.draw(step)
            tokens = self._detector.spaces.enter(batch.tokens, batch.category)
            aggregate = look_up(self._detector.local_bank, tokens, batch.category).aggregate
            squares.append((tokens.flatten(0, 1) - aggregate).square().mean())
        self._detector.residual_scale.copy_(torch.stack(squares).mean().sqrt().clamp_min(1e-6))

    def _step(self, step: int) -> float:
        rate = self._rate(step)
        for group, factor in zip(self._optimiser.param_groups, (1.0, _BANK_RATE), strict=True):
            group["lr"] = rate * factor
        result = losses(self._detector, self._source.draw(step), self._queue, self._params)
        self._optimiser.zero_grad(set_to_none=True)
        result.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._detector.parameters(), _CLIP)
        self._optimiser.step()
        self._queue = torch.cat([result.embeddings.detach(), self._queue])[:_QUEUE]
        values = [result.total, result.diffusion, result.local, result.transport]
        for position, value in enumerate(values):
            self._progress.sums[position] += value.item()
        return result.total.item()

    def _rate(self, step: int) -> float:
        settings = self._params.detector
        warm = min(1.0, (step + 1) / _WARM_UP)
        decay = 0.5 * (1.0 + math.cos(math.pi * step / settings.steps))
        return settings.learning_rate * warm * decay

    def _evaluate(self) -> None:
        progress = self._progress
        steps = progress.step - (progress.curve[-1]["step"] if progress.curve else 0)
        names = ("loss", "diffusion", "local", "transport")
        entry: dict[str, float] = {"step": progress.step}
        entry |= {n: total / steps for n, total in zip(names, progress.sums, strict=True)}
        entry["learning_rate"] = self._rate(progress.step - 1)
        progress.sums = [0.0] * len(names)
        if self._held_out:
            loss = entry["held_out"] = self._held_out_loss()
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
        def loss(batch: Batch) -> float:
            return diffusion_loss(self._detector, batch)[0].item()

        return sum(map(loss, self._held_out)) / len(self._held_out)

    def _save(self) -> None:
        tensors = {"queue": self._queue}
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
        self._queue = tensors["queue"].to(self._device)
        self._progress = Progress(**progress)
        return True
