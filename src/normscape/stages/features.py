"""Stage `features`: extract what is missing, and list what the later stages may read."""

from __future__ import annotations

from normscape.data.manifest import read_manifest, write_manifest
from normscape.features.extract import ensure_features
from normscape.files import atomic_folder, write_json
from normscape.params import Params
from normscape.tiling.training import ensure_tiles, is_cut, tile_manifest


def run(params: Params) -> None:
    """Write `artifacts/features`: `index.parquet` (path, sha256) and `backbone.json`.

    Of images that are cut into tiles, the learned tiles have features; `tiles.parquet` lists what
    is learned from then. The others are scored from their files.

    The maps themselves stay in the feature store, outside DVC; adding one image extracts one.

    Raises:
        DataError: An image cannot be decoded, or is not the one in the manifest.
        UsageError: The manifest is missing, or the parameters describe no backbone.
        NormscapeError: Weights cannot be read, or a folder cannot be written.
    """
    manifest = read_manifest(params.artifacts / "manifest.parquet")
    readable = manifest[manifest["error"].isna()]
    whole = readable[~is_cut(readable, params.tiling)]
    items = [
        (sha256, params.data / path)
        for path, sha256 in zip(whole["path"], whole["sha256"], strict=True)
    ]
    store = ensure_features(params, items)
    if params.tiling.tile is not None:
        ensure_tiles(params, manifest)
    with atomic_folder(params.artifacts / "features") as folder:
        index = readable[["path", "sha256"]].sort_values("path", ignore_index=True)
        index.to_parquet(folder / "index.parquet", index=False)
        write_json(folder / "backbone.json", store.identity.as_dict())
        if params.tiling.tile is not None:
            write_manifest(folder / "tiles.parquet", tile_manifest(manifest, params.tiling))
