from pathlib import Path

import pytest

from .project import make_project


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a model of tiles of pictures of 2048 x 2048 pixels."""
    root = tmp_path_factory.mktemp("tiled")
    make_project(root)
    return root
