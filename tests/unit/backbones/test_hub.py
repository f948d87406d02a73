"""The hub: never a hang, and a copy in its local cache is enough."""

import time
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from normscape.backbones.hub import fetch_hub
from normscape.errors import NormscapeError, UsageError

NAME = "resnet10t.c3_in1k"


@pytest.fixture(autouse=True)
def _unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_unreachable_hub_is_an_error_within_seconds(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(NormscapeError, match="does not answer"):
        fetch_hub(NAME, tmp_path / "weights")
    assert time.monotonic() - start < 15
    assert not (tmp_path / "weights").exists()
    assert not constants.HF_HUB_OFFLINE


def test_copy_in_the_local_cache_is_used(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = timm.create_model(NAME).state_dict()
    repository = tmp_path / "hub" / f"models--timm--{NAME}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    save_file(state, repository / "snapshots" / "abc" / "model.safetensors")
    path = fetch_hub(NAME, tmp_path / "weights")
    fetched = load_file(path)
    assert torch.equal(fetched["conv1.0.weight"], state["conv1.0.weight"])
    assert fetch_hub(NAME, tmp_path / "weights") == path


def test_network_without_published_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights of 'botnet50ts_256' are published"):
        fetch_hub("botnet50ts_256", tmp_path)
