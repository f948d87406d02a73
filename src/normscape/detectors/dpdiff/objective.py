"""What DPDiff is trained for: `L = L_diff + λ_l L_local + λ_g L_OT`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from normscape.detectors.banked import network_and_banks, training_of
from normscape.detectors.batches import Batch
from normscape.detectors.dpdiff.detector import DPDiff
from normscape.params import Params
from normscape.prototypes.global_bank import transport_loss
from normscape.prototypes.local import LocalBank, LocalMatch, local_loss
from normscape.prototypes.sample import pool_regions
from normscape.training.loop import Group

_COSINE_WEIGHT = 1.0
_SQUARED_WEIGHT = 0.5
_QUEUE = 256


@dataclass(frozen=True)
class Losses:
    """Scalars of one batch, and the embeddings `(E, D)` that went into the transport."""

    total: Tensor
    diffusion: Tensor
    local: Tensor
    transport: Tensor
    embeddings: Tensor


def look_up(bank: LocalBank, tokens: Tensor, category: Tensor) -> LocalMatch:
    """The match of all `B * T` tokens, each image among its own category's prototypes.

    Args:
        bank: Where to look.
        tokens: `(B, T, D)`, each image in the space of its category.
        category: `(B,)`.
    """
    matches = [bank(image, index) for image, index in zip(tokens, category.tolist(), strict=True)]
    return LocalMatch(
        torch.cat([match.index for match in matches]),
        torch.cat([match.aggregate for match in matches]),
        torch.cat([match.distance for match in matches]),
    )


def diffusion_loss(
    detector: DPDiff, batch: Batch, time: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of reconstructing a batch, the loss of the local bank, and the reconstruction.

    `L_diff = mean (1 - cos(x̂, x)) + w mean |û - u|² / D`, with `u = (x - y) / s`.

    Args:
        detector: The detector.
        batch: What to rebuild.
        time: The diffusion step of all images; None draws one for each.

    Returns:
        Two scalars and `x̂ (B, T, D)`, in the space of the category.
    """
    tokens = detector.spaces.enter(batch.tokens, batch.category)
    match = look_up(detector.local_bank, tokens, batch.category)
    aggregate = match.aggregate.view_as(tokens)
    index = match.index.view(*tokens.shape[:2], -1)
    condition = detector.condition(index, aggregate, batch.embedding)
    # The target does not move the banks; the reconstruction and the condition do.
    residual = ((tokens - aggregate) / detector.residual_scale).detach()
    generator = batch.generator()
    first, last = (1, detector.config.timesteps) if time is None else (time, time)
    times = torch.randint(first, last + 1, (len(tokens),), generator=generator).to(tokens.device)
    noise = torch.randn(tokens.shape, generator=generator).to(tokens.device)
    noisy = detector.schedule.diffuse(residual, noise, times)
    estimate = detector.denoise(noisy, times, condition)
    rebuilt = aggregate + estimate * detector.residual_scale
    cosine = 1.0 - functional.cosine_similarity(rebuilt, tokens, dim=-1).mean()
    squared = (estimate - residual).square().mean()
    return _COSINE_WEIGHT * cosine + _SQUARED_WEIGHT * squared, local_loss(match), rebuilt


def losses(detector: DPDiff, batch: Batch, queue: Tensor, params: Params) -> Losses:
    """All losses of a batch.

    The transport is between the global prototypes and the embeddings of the reconstructed images
    and regions, together with those of earlier batches: it moves the prototypes to where images
    are, and the reconstructions to where prototypes are.

    Args:
        detector: The detector.
        batch: What to learn from.
        queue: `(Q, D)` embeddings of earlier batches, without gradients.
        params: Sections `prototypes` and `detector`.
    """
    diffusion, local, rebuilt = diffusion_loss(detector, batch)
    outside = detector.spaces.leave(rebuilt, batch.category)
    regions = pool_regions(outside, batch.region).flatten(0, 1)
    embeddings = torch.cat([outside.mean(dim=1), regions])
    transport = transport_loss(
        torch.cat([embeddings, queue]),
        detector.global_bank.prototypes,
        params.prototypes.ot_regularisation,
        params.prototypes.ot_marginal,
    )
    weights = params.detector
    total = diffusion + weights.local_weight * local + weights.global_weight * transport
    return Losses(total, diffusion, local, transport, embeddings)


class DPDiffObjective:
    """The objective of a detector whose banks are initialised.

    Args:
        detector: Trained in place, on its device.
        params: Sections `prototypes` and `detector`.
    """

    names: tuple[str, ...] = ("loss", "diffusion", "local", "transport")

    def __init__(self, detector: DPDiff, params: Params) -> None:
        self.detector = detector
        self._params = params
        self.training = training_of(params.detector)
        device = detector.residual_scale.device
        self._queue = torch.zeros(0, detector.config.dimensions, device=device)

    def groups(self) -> Sequence[Group]:
        """The denoiser, and the banks."""
        detector = self.detector
        denoiser = [] if detector.denoiser is None else [*detector.denoiser.parameters()]
        banks = [detector.local_bank.prototypes, detector.global_bank.prototypes]
        return network_and_banks(denoiser, banks)

    @torch.no_grad()
    def start(self, batches: Iterable[Batch]) -> None:
        """Set the scale at which residuals have unit variance, as the schedule assumes."""
        squares = []
        for batch in batches:
            tokens = self.detector.spaces.enter(batch.tokens, batch.category)
            aggregate = look_up(self.detector.local_bank, tokens, batch.category).aggregate
            squares.append((tokens.flatten(0, 1) - aggregate).square().mean())
        self.detector.residual_scale.copy_(torch.stack(squares).mean().sqrt().clamp_min(1e-6))

    def losses(self, batch: Batch) -> Sequence[Tensor]:
        """The sum and its parts; the embeddings of the batch join the queue."""
        result = losses(self.detector, batch, self._queue, self._params)
        self._queue = torch.cat([result.embeddings.detach(), self._queue])[:_QUEUE]
        return result.total, result.diffusion, result.local, result.transport

    def held_out(self, batch: Batch) -> Tensor:
        """The loss of the diffusion, from where a reconstruction starts."""
        return diffusion_loss(self.detector, batch, self.detector.config.noise_step)[0]

    def state(self) -> dict[str, Tensor]:
        """The queue."""
        return {"queue": self._queue}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Put the queue back."""
        self._queue = tensors["queue"].to(self._queue.device)
