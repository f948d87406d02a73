"""Training DLSR on the pooled features of all known products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from normscape.novelty.dlsr import DLSR, DLSRConfig
from normscape.novelty.model import LevelHeads, Novelty
from normscape.novelty.pooling import RegionPooling, mean_of, median_of
from normscape.prototypes.categories import CategoryHead
from normscape.sections.model import NoveltyParams
from normscape.training.loop import Group, Loop, Progress, Report, Schedule

_EVALUATE_EVERY = 50
_WARM_UP = 50
_WEIGHT_DECAY = 0.01
_SMALLEST_SCALE = 1e-6
_MIN_HELD_OUT = 10


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


def fit_novelty(
    learn: Sample,
    held_out: Sample,
    names: Sequence[str],
    pooling: RegionPooling,
    params: NoveltyParams,
    *,
    report: Report = lambda step, loss: None,
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
        report: Told of every step.

    Returns:
        The novelty model and what the training did.

    Raises:
        DataError: A category has fewer than two images.
        NormscapeError: The loss is no finite number any more.
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
    report: Report = lambda step, loss: None,
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
        report: Told of every step.

    Raises:
        NormscapeError: The loss is no finite number any more.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        model = DLSR(_config(channels, params))
    spread, mean = torch.std_mean(learn.double(), dim=0, correction=0)
    model.mean.copy_(mean)
    model.scale.copy_(spread.clamp_min(_SMALLEST_SCALE))
    model.noise.copy_(torch.randn(len(mean), generator=torch.Generator().manual_seed(0)))
    schedule = Schedule(
        steps=params.steps,
        learning_rate=params.learning_rate,
        parameter="novelty.learning_rate",
        warm_up=_WARM_UP,
        evaluate_every=_EVALUATE_EVERY,
        patience=params.patience,
        average=params.ema,
    )
    progress = Loop(_Task(model, learn, held_out, labels, params), schedule, None).run(report)
    return model.eval().requires_grad_(False), progress


class _Task:
    """Draws from one generator, step after step: it keeps no checkpoints to go on from."""

    names: tuple[str, ...] = ("loss",)

    def __init__(
        self, model: DLSR, learn: Tensor, held_out: Tensor, labels: Tensor, params: NoveltyParams
    ) -> None:
        self._model = model
        self._params = params
        self._generator = torch.Generator().manual_seed(params.seed)
        self._clean = model.standardise(learn)
        self._weights = 1.0 / torch.bincount(labels)[labels].double()
        self._held_out = self._trial(model.standardise(held_out))

    @property
    def module(self) -> nn.Module:
        return self._model.denoiser

    def groups(self) -> Sequence[Group]:
        return [Group(list(self.module.parameters()), rate=1.0, weight_decay=_WEIGHT_DECAY)]

    def start(self) -> None:
        pass

    def losses(self, step: int) -> Sequence[Tensor]:
        count = self._params.batch_size
        rows = torch.multinomial(self._weights, count, True, generator=self._generator)
        return [self._trial(self._clean[rows]).loss(self._model)]

    def held_out(self) -> float | None:
        if len(self._held_out.clean) < _MIN_HELD_OUT:
            return None
        return self._held_out.loss(self._model).item()

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        pass

    def _trial(self, clean: Tensor) -> _Trial:
        return _Trial.of(clean, self._generator, self._params.timesteps)


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
