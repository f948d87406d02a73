import numpy as np
import torch
from PIL import Image

from normscape.features.preprocess import to_batch


def test_pictures_of_any_size_become_one_batch() -> None:
    grey = Image.new("RGB", (300, 100), (128, 128, 128))
    white = Image.new("RGB", (64, 64), (255, 255, 255))
    batch = to_batch([grey, white], 64)
    assert batch.shape == (2, 3, 64, 64)
    assert batch.dtype == torch.float32
    assert torch.allclose(batch[0], torch.full((3, 64, 64), 128 / 255))
    assert float(batch[1].max()) == 1.0


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    batch = to_batch([Image.fromarray(pixels)], 64)
    assert np.array_equal((batch[0].numpy() * 255).round().transpose(1, 2, 0), pixels)


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[::2] = 255
    batch = to_batch([Image.fromarray(stripes)], 64)
    assert torch.allclose(batch, torch.full_like(batch, 0.5), atol=0.05)
