"""Tables of benchmark images, and what is said where they are absent."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import datasets
from normscape.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One category in the MVTec layout: 30 training, 2 normal and 1 masked anomalous image."""
    random = np.random.default_rng(0)
    names = [f"train/good/{number:02}" for number in range(30)]
    names += ["test/good/0", "test/good/1", "test/hole/0", "ground_truth/hole/0_mask"]
    for name in names:
        path = tmp_path / "nut" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
    return tmp_path


def test_peers_train_on_the_calibration_images_too(folder: Path) -> None:
    rows = datasets.table(folder)
    train, test = datasets.train_rows(rows), datasets.test_rows(rows)
    assert set(train["split"]) == {"train", "calibration"}
    assert (len(train), len(test)) == (30, 3)
    assert set(train["sha256"]).isdisjoint(test["sha256"])
    assert all(path.is_file() for path in rows["path"])
    assert [mask is not None for mask in test["mask"]] == [label == 1 for label in test["label"]]


def test_missing_data_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "REALBENCH", tmp_path / "realbench")
    with pytest.raises(UsageError, match=r"realbench is missing.*--data solar"):
        datasets.realbench()


def test_a_missing_demo_is_named(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path_factory.mktemp("checkout")
    (root / "params.yaml").write_text("{}")
    monkeypatch.setattr(datasets, "ROOT", root)
    with pytest.raises(UsageError, match="make data"):
        datasets.solar()
    (root / "data").symlink_to(folder)
    with pytest.raises(UsageError, match="no solar_mono or solar_poly; run `make data`"):
        datasets.solar()
