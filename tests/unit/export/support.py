"""Small models and calibrations that were never trained: only their shapes and seeds matter."""

from types import SimpleNamespace

import numpy as np
import torch

from normscape.calibration.calibrator import Calibration, fit_calibration
from normscape.detectors.dpdiff.config import DPDiffConfig
from normscape.detectors.dpdiff.detector import DPDiff
from normscape.detectors.model import InspectionModel
from normscape.detectors.proad.config import ProADConfig
from normscape.detectors.proad.detector import ProAD
from normscape.features.transform import TokenTransform
from normscape.novelty.dlsr import DLSR, DLSRConfig
from normscape.novelty.inspector import Inspector
from normscape.novelty.model import LevelHeads, Novelty
from normscape.novelty.pooling import RegionPooling
from normscape.prototypes.categories import CategoryHead
from normscape.sections.model import CalibrateParams, MapParams

SHAPES = ((6, 16, 16), (10, 8, 12), (40, 4, 4))
FP32 = SimpleNamespace(runtime="torch", precision="fp32")


def transform(grid: int = 8, neighbourhood: int = 1, dimensions: int = 8) -> TokenTransform:
    built = TokenTransform(
        {
            "shapes": SHAPES, "grid": grid, "neighbourhood": neighbourhood,
            "dimensions": dimensions, "whitening": 0.1, "explained": 1.0,
        }
    )  # fmt: skip
    for buffer in built.buffers():
        buffer.copy_(torch.randn_like(buffer))
    return built


def model(
    sizes: tuple[int, ...] = (5, 9, 3),
    *,
    name: str = "dpdiff",
    neighbours: int = 4,
    share: float = 1.0,
    power: float = 0.5,
    novelty: bool = True,
) -> Inspector:
    """As many categories as `sizes`, with that many prototypes each."""
    torch.manual_seed(len(sizes))
    tokens = transform()
    detector = proad(sizes, power, neighbours) if name == "proad" else dpdiff(sizes, power, share)
    detector.local_bank.prototypes.data.normal_()
    detector.spaces.origin.normal_()
    detector.spaces.scale.uniform_(0.5, 2.0)
    count = len(sizes)
    head = CategoryHead(torch.randn(count, 8), torch.randn(8, 8), torch.rand(count) + 0.5)
    names = [f"part-{number}" for number in range(count)]
    maps = MapParams(size=32, smoothing=1.0)
    plain = InspectionModel(
        tokens, detector, head, categories=names, maps=maps, routed_categories=2,
        route_margin=100.0,
    )  # fmt: skip
    return Inspector(plain, stranger() if novelty else None)


def dpdiff(sizes: tuple[int, ...], power: float, share: float) -> DPDiff:
    config = DPDiffConfig(
        tokens=64, dimensions=8, local_prototypes=sizes, local_neighbours=2, global_prototypes=4,
        global_neighbours=2, temperature=0.1, norm_power=power, width=16, blocks=1, heads=2,
        timesteps=10, noise_step=3, sampler_steps=1, noise_draws=1, prototype_share=share,
    )  # fmt: skip
    return DPDiff(config)


def proad(sizes: tuple[int, ...], power: float, neighbours: int) -> ProAD:
    config = ProADConfig(
        tokens=64, dimensions=8, level_sizes=(2, 5, 1), prototypes=sizes, neighbours=neighbours,
        temperature=0.2, norm_power=power, width=16, layers=2, heads=2,
    )  # fmt: skip
    detector = ProAD(config)
    for parameter in detector.decoder.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return detector


def stranger() -> Novelty:
    """A novelty model of `SHAPES` whose answers are not what it was asked."""
    pooling = RegionPooling(SHAPES)
    channels = pooling.channels
    config = DLSRConfig(
        channels=channels, width=16, blocks=2, timesteps=10, noise_step=4, sampler_steps=2
    )
    dlsr = DLSR(config)
    for parameter in dlsr.parameters():
        parameter.data.normal_(std=0.3)
    dlsr.noise.normal_()
    dlsr.scale.uniform_(0.5, 2.0)
    size = sum(channels)
    heads = [CategoryHead(torch.randn(3, c), torch.randn(c, c), torch.rand(3)) for c in channels]
    novelty = Novelty(pooling, dlsr, LevelHeads(torch.randn(size), torch.rand(size) + 0.5, heads))
    novelty.location.normal_()
    novelty.spread.uniform_(0.5, 2.0)
    return novelty.eval()


def calibration(names: tuple[str, ...], images: int = 12) -> Calibration:
    draw = np.random.default_rng(0)
    every = np.repeat(names, images).tolist()
    return fit_calibration(
        draw.normal(2.0, 0.5, len(every)), every, draw.gamma(5.0, 0.2, len(every)),
        CalibrateParams(target_fpr=0.1), FP32,
    )  # fmt: skip


def level_maps(count: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, *shape, generator=draw) for shape in SHAPES)
