"""From flagged images and their maps to numbers: regions, views, features of the backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from normscape.backbones import Backbone
from normscape.discovery.attention import pool
from normscape.discovery.eyes import Eyes, foreground
from normscape.discovery.foreground import ObjectPrior
from normscape.discovery.regions import SIDE, Level, Map, Region, find_regions
from normscape.discovery.views import View, plan_views
from normscape.features.preprocess import to_batch
from normscape.sections.production import DiscoveryParams

_MAP_SIDE = 64
_BATCH = 16
_PRIOR_IMAGES = 32


@dataclass(frozen=True)
class Flagged:
    """An image that a detector flagged.

    Attributes:
        sha256: Of the image file.
        category: Its product.
        day: YYYY-MM-DD.
        source: Where it came from, for people.
        map: `(SIDE, SIDE)` anomaly map.
        read: Decodes it; images are not kept in memory.
        label: Name of its type where a person has said it, else None.
    """

    sha256: str
    category: str
    day: str
    source: str
    map: Map
    read: Callable[[], Image.Image]
    label: str | None = None


@dataclass(frozen=True)
class Described:
    """The regions of an image in numbers.

    Attributes:
        sha256: Of the image file.
        areas: `(R,)`, shares of the image; R = 0 where the map shows nothing.
        peaks: `(R, 2)`: row and column of the highest pixel, as shares of height and width.
        features: `(R, V, C)` float16 of V views: the levels of the backbone side by side.
        surroundings: `(R, V, C)` float16, of the normal surroundings.
        parted: Whether an object was told from its background in it.
    """

    sha256: str
    areas: NDArray[np.float32]
    peaks: NDArray[np.float32]
    features: NDArray[np.float16]
    surroundings: NDArray[np.float16]
    parted: bool = True


def fit_prior(
    eyes: Eyes, flagged: Sequence[Flagged], params: DiscoveryParams
) -> ObjectPrior | None:
    """Where the object of a category is, from at most 32 of its images; None: no foreground.

    A segmenter needs none: it looks at each image by itself.
    """
    if params.object_prior != "pca" or not flagged:
        return None
    backbone = eyes.backbone
    step = max(1, len(flagged) // _PRIOR_IMAGES)
    images = [each.read() for each in flagged[::step][:_PRIOR_IMAGES]]
    size = backbone.identity.input_size
    tokens = [
        backbone(to_batch(images[start : start + _BATCH], size))[_prior_level(backbone)].cpu()
        for start in range(0, len(images), _BATCH)
    ]
    return ObjectPrior.fit(torch.cat(tokens))


def describe(
    eyes: Eyes,
    flagged: Iterable[Flagged],
    level: Level,
    prior: ObjectPrior | None,
    params: DiscoveryParams,
    *,
    views: int,
) -> Iterator[Described]:
    """Describe images of one category, in their order; a few at a time are in memory.

    Args:
        eyes: The frozen networks.
        flagged: The images.
        level: What their maps are measured by.
        prior: Where the object is; None: everywhere, or where the segmenter sees it.
        params: `regions` and `guidance` are used.
        views: Of each region.

    Raises:
        DataError: An image cannot be read.
    """
    waiting = iter(flagged)
    while chunk := list(islice(waiting, _BATCH)):
        yield from _describe(eyes, chunk, level, prior, params, views=views)


@dataclass(frozen=True)
class _Look:
    image: Image.Image
    mask: NDArray[np.float32] | None
    region: Region
    view: View


def _describe(
    eyes: Eyes,
    chunk: Sequence[Flagged],
    level: Level,
    prior: ObjectPrior | None,
    params: DiscoveryParams,
    *,
    views: int,
) -> list[Described]:
    found = [find_regions(each.map, level, params.regions) for each in chunk]
    looks = []
    for each, regions in zip(chunk, found, strict=True):
        image = each.read() if regions else None
        mask = None if image is None else eyes.mask_of(image)
        looks += [
            _Look(image, mask, region, view)
            for region in regions
            for view in plan_views(region, each.sha256, views)
            if image is not None
        ]
    width = sum(shape[0] for shape in eyes.backbone.shapes)
    own, around = np.zeros((2, len(looks), width), dtype=np.float16)
    for start in range(0, len(looks), _BATCH):
        batch = looks[start : start + _BATCH]
        own[start : start + len(batch)], around[start : start + len(batch)] = _pooled(
            eyes.backbone, batch, prior, params.guidance
        )
    described, start = [], 0
    for each, regions in zip(chunk, found, strict=True):
        end = start + len(regions) * views
        shape = (len(regions), views, width)
        peaks = np.array([region.peak for region in regions], dtype=np.float32).reshape(-1, 2)
        described.append(
            Described(
                each.sha256,
                np.array([region.area for region in regions], dtype=np.float32),
                peaks / np.float32(SIDE),
                own[start:end].reshape(shape),
                around[start:end].reshape(shape),
                prior is not None or any(look.mask is not None for look in looks[start:end]),
            )
        )
        start = end
    return described


@torch.inference_mode()
def _pooled(
    backbone: Backbone, looks: Sequence[_Look], prior: ObjectPrior | None, guidance: float
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    size = backbone.identity.input_size
    levels = backbone(to_batch([look.view.of_image(look.image, size) for look in looks], size))
    maps = np.stack([look.view.of_map(look.region.weight, _MAP_SIDE) for look in looks])
    weight = torch.from_numpy(maps)[:, None]
    tokens, views = levels[_prior_level(backbone)].cpu(), [look.view for look in looks]
    shown = foreground(tokens, prior, [look.mask for look in looks], views, _MAP_SIDE)
    own, around = zip(
        *(pool(level.cpu().float(), weight, shown, guidance) for level in levels), strict=True
    )
    return tuple(torch.cat(each, dim=1).half().numpy() for each in (own, around))  # type: ignore[return-value]


def _prior_level(backbone: Backbone) -> int:
    """The level in the middle: fine enough for an outline, deep enough to know an object."""
    return len(backbone.shapes) // 2


def outline(flagged: Flagged, level: Level, params: DiscoveryParams) -> NDArray[np.bool_]:
    """`(SIDE, SIDE)`: the regions of an image, to be drawn."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for region in find_regions(flagged.map, level, params.regions):
        mask |= region.mask
    return mask
