"""Training DLSR on the pooled features of all known products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from normscape.novelty.dlsr import DLSR, DLSRConfig
from normscape.novelty.model import LevelHeads, Novelty
from normscape.novelty.pooling import RegionPooling, mean_of, median_of
from normscape.prototypes.categories import CategoryHead
from normscape.sections.model import NoveltyParams

_EVALUATE_EVERY = 50
_WARM_UP = 50
_SMALLEST_SCALE = 1e-6
_MIN_HELD_OUT = 10

Report = Callable[[int, str], None]


@dataclass(frozen=True)
class Sample:
    """Pooled training images.

    Attributes:
        regions: `(n, R, D)`, see `RegionPooling`.
        labels: `(n,)` category indices.
    """

    regions: Tensor
    labels: Tensor

    def with_(self, other: Sample) -> Sample:
        """Both together."""
        return Sample(
            torch.cat([self.regions, other.regions]), torch.cat([self.labels, other.labels])
        )


@dataclass
class Progress:
    """What a training did.

    Attributes:
        step: Steps taken.
        best_step: Whose weights were kept.
        best_loss: On the held-out images; None where none are held out.
        curve: One entry an evaluation.
    """

    step: int = 0
    best_step: int = 0
    best_loss: float | None = None
    curve: list[dict[str, float]] = field(default_factory=list)


def fit_novelty(
    learn: Sample,
    held_out: Sample,
    names: Sequence[str],
    pooling: RegionPooling,
    params: NoveltyParams,
    *,
    report: Report = lambda step, words: None,
) -> tuple[Novelty, Progress]:
    """Train DLSR, fit the levels' heads, and put both on one scale.

    The scale of every measure comes from images that did not shape it: the held-out ones. Where
    too few are held out, the images it learned from must do. The heads are then fitted anew on all
    images, as their distances have a scale of their own.

    Args:
        learn: To learn from; at least two images of each category.
        held_out: Other images of the same categories; may be empty.
        names: Of the categories, for messages.
        pooling: Of the backbone's levels.
        params: Section `novelty`.
        report: Told the step and a word on the loss.

    Returns:
        The novelty model and what the training did.

    Raises:
        DataError: A category has fewer than two images.
    """
    dlsr, progress = fit_dlsr(
        mean_of(learn.regions),
        mean_of(held_out.regions),
        learn.labels,
        pooling.channels,
        params,
        report=report,
    )
    normal = held_out if len(held_out.labels) >= _MIN_HELD_OUT else learn
    novelty = Novelty(pooling, dlsr, _fit_levels(learn, names, pooling))
    novelty.fit_spread(normal.regions)
    novelty.levels = _fit_levels(learn.with_(held_out), names, pooling)
    return novelty.eval().requires_grad_(False), progress


def _fit_levels(sample: Sample, names: Sequence[str], pooling: RegionPooling) -> LevelHeads:
    features = median_of(sample.regions)
    spread, mean = torch.std_mean(features.double(), dim=0, correction=0)
    scale = spread.clamp_min(_SMALLEST_SCALE)
    parts = torch.split((features - mean) / scale, list(pooling.channels), dim=1)
    heads = [CategoryHead.fit(part, sample.labels, names) for part in parts]
    return LevelHeads(mean, scale, heads)


def fit_dlsr(
    learn: Tensor,
    held_out: Tensor,
    labels: Tensor,
    channels: tuple[int, ...],
    params: NoveltyParams,
    *,
    report: Report = lambda step, words: None,
) -> tuple[DLSR, Progress]:
    """Train on pooled features; the same input gives the same network on one machine.

    Categories are drawn equally often. The weights are averaged over the steps (EMA); those of the
    evaluation with the smallest loss on the held-out images are kept.

    Args:
        learn: `(n, D)` pooled features to learn from.
        held_out: `(m, D)` of other images of the same categories; may be empty.
        labels: `(n,)` category indices of `learn`.
        channels: Of each level; their sum is D.
        params: Section `novelty`.
        report: Told the step and a word on the loss.
    """
    generator = torch.Generator().manual_seed(params.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        model = DLSR(_config(channels, params))
        average = DLSR(_config(channels, params))
    spread, mean = torch.std_mean(learn.double(), dim=0, correction=0)
    for each in (model, average):
        each.mean.copy_(mean)
        each.scale.copy_(spread.clamp_min(_SMALLEST_SCALE))
        each.noise.copy_(torch.randn(len(mean), generator=torch.Generator().manual_seed(0)))
    average.load_state_dict(model.state_dict())
    clean, apart = model.standardise(learn), model.standardise(held_out)
    weights = 1.0 / torch.bincount(labels)[labels].double()
    trial = _Trial.of(apart, generator, params.timesteps)
    optimiser = torch.optim.AdamW(model.denoiser.parameters(), lr=params.learning_rate)
    progress, best = Progress(), _state(average)
    for step in range(1, params.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = params.learning_rate * _rate(step, params.steps)
        rows = torch.multinomial(weights, params.batch_size, True, generator=generator)
        batch = _Trial.of(clean[rows], generator, params.timesteps)
        loss = batch.loss(model)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        _follow(average, model, min(params.ema, step / (step + 9)))
        progress.step = step
        if step % _EVALUATE_EVERY == 0 or step == params.steps:
            entry = {"step": float(step), "loss": loss.item()}
            if len(held_out) >= _MIN_HELD_OUT:
                with torch.no_grad():
                    entry["held_out"] = trial.loss(average).item()
            progress.curve.append(entry)
            report(step, f"loss {entry.get('held_out', entry['loss']):.4f}")
            judged = entry.get("held_out")
            if judged is None or progress.best_loss is None or judged < progress.best_loss:
                progress.best_loss, progress.best_step = judged, step
                best = _state(average)
            elif step - progress.best_step >= params.patience * _EVALUATE_EVERY:
                break
    average.load_state_dict(best)
    return average.eval().requires_grad_(False), progress


@dataclass(frozen=True)
class _Trial:
    """Clean features `(B, D)` with the noise and the steps `(B,)` that they are to be freed of."""

    clean: Tensor
    noise: Tensor
    time: Tensor

    @classmethod
    def of(cls, clean: Tensor, generator: torch.Generator, steps: int) -> _Trial:
        noise = torch.randn(clean.shape, generator=generator)
        time = torch.randint(1, steps + 1, (len(clean),), generator=generator)
        return cls(clean, noise, time)

    def loss(self, model: DLSR) -> Tensor:
        noisy = model.diffuse(self.clean, self.noise, self.time)
        return functional.mse_loss(model.denoiser(noisy, self.time), self.clean)


def _config(channels: tuple[int, ...], params: NoveltyParams) -> DLSRConfig:
    return DLSRConfig(
        channels=channels,
        width=params.width,
        blocks=params.blocks,
        timesteps=params.timesteps,
        noise_step=params.noise_step,
        sampler_steps=params.sampler_steps,
    )


def _rate(step: int, steps: int) -> float:
    return min(1.0, step / _WARM_UP) * 0.5 * (1.0 + math.cos(math.pi * (step - 1) / steps))


def _follow(average: DLSR, model: DLSR, decay: float) -> None:
    with torch.no_grad():
        pairs = zip(average.denoiser.parameters(), model.denoiser.parameters(), strict=True)
        for mine, theirs in pairs:
            mine.lerp_(theirs, 1.0 - decay)


def _state(model: DLSR) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
