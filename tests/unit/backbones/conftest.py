from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from normscape.backbones.conversion import probe_batch


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted networks are kept for the session: each conversion takes seconds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def photographs() -> Tensor:
    """Eight real photographs (scikit-image's) as (8, 3, 256, 256) in [0, 1]."""
    from skimage import data

    names = ("camera", "coffee", "grass", "gravel")
    more = [
        Image.fromarray(getattr(data, name)())
        .convert("RGB")
        .resize((256, 256), Image.Resampling.BICUBIC)
        for name in names
    ]
    stacked = np.stack([np.asarray(image, dtype=np.float32) / 255 for image in more])
    return torch.cat([probe_batch(256), torch.from_numpy(stacked).permute(0, 3, 1, 2)])
