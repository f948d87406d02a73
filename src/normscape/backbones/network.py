"""Networks of timm cut at their feature levels; timm takes seconds to import, so only on need."""

from __future__ import annotations

import difflib
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from normscape.errors import NormscapeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from normscape.backbones.base import BackboneIdentity, LevelShape


class FeatureNetwork(nn.Module):
    """Normalises pixels and returns the maps of the chosen levels.

    Args:
        network: A timm network made with `features_only=True`.
        mean: Per-channel mean, for pixels in [0, 1].
        std: Per-channel divisor.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.channels_last = str(getattr(network, "output_fmt", "")).endswith("NHWC")
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return one map `(B, C_l, H_l, W_l)` per level for `(B, 3, S, S)` pixels in [0, 1]."""
        maps = self.network((pixels - self.mean) / self.std)
        if self.channels_last:
            return tuple(level.permute(0, 3, 1, 2).contiguous() for level in maps)
        return tuple(maps)


def check_name(name: str) -> None:
    """Check that timm knows a network.

    Raises:
        UsageError: It does not; the message offers close matches.
    """
    import timm

    base = name.split(".", maxsplit=1)[0]
    if timm.is_model(base):
        return
    close = difflib.get_close_matches(base, timm.list_models(), n=3, cutoff=0.5)
    offer = f"close matches: {', '.join(close)}" if close else "see timm.list_models()"
    raise UsageError(f"backbone.name is '{name}', which timm does not know; {offer}")


def expected_tensors(name: str) -> dict[str, Tensor]:
    """Names and shapes of a whole network's tensors, classifier included, without memory."""
    import timm

    with torch.device("meta"):
        return dict(timm.create_model(name).state_dict())


def pretrained_config(name: str) -> Any:
    """Return timm's record of a network's published weights: mean, std, classifier, hub id."""
    from timm.models import get_pretrained_cfg

    try:
        config = get_pretrained_cfg(name)
    except RuntimeError as error:
        raise UsageError(
            f"backbone.name is '{name}': {_first_line(error)} timm.list_pretrained() has the tags"
        ) from None
    if config is None:
        raise UsageError(
            f"backbone.name is '{name}': timm records no published weights under this name, so "
            "its normalisation is unknown; choose another name or tag"
        )
    return config


def feature_shapes(name: str, input_size: int, levels: Sequence[int]) -> tuple[LevelShape, ...]:
    """`(C, H, W)` of each level for square inputs, found without computing anything.

    Raises:
        UsageError: The network has no such level, or does not take inputs of this size.
    """
    with torch.device("meta"):
        network: Any = _create(name, input_size, levels)
        strides = network.feature_info.reduction()
        if remainders := [stride for stride in strides if input_size % stride]:
            raise UsageError(
                f"backbone.input_size is {input_size}, but {name} has a stride of {remainders[0]}, "
                "which does not divide it: the border would be cut off; choose a multiple of both "
                f"{remainders[0]} and 32"
            )
        wrapped = FeatureNetwork(network, (0.0,) * 3, (1.0,) * 3).eval()
        try:
            maps = wrapped(torch.empty(1, 3, input_size, input_size))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"backbone.input_size is {input_size}, which {name} does not take: "
                f"{_first_line(error)}; choose the size it was trained with"
            ) from None
    if any(level.ndim != 4 for level in maps):
        raise UsageError(f"backbone.name is '{name}', whose features are not maps; choose another")
    return tuple((level.shape[1], level.shape[2], level.shape[3]) for level in maps)


def build_network(identity: BackboneIdentity, tensors: Mapping[str, Tensor]) -> FeatureNetwork:
    """Build the frozen network in evaluation mode.

    Args:
        identity: Its name, input size (position embeddings of a transformer are resampled to it),
            levels and normalisation.
        tensors: The weights, under timm's names (`normscape.backbones.weights`).
    """
    with _quiet_timm():
        network = _create(
            identity.name,
            identity.input_size,
            identity.levels,
            pretrained=True,
            pretrained_cfg_overlay={"state_dict": dict(tensors)},
        )
    wrapped = FeatureNetwork(network, identity.mean, identity.std)
    return wrapped.eval().requires_grad_(False)


@contextmanager
def _quiet_timm() -> Iterator[None]:
    # timm warns of tensors behind the last level; all were checked when they were read.
    logger = logging.getLogger("timm")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _create(name: str, input_size: int, levels: Sequence[int], **options: Any) -> nn.Module:
    import timm

    if pretrained_config(name).fixed_input_size:
        options["img_size"] = input_size
    try:
        network: nn.Module = timm.create_model(
            name, features_only=True, out_indices=tuple(levels), **options
        )
    except (IndexError, AssertionError) as error:
        raise UsageError(
            f"backbone.levels is {list(levels)}, but {name} cannot give them "
            f"({_first_line(error)}); levels are numbered from 0: a CNN has four or five, a "
            "transformer as many as blocks"
        ) from None
    except RuntimeError as error:
        if "features_only" not in str(error):
            raise NormscapeError(f"{name} cannot be built: {_first_line(error)}") from None
        raise UsageError(
            f"backbone.name is '{name}', which timm cannot cut into feature levels; choose another"
        ) from None
    return network


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
