"""What a peer is asked to do, and where what it shares with other jobs is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.record import ROOT
from normscape.backbones import RESIZE_RULE
from normscape.errors import UsageError
from normscape.files import atomic_path, sha256_file
from normscape.sections.model import BackboneParams

Method = Literal["patchcore", "padim", "knn"]
METHODS: tuple[Method, ...] = ("patchcore", "padim", "knn")

STATE = ROOT / ".normscape" / "bench" / "peers"
ENVIRONMENT = ROOT / ".venv-peers"
LOCK = ROOT / "bench" / "peers" / "requirements.lock"

_REVISION = 1  # of the peers' code; raise it when a change in it changes results


@dataclass(frozen=True)
class Job:
    """What shapes a peer's result, beside the images and its environment.

    Attributes:
        method: The peer.
        seed: Of everything that is drawn.
        backbone: The timm name.
        weights_sha256: Hash of its tensors.
        size: Pixels per side.
        levels: timm's feature levels; 2 and 3 have the strides 8 and 16.
        stride: Of the first level.
        mean: Subtracted from pixels in [0, 1].
        std: Divides them.
        batch: Images at once.
        bank_tokens: Most tokens in the memory: of PatchCore's coreset, or drawn for knn.
        padim_features: Channels that PaDiM keeps; anomalib has no default for this network, so
            it keeps all 48 + 120, the most it can.
        settings: Whatever else shapes the result, as text.
    """

    method: Method
    seed: int
    backbone: str
    weights_sha256: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    levels: tuple[int, ...] = (2, 3)
    stride: int = 8
    batch: int = 16
    bank_tokens: int = 2000
    padim_features: int = 168
    settings: str = ""

    def key(self, train: Sequence[str], test: Sequence[str]) -> str:
        """20 hex digits over all that shapes the result, the number of threads excepted.

        Args:
            train: SHA-256 of the training images, in order.
            test: SHA-256 of the images to score, in order.
        """
        content = {
            "revision": _REVISION,
            "job": asdict(self),
            "resize": RESIZE_RULE,
            "lock": sha256_file(LOCK),
            "train": list(train),
            "test": list(test),
        }
        return _digest(content)


def check_environment() -> Path:
    """The Python of the peers' environment.

    Raises:
        UsageError: It is absent, or was made from another lock.
    """
    python, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / ".synced"
    if not python.exists() or not stamp.is_file():
        raise UsageError(f"{ENVIRONMENT} is missing; run `make bench-peers-env` first")
    if stamp.read_text(encoding="utf-8").strip() != sha256_file(LOCK):
        raise UsageError(
            f"{ENVIRONMENT} was made from another bench/peers/requirements.lock; "
            "run `make bench-peers-env` again"
        )
    return python


def decoded(paths: Sequence[Path], hashes: Sequence[str], size: int) -> Path:
    """Decode images as the project does, once.

    Args:
        paths: Image files.
        hashes: Their SHA-256.
        size: Pixels per side.

    Returns:
        A `.npy` file of `(N, size, size, 3)` uint8.

    Raises:
        DataError: An image cannot be read.
    """
    from PIL import Image

    from normscape.data.images import read_image

    name = _digest({"images": list(hashes), "size": size, "resize": RESIZE_RULE})
    target = STATE / "pixels" / f"{name}.npy"
    if target.exists():
        return target
    with atomic_path(target) as temporary:
        pixels = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=np.uint8, shape=(len(paths), size, size, 3)
        )
        for row, path in enumerate(paths):
            square = read_image(path).resize((size, size), Image.Resampling.BICUBIC)
            pixels[row] = np.asarray(square)
        pixels.flush()
    return target


def exported_weights(params: BackboneParams) -> tuple[Path, Any]:
    """Write the backbone's weights under timm's names, once.

    Args:
        params: The project's backbone.

    Returns:
        A safetensors file, and the `normscape.backbones.weights.Weights` in it.
    """
    from safetensors.torch import save_file

    from normscape.backbones.sources import locate
    from normscape.backbones.weights import load_weights

    path = locate(params.weights, params.name, root=ROOT, cache=ROOT / ".normscape" / "cache")
    weights = load_weights(params.name, params.weights, path)
    target = STATE / "weights" / f"{params.name}-{weights.sha256[:16]}.safetensors"
    if not target.exists():
        with atomic_path(target) as temporary:
            save_file(weights.tensors, temporary)
    return target, weights


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
