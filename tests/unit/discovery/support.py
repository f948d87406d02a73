"""Drawn flagged images with their maps, and a backbone that a test can afford."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from normscape.backbones import BackboneIdentity
from normscape.discovery.catalogue import Catalogue, DefectType
from normscape.discovery.describe import Flagged
from normscape.discovery.eyes import Eyes
from normscape.discovery.outcome import Discovery
from normscape.discovery.regions import SIDE, square
from normscape.sections.production import DiscoveryParams

SIZE = 64
KINDS = ("spot", "line", "patch")


class SmallBackbone:
    """Colours and edges on three grids: enough to tell the drawn kinds apart."""

    shapes = ((6, 16, 16), (6, 8, 8), (6, 4, 4))

    def __init__(self, weights: str = "0") -> None:
        self.identity = BackboneIdentity(
            name="small", weights="none", weights_sha256=weights * 64, input_size=SIZE,
            levels=(0, 1, 2), mean=(0.0,), std=(1.0,), runtime="torch", precision="fp32",
        )  # fmt: skip

    def __call__(self, batch: Tensor) -> list[Tensor]:
        grey = batch.mean(1, keepdim=True)
        across = (grey - grey.roll(1, 3)).abs()
        down = (grey - grey.roll(1, 2)).abs()
        stack = torch.cat([batch, across, down, (grey - functional.avg_pool2d(
            grey, 5, stride=1, padding=2)).abs()], dim=1)  # fmt: skip
        return [functional.adaptive_avg_pool2d(stack, shape[1:]) for shape in self.shapes]


def flagged_image(kind: str, number: int, *, category: str = "plate", day: str = "2026-03-01",
                  label: str | None = None) -> Flagged:  # fmt: skip
    """One drawn image with one defect, and the map of a detector that sees it."""
    image, mask = draw(kind, number)
    noise = np.random.default_rng(number + 7).normal(0, 0.02, mask.shape)
    values = np.asarray(
        Image.fromarray((mask * 255).astype(np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BILINEAR
        )
    )
    soft = torch.from_numpy(values / 255.0).float()[None, None]
    blurred = functional.avg_pool2d(soft, 9, stride=1, padding=4)[0, 0].numpy()
    sha256 = hashlib.sha256(f"{kind}-{number}".encode()).hexdigest()
    grid = np.asarray(Image.fromarray(noise.astype(np.float32)).resize((SIDE, SIDE)))
    return Flagged(
        sha256, category, day, f"{kind}/{number}.png", square(1.0 + blurred + grid),
        lambda: image, label,
    )  # fmt: skip


def draw(kind: str, number: int) -> tuple[Image.Image, np.ndarray]:
    """A grey plate with a defect somewhere, and its mask."""
    generator = np.random.default_rng([number, KINDS.index(kind) if kind in KINDS else 9])
    base = generator.normal(128, 4, (SIZE * 2, SIZE * 2, 1)).repeat(3, axis=2)
    image = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))
    mask = Image.new("L", image.size)
    x, y = generator.integers(30, 98, 2).tolist()
    shapes = {
        "spot": ("ellipse", (x - 7, y - 7, x + 7, y + 7), (250, 30, 30)),
        "line": ("rectangle", (x - 26, y - 1, x + 26, y + 2), (20, 20, 20)),
        "patch": ("rectangle", (x - 16, y - 16, x + 16, y + 16), (30, 60, 250)),
        "flake": ("rectangle", (x - 9, y - 12, x + 9, y + 12), (30, 250, 40)),
    }
    form, box, colour = shapes[kind]
    getattr(ImageDraw.Draw(image), form)(box, fill=colour)
    getattr(ImageDraw.Draw(mask), form)(box, fill=255)
    return image, np.asarray(mask) > 0


def many(kinds: Sequence[str], each: int, *, start: int = 0, **options: str) -> list[Flagged]:
    """So many images of each kind."""
    return [
        flagged_image(kind, start + number, **options) for kind in kinds for number in range(each)
    ]


def kinds_of(flagged: Sequence[Flagged]) -> list[str]:
    """What was drawn."""
    return [each.source.split("/")[0] for each in flagged]


def types_of(catalogue: Catalogue, flagged: Sequence[Flagged]) -> list[str | None]:
    """The types of images, in their order."""
    return [catalogue.members[each.sha256].type for each in flagged]


def kind_of_types(
    learned: tuple[Sequence[Flagged], Discovery],
) -> dict[str, DefectType]:
    """The type that each drawn kind was sorted into."""
    flagged, found = learned
    types = dict(zip(types_of(found.catalogue, flagged), kinds_of(flagged), strict=True))
    return {kind: found.catalogue.find(name) for name, kind in types.items()}


PARAMS = DiscoveryParams(views=6, dimensions=12, max_types=4)
EYES = Eyes(SmallBackbone())
NOTHING = Catalogue("plate", {})
