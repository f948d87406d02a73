"""The refiner: which maps it is for, how it makes them sharper, and its two files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from normscape.errors import NormscapeError, UsageError
from normscape.files import atomic_path, read_json, write_json
from normscape.params import Params
from normscape.refine.fusion import Fusion, averages
from normscape.refine.inpainting import Inpainting, centred
from normscape.sections.model import RefineParams

TENSORS = "refiner.safetensors"
CONFIG = "refiner.json"
_FORMAT = 1


@dataclass(frozen=True)
class RefinerConfig:
    """The shape of a refiner; everything but the tensors.

    Attributes:
        categories: Names, in the order of the model's indices.
        input_size: Pixels per side of what the backbone takes.
        map_size: Of an anomaly map.
        size: Of the picture that is inpainted.
        width: Of the network.
        cells: Pixels per side of hidden cells, of that picture.
        times: At which the hidden pixels are estimated.
        strength: Of what the errors change.
        max_p: Only maps of images whose p-value is at most this are refined.
    """

    categories: tuple[str, ...]
    input_size: int
    map_size: int
    size: int
    width: int
    cells: tuple[int, ...]
    times: tuple[float, ...]
    strength: float
    max_p: float

    @classmethod
    def of(
        cls,
        params: RefineParams,
        categories: Sequence[str],
        *,
        input_size: int,
        map_size: int,
    ) -> RefinerConfig:
        """That of the section `refine` for a model's categories and maps."""
        return cls(
            categories=tuple(categories),
            input_size=input_size,
            map_size=map_size,
            size=params.size,
            width=params.width,
            cells=params.cells,
            times=params.times,
            strength=params.strength,
            max_p=params.max_p,
        )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> RefinerConfig:
        """Read what `asdict` gave, after a detour through JSON."""
        lists = {name: tuple(content[name]) for name in ("categories", "cells", "times")}
        return cls(**{**content, **lists})


class Refiner(nn.Module):
    """Sharpens anomaly maps; what it says of an image depends on no other.

    Args:
        config: The shape; the network is untrained.
    """

    reduce: Tensor

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        self.inpainting = Inpainting(
            len(config.categories), config.width, config.size, config.cells, config.times
        )
        self.fusion = Fusion(config.map_size, config.size, config.strength)
        self.register_buffer("reduce", averages(config.input_size, config.size), persistent=False)

    def picture(self, pixels: Tensor) -> Tensor:
        """What is inpainted, `(B, 3, S, S)` in [-1, 1], of pixels `(B, 3, H, H)` in [0, 1]."""
        return centred(self.reduce @ pixels @ self.reduce.T)

    def forward(self, pixels: Tensor, maps: Tensor, category: Tensor) -> Tensor:
        """Refined maps `(B, M, M)`.

        Args:
            pixels: `(B, 3, H, H)` in [0, 1], as the backbone takes them.
            maps: `(B, M, M)`, positive.
            category: `(B,)` int64, the predicted categories.
        """
        with torch.no_grad():
            rows = zip(*(torch.split(each, 1) for each in (pixels, maps, category)), strict=True)
            # One image at a time, for the same bits whatever the batch.
            return torch.cat([self.one(*row) for row in rows]) if len(maps) else maps

    def one(self, pixels: Tensor, maps: Tensor, category: Tensor) -> Tensor:
        """The refined map `(1, M, M)` of one image."""
        errors = self.inpainting.errors(self.picture(pixels), category)
        refined: Tensor = self.fusion(maps, errors)
        return refined

    def wanted(self, p_values: Tensor) -> Tensor:
        """Which of the images with these p-values have their maps refined, `(B,)` bool."""
        return p_values <= self.config.max_p

    def save(self, folder: Path) -> None:
        """Write `refiner.safetensors` and `refiner.json` into `folder`.

        Raises:
            NormscapeError: The folder cannot be written.
        """
        tensors = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        with atomic_path(folder / TENSORS) as temporary:
            save_file(tensors, temporary)
        write_json(folder / CONFIG, {"format": _FORMAT, "name": "drdc", **asdict(self.config)})

    @classmethod
    def load(cls, folder: Path) -> Refiner:
        """Read what `save` wrote, on the CPU.

        Raises:
            UsageError: There is nothing in the folder.
            NormscapeError: It is damaged, or of another version.
        """
        for name in (TENSORS, CONFIG):
            if not (folder / name).is_file():
                raise UsageError(f"{folder / name} is missing; run the refine stage")
        try:
            tensors = load_file(folder / TENSORS)
            content = read_json(folder / CONFIG)
            if (version := content.pop("format")) != _FORMAT:
                raise ValueError(f"format {version}, this version reads {_FORMAT}")
            if (name := content.pop("name")) != "drdc":
                raise ValueError(f"unknown refiner '{name}'")
            refiner = cls(RefinerConfig.from_dict(content))
            refiner.load_state_dict(tensors)
        except (
            UsageError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError,
            AttributeError, OSError,
        ) as error:  # fmt: skip
            raise NormscapeError(
                f"the refiner in {folder} cannot be read ({' '.join(str(error).split())[:200]}); "
                "it is damaged or was written by another version, restore it or train again"
            ) from None
        broken = [name for name, value in tensors.items() if not bool(value.isfinite().all())]
        if broken:
            raise NormscapeError(
                f"the refiner in {folder} holds NaN or infinite values in "
                f"{', '.join(broken[:3])}; restore it or train again"
            )
        return refiner.eval().requires_grad_(False)


def open_refiner(folder: Path, categories: Sequence[str]) -> Refiner | None:
    """The refiner beside a model; None where the model has none.

    Args:
        folder: Of an artefact or a bundle.
        categories: The model's, in its order.

    Raises:
        NormscapeError: It is damaged, or was made for other categories.
    """
    if not (folder / TENSORS).is_file():
        return None
    refiner = Refiner.load(folder)
    if refiner.config.categories != tuple(categories):
        raise NormscapeError(
            f"the refiner in {folder} was made for {', '.join(refiner.config.categories)}, the "
            f"model for {', '.join(categories)}; run the refine stage again"
        )
    return refiner


def trained_refiner(params: Params, categories: Sequence[str]) -> Refiner | None:
    """The refiner that the stage has made; None where `refine.name` is none.

    Args:
        params: The project.
        categories: The model's, in its order.

    Raises:
        UsageError: There is none.
        NormscapeError: It is damaged, or was made for other categories or parameters.
    """
    if params.refine.name == "none":
        return None
    folder = params.artifacts / "refine"
    found = open_refiner(folder, categories)
    if found is None:
        raise UsageError(
            f"refine.name is {params.refine.name}, but {folder} has no refiner; run the refine "
            "stage"
        )
    expected = RefinerConfig.of(
        params.refine, categories, input_size=params.backbone.input_size, map_size=params.maps.size
    )
    for name, wanted in asdict(expected).items():
        if (has := getattr(found.config, name)) != wanted:
            raise NormscapeError(
                f"the refiner in {folder} was made with {name} {has}, params.yaml says {wanted}; "
                "run the refine stage again"
            )
    return found
