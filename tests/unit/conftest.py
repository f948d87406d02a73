"""What the library's tests share: one thread, and a checkout with a trained model."""

import shutil
from pathlib import Path

import pytest

from normscape.params import Params, load_params


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """One thread for each test; the stages that learn take all cores and keep them."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a model of bolts and nuts in production, trained by the real stages."""
    from tests.unit.scoring.project import trained_once

    return trained_once(tmp_path_factory.getbasetemp())


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Params:
    """A copy of the trained checkout, to be changed."""
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    return load_params(root / "params.yaml")
