"""Lloyd's k-means on one machine: seeded, with empty clusters restarted."""

from __future__ import annotations

import torch
from torch import Tensor

from normscape.prototypes.geometry import rank_distances

_CHUNK = 8192


def kmeans(points: Tensor, clusters: int, iterations: int, generator: torch.Generator) -> Tensor:
    """Cluster `points (M, D)`; returns the centres `(min(clusters, M), D)`.

    A cluster that lost all its points restarts at one of the points that are farthest from their
    centre, so that every centre of the budget ends up describing something.

    Args:
        points: On any device, float32.
        clusters: How many centres are wanted.
        iterations: Lloyd iterations; 0 returns a random choice of the points.
        generator: A CPU generator; the result depends on it and on the points alone.
    """
    clusters = min(clusters, len(points))
    order = torch.randperm(len(points), generator=generator)[:clusters]
    centres = points[order.to(points.device)].clone()
    for _ in range(iterations):
        distance, nearest = assign(points, centres)
        counts = torch.bincount(nearest, minlength=clusters)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        empty = torch.nonzero(counts == 0).flatten()
        centres = sums / counts.clamp(min=1).unsqueeze(1)
        if len(empty):
            centres[empty] = points[distance.topk(len(empty)).indices]
    return centres


def assign(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The squared distance `(M,)` to the nearest centre, and its index `(M,)`."""
    distances, indices = [], []
    for chunk in torch.split(points, _CHUNK):
        distance, index = rank_distances(chunk, centres).min(dim=1)
        distances.append(distance + chunk.square().sum(1))
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)
