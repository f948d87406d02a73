"""What must be known of a backbone before it runs, remembered so that stages start without timm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from normscape.backbones.base import LevelShape
from normscape.errors import NormscapeError
from normscape.files import read_json, sha256_file, write_json


@dataclass(frozen=True)
class Facts:
    """What follows from a network's name, its weights, its input size and its levels.

    Attributes:
        weights_sha256: Hash of the tensors.
        mean: Per-channel mean, for pixels in [0, 1].
        std: Per-channel divisor.
        shapes: `(C, H, W)` of each level.
    """

    weights_sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shapes: tuple[LevelShape, ...]


def find_facts(
    name: str,
    source: str,
    path: Path,
    *,
    input_size: int,
    levels: Sequence[int],
    cache: Path,
) -> Facts:
    """Return the facts, from the cache when the weights file has the bytes it had before.

    Raises:
        UsageError: The network, its levels, its input size or its weights do not fit together.
        NormscapeError: The weights file is damaged.
    """
    question = [
        sha256_file(path), name, source == "package", input_size, list(levels), version("timm"),
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]
    record = cache / "backbones" / f"{key}.json"
    found = _read(record)
    if found is not None:
        return found

    from normscape.backbones.network import feature_shapes
    from normscape.backbones.weights import load_weights

    weights = load_weights(name, source, path)
    facts = Facts(
        weights.sha256, weights.mean, weights.std, feature_shapes(name, input_size, levels)
    )
    content = {
        "weights_sha256": facts.weights_sha256,
        "mean": list(facts.mean),
        "std": list(facts.std),
        "shapes": [list(shape) for shape in facts.shapes],
    }
    # A cache that cannot be written costs the next process some seconds, not the result.
    with suppress(NormscapeError):
        write_json(record, content)
    return facts


def _read(record: Path) -> Facts | None:
    if not record.is_file():
        return None
    try:
        content = read_json(record)
        return Facts(
            content["weights_sha256"],
            tuple(content["mean"]),
            tuple(content["std"]),
            tuple((c, h, w) for c, h, w in content["shapes"]),
        )
    except (NormscapeError, KeyError, TypeError, ValueError):
        return None
