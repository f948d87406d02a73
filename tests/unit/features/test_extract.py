import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from normscape.backbones import BackboneIdentity, load_backbone
from normscape.data.images import read_image
from normscape.data.manifest import build_manifest, write_manifest
from normscape.errors import DataError
from normscape.features.extract import Item, ensure_features
from normscape.features.preprocess import to_batch
from normscape.params import Params
from normscape.stages import features as stage

Pictures = Callable[[int], list[Item]]


def rows(folder: Path) -> int:
    return sum(len(json.loads(p.read_text())["sha256"]) for p in folder.glob("*.json"))


def test_features_are_those_of_the_backbone(params: Params, pictures: Pictures) -> None:
    items = pictures(6)
    store = ensure_features(params, items, progress=False)
    backbone = load_backbone(params.backbone, cache=params.state / "cache")
    expected = backbone(to_batch([read_image(path) for _, path in items], 64))
    for found, level in zip(store.read([sha for sha, _ in items]), expected, strict=True):
        assert torch.allclose(found, level, rtol=1e-3, atol=1e-3)


def test_one_more_image_extracts_one_image(params: Params, pictures: Pictures) -> None:
    ensure_features(params, pictures(12), progress=False)
    store = ensure_features(params, pictures(13), progress=False)
    assert rows(store.folder) == len(store) == 13
    ensure_features(params, pictures(13), progress=False)
    assert rows(store.folder) == 13


def test_the_same_image_twice_is_extracted_once(params: Params, pictures: Pictures) -> None:
    items = pictures(2)
    store = ensure_features(params, [*items, *items], progress=False)
    assert rows(store.folder) == 2


def test_an_undecodable_image_is_named_and_the_others_are_kept(
    params: Params, pictures: Pictures
) -> None:
    items = pictures(10)
    broken = items[9][1]
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=broken.name):
        ensure_features(params, items, progress=False)
    (folder,) = (params.state / "features").iterdir()
    assert rows(folder) == 8  # the whole batches before it


def test_a_file_that_changed_since_it_was_hashed_is_refused(
    params: Params, pictures: Pictures
) -> None:
    (first, second) = pictures(2)
    with pytest.raises(DataError, match="changed"):
        ensure_features(params, [(first[0], second[1])], progress=False)


def test_progress_goes_to_stderr(
    params: Params, pictures: Pictures, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_features(params, pictures(2), progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2" in captured.err


def test_the_stage_writes_an_index_and_the_identity(params: Params, pictures: Pictures) -> None:
    items = pictures(12)
    good = params.data / "brick" / "train" / "good"
    good.mkdir(parents=True)
    for _, path in items:
        path.rename(good / path.name)
    test = params.data / "brick" / "test" / "good"
    test.mkdir(parents=True)
    (good / "003.png").rename(test / "003.png")
    (test / "004.png").write_bytes(b"no picture")
    manifest = build_manifest(params.data, params.manifest, progress=False)
    write_manifest(params.artifacts / "manifest.parquet", manifest)

    stage.run(params)
    folder = params.artifacts / "features"
    index = pd.read_parquet(folder / "index.parquet")
    assert list(index.columns) == ["path", "sha256"]
    assert len(index) == 12
    assert index["path"].is_monotonic_increasing
    identity = BackboneIdentity.from_dict(json.loads((folder / "backbone.json").read_text()))
    assert (params.state / "features" / identity.key).is_dir()
    first = (folder / "index.parquet").read_bytes()
    stage.run(params)
    assert (folder / "index.parquet").read_bytes() == first
