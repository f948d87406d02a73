"""The category head: which known product an image shows, and how far it is from all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from normscape.errors import DataError
from normscape.prototypes.sample import image_embedding

_FOLDS = 5
_MIN_IMAGES = 2
_SCALE_IMAGES = 10.0
"""Images by which a category's typical distance is pulled towards that of all categories."""


class CategoryHead(nn.Module):
    """Nearest category mean of the image embedding, under one shared, shrunk covariance.

    The distance is the Mahalanobis distance divided by the category's typical one on images that
    did not shape the mean and the covariance, so that 1 means "as far as a normal image usually
    is" in every category. The embedding is a median over tokens: a defect that covers less than
    half of the image hardly moves it.

    Args:
        centres: `(C, D)` means of the categories, whitened.
        whitening: `(D, D)`, `W` with `W Wᵀ` the inverse covariance.
        scale: `(C,)` typical distances.
    """

    centres: Tensor
    whitening: Tensor
    scale: Tensor

    def __init__(self, centres: Tensor, whitening: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("centres", centres.float())
        self.register_buffer("whitening", whitening.float().contiguous())
        self.register_buffer("scale", scale.float())

    def forward(self, tokens: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
        """The nearest categories of images with tokens `(B, N, D)`; see `classify`."""
        return self.classify(image_embedding(tokens), count)

    def classify(self, embeddings: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
        """The nearest categories of image embeddings `(B, D)`, nearest first.

        Returns:
            Indices `(B, m)` and distances `(B, m)` with m = `count`, or all categories if fewer.
        """
        offsets = (embeddings @ self.whitening).unsqueeze(1) - self.centres
        distances = offsets.norm(dim=2) / self.scale
        nearest = distances.topk(min(count, len(self.centres)), dim=1, largest=False)
        return nearest.indices, nearest.values

    @classmethod
    def fit(cls, embeddings: Tensor, labels: Tensor, names: Sequence[str]) -> CategoryHead:
        """Fit on training images.

        Args:
            embeddings: `(n, D)`.
            labels: `(n,)` category indices.
            names: Of the categories, for messages.

        Raises:
            DataError: A category has fewer than two images.
        """
        counts = torch.bincount(labels, minlength=len(names))
        for name, count in zip(names, counts.tolist(), strict=True):
            if count < _MIN_IMAGES:
                raise DataError(
                    f"category '{name}' has {count} training image(s); expected at least "
                    f"{_MIN_IMAGES} to tell how its images vary, add normal images or remove it"
                )
        points = embeddings.double()
        means = _means(points, labels, len(names))
        whitening = _whitening(points - means[labels])
        distance = _held_out_distances(points, labels, len(names))
        pooled = distance.median()
        typical = torch.stack([distance[labels == c].median() for c in range(len(names))])
        scale = (counts * typical + _SCALE_IMAGES * pooled) / (counts + _SCALE_IMAGES)
        return cls(means @ whitening, whitening, scale.clamp_min(1e-6))


def _means(points: Tensor, labels: Tensor, categories: int) -> Tensor:
    sums = points.new_zeros(categories, points.shape[1]).index_add_(0, labels, points)
    return sums / torch.bincount(labels, minlength=categories).clamp_min(1).unsqueeze(1)


def _whitening(residuals: Tensor) -> Tensor:
    """A square root of the inverse of the Ledoit-Wolf covariance of `residuals (n, D)`."""
    from sklearn.covariance import ledoit_wolf

    if len(residuals) < _MIN_IMAGES:
        return torch.eye(residuals.shape[1], dtype=residuals.dtype, device=residuals.device)
    covariance, _ = ledoit_wolf(residuals.cpu().numpy(), assume_centered=True)
    values, vectors = torch.linalg.eigh(torch.from_numpy(covariance))
    floor = values[-1].clamp_min(1e-12) * 1e-6
    whitening: Tensor = vectors * values.clamp_min(floor).rsqrt()
    return whitening.to(residuals.device)


def _held_out_distances(points: Tensor, labels: Tensor, categories: int) -> Tensor:
    """Each image's distance to its category, from a fit on the other folds."""
    # Rank within the category, so that every fold leaves images of each category behind.
    rank = torch.zeros_like(labels)
    for category in range(categories):
        mine = labels == category
        rank[mine] = torch.arange(int(mine.sum()))
    distances = points.new_zeros(len(points))
    for fold in range(_FOLDS):
        out = rank % _FOLDS == fold
        if not out.any():
            continue
        means = _means(points[~out], labels[~out], categories)
        whitening = _whitening(points[~out] - means[labels[~out]])
        distances[out] = ((points[out] - means[labels[out]]) @ whitening).norm(dim=1)
    return distances
