"""DPDiff-AD after its published abstract: dual prototypes, and diffusion conditioned on both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from normscape.detectors.banked import BankedDetector
from normscape.detectors.dpdiff.config import DPDiffConfig
from normscape.detectors.settle import settle
from normscape.diffusion.denoiser import Condition, Denoiser
from normscape.diffusion.sampler import reconstruct
from normscape.diffusion.schedule import Schedule
from normscape.prototypes.global_bank import GlobalBank
from normscape.prototypes.sample import image_embedding

_NOISE_SEED = 20_240_131


class DPDiff(BankedDetector):
    """The detector; see docs/methods.md.

    Args:
        config: The shape; the tensors are empty until trained or loaded.
        frozen: Whether its local prototypes will be loaded as `freeze` left them.
    """

    name = "dpdiff"
    config: DPDiffConfig
    residual_scale: Tensor
    noise: Tensor
    spread: Tensor

    def __init__(self, config: DPDiffConfig, *, frozen: bool = False) -> None:
        super().__init__(config, config.local_prototypes, config.local_neighbours, frozen=frozen)
        self.global_bank = GlobalBank(
            torch.zeros(config.global_prototypes, config.dimensions), config.global_neighbours
        )
        self.schedule = Schedule(config.timesteps)
        self.denoiser: Denoiser | None = None
        self.register_buffer("residual_scale", torch.ones(()))
        if not config.diffuses:
            return
        self.denoiser = Denoiser(
            config.dimensions, config.width, config.blocks, config.heads, config.timesteps
        )
        # Stored with the weights: the same scores with any version of the random generator.
        noise = torch.randn(
            (config.noise_draws, config.tokens, config.dimensions),
            generator=torch.Generator().manual_seed(_NOISE_SEED),
        )
        self.register_buffer("noise", noise)
        self.register_buffer("spread", torch.ones(3))

    def token_scores(self, tokens: Tensor, categories: Tensor) -> Tensor:
        """Scores `(B, N, 2)` of tokens `(B, N, D)`: distances to the prototypes, or `fuse`.

        Args:
            tokens: Of the images.
            categories: `(B, m)` the categories that each image is compared with.
        """
        if self.config.diffuses:
            return self.fuse(self.components(tokens, categories))
        # One image at a time, for the same bits whatever the batch.
        scores = []
        for image, routes in zip(tokens, categories.tolist(), strict=True):
            inside, category, ranks = settle(self.spaces, self.local_bank, image, routes)
            nearest = self.local_bank.nearest(inside, category, ranks)
            scores.append(self.spaces.differences(inside, nearest))
        return torch.stack(scores)

    def components(self, tokens: Tensor, categories: Tensor) -> Tensor:
        """The two `differences` from the prototypes and the reconstruction error: `(B, N, 3)`.

        The differences see how unusual a token is, the error `1 - cos(x̂, x)` in which direction.

        Images are handled one at a time: matrix products of one shape give the same bits, and a
        similarity matrix of one image stays in the cache.
        """
        return torch.stack(
            [
                self._components(image, routes)
                for image, routes in zip(tokens, categories.tolist(), strict=True)
            ]
        )

    def _components(self, outside: Tensor, categories: Sequence[int]) -> Tensor:
        inside, category, ranks = settle(self.spaces, self.local_bank, outside, categories)
        match = self.local_bank(inside, category, ranks)
        tokens = inside.unsqueeze(0)
        aggregate = match.aggregate.unsqueeze(0)
        embedding = image_embedding(outside.unsqueeze(0))
        condition = self.condition(match.index.unsqueeze(0), aggregate, embedding)
        residual = (tokens - aggregate) / self.residual_scale
        error = torch.zeros_like(match.distance)
        for noise in self.noise:
            rebuilt = reconstruct(
                self.denoise,
                self.schedule,
                residual,
                condition,
                noise.unsqueeze(0),
                start=self.config.noise_step,
                steps=self.config.sampler_steps,
            )
            estimate = aggregate + rebuilt * self.residual_scale
            error = error + 1.0 - functional.cosine_similarity(estimate, tokens, dim=-1)[0]
        error = error / len(self.noise)
        nearest = self.local_bank.prototypes[match.index[:, 0]].float()
        return torch.cat([self.spaces.differences(inside, nearest), error.unsqueeze(1)], dim=1)

    def denoise(self, noisy: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """What `Denoiser.forward` returns.

        Raises:
            ValueError: The detector was built without diffusion.
        """
        if self.denoiser is None:
            raise ValueError("prototype_share is 1: this detector has no denoiser")
        estimate: Tensor = self.denoiser(noisy, time, condition)
        return estimate

    def condition(self, index: Tensor, aggregate: Tensor, embeddings: Tensor) -> Condition:
        """What the denoiser may draw on.

        Args:
            index: `(B, N, k)` local prototypes of every token.
            aggregate: `(B, N, D)` their aggregate.
            embeddings: `(B, D)` of the images.
        """
        nearest = self.global_bank.prototypes[self.global_bank(embeddings)]
        return Condition(self.local_bank.prototypes, index, nearest, aggregate)

    def fuse(self, components: Tensor) -> Tensor:
        """Each distance with the error: `(..., 2)` of `(..., 3)`, in units of their spread."""
        share = self.config.prototype_share
        standard = components / self.spread
        return share * standard[..., :2] + (1.0 - share) * standard[..., 2:]

    @torch.no_grad()
    def fit_scales(self, images: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Take the spread of the components of normal tokens; there is none without diffusion."""
        if not self.config.diffuses:
            return
        parts = [self.components(tokens, categories) for tokens, categories in images]
        self.spread.copy_(torch.cat(parts).flatten(0, -2).std(dim=0).clamp_min(1e-6))
