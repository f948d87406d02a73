"""One number that says how strange an image is to all known products."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from normscape.backbones import LevelShape
from normscape.errors import NormscapeError, UsageError
from normscape.files import atomic_path, read_json, write_json
from normscape.novelty.dlsr import DLSR, DLSRConfig
from normscape.novelty.pooling import RegionPooling, mean_of, median_of, rounded
from normscape.prototypes.categories import CategoryHead

TENSORS = "novelty.safetensors"
CONFIG = "novelty.json"
_FORMAT = 1
_LEAST = 1e-9


class LevelHeads(nn.Module):
    """Distance to the nearest category at each level of the backbone by itself.

    Together the levels are ruled by the one with most channels, the deepest, which sees a defect
    anywhere in the image. One by one, a new product is far at all of them, and a defect rarely is.

    Args:
        mean: `(D,)` of the features.
        scale: `(D,)` of the features.
        heads: One a level.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, heads: Sequence[CategoryHead]) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", scale.float())
        self.categories = len(heads[0].centres)
        self.channels = [len(head.whitening) for head in heads]
        self.heads = nn.ModuleList(_Nearest(head) for head in heads)

    def forward(self, features: Tensor) -> Tensor:
        """Distances `(B, L)` of median-pooled features `(B, D)`."""
        parts = torch.split((features - self.mean) / self.scale, self.channels, dim=1)
        return torch.cat([head(part) for head, part in zip(self.heads, parts, strict=True)], dim=1)


class _Nearest(nn.Module):
    """Distances `(B, 1)` of features `(B, C_l)` to the nearest category of a head."""

    def __init__(self, head: CategoryHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        return self.head.classify(features)[1]


class Novelty(nn.Module):
    """From level maps to strangeness.

    The mean over all measures of how many standard deviations the logarithm of each lies above its
    mean for normal images: the distances of `LevelHeads` and DLSR's MFsim error.

    Args:
        pooling: Of the backbone's levels.
        dlsr: Trained on the known categories.
        levels: Fitted on the known categories.
    """

    location: Tensor
    spread: Tensor

    def __init__(self, pooling: RegionPooling, dlsr: DLSR, levels: LevelHeads) -> None:
        super().__init__()
        self.pooling = pooling
        self.dlsr = dlsr
        self.levels = levels
        self.register_buffer("location", torch.zeros(len(levels.heads) + 1))
        self.register_buffer("spread", torch.ones(len(levels.heads) + 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Strangeness `(B,)` of level maps `(B, C_l, H_l, W_l)`; about 0 for normal images."""
        return self.judge(self.pooling(rounded(maps)))

    def judge(self, regions: Tensor) -> Tensor:
        """Strangeness `(B,)` of pooled regions `(B, R, D)`."""
        measures = torch.stack(list(self.measures(regions).values()), dim=1)
        return ((measures - self.location) / self.spread).mean(dim=1)

    def measures(self, regions: Tensor) -> dict[str, Tensor]:
        """The logarithms `(B,)` of what strangeness is made of, by name."""
        distances = self.levels(median_of(regions))
        similar, _ = self.dlsr.errors(self.dlsr.standardise(mean_of(regions))).unbind(dim=1)
        named = {f"level {number}": each for number, each in enumerate(distances.unbind(dim=1))}
        named["mfsim"] = similar
        return {name: value.clamp_min(_LEAST).log() for name, value in named.items()}

    def fit_spread(self, regions: Tensor) -> None:
        """Take location and spread of every measure from normal images `(n, R, D)`."""
        measures = torch.stack(list(self.measures(regions).values()), dim=1)
        spread, location = torch.std_mean(measures, dim=0, correction=0)
        self.location.copy_(location)
        self.spread.copy_(spread.clamp_min(_LEAST))

    def save(self, folder: Path) -> None:
        """Write `novelty.safetensors` and `novelty.json` into `folder`.

        Raises:
            NormscapeError: The folder cannot be written.
        """
        tensors = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        with atomic_path(folder / TENSORS) as temporary:
            save_file(tensors, temporary)
        config = {
            "format": _FORMAT,
            "shapes": [list(shape) for shape in self.pooling.shapes],
            "categories": self.levels.categories,
            "dlsr": vars(self.dlsr.config),
        }
        write_json(folder / CONFIG, config)

    @classmethod
    def load(cls, folder: Path) -> Novelty:
        """Read what `save` wrote, on the CPU.

        Raises:
            UsageError: There is nothing in the folder.
            NormscapeError: It is damaged, or of another version.
        """
        for name in (TENSORS, CONFIG):
            if not (folder / name).is_file():
                raise UsageError(f"{folder / name} is missing; run the novelty stage")
        try:
            tensors = load_file(folder / TENSORS)
            novelty = cls._from_config(read_json(folder / CONFIG))
            novelty.load_state_dict(tensors)
        except (
            UsageError, SafetensorError, ValidationError, KeyError, TypeError, ValueError,
            RuntimeError, AttributeError, OSError,
        ) as error:  # fmt: skip
            raise NormscapeError(
                f"the novelty model in {folder} cannot be read "
                f"({' '.join(str(error).split())[:200]}); it is damaged or was written by another "
                "version, restore it or train again"
            ) from None
        broken = [name for name, value in tensors.items() if not bool(value.isfinite().all())]
        if broken:
            raise NormscapeError(
                f"the novelty model in {folder} holds NaN or infinite values in "
                f"{', '.join(broken[:3])}; restore it or train again"
            )
        return novelty.eval().requires_grad_(False)

    @classmethod
    def _from_config(cls, config: dict[str, Any]) -> Novelty:
        if config["format"] != _FORMAT:
            raise ValueError(f"format {config['format']}, this version reads {_FORMAT}")
        shapes: list[LevelShape] = [(int(c), int(h), int(w)) for c, h, w in config["shapes"]]
        pooling, count = RegionPooling(shapes), int(config["categories"])
        heads = [
            CategoryHead(torch.zeros(count, size), torch.zeros(size, size), torch.zeros(count))
            for size in pooling.channels
        ]
        size = sum(pooling.channels)
        levels = LevelHeads(torch.zeros(size), torch.ones(size), heads)
        return cls(pooling, DLSR(DLSRConfig(**config["dlsr"])), levels)
