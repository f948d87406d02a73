"""Which registry: a folder, or s3://bucket/prefix."""

from __future__ import annotations

from normscape.params import Params
from normscape.registry.contract import Registry
from normscape.registry.local import LocalRegistry
from normscape.storage.location import SCHEME, S3Location


def open_registry(params: Params) -> Registry:
    """The registry that `registry.root` of `params.yaml` names.

    Raises:
        UsageError: It is a malformed s3:// address.
        NormscapeError: The AWS configuration cannot be used.
    """
    root = params.registry.root
    if root is None:
        return LocalRegistry(params.state / "registry")
    if not str(root).startswith(SCHEME):
        return LocalRegistry(params.root / root)
    from normscape.registry.s3 import S3Registry
    from normscape.storage.store import ObjectStore

    return S3Registry(ObjectStore(S3Location.parse(str(root))), params.state / "bundles")
