"""Building a backbone from parameters, or the same one again from its identity."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from normscape.backbones.base import Backbone, BackboneIdentity
from normscape.backbones.facts import Facts, find_facts
from normscape.backbones.runtime import PARITY, resolve, select_device
from normscape.backbones.sources import locate, user_cache
from normscape.errors import NormscapeError, UsageError

if TYPE_CHECKING:
    from normscape.backbones.conversion import Converted
    from normscape.backbones.network import FeatureNetwork
    from normscape.sections.model import BackboneParams


def load_backbone(
    params: BackboneParams, *, root: Path = Path(), cache: Path | None = None
) -> Backbone:
    """Prepare the backbone that the parameters describe; its network is loaded at the first batch.

    Args:
        params: The section `backbone` of `params.yaml`.
        root: The folder that a weights file is relative to.
        cache: Where fetched weights and converted networks are kept; default: the user's cache.

    Raises:
        UsageError: An unknown network or level, weights that do not fit it, or a runtime or
            precision that this machine does not have.
        NormscapeError: Weights that cannot be fetched or read.
    """
    folder = user_cache() if cache is None else cache
    path = locate(params.weights, params.name, root=root, cache=folder)
    facts = find_facts(
        params.name,
        params.weights,
        path,
        input_size=params.input_size,
        levels=params.levels,
        cache=folder,
    )
    runtime, precision = resolve(params.runtime, params.precision)
    identity = BackboneIdentity(
        name=params.name,
        weights=params.weights,
        weights_sha256=facts.weights_sha256,
        input_size=params.input_size,
        levels=params.levels,
        mean=facts.mean,
        std=facts.std,
        runtime=runtime,
        precision=precision,
    )
    return _assemble(identity, facts, path, folder)


def load_identity(
    identity: BackboneIdentity,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    root: Path = Path(),
    cache: Path | None = None,
) -> Backbone:
    """Prepare the backbone that a bundle was made with.

    Args:
        identity: What the bundle recorded.
        runtime: `auto` takes the recorded runtime and precision where this machine offers them,
            else what it does best; compare the result's identity with the recorded one.
        precision: As in `params.yaml`; `auto` follows `runtime`.
        root: The folder that a weights file is relative to.
        cache: Where fetched weights and converted networks are kept; default: the user's cache.

    Raises:
        UsageError: This machine does not have the runtime or precision that was asked for.
        NormscapeError: The weights cannot be fetched or read, or are not those recorded.
    """
    folder = user_cache() if cache is None else cache
    path = locate(identity.weights, identity.name, root=root, cache=folder)
    facts = find_facts(
        identity.name,
        identity.weights,
        path,
        input_size=identity.input_size,
        levels=identity.levels,
        cache=folder,
    )
    if facts.weights_sha256 != identity.weights_sha256:
        raise NormscapeError(
            f"the weights of {identity.name} from '{identity.weights}' have the hash "
            f"{facts.weights_sha256[:16]}, but the model was made with "
            f"{identity.weights_sha256[:16]}; restore those weights or train again"
        )
    wanted = _recorded_or_best(identity, runtime, precision)
    resolved = BackboneIdentity.from_dict(
        identity.as_dict() | {"runtime": wanted[0], "precision": wanted[1]}
    )
    return _assemble(resolved, facts, path, folder)


def load_network(
    identity: BackboneIdentity, *, root: Path = Path(), cache: Path | None = None
) -> FeatureNetwork:
    """The torch network behind an identity, with its weights.

    Args:
        identity: What a bundle recorded; its weights were checked when it was loaded.
        root: The folder that a weights file is relative to.
        cache: Where fetched weights are kept; default: the user's cache.

    Raises:
        NormscapeError: The weights cannot be fetched or read.
    """
    folder = user_cache() if cache is None else cache
    return _build(identity, locate(identity.weights, identity.name, root=root, cache=folder))


def convert_network(
    identity: BackboneIdentity, *, root: Path = Path(), cache: Path | None = None
) -> Converted:
    """The network behind an identity in OpenVINO's format; see `load_network`."""
    folder = user_cache() if cache is None else cache
    return _convert(identity, folder, partial(load_network, identity, root=root, cache=folder))


def _recorded_or_best(identity: BackboneIdentity, runtime: str, precision: str) -> tuple[str, str]:
    if runtime == "auto" and precision == "auto":
        best = resolve("auto", "auto")
        if best[0] != identity.runtime:
            return best
        try:
            return resolve(identity.runtime, identity.precision)
        except UsageError:
            return best
    return resolve(runtime, precision)


def _assemble(identity: BackboneIdentity, facts: Facts, path: Path, cache: Path) -> Backbone:
    build = partial(_build, identity, path)
    if identity.runtime == "torch":
        from normscape.backbones.torch_runtime import TorchBackbone

        return TorchBackbone(identity, facts.shapes, build, select_device())

    from normscape.backbones.openvino_runtime import OpenVinoBackbone

    convert = partial(_convert, identity, cache, build)
    if identity.precision == PARITY:
        converted = convert()
        precision = "bf16" if converted.bf16_agrees else "fp32"
        identity = BackboneIdentity.from_dict(identity.as_dict() | {"precision": precision})
    return OpenVinoBackbone(identity, facts.shapes, convert)


def _build(identity: BackboneIdentity, path: Path) -> FeatureNetwork:
    from normscape.backbones.network import build_network
    from normscape.backbones.weights import load_weights

    weights = load_weights(identity.name, identity.weights, path)
    return build_network(identity, weights.tensors)


def _convert(identity: BackboneIdentity, cache: Path, build: partial[FeatureNetwork]) -> Converted:
    from normscape.backbones.conversion import convert_cached

    levels = "-".join(str(level) for level in identity.levels)
    key = f"{identity.name}-{identity.input_size}-{levels}-{identity.weights_sha256[:16]}"
    return convert_cached(cache / "openvino" / key, identity.input_size, build)
