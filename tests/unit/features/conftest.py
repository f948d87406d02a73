from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normscape.features.extract import Item
from normscape.files import sha256_file
from normscape.params import Params


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state folder for the session, so that the network is converted once."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def params(state: Path, tmp_path: Path) -> Params:
    """A small backbone, a feature store of the test's own, and the session's converted network."""
    (tmp_path / "state").mkdir()
    (state / "cache").mkdir(exist_ok=True)
    (tmp_path / "state" / "cache").symlink_to(state / "cache")
    return Params.model_validate(
        {
            "root": tmp_path,
            "paths": {"state": "state"},
            "backbone": {
                "name": "tf_efficientnet_lite0",
                "input_size": 64,
                "levels": [2, 3],
                "precision": "fp32",
            },
            "features": {"batch_size": 4, "shard_images": 5},
        }
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[[int], list[Item]]:
    """Writes crops of real photographs and returns their hashes and paths."""
    from skimage import data

    photographs = [data.brick(), data.gravel(), data.grass(), data.coins()]

    def write(count: int) -> list[Item]:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        generator = np.random.default_rng(0)
        items = []
        for number in range(count):
            top, left = generator.integers(0, 200, size=2)
            crop = photographs[number % 4][top : top + 96, left : left + 96]
            path = folder / f"{number:03d}.png"
            Image.fromarray(crop).save(path)
            items.append((sha256_file(path), path))
        return items

    return write
