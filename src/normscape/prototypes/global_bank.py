"""The global bank: the geometry of whole images, shaped by optimal transport."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from normscape.errors import NormscapeError
from normscape.prototypes.kmeans import kmeans

_OT_ITERATIONS = 100
_OT_STOP = 1e-3
_LEARNING_RATE = 0.05


class GlobalBank(nn.Module):
    """Prototypes `(K_g, D)` of image-level and pooled-token embeddings.

    Args:
        prototypes: `(K_g, D)` initial prototypes.
        neighbours: How many prototypes condition an image (at most `K_g` are used).
    """

    def __init__(self, prototypes: Tensor, neighbours: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(prototypes.clone())
        self.neighbours = min(neighbours, len(prototypes))

    def forward(self, embeddings: Tensor) -> Tensor:
        """The indices `(B, m)` of the prototypes nearest in cosine to image embeddings `(B, D)`."""
        with torch.no_grad():
            cosine = (
                functional.normalize(embeddings, dim=1)
                @ functional.normalize(self.prototypes, dim=1).T
            )
            return cosine.topk(self.neighbours, dim=1).indices

    @classmethod
    def fit(
        cls,
        embeddings: Sequence[Tensor],
        *,
        per_category: int,
        steps: int,
        neighbours: int,
        regularisation: float,
        marginal: float,
        seed: int,
        batch: int = 512,
    ) -> tuple[GlobalBank, list[float]]:
        """Start from k-means per category, then descend the transport cost.

        Args:
            embeddings: One `(E_c, D)` tensor per category.
            per_category: Prototypes per category, fewer where there are fewer embeddings.
            steps: Gradient steps.
            neighbours: See the class.
            regularisation: Entropic regularisation, relative to a cost of maximum 1.
            marginal: Weight of the marginal constraint.
            seed: Of clustering and sampling.
            batch: Embeddings per step, drawn from all categories.

        Returns:
            The bank and the transport cost after every step.
        """
        centres = [
            kmeans(points, per_category, 20, torch.Generator().manual_seed(seed + position))
            for position, points in enumerate(embeddings)
        ]
        bank = cls(torch.cat(centres), neighbours)
        everything = torch.cat(list(embeddings))
        optimiser = torch.optim.Adam(bank.parameters(), lr=_LEARNING_RATE)
        losses = []
        for step in range(steps):
            generator = torch.Generator().manual_seed(seed + 7919 * (step + 1))
            rows = torch.randint(len(everything), (batch,), generator=generator)
            loss = transport_loss(
                everything[rows.to(everything.device)], bank.prototypes, regularisation, marginal
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
        return bank, losses


def transport_loss(
    embeddings: Tensor, prototypes: Tensor, regularisation: float, marginal: float
) -> Tensor:
    """The cost `<P, M>` of moving embeddings `(E, D)` onto prototypes `(K_g, D)`.

    `M = (1 - cos) / max(1 - cos)` and `P` is the unbalanced entropic plan (Chizat et al. 2018,
    "Scaling algorithms for unbalanced optimal transport problems", KL marginals), because a
    uniform prototype marginal would force wrong matches when a batch holds few of many
    categories. The plan is computed in double precision by translation-invariant scaling
    (Séjourné et al. 2022), which POT has, needs few iterations and, unlike POT's stabilised
    variant, agrees with the converged plan at a regularisation of 0.01. It is held fixed:
    by the envelope theorem `P` is the gradient of the regularised problem with respect to `M`, so
    nothing is differentiated through the iterations, whose gradients are not finite for small
    regularisation.

    Raises:
        NormscapeError: The regularisation is too small for a plan with any mass, or the embeddings
            or prototypes are not finite.
    """
    cosine = functional.normalize(embeddings, dim=1) @ functional.normalize(prototypes, dim=1).T
    cost = 1.0 - cosine
    cost = cost / cost.detach().max().clamp_min(1e-6)
    plan = transport_plan(cost.detach(), regularisation, marginal)
    return (plan * cost).sum()


def transport_plan(cost: Tensor, regularisation: float, marginal: float) -> Tensor:
    """The unbalanced entropic plan between uniform measures for a cost `(E, K_g)` of maximum 1.

    Returns:
        `(E, K_g)` of the cost's dtype and device. Two threads are far slower than one on problems
        of this size, so the number of threads is lowered for the call.

    Raises:
        NormscapeError: No mass is moved, or costs or plan are not finite.
    """
    import ot  # 170 MiB that only fitting needs

    if not cost.isfinite().all():
        raise NormscapeError(
            "optimal transport got costs that are not finite; expected distances of prototypes. A "
            "training that diverged has such ones: lower 'detector.learning_rate'"
        )
    rows, columns = cost.shape
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            # A plan that is still moving after the last iteration is good enough for a gradient;
            # one that is not a plan is caught below.
            warnings.simplefilter("ignore", UserWarning)
            plan: Tensor = ot.unbalanced.sinkhorn_unbalanced(
                cost.new_full((rows,), 1.0 / rows, dtype=torch.float64),
                cost.new_full((columns,), 1.0 / columns, dtype=torch.float64),
                cost.double(),
                regularisation,
                marginal,
                method="sinkhorn_translation_invariant",
                numItermax=_OT_ITERATIONS,
                stopThr=_OT_STOP,
            )
    finally:
        torch.set_num_threads(threads)
    mass = plan.sum().item()
    if not 1e-6 < mass < float("inf"):
        raise NormscapeError(
            f"optimal transport moved a mass of {mass:g} with 'ot_regularisation' = "
            f"{regularisation:g}; expected about 1, raise 'prototypes.ot_regularisation'"
        )
    return plan.to(cost.dtype)
