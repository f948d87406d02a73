import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from normscape.params import Params, load_params

from .project import make_project


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a model of tiles of pictures of 2048 x 2048 pixels."""
    root = tmp_path_factory.mktemp("tiled")
    make_project(root)
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Params:
    """A copy of the trained checkout, to be changed."""
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    return load_params(root / "params.yaml")
