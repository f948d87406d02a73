"""Lloyd's k-means on one machine: seeded, spread out, with empty clusters restarted."""

from __future__ import annotations

import torch
from torch import Tensor

from normscape.prototypes.geometry import rank_distances

_CHUNK = 8192
_SKETCH = 64
"""Dimensions of the random projection in which centres are spread out."""


def kmeans(
    points: Tensor,
    clusters: int,
    iterations: int,
    generator: torch.Generator,
    *,
    spread: bool = False,
) -> Tensor:
    """Cluster `points (M, D)`; returns the centres `(min(clusters, M), D)`.

    A cluster that lost all its points restarts at one of the points that are farthest from their
    centre, so that every centre of the budget ends up describing something.

    Args:
        points: On any device, float32.
        clusters: How many centres are wanted.
        iterations: Lloyd iterations; 0 returns the points that it would start from.
        generator: A CPU generator; the result depends on it and on the points alone.
        spread: Start from points far from each other (`spread_out`) instead of random ones: with
            many clusters the rare points get centres too.
    """
    clusters = min(clusters, len(points))
    if spread:
        order = spread_out(points, clusters, generator)
    else:
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


def spread_out(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices `(count,)` of points, each the farthest from those before (Gonzalez 1985).

    Distances are taken in a random projection to few dimensions (Johnson and Lindenstrauss 1984).

    Args:
        points: `(M, D)`.
        count: At most M.
        generator: A CPU generator for the projection and the first point.
    """
    dimensions = points.shape[1]
    sketch = points
    if dimensions > _SKETCH:
        projection = torch.randn(dimensions, _SKETCH, generator=generator) / _SKETCH**0.5
        sketch = points @ projection.to(points.device)
    squared = sketch.square().sum(1)
    chosen = torch.empty(count, dtype=torch.long, device=points.device)
    chosen[0] = torch.randint(len(points), (1,), generator=generator).item()
    nearest = torch.full_like(squared, float("inf"))
    for position in range(count - 1):
        centre = sketch[chosen[position]]
        distance = torch.addmv(squared, sketch, centre, alpha=-2.0) + centre.square().sum()
        nearest = torch.minimum(nearest, distance)
        chosen[position + 1] = nearest.argmax()
    return chosen


def assign(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The squared distance `(M,)` to the nearest centre, and its index `(M,)`."""
    distances, indices = [], []
    for chunk in torch.split(points, _CHUNK):
        distance, index = rank_distances(chunk, centres).min(dim=1)
        distances.append(distance + chunk.square().sum(1))
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)
